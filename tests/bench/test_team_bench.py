"""What the bench of a team is made of: two gateways on a PostgreSQL for a moment, the ledger beside the provider's log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_server import program

from bench.team import table
from bench.team.agree import Agreement
from bench.team.gateways import POSTGRES, SQLITE
from bench.team.held import held, slope
from bench.team.shares import TEAMS, Turn, rows
from stepdown.units import Tokens

BILLED = Tokens(input=1, output=2, cache_read=3, cache_write=4)


def test_what_passes_two_gateways_is_in_the_ledger_to_the_token(tmp_path: Path) -> None:
    if not program("initdb"):
        pytest.skip("PostgreSQL is not here")
    found = held(POSTGRES, tmp_path / "held", 4.0, 4, lambda _: None)
    assert found.fast.problems == found.steady.problems == {}
    assert found.agreement.holds, found.agreement
    assert found.agreement.served >= found.fast.requests + found.steady.requests > 0
    assert found.faults
    assert set(found.fast.cpu) == {"gateways", "postgresql", "provider", "load"}
    assert [len(seen) > 1 for seen in found.fast.memory] == [True, True]
    assert "| none |" in table.loaded([found])
    assert "holds" in table.agreed([found])
    assert [line.rpartition(": ")[2].split()[0] for line in table.goals([found], [])] == ["holds", "holds"]


def test_a_ledger_that_lacks_a_token_does_not_agree() -> None:
    right = Agreement(served=3, cut=1, requests=2, billed=BILLED, tokens=BILLED, summed=10, attempts=1, running=0)
    assert right.holds
    for wrong in ({"summed": 9}, {"requests": 1}, {"requests": 4}, {"running": 1}, {"tokens": Tokens(input=10)}):
        assert not Agreement(**{**{name: getattr(right, name) for name in right.__struct_fields__}, **wrong}).holds


def test_memory_that_grows_is_seen_once_it_is_warm() -> None:
    assert slope([(float(at), 100 + (at > 30) * (at - 30) * 7) for at in range(101)]) == pytest.approx(7.0)
    assert slope([(float(at), max(0, 10 - at)) for at in range(101)]) == 0.0
    assert str(slope([(0.0, 1)])) == "nan"


def test_the_share_of_a_ledger_is_what_memory_does_not_take() -> None:
    cpu = {"memory": 0.004, "postgresql": 0.005, "sqlite": 0.0041}
    turns = {team: [Turn(cpu=cpu[team.ledger], server=0.001, requests=10, problems={})] * 2 for team in TEAMS}
    found = rows(turns)
    assert {row.team.ledger: row.share for row in found if row.share} == {
        "postgresql": pytest.approx(0.2),
        "sqlite": pytest.approx(1 - 0.004 / 0.0041),
    }
    said = [line for line in table.goals([], found) if SQLITE.label in line]
    assert ["holds" in line for line in said] == [True, True]
    assert "MISSED" in "\n".join(table.goals([], found))


def test_writers_are_counted(tmp_path: Path) -> None:
    if not program("initdb"):
        pytest.skip("PostgreSQL is not here")
    file = tmp_path / "found.json"
    words = ("--writers", "2", "--seconds", "0.5", "--attempts", "500", "--partitioned", "--json", str(file))
    done = subprocess.run(
        [sys.executable, "-m", "bench.team.writers", *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [(one["way"], one["writers"]) for one in found["written"]] == [("single", 2), ("batch", 2)]
    assert all(one["attempts"] > 0 for one in found["written"])
    assert found["read"][0]["size"] > 1_000
