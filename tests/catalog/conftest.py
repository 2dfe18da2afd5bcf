"""The shipped catalogue at the prices of one fixed day, so that no test depends on when it runs."""

import pytest

from stepdown.catalog import Catalog

DAY = "2026-11-23"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.load(on=DAY)
