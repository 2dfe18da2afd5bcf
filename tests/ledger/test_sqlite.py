"""What only a file can do: be shared by processes, be damaged, be full, be forbidden."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from stepdown.errors import LedgerError
from stepdown.ledger import Attempt, Block, Conversation, Evidence, Ledger, Outcome, Rating, Use, attempts, open_ledger, units
from stepdown.ledger.database import migrations
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.units import Tier, Tokens

WRITER = """
import sys
from stepdown.ledger import Attempt, Outcome, open_ledger
with open_ledger(sys.argv[1], busy_seconds=60.0) as ledger:
    for number in range(int(sys.argv[3])):
        unit_id = f"{sys.argv[2]}/{number}"
        attempt = Attempt(project="/p", unit_type="execute-task", unit_id=unit_id, started=1.0, reserved_usd=8.0)
        running = ledger.begin(attempt)
        ledger.settle(running, Outcome(cost_usd=0.25, cost_source="reported", finished=2.0))
"""


def attempt(unit_id: str = "T01") -> Attempt:
    return Attempt(project="/p", unit_type="execute-task", unit_id=unit_id, started=1.0, reserved_usd=0.5)


def write_one(ledger: Ledger, unit_id: str = "T01") -> None:
    ledger.settle(ledger.begin(attempt(unit_id)), Outcome(cost_usd=0.25, finished=2.0))


def mark(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()


@contextmanager
def write_lock(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_everything_is_there_when_it_is_opened_again(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        write_one(ledger)
        before = list(ledger.records())
    with open_ledger(str(file)) as ledger:
        assert list(ledger.records()) == before
        assert ledger.spent().usd == 0.25


def test_an_attempt_whose_process_died_still_runs_with_its_reservation(file: Path) -> None:
    code = """
import os, sys
from stepdown.ledger import Attempt, open_ledger
open_ledger(sys.argv[1]).begin(Attempt(project="/p", unit_type="execute-task", unit_id="T01", started=1.0, reserved_usd=0.5))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode == -9
    with open_ledger(str(file)) as ledger:
        [record] = ledger.records()
        assert (record.outcome, record.attempt) == (None, attempt())
        assert (ledger.spent().usd, ledger.spent().attempts) == (0.5, 1)


def test_four_processes_create_and_fill_one_ledger(file: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(number), "200"], stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    errors = [writer.communicate()[1] for writer in writers]
    assert errors == [""] * 4
    with open_ledger(str(file)) as ledger:
        spent = ledger.spent()
        assert (spent.attempts, spent.usd) == (800, 200.0)
        assert [(line.attempts, line.usd) for line in ledger.breakdown("type")] == [(800, 200.0)]
        assert len({record.attempt.unit_id for record in ledger.records()}) == 800


SPENDER = """
import sys
from stepdown.errors import BudgetError
from stepdown.ledger import Attempt, Cap, Outcome, Use, open_ledger
cap = Cap(name="budget_ceiling", limit=100.0)
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
            continue
        spent = ledger.spent("/p").usd
        assert spent <= cap.limit, spent
        ledger.note_use(running, Use(cost_usd=0.125))
        if running % 3:
            ledger.settle(running, Outcome(cost_usd=0.125, cost_source="reported", finished=2.0))
        elif running % 2:
            ledger.settle(running, Outcome(cost_usd=0.25, cost_source="reported", finished=2.0))
    print(int(ledger.first_time("budget_ceiling is full", 1.0)))
"""


def test_four_processes_never_exceed_one_cap(file: Path) -> None:
    spenders = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, str(file), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for spender in spenders:  # nobody begins before all are there
        assert spender.stdout is not None
        assert spender.stdout.readline() == "ready\n"
    for spender in spenders:
        assert spender.stdin is not None
        spender.stdin.write("go\n")
        spender.stdin.flush()
    said = [spender.communicate() for spender in spenders]
    assert [errors for _, errors in said] == [""] * 4
    assert sorted(output.strip() for output, _ in said) == ["0", "0", "0", "1"]  # told once, by one of them
    with open_ledger(str(file)) as ledger:
        assert 100.0 - 0.25 < ledger.spent("/p").usd <= 100.0  # and it is used to the full
        assert len({record.attempt.unit_id for record in ledger.records()}) > 1


def test_every_rating_ever_given_is_kept(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        for word in ("over", "under", "ok"):
            ledger.rate(Rating(project="/p", unit_type="t", unit_id="T01", word=word, tier=Tier.LIGHT, pattern="t", at=1.0))
        assert [rating.word for rating in ledger.ratings()] == ["ok"]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT word FROM ratings ORDER BY id").fetchall() == [("over",), ("under",), ("ok",)]


FIRST_MIGRATION = "a8cbbd4e502b529db3aca65b926cbba2024d9f9f7ee6babd925dc5f84288afc5"
"""What 0001 is, for good: there are ledgers made by it. A change to the schema is another migration."""

FIRST_DATA = """
INSERT INTO attempts (
    project, unit_type, unit_id, title, tier, model, ceiling, downgraded, pattern, agent, source, started, reserved_usd,
    expected_input, expected_output, expected_cache_read, expected_cache_write, reason, decision
) VALUES
    ('/p', 'execute-task', 'T01', 'One', 'light', 'a/haiku', 'a/opus', 1, 'execute-task', 'claude', 'run', 1.0, 0.5, 1, 2, 3, 4,
     'small', '{}'),
    ('/p', 'execute-task', 'T02', 'Two', '', '', '', 0, 'execute-task', 'claude', 'run', 2.0, 0.5, 0, 0, 0, 0, '', '');
UPDATE attempts SET finished = 3.0, message = '', verified = 1, input = 10, output = 20, cache_read = 30, cache_write = 40,
    cost_usd = 0.25, cost_source = 'reported', ceiling_cost_usd = 1.0, requests = 7 WHERE id = 1;
INSERT INTO evidence VALUES ('execute-task', 'light', 1.0, '/p', 'T01', 'gsd', '', 1, 1.0);
INSERT INTO blocks VALUES ('a/opus', '403', 9.0);
"""


def test_a_ledger_made_by_the_first_schema_is_upgraded_in_place(file: Path) -> None:
    number, script = migrations()[0]
    assert (number, sha256(script.encode()).hexdigest()) == (1, FIRST_MIGRATION)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script + FIRST_DATA + "PRAGMA user_version = 1; PRAGMA application_id = 0x73746470;")
    with open_ledger(str(file)) as ledger:
        running, ended = ledger.records("/p")
        assert (running.outcome, running.so_far, running.attempt.title) == (None, Use(), "Two")
        assert (ended.attempt.number, ended.attempt.cause, ended.attempt.run, ended.attempt.key) == (1, "first", "", "")
        assert ended.outcome == Outcome(
            verified=True,
            tokens=Tokens(input=10, output=20, cache_read=30, cache_write=40),
            cost_usd=0.25,
            cost_source="reported",
            ceiling_cost_usd=1.0,
            requests=7,
            finished=3.0,
        )
        assert (ledger.spent("/p").usd, ledger.spent("/p").attempts) == (0.75, 2)
        assert [line.usd for line in ledger.breakdown("model")] == [0.25]
        assert [event.source for event in ledger.evidence()["execute-task"]] == ["gsd"]
        assert [block.model for block in ledger.blocks(1.0)] == ["a/opus"]
        assert [use.requests for use in ledger.recent_use("execute-task")] == [7]
        # It goes on as a ledger of today: what was left running is noted, ended, and counted once.
        ledger.note_use(running.id, Use(cost_usd=2.0))
        assert ledger.spent("/p").usd == 2.25
        ledger.settle(running.id, Outcome(failure="cancelled", cost_usd=1.0, finished=9.0, evidence=("stopped",), kept="ref"))
        assert [(line.key, line.attempts, line.usd) for line in ledger.breakdown("type")] == [("execute-task", 2, 1.25)]
        assert list(ledger.unfinished()) == []
    with open_ledger(str(file)) as ledger:
        [last] = ledger.of_unit("/p", "T02")
        assert last.outcome is not None
        assert (last.outcome.evidence, last.outcome.kept) == (("stopped",), "ref")


SECOND_MIGRATION = "3c0633e55ceb19b79a72a40ac72fe2c7da529759add9b574228d8f8670da443e"
"""What 0002 is, for good."""

SECOND_DATA = """
INSERT INTO evidence VALUES ('execute-task:docs', 'light', 1.0, '/p', 'T01', 'outcome', 'a/haiku', 0, 1.0);
INSERT INTO ratings VALUES (1, '/p', 'execute-task', 'T01', 'under', 'light', 'execute-task:docs', 'a/haiku', 2.0);
"""


def test_a_ledger_made_before_anything_could_be_forgotten_is_upgraded_in_place(file: Path) -> None:
    (_, first), (number, second) = migrations()[:2]
    assert (number, sha256(second.encode()).hexdigest()) == (2, SECOND_MIGRATION)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(first + second + SECOND_DATA)
        connection.executescript("PRAGMA user_version = 2; PRAGMA application_id = 0x73746470;")
    with open_ledger(str(file)) as ledger:
        assert [event.at for event in ledger.evidence()["execute-task:docs"]] == [1.0, 2.0]
        assert ledger.forget("execute-task", 1.5) == 1
    with open_ledger(str(file)) as ledger:
        assert [event.at for event in ledger.evidence()["execute-task:docs"]] == [2.0]


FOURTH_DATA = """
INSERT INTO attempts (
    project, unit_type, unit_id, title, tier, model, ceiling, downgraded, pattern, agent, source, started, reserved_usd,
    expected_input, expected_output, expected_cache_read, expected_cache_write, reason, decision, so_far_usd
) VALUES
    ('/p', 't', 'T01', 'One', 'light', 'a/haiku', 'a/opus', 1, 't', 'claude', 'run', 1.0, 0.5, 1, 2, 3, 4, '', '{}', 0.125),
    ('/p', 't', 'T02', 'Two', 'light', 'a/haiku', 'a/opus', 1, 't', 'gateway', 'run', 2.0, 0.5, 0, 0, 0, 0, '', '', 0.125);
UPDATE attempts SET finished = 3.0, message = '', cost_usd = 0.25, cost_source = 'reported', ceiling_cost_usd = 1.0
WHERE id = 1;
"""


def made_by_schema(file: Path, number: int, data: str) -> sqlite3.Connection:
    """A ledger as an older stepdown has it open: its schema, its rows."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    scripts = "".join(script for _, script in migrations()[:number])
    connection.executescript(f"{scripts}{data} PRAGMA user_version = {number}; PRAGMA application_id = 0x73746470;")
    return connection


def test_a_ledger_made_before_losses_of_cache_were_known_is_upgraded_while_an_older_stepdown_writes(file: Path) -> None:
    with closing(made_by_schema(file, 4, FOURTH_DATA)) as older:
        read = (
            "SELECT cost_usd FROM attempts INDEXED BY attempts_accounts WHERE project = '/p' AND pattern = 't' ORDER BY started"
        )
        assert older.execute(read).fetchall() == [(0.25,), (None,)]
        with open_ledger(str(file)) as ledger:
            running, ended = ledger.records()
            assert ended.outcome is not None
            assert (ended.outcome.cache_loss_usd, ended.outcome.ceiling_cost_usd) == (0.0, 1.0)
            assert running.so_far == Use(cost_usd=0.125)
            # The older one, which knows nothing of it, goes on.
            older.execute("UPDATE attempts SET so_far_usd = 0.5 WHERE id = 2 AND finished IS NULL")
            older.execute(
                "UPDATE attempts SET finished = 4.0, message = '', cost_usd = 0.5, cost_source = 'priced' WHERE id = 2"
            )
            assert older.execute(read).fetchall() == [(0.25,), (0.5,)]
            accounts = ledger.newest_of_patterns("/p")
            outcomes = [account.outcome for account in accounts if account.outcome is not None]
            assert [(outcome.cost_usd, outcome.cache_loss_usd) for outcome in outcomes] == [(0.5, 0.0), (0.25, 0.0)]
            ledger.settle(ledger.begin(attempt("T03")), Outcome(cost_usd=1.0, cache_loss_usd=0.75, finished=9.0))
            ledger.remember([Conversation(project="/p", id="s1", at=1.0, state=b"\x00")])
            assert ledger.spent("/p").usd == 1.75


def test_a_ledger_made_before_accounts_were_kept_is_added_up_while_an_older_stepdown_writes(file: Path) -> None:
    with closing(made_by_schema(file, 5, FOURTH_DATA)) as older, open_ledger(str(file)) as ledger:
        [one] = ledger.accounts("/p")
        assert (one.pattern, one.tier, one.ceiling, one.attempts, one.moved) == ("t", Tier.LIGHT, "a/opus", 1, 1)
        assert (one.usd, one.compared, one.compared_usd, one.ceiling_usd) == (0.25, 1, 0.25, 1.0)
        older.execute(
            "UPDATE attempts SET finished = 4.0, failure = 'quality', cost_usd = 0.5, cost_source = 'priced' WHERE id = 2"
        )
        [one] = ledger.accounts("/p", daily=True)
        assert (one.day, one.attempts, one.failed, one.usd, one.failed_usd) == ("1970-01-01", 2, 1, 0.75, 0.5)
        assert [unit[-1].attempt.unit_id for unit in ledger.units("/p", failed=True)] == ["T02"]


def test_a_ledger_made_before_there_were_people_is_added_up_while_an_older_stepdown_writes(file: Path) -> None:
    with closing(made_by_schema(file, 6, FOURTH_DATA)) as older, open_ledger(str(file)) as ledger:
        assert (ledger.spent(person="", model="a/haiku").usd, ledger.spent(person="").attempts) == (
            0.25 + 0.5,
            2,
        )  # one is reserved
        older.execute("UPDATE attempts SET finished = 4.0, cost_usd = 0.5, cost_source = 'priced', message = '' WHERE id = 2")
        assert (ledger.spent(person="").usd, ledger.spent().usd) == (0.75, 0.75)
        assert older.execute("SELECT usd, attempts FROM spending WHERE day = ''").fetchall() == [(0.75, 2)]


@pytest.mark.parametrize("query", [units._ALL, units._FAILED])
def test_newest_units_are_found_without_sorting_or_reading_all(file: Path, query: str) -> None:
    with open_ledger(str(file)) as ledger:
        write_one(ledger)
    with closing(sqlite3.connect(file)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", ("/p", 9.0, 9, 5))]
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan), plan


def test_whether_routing_pays_is_read_from_an_index_alone(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        write_one(ledger)
    with closing(sqlite3.connect(file)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {attempts._ACCOUNTS}", ("/p", "t")).fetchall()
    assert [row[3] for row in plan] == ["SEARCH attempts USING COVERING INDEX attempts_accounts (project=? AND pattern=?)"]


def test_what_is_known_of_a_conversation_survives_a_kill(file: Path) -> None:
    code = """
import os, sys
from stepdown.ledger import Conversation, open_ledger
ledger = open_ledger(sys.argv[1])
ledger.remember([Conversation(project="/p", id="s1", at=1.0, state=bytes(range(256)))])
with ledger.batch():
    ledger.remember([Conversation(project="/p", id="s1", at=2.0, state=b"half")])
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode == -9
    with open_ledger(str(file)) as ledger:
        [one] = ledger.conversations(0.0)
        assert (one.at, one.state) == (1.0, bytes(range(256)))


def test_what_is_forgotten_stays_in_the_file(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        ledger.add_evidence([Evidence(at=1.0, pattern="t", tier=Tier.LIGHT, success=True)])
        ledger.rate(Rating(project="/p", unit_type="t", unit_id="T01", word="ok", tier=Tier.LIGHT, pattern="t", at=1.0))
        assert ledger.forget(None, 5.0) == 2
        assert ledger.forget("t", 6.0) == 0
        assert ledger.evidence() == {}
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM evidence").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM ratings").fetchone() == (1,)
        # Every reset is history too.
        assert connection.execute("SELECT pattern, at FROM forgotten ORDER BY id").fetchall() == [(None, 5.0), ("t", 6.0)]


def test_forgetting_and_recording_at_once_lose_nothing(file: Path) -> None:
    """Each event is counted by exactly one of the calls that forget it."""
    open_ledger(str(file)).close()

    def record(number: int) -> int:
        with open_ledger(str(file), busy_seconds=30.0) as ledger:
            ledger.add_evidence([Evidence(at=float(number), pattern="t", tier=Tier.LIGHT, success=True)])
            return ledger.forget("t", 100.0)

    with ThreadPoolExecutor(4) as pool:
        forgotten = list(pool.map(record, range(1, 21)))
    # Once one call has forgotten up to 100, what is recorded later but dated before does not count either.
    with open_ledger(str(file)) as ledger:
        assert ledger.evidence() == {}
        assert len(ledger.evidence(with_forgotten=True)["t"]) == 20
        assert 1 <= sum(forgotten) <= 20


def test_threads_share_one_ledger(file: Path) -> None:
    with open_ledger(str(file)) as ledger, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_one(ledger, str(number)), range(100)))
        assert ledger.spent().usd == 25.0


def test_many_openers_of_a_new_ledger_migrate_it_once(tmp_path: Path) -> None:
    openers = 8
    start = threading.Barrier(openers)

    def open_and_write(file: Path, number: int) -> None:
        start.wait()
        with open_ledger(str(file), busy_seconds=30.0) as ledger:
            write_one(ledger, str(number))

    with ThreadPoolExecutor(openers) as pool:
        for attempt_number in range(10):  # whoever comes second meets the first at another moment each time
            file = tmp_path / f"{attempt_number}.db"
            list(pool.map(lambda number, file=file: open_and_write(file, number), range(openers)))
            with open_ledger(str(file)) as ledger:
                assert ledger.spent().attempts == openers


def test_a_new_ledger_waits_for_whoever_creates_it(file: Path) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with write_lock(file):
            held.set()
            release.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        held.wait(10)
        threading.Timer(0.3, release.set).start()
        with open_ledger(str(file), busy_seconds=30.0) as ledger:
            write_one(ledger)
        assert release.is_set()
        holding.result()


def test_a_migration_that_breaks_off_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = [*migrations(), (len(migrations()) + 1, "CREATE TABLE half (a); CREATE TABLE half (a);\n")]
    monkeypatch.setattr("stepdown.ledger.database.migrations", lambda: scripts)
    with pytest.raises(LedgerError, match="cannot be used"):
        open_ledger(str(file))
    monkeypatch.undo()
    with open_ledger(str(file)) as ledger:
        write_one(ledger)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_ledger_of_a_newer_stepdown_is_left_alone(file: Path) -> None:
    open_ledger(str(file)).close()
    mark(file, "PRAGMA user_version = 99")
    before = file.read_bytes()
    mine = len(migrations())
    expected = rf"newer stepdown \(schema 99, this one knows {mine}\): upgrade stepdown or point STEPDOWN_LEDGER elsewhere"
    with pytest.raises(LedgerError, match=expected):
        open_ledger(str(file))
    assert file.read_bytes() == before


def test_a_database_of_another_program_is_left_alone(file: Path) -> None:
    mark(file, "CREATE TABLE bookmarks (url)")
    before = file.read_bytes()
    with pytest.raises(LedgerError, match="database of another program"):
        open_ledger(str(file))
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"# my notes\n" * 200, bytes(range(256)) * 64])
def test_a_file_that_is_no_database_is_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(LedgerError, match="move it aside") as caught:
        open_ledger(str(file))
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content


def test_a_damaged_ledger_says_so(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        for number in range(200):
            write_one(ledger, str(number))
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * len(content[4096:])
    file.write_bytes(content)
    with pytest.raises(LedgerError, match="move it aside"), open_ledger(str(file)) as ledger:
        ledger.records()


def test_a_directory_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is a directory"):
        open_ledger(str(tmp_path))


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"cannot open the ledger .*notes/ledger\.db"):
        open_ledger(str(tmp_path / "notes" / "ledger.db"))


def test_missing_directories_are_made_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "ledger.db"
    open_ledger(str(file)).close()
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]


def test_a_locked_ledger_waits_and_then_says_what_to_do(file: Path) -> None:
    with open_ledger(str(file), busy_seconds=0.2) as ledger, write_lock(file):
        begun = time.monotonic()
        with pytest.raises(LedgerError, match=r"locked by another process \(waited 0.2 s\).*try again"):
            ledger.begin(attempt())
        assert time.monotonic() - begun >= 0.2
        assert list(ledger.records()) == []


def test_a_locked_ledger_can_be_opened_and_read(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        write_one(ledger)
    with write_lock(file), open_ledger(str(file), busy_seconds=0.0) as ledger:
        assert ledger.spent().usd == 0.25


def test_a_full_disk_loses_nothing_and_half_writes_nothing(file: Path) -> None:
    with SqliteLedger(file) as ledger:
        write_one(ledger)
        pages = ledger._database.connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._database.connection.execute(f"PRAGMA max_page_count = {pages}")
        large = Attempt(project="/p", unit_type="execute-task", unit_id="T02", started=1.0, decision="x" * 100_000)
        with pytest.raises(LedgerError, match="no space left for the ledger"):
            ledger.begin(large)
        past = [(attempt("old"), Outcome(cost_usd=1.0, finished=2.0)), (large, Outcome(finished=2.0))]
        with pytest.raises(LedgerError, match="no space left for the ledger"):
            ledger.import_records("/p", "gsd", past)
        assert (ledger.spent().attempts, ledger.spent().usd) == (1, 0.25)
        ledger._database.connection.execute("PRAGMA max_page_count = 1000000")
        ledger.begin(large)
        assert ledger.spent().attempts == 2


def test_a_full_disk_undoes_a_batch_also_where_the_error_is_caught(file: Path) -> None:
    with SqliteLedger(file) as ledger:
        write_one(ledger)
        pages = ledger._database.connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._database.connection.execute(f"PRAGMA max_page_count = {pages}")
        large = Attempt(project="/p", unit_type="execute-task", unit_id="T02", started=1.0, decision="x" * 100_000)

        def fill() -> None:
            with ledger.batch():
                write_one(ledger, "T03")
                with pytest.raises(LedgerError, match="no space left"):
                    ledger.begin(large)
                with pytest.raises(LedgerError, match="undid a batch"):
                    write_one(ledger, "T04")

        with pytest.raises(LedgerError, match="undid a batch after an error: nothing of it was kept"):
            fill()
        assert [record.attempt.unit_id for record in ledger.records()] == ["T01"]
        ledger._database.connection.execute("PRAGMA max_page_count = 1000000")
        with ledger.batch():
            ledger.begin(large)
        assert ledger.spent().attempts == 2


def test_others_see_a_batch_when_it_ends_and_not_before(file: Path) -> None:
    with open_ledger(str(file)) as ledger, open_ledger(str(file), busy_seconds=0.0) as other:
        with ledger.batch():
            write_one(ledger)
            assert list(other.records()) == []
            with pytest.raises(LedgerError, match="locked by another process"):
                other.unblock()
        assert len(other.records()) == 1
        assert other.unblock() == 0


def test_a_batch_of_one_thread_is_not_joined_by_another(file: Path) -> None:
    with open_ledger(str(file)) as ledger, ThreadPoolExecutor(1) as pool:
        started: list[Future[None]] = []

        def break_off() -> None:
            with ledger.batch():
                write_one(ledger, "mine")
                started.append(pool.submit(write_one, ledger, "theirs"))
                with pytest.raises(TimeoutError):
                    started[0].result(0.1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            break_off()
        started[0].result(10)
        assert [record.attempt.unit_id for record in ledger.records()] == ["theirs"]


def test_a_process_killed_inside_a_batch_leaves_nothing_of_it(file: Path) -> None:
    code = """
import os, sys
from stepdown.ledger import Attempt, open_ledger
ledger = open_ledger(sys.argv[1])
with ledger.batch():
    for number in range(100):
        ledger.begin(Attempt(project="/p", unit_type="t", unit_id=str(number), started=1.0, decision="x" * 100_000))
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode == -9
    with open_ledger(str(file)) as ledger:
        assert list(ledger.records()) == []
        write_one(ledger)


def test_a_ledger_in_a_forbidden_place_can_be_read_but_not_written(
    open_directory: Path, unprivileged: Callable[[str], str]
) -> None:
    file = open_directory / "ledger.db"
    with open_ledger(str(file)) as ledger:
        write_one(ledger)
    file.chmod(0o444)
    open_directory.chmod(0o555)
    said = unprivileged(f"""
with open_ledger({str(file)!r}) as ledger:
    print(ledger.spent().usd, len(ledger.records()), ledger.breakdown("type")[0].attempts)
    try:
        ledger.begin(Attempt(project="/p", unit_type="t", unit_id="T02", started=1.0))
    except LedgerError as error:
        print(error)
""")
    assert said.splitlines() == [
        "0.25 1 1",
        f"the ledger {file} is read-only: make it and its directory writable, or point STEPDOWN_LEDGER elsewhere",
    ]


def test_a_read_only_file_is_not_written_even_where_its_directory_is(
    open_directory: Path, unprivileged: Callable[[str], str]
) -> None:
    file = open_directory / "ledger.db"
    with open_ledger(str(file)) as ledger:
        write_one(ledger)
    file.chmod(0o444)
    said = unprivileged(f"""
with open_ledger({str(file)!r}) as ledger:
    print(ledger.spent().usd)
    try:
        ledger.unblock()
    except LedgerError as error:
        print("read-only" in str(error))
""")
    assert said.splitlines() == ["0.25", "True"]


def test_a_ledger_that_may_not_be_created_says_so(open_directory: Path, unprivileged: Callable[[str], str]) -> None:
    open_directory.chmod(0o555)
    said = unprivileged(f"""
try:
    open_ledger({str(open_directory / "new" / "ledger.db")!r})
except LedgerError as error:
    print(error)
""")
    assert "cannot open the ledger" in said
    assert "Permission denied; point STEPDOWN_LEDGER elsewhere" in said


def test_a_ledger_nobody_may_read_says_so(open_directory: Path, unprivileged: Callable[[str], str]) -> None:
    file = open_directory / "ledger.db"
    open_ledger(str(file)).close()
    file.chmod(0o000)
    said = unprivileged(f"""
try:
    open_ledger({str(file)!r})
except LedgerError as error:
    print(error)
""")
    assert "cannot open the ledger" in said


def test_a_closed_ledger_says_so_and_closes_again(file: Path) -> None:
    ledger = open_ledger(str(file))
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.records()


def test_a_reader_sees_one_state_while_others_write(file: Path) -> None:
    with open_ledger(str(file)) as reader, open_ledger(str(file)) as writer:
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                write_one(writer, str(number))
                number += 1

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(write)
            for _ in range(200):
                # A settled attempt is worth 0.25 and one running 0.5: anything else was counted twice or not at all.
                spent = reader.spent()
                assert spent.usd in {spent.attempts * 0.25, spent.attempts * 0.25 + 0.25}
            stop.set()
            done.result()


def test_the_stamp_is_another_one_once_anybody_has_written(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path / "ledger.db") as mine, SqliteLedger(tmp_path / "ledger.db") as theirs:
        seen = [mine.stamp()]
        assert mine.stamp() == seen[0]
        mine.block(Block(model="a", reason="r", until=1.0))
        seen.append(mine.stamp())
        theirs.block(Block(model="b", reason="r", until=1.0))
        seen.append(mine.stamp())
        assert mine.stamp() == seen[-1]
        assert len(set(seen)) == 3


def test_of_units_whose_ids_start_alike_the_failed_ones_are_found_behind_the_others(tmp_path: Path) -> None:
    with SqliteLedger(tmp_path / "ledger.db") as ledger:
        for unit_id, failure in (("T1", None), ("T2", None), ("T3", "quality")):
            attempt = Attempt(project="/p", unit_type="execute-task", unit_id=unit_id, started=1.0)
            ledger.settle(ledger.begin(attempt), Outcome(failure=failure, finished=2.0))
        [[found]] = ledger.units("/p", id_starts="T", failed=True, limit=2)
    assert found.attempt.unit_id == "T3"
