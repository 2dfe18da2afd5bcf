"""A shared ledger whose attempts are partitioned by month (deploy/partition.sql): the program notices nothing."""

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgres_server import Cluster, name_of, program

from stepdown.context import build_context
from stepdown.errors import BudgetError
from stepdown.ledger import Attempt, Cap, Ledger, Outcome, Use, open_ledger
from stepdown.ledger.postgres import migrations
from stepdown.ledger.sql import SqlLedger
from stepdown.preferences import Preferences
from stepdown.units import Tier, Tokens

SCRIPT = Path(__file__).parents[2] / "deploy" / "partition.sql"
NOW = time.time()
YEAR = 365 * 86_400.0
PAST, FUTURE, FAR = NOW - 2 * YEAR, NOW + YEAR, NOW + 50 * YEAR
"""The first partition, a month to come, and a clock that is wrong."""
OLD = f"""
INSERT INTO attempts (
    project, unit_type, unit_id, title, tier, model, ceiling, downgraded, pattern, agent, source, started, reserved_usd,
    expected_input, expected_output, expected_cache_read, expected_cache_write, finished, input, output, cache_read,
    cache_write, cost_usd, requests, reason, decision
) VALUES (
    '/p', 't', 'T1', '', '', 'm', '', 0, 't', '', 'run', {PAST}, 0, 0, 0, 0, 0, {PAST + 1}, 1, 2, 3, 4, 1.5, 1, '', ''
)
"""
"""An attempt as the first schema has it."""
TEN = Tokens(input=1, output=2, cache_read=3, cache_write=4)


def attempt(unit_id: str, started: float = NOW) -> Attempt:
    return Attempt(
        project="/p",
        unit_type="execute-task",
        unit_id=unit_id,
        started=started,
        reserved_usd=0.25,
        tier=Tier.LIGHT,
        model="anthropic/haiku",
        pattern="execute-task:docs",
    )


def outcome(started: float = NOW, failure: str | None = None) -> Outcome:
    return Outcome(tokens=TEN, cost_usd=0.5, requests=2, finished=started + 60, failure=failure)


def partition(address: str) -> None:
    """As its user does it."""
    psql = program("psql")
    if not psql:
        pytest.skip("psql is not here")
    command = [psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(SCRIPT), address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def rows(cluster: Cluster, address: str) -> dict[str, int]:
    """How many attempts each partition has that has any."""
    return dict(cluster.sql("SELECT tableoid::regclass::text, count(*) FROM attempts GROUP BY 1", name_of(address)))


@pytest.fixture
def partitioned(database: str) -> Iterator[Ledger]:
    open_ledger(database).close()
    partition(database)
    with open_ledger(database) as ledger:
        yield ledger


def test_what_was_there_stays_and_what_comes_goes_to_its_month(database: str, cluster: Cluster) -> None:
    with open_ledger(database) as ledger:
        for number, started in enumerate((PAST, NOW, FUTURE, FAR)):
            ledger.settle(ledger.begin(attempt(f"T{number}", started)), outcome(started))
        running = ledger.begin(attempt("T4"))
        before = ledger.records(), ledger.breakdown("type"), ledger.spent("/p"), ledger.accounts("/p", daily=True)
        partition(database)
        after = ledger.records(), ledger.breakdown("type"), ledger.spent("/p"), ledger.accounts("/p", daily=True)
        assert after == before
        month = time.strftime("attempts_%Y_%m", time.gmtime(FUTURE))
        assert rows(cluster, database) == {"attempts_first": 3, month: 1, "attempts_default": 1}
        ledger.settle(running, outcome())
        assert ledger.begin(attempt("T5", FUTURE)) == running + 1
        ledger.begin(attempt("T6", FAR))
        assert rows(cluster, database) == {"attempts_first": 3, month: 2, "attempts_default": 2}
        assert ledger.spent("/p").attempts == 7


def test_months_are_added_and_take_what_the_default_one_has_collected(database: str, cluster: Cluster) -> None:
    open_ledger(database).close()
    partition(database)
    month = time.strftime("attempts_%Y_%m", time.gmtime(FUTURE))
    cluster.sql(f"DROP TABLE {month}", name_of(database))  # as if nobody had made it in time
    with open_ledger(database) as ledger:
        running = ledger.begin(attempt("T1", FUTURE))
        assert rows(cluster, database) == {"attempts_default": 1}
        partition(database)
        assert rows(cluster, database) == {month: 1}
        ledger.settle(running, outcome(FUTURE))
        partition(database)
        assert [record.outcome for record in ledger.records()] == [outcome(FUTURE)]


def test_a_batch_as_gateways_write_it(partitioned: Ledger) -> None:
    with partitioned.batch():
        begun = [partitioned.begin(attempt(f"T{number}", started)) for number, started in enumerate((PAST, NOW, FUTURE, FAR))]
        for attempt_id in begun:
            partitioned.note_use(attempt_id, Use(tokens=TEN, requests=1, cost_usd=0.125))
    assert begun == [1, 2, 3, 4]
    assert partitioned.spent("/p").usd == 1.0  # what is reserved is more than what was used
    assert [record.id for record in partitioned.unfinished()] == begun
    with partitioned.batch():
        for attempt_id, started in zip(begun, (PAST, NOW, FUTURE, FAR), strict=True):
            partitioned.settle(attempt_id, outcome(started, "quality" if attempt_id == 2 else None))
    assert partitioned.spent("/p").usd == 2.0
    assert [(line.attempts, line.failed) for line in partitioned.breakdown("type")] == [(4, 1)]
    assert [[record.id for record in unit] for unit in partitioned.units("/p")] == [[4], [3], [2], [1]]
    assert len(partitioned.recent_use("execute-task:docs")) == 3
    assert len(partitioned.newest_of_patterns("/p")) == 4
    assert [record.id for record in partitioned.of_unit("/p", "T1")] == [2]
    context = build_context(partitioned, Preferences(budget_ceiling=10.0), project="/p", now=NOW)
    assert [meter.used for meter in context.meters] == [0.2]


def test_nothing_is_imported_twice_and_numbers_go_on(partitioned: Ledger) -> None:
    past = [(attempt(f"T{number}", started), outcome(started)) for number, started in enumerate((PAST, NOW, FAR))]
    assert partitioned.import_records("/p", "gsd", past) == 3
    assert partitioned.import_records("/p", "gsd", past) == 0
    assert partitioned.begin(attempt("T9")) == 4


def test_a_budget_holds(partitioned: Ledger, database: str) -> None:
    cap = Cap(name="budget_ceiling", limit=2.0)

    def spend(number: int) -> int:
        begun = 0
        with open_ledger(database, busy_seconds=30) as ledger:
            for turn in range(5):
                try:
                    ledger.begin(attempt(f"T{number}-{turn}"), caps=[cap])
                except BudgetError:
                    continue
                begun += 1
        return begun

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(spend, range(4))) == 8
    assert partitioned.spent("/p").usd == 2.0
    assert sorted(record.id for record in partitioned.records()) == list(range(1, 9))


def test_a_migration_that_comes_later_finds_one_table(database: str, cluster: Cluster) -> None:
    (_, first), *later = migrations()
    assert later
    name = name_of(database)
    cluster.sql("CREATE TABLE stepdown_schema (version integer NOT NULL); INSERT INTO stepdown_schema VALUES (1)", name)
    cluster.sql(first, name)
    cluster.sql(OLD, name)
    partition(database)
    with open_ledger(database) as ledger:
        assert rows(cluster, database) == {"attempts_first": 1}
        assert ledger.spent("/p", model="m").usd == 1.5
        ledger.settle(ledger.begin(attempt("T2", FUTURE)), outcome(FUTURE))
        assert ledger.spent("/p", model="anthropic/haiku").usd == 0.5
        assert ledger.spent("/p").usd == 2.0


def test_those_who_were_allowed_to_use_it_still_are(database: str, cluster: Cluster) -> None:
    open_ledger(database).close()
    name = name_of(database)
    cluster.sql("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN", name)
    try:
        cluster.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", name)
        partition(database)
        with open_ledger(database) as ledger:
            ledger.begin(attempt("T1"))
        with open_ledger(database.replace("stepdown@", "reader@")) as ledger:
            assert isinstance(ledger, SqlLedger)
            assert [record.attempt.unit_id for record in ledger.records()] == ["T1"]
    finally:
        cluster.sql("DROP OWNED BY reader; DROP ROLE reader", name)
