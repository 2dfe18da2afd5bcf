"""The models there are, what they can do and what they cost; resolution of names; cost of work."""

from stepdown.catalog.catalogue import Catalog, load_catalog
from stepdown.catalog.records import LongContext, Model, Price, Rates

__all__ = ["Catalog", "LongContext", "Model", "Price", "Rates", "load_catalog"]
