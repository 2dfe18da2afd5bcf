"""What the program reads at start: ``data.json``, made by ``scripts/prices.py`` from models.yaml and prices.yaml.

Measured: the two YAML files take about 50 ms to parse with libyaml; this file, decoded and indexed, about 2 ms.
"""

from pathlib import Path
from typing import Final

import msgspec

from stepdown.catalog.records import Model, Price
from stepdown.errors import CatalogError

DATA: Final = Path(__file__).with_name("data.json")


class Entry(msgspec.Struct, frozen=True):
    """A model and its prices over time.

    Attributes:
        model: the facts; its `price` is left to the day that is asked for.
        prices: oldest first.
    """

    model: Model
    prices: tuple[Price, ...] = ()

    def price_on(self, day: str) -> Price | None:
        """The price that holds on an ISO date; None where none is known for it."""
        held = [price for price in self.prices if price.since <= day]
        return held[-1] if held else None


class CompiledCatalog(msgspec.Struct, frozen=True):
    """The whole file: a digest of what it was made from, and the entries in the order that decides ambiguous names."""

    digest: str
    entries: tuple[Entry, ...]


def read(path: Path = DATA) -> CompiledCatalog:
    """The compiled catalogue. Raises `CatalogError` where the file is missing or broken, which a reinstallation mends."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=CompiledCatalog)
    except (OSError, msgspec.DecodeError) as error:
        raise CatalogError(f"{path}: {error}; reinstall stepdown, or run scripts/prices.py in its repository") from error
