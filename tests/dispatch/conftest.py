"""The small project of `stage`, and a ledger on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import make_plan

from stepdown.ledger.sqlite import SqliteLedger
from stepdown.plans import GsdPlan


@pytest.fixture
def plan(tmp_path: Path) -> GsdPlan:
    return make_plan(tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with SqliteLedger(tmp_path / "ledger.db") as opened:
        yield opened
