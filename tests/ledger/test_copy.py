"""Everything of one ledger in another, from SQLite to PostgreSQL and back."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import Cluster, name_of

from stepdown.errors import LedgerError
from stepdown.ledger import (
    Act,
    Allowance,
    Attempt,
    Block,
    Conversation,
    Evidence,
    Key,
    Ledger,
    Outcome,
    Person,
    PlanMeter,
    Rating,
    Use,
    open_ledger,
)
from stepdown.ledger.copy import TABLES, copy
from stepdown.ledger.sql import SqlLedger
from stepdown.units import TIERS, Tier, Tokens

PROGRAM = str(Path(sys.executable).with_name("stepdown"))


def fill(ledger: Ledger, units: int = 30) -> None:
    """Something of everything that a ledger keeps."""
    for number in range(units):
        attempt = Attempt(
            project=f"/p{number % 3}",
            unit_type="execute-task",
            unit_id=f"T{number:02}",
            title="日本語 🙂",
            tier=TIERS[number % 3],
            model="anthropic/claude-haiku-4-5",
            ceiling="anthropic/claude-opus-4-6",
            downgraded=number % 3 < 2,
            decision='{"a": 1}',
            pattern="execute-task:docs",
            started=1_770_000_000.0 + number * 3_600,
        )
        running = ledger.begin(attempt)
        if number % 7 == 0:
            ledger.note_use(running, Use(tokens=Tokens(input=3), requests=1, cost_usd=0.5))
            continue
        failure = "quality" if number % 5 == 0 else None
        used = Tokens(input=number, output=2, cache_read=3, cache_write=4)
        ledger.settle(running, Outcome(failure=failure, tokens=used, cost_usd=0.1 * number, finished=attempt.started + 60.0))
    ledger.import_records("/p0", "gsd", [(attempt, Outcome(cost_usd=1.25, finished=2.0))])
    ledger.add_evidence([Evidence(at=float(number), pattern="t", tier=Tier.LIGHT, success=True) for number in range(5)])
    for word in ("under", "ok"):
        ledger.rate(
            Rating(project="/p1", unit_type="execute-task", unit_id="T01", word=word, tier=Tier.LIGHT, pattern="t", at=1.0)
        )
    ledger.forget("t", 2.0)
    ledger.consent("/p0", "plan commands", 1.0)
    assert ledger.first_time("said", 1.0)
    ledger.block(Block(model="a/b", reason="403", until=1e10))
    ledger.set_plan_meter(PlanMeter(provider="anthropic", window="5h", used=0.5, at=1.0))
    ledger.remember([Conversation(project="/p0", id="c", at=1.0, state=b"\x00\xff")])
    ledger.put_key(Key(person=Person(name="ana", projects=("/p0",), budgets=(Allowance(limit=5.0),)), digest="d", page="p"))
    ledger.note_act(Act(at=1.0, who="-", act="token created", what="ana"))


def everything(ledger: Ledger) -> list[object]:
    """What it answers, whatever may be asked."""
    return [
        ledger.records(),
        ledger.ratings(),
        ledger.evidence(),
        ledger.blocks(0.0),
        ledger.plan_meters(),
        ledger.consents("/p0"),
        ledger.keys(),
        ledger.acts(),
        [ledger.spent(person="", model=model) for model in (None, "anthropic/claude-haiku-4-5")],
        ledger.conversations(0.0),
        ledger.projects(),
        ledger.expectations(),
        [ledger.accounts(project, daily=daily) for project in (None, "/p1") for daily in (False, True)],
        ledger.units("/p0", failed=True),
        ledger.first_time("said", 1.0),
    ]


def opened(address: str) -> SqlLedger:
    ledger = open_ledger(address)
    assert isinstance(ledger, SqlLedger)
    return ledger


def test_there_and_back_everything_is_as_it_was(tmp_path: Path, database: str) -> None:
    with opened(str(tmp_path / "a.db")) as first, opened(database) as team, opened(str(tmp_path / "b.db")) as second:
        fill(first)
        done = copy(first, team)
        assert done.rows["attempts"] == len(first.records())
        assert done.usd == pytest.approx(sum(r.outcome.cost_usd or 0.0 for r in first.records() if r.outcome))
        copy(team, second)
        assert everything(second) == everything(first)
        # And life goes on: numbers are not given twice, and sums count on.
        more = Attempt(project="/p0", unit_type="t", unit_id="new", started=1.0)
        new = [ledger.begin(more) for ledger in (first, team, second)]
        assert new == [done.rows["attempts"] + 1] * 3


def test_every_table_is_copied(database: str, cluster: Cluster, tmp_path: Path) -> None:
    with opened(database) as team:
        fill(team)
    name = name_of(database)
    there = {row[0] for row in cluster.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)}
    assert there == {*TABLES, "gateways", "holds", "written", "stepdown_schema"}
    with opened(database) as team, opened(str(tmp_path / "b.db")) as other:
        rows = copy(team, other).rows
    assert all(rows[table] for table in TABLES)


def test_a_ledger_with_something_in_it_is_not_copied_to(tmp_path: Path, database: str) -> None:
    with opened(str(tmp_path / "a.db")) as first, opened(database) as team:
        fill(first)
        fill(team, 3)
        before = everything(team)
        with pytest.raises(LedgerError, match=r"not empty \(4 rows in attempts\): name a new one"):
            copy(first, team)
        assert everything(team) == before


@settings(max_examples=10, deadline=None)
@given(units=st.integers(0, 40))
def test_what_arrives_adds_up(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, units: int) -> None:
    with cluster.database() as address, opened(str(tmp_path_factory.mktemp("copy") / "a.db")) as first:
        if units:
            fill(first, units)
        with opened(address) as team:
            copy(first, team)
            assert team.spent().attempts == first.spent().attempts
            assert team.spent().usd == pytest.approx(first.spent().usd)


def test_the_command(tmp_path: Path, database: str) -> None:
    place = str(tmp_path / "a.db")
    with opened(place) as first:
        fill(first)
    call = [PROGRAM, "ledger", "copy", "--from", f"sqlite:{place}", "--to", database]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    assert "31 attempts" in said
    assert "the same in both" in said
    again = subprocess.run(call, capture_output=True, text=True, check=False)
    assert again.returncode == 4
    assert again.stderr.startswith("stepdown: the ledger to copy to is not empty")
    nowhere = subprocess.run([*call[:4], str(tmp_path / "none.db"), *call[5:]], capture_output=True, text=True, check=False)
    assert (nowhere.returncode, nowhere.stderr) == (4, f"stepdown: there is no ledger at {tmp_path / 'none.db'}\n")
