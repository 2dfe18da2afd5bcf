"""A copy of the ledger that follows it, for whoever only reads: reports and pages that do not weigh on the gateways."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Cluster, Standby, name_of, program, running_cluster

from stepdown.context import build_context
from stepdown.errors import LedgerError
from stepdown.ledger import Attempt, Outcome, open_ledger
from stepdown.preferences import Preferences

NOW = 1_774_000_000.0


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Standby]:
    if not program("pg_basebackup"):
        pytest.skip("pg_basebackup is not here")
    with tempfile.TemporaryDirectory(prefix="sd-pg-") as name:
        copy = Standby(Path(name), primary)
        try:
            yield copy
        finally:
            copy.stop("immediate")


@pytest.fixture
def replica(primary: Cluster, standby: Standby) -> str:
    """The address of a copy of a ledger with one attempt."""
    with open_ledger(primary.address("postgres")) as ledger:
        if not ledger.records():
            attempt = Attempt(project="/p", unit_type="execute-task", unit_id="T01", started=NOW)
            ledger.settle(ledger.begin(attempt), Outcome(cost_usd=1.5, finished=NOW + 1))
    end = time.monotonic() + 20
    while not standby.has_followed():
        assert time.monotonic() < end
        time.sleep(0.05)
    return standby.address("postgres")


def test_everything_that_only_reads_can_be_asked(replica: str) -> None:
    with open_ledger(replica) as ledger:
        assert ledger.spent("/p").usd == 1.5
        assert [record.attempt.unit_id for record in ledger.records()] == ["T01"]
        assert [len(unit) for unit in ledger.every_unit()] == [1]
        assert [line.usd for line in ledger.breakdown("project")] == [1.5]
        assert ledger.stamp() > 0
        assert build_context(ledger, Preferences(budget_ceiling=3.0), project="/p", now=NOW).meters[0].used == 0.5


def test_whoever_would_write_is_told_where(replica: str) -> None:
    with open_ledger(replica) as ledger:
        with pytest.raises(LedgerError, match="is read-only: point STEPDOWN_LEDGER at the server that it is copied from"):
            ledger.begin(Attempt(project="/p", unit_type="t", unit_id="T02", started=NOW))
        assert len(ledger.records()) == 1


def test_a_report_is_made_of_a_copy(replica: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("stepdown")), "report", "--everything"]
    environ = {**os.environ, "STEPDOWN_LEDGER": replica, "STEPDOWN_HOME": str(tmp_path / "home")}
    said = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")
    assert "$1.50" in said.stdout


@pytest.mark.usefixtures("replica")
def test_one_that_is_behind_or_empty_is_said(primary: Cluster) -> None:
    with primary.database() as address:
        name = name_of(address)
        primary.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(LedgerError, match=r"read-only and older \(schema 0, .*run `stepdown ledger migrate` on the server"):
            open_ledger(address)
