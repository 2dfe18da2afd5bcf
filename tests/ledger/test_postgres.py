"""What only a ledger that several machines share has to withstand."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgres_server import Cluster, name_of, running_cluster

from stepdown.errors import LedgerError
from stepdown.ledger import Attempt, Block, Outcome, open_ledger
from stepdown.ledger.open import shown_location
from stepdown.ledger.postgres import migrations

SPENDER = """
import sys
from stepdown.errors import BudgetError
from stepdown.ledger import Attempt, Cap, Outcome, open_ledger
cap = Cap(name="budget_ceiling", limit=20.0)
attempt = Attempt(project="/p", unit_type="execute-task", unit_id=sys.argv[2], started=1.0, reserved_usd=0.25)
refused = 0
with open_ledger(sys.argv[1], busy_seconds=60.0) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    while refused < 5:
        try:
            running = ledger.begin(attempt, caps=[cap])
        except BudgetError:
            refused += 1
        else:
            ledger.settle(running, Outcome(cost_usd=0.25, finished=2.0))
"""
DYING = """
import os, sys
from stepdown.ledger import Attempt, Outcome, open_ledger
with open_ledger(sys.argv[1]) as ledger:
    with ledger.batch():
        running = ledger.begin(Attempt(project="/p", unit_type="t", unit_id="half", started=1.0))
        ledger.settle(running, Outcome(cost_usd=1.0, finished=2.0))
        os.kill(os.getpid(), 9)
"""


def attempt(unit_id: str = "T01") -> Attempt:
    return Attempt(project="/p", unit_type="t", unit_id=unit_id, started=1.0)


def python(code: str, *words: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_eight_processes_cannot_overspend_one_budget(database: str) -> None:
    open_ledger(database).close()
    spenders = [python(SPENDER, database, f"T{number}") for number in range(8)]
    for spender in spenders:
        assert spender.stdout
        assert spender.stdout.readline() == "ready\n"
    ended = [spender.communicate("go\n", timeout=120) for spender in spenders]
    assert [errors for _, errors in ended] == [""] * 8
    with open_ledger(database) as ledger:
        spent = ledger.spent("/p")
        assert spent.usd == 20.0  # to the cent: what does not fit beside others is refused
        assert spent.attempts == 80
        assert [line.attempts for line in ledger.breakdown("type")] == [80]


def test_a_process_that_is_killed_in_a_transaction_leaves_nothing_and_holds_nobody_up(database: str) -> None:
    open_ledger(database).close()
    dying = python(DYING, database)
    assert dying.wait(60) == -9
    dying.communicate()
    with open_ledger(database, busy_seconds=10) as ledger:
        assert ledger.records() == []
        ledger.begin(attempt())
        assert len(ledger.records()) == 1


def test_programs_that_migrate_at_once_wait_for_each_other(database: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        ledgers = list(threads.map(lambda _: open_ledger(database), range(8)))
    for number, ledger in enumerate(ledgers):
        ledger.begin(attempt(f"T{number}"))
        ledger.close()
    with open_ledger(database) as ledger:
        assert len(ledger.records()) == 8


def test_a_ledger_of_a_newer_stepdown_is_left_alone(database: str, cluster: Cluster) -> None:
    open_ledger(database).close()
    cluster.sql("UPDATE stepdown_schema SET version = 99, oldest = 98", name_of(database))
    with pytest.raises(LedgerError, match=r"made by a newer stepdown \(schema 99\): upgrade this one"):
        open_ledger(database)


def test_a_ledger_of_a_newer_stepdown_that_this_one_still_understands_is_used(database: str, cluster: Cluster) -> None:
    open_ledger(database).close()
    cluster.sql("UPDATE stepdown_schema SET version = 99, oldest = 2", name_of(database))
    with open_ledger(database) as ledger:
        ledger.begin(attempt())
    assert cluster.sql("SELECT version, oldest FROM stepdown_schema", name_of(database)) == [(99, 2)]


FIRST = """
CREATE TABLE stepdown_schema (version integer NOT NULL);
INSERT INTO stepdown_schema VALUES (1);
INSERT INTO attempts (
    id, project, unit_type, unit_id, title, tier, model, ceiling, downgraded, pattern, agent, source, started, reserved_usd,
    expected_input, expected_output, expected_cache_read, expected_cache_write, reason, decision
)
SELECT n, '/p' || n % 2, 't', 'u' || n, '', 'light', 'a/m', 'a/m', 0, 't', 'gateway', 'run', 50000.0 * n, 0, 0, 0, 0, 0, '', ''
FROM generate_series(1, 20) AS numbers (n);
UPDATE attempts SET
    finished = started + 1, message = '', cost_usd = CASE WHEN id % 5 = 0 THEN NULL ELSE 0.25 END, cost_source = 'priced',
    input = 10, output = 5, cache_read = 0, cache_write = 0, requests = 2
WHERE id % 4 > 0;
"""
"""What a stepdown of the first schema has made: twenty attempts on a dozen days, fifteen of which have ended."""


def test_a_team_that_began_with_the_first_schema_goes_on_with_the_same_sums(database: str, cluster: Cluster) -> None:
    cluster.sql(migrations()[0][1] + FIRST, name_of(database))
    with open_ledger(database) as ledger:
        assert cluster.sql("SELECT version, oldest FROM stepdown_schema", name_of(database)) == [(2, 1)]
        costs = [one.outcome.cost_usd for one in ledger.records() if one.outcome is not None]
        assert len(costs) == 15
        assert costs.count(None) == 3
        spent = ledger.spent(person="")
        assert (spent.attempts, spent.requests, spent.tokens, spent.usd, spent.unpriced) == (20, 30, 225, 3.0, 3)
        days = "SELECT sum(attempts), sum(usd), sum(unpriced), sum(tokens) FROM spending GROUP BY day = ''"
        assert len(set(cluster.sql(days, name_of(database)))) == 1  # all days together are the sum of the days
        ledger.settle(ledger.unfinished()[0].id, Outcome(cost_usd=1.0, cost_source="priced", finished=2e6))
        assert ledger.spent(person="").usd == 4.0


def test_one_that_is_locked_for_long_is_said(database: str) -> None:
    with open_ledger(database) as mine, open_ledger(database, busy_seconds=0.2) as theirs:
        with mine.batch():
            mine.begin(attempt())
            with pytest.raises(LedgerError, match=r"locked by another process \(waited 0.2 s\)"):
                theirs.begin(attempt("T02"))
            assert theirs.records() == []  # reading waits for nobody, and sees what was committed
        theirs.begin(attempt("T02"))
        assert len(mine.records()) == 2


def test_what_others_write_while_one_state_is_read_is_seen_afterwards(database: str) -> None:
    with open_ledger(database) as mine, open_ledger(database) as theirs:
        with mine.one_state():
            assert mine.records() == []
            theirs.begin(attempt())
            assert mine.spent("/p").attempts == 0
            with pytest.raises(LedgerError, match="cannot be written while one state of it is read"):
                mine.begin(attempt("T02"))
            assert mine.records() == []
        assert [record.attempt.unit_id for record in mine.records()] == ["T01"]


def test_the_stamp_is_another_one_once_anybody_has_written(database: str) -> None:
    with open_ledger(database) as mine, open_ledger(database) as theirs:
        seen = [mine.stamp()]
        assert mine.stamp() == seen[0]
        theirs.block(Block(model="b", reason="r", until=1.0))
        assert mine.stamp() != seen[0]


def test_a_server_that_was_away_is_found_again_and_nothing_is_half_written() -> None:
    with running_cluster() as cluster:  # of its own: it is killed
        address = cluster.address("postgres")
        with open_ledger(address, busy_seconds=1.0) as ledger:
            running = ledger.begin(attempt())
            cluster.stop("immediate")
            began = time.monotonic()
            with pytest.raises(LedgerError, match="cannot be used"):
                ledger.settle(running, Outcome(cost_usd=1.0, finished=2.0))
            assert time.monotonic() - began < 10
            cluster.start()
            ledger.settle(running, Outcome(cost_usd=1.0, finished=2.0))
            assert ledger.spent("/p").usd == 1.0
            cluster.stop("immediate")
            with pytest.raises(LedgerError), ledger.batch():
                ledger.begin(attempt("T02"))
            cluster.start()
            assert len(ledger.records()) == 1


def test_what_is_shown_of_an_address_has_no_password() -> None:
    assert shown_location("postgresql://me:s3cret@db:5433/team?sslmode=require&password=x") == "postgresql://db:5433/team"
    assert shown_location("postgres://[::1/x") == "postgresql:..."
    assert shown_location("/home/me/ledger.db") == "/home/me/ledger.db"


def test_the_program_works_with_nothing_but_the_address(database: str, tmp_path: Path) -> None:
    """A run, its report and a rating: the same commands, another ledger."""
    import os  # noqa: PLC0415  (one test starts the program)
    import shutil  # noqa: PLC0415  (likewise)

    project = tmp_path / "todo-api"
    shutil.copytree(Path(__file__).parents[2] / "examples" / "todo-api", project)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPDOWN_")}
    env = {**kept, "STEPDOWN_LEDGER": database, "STEPDOWN_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    program = str(Path(sys.executable).with_name("stepdown"))

    def call(*words: str) -> str:
        return subprocess.run([program, *words], cwd=project, env=env, capture_output=True, text=True, check=True).stdout

    assert "2 units done" in call("run", str(project), "--agent", "practice", "--yes", "--max-units", "2")
    assert "validate-milestone" in call("report", str(project))
    assert "rated ok" in call("rate", "ok")
    assert "s3cret" not in call("doctor")
    with open_ledger(database) as ledger:
        assert [rating.word for rating in ledger.ratings()] == ["ok"]
    assert not (tmp_path / "home" / "ledger.db").exists()
