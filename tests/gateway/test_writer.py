"""Whatever becomes of the ledger, nobody waits and nothing is lost or counted twice."""

import asyncio
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from recording import ONE, attempt, journal, locked_elsewhere, program, recording, records, total, until, use

from stepdown.decision import Context
from stepdown.errors import LedgerError
from stepdown.gateway import writer as writer_module
from stepdown.gateway.recorder import JOURNAL, Recorder
from stepdown.ledger import Ledger, open_ledger
from stepdown.preferences import Preferences
from stepdown.units import Tokens


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


async def test_nobody_waits_while_another_process_holds_the_ledger(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with recording(file, busy=1.0) as recorder:
        with locked_elsewhere(file):
            slowest = 0.0
            for number in range(300):
                begun = time.perf_counter()
                recorder.begin(str(number), attempt(str(number)))
                use(recorder, str(number))
                recorder.end(str(number))
                slowest = max(slowest, time.perf_counter() - begun)
                await asyncio.sleep(0.005)
            assert not await recorder.flush()
            assert "locked by another process" in recorder.trouble
            with open_ledger(str(file)) as ledger:
                assert list(ledger.records()) == []
        # The thread that writes waited for a second at a time; what a busy machine takes away is far less.
        assert slowest < 0.5
        await until(lambda: not recorder.trouble)
        assert await recorder.flush()
        assert total(records(file))[1] == 300
    warnings = [entry.getMessage() for entry in caplog.records]
    assert len([text for text in warnings if "locked by another process" in text]) == 1
    assert any("takes what passes again" in text for text in warnings)
    assert journal(file) == []


async def test_a_ledger_that_comes_back_too_late_finds_everything_in_the_journal_once(file: Path) -> None:
    open_ledger(str(file)).close()
    with locked_elsewhere(file):
        async with recording(file) as recorder:
            for number in range(5):
                recorder.begin(str(number), attempt(str(number)))
                use(recorder, str(number))
        assert len(journal(file)) == 5
        assert (file.parent / JOURNAL).stat().st_mode & 0o777 == 0o600
    kept = (file.parent / JOURNAL).read_bytes()
    for _ in range(3):
        async with recording(file):
            assert journal(file) == []
        assert total(records(file)) == (Tokens(input=5, output=10, cache_read=15, cache_write=20), 5)
        assert len(records(file)) == 5
        # As after a crash between the commit and the emptying.
        (file.parent / JOURNAL).write_bytes(kept)


async def test_what_a_unit_used_before_and_during_a_trouble_is_counted_once(file: Path) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        await recorder.flush()
        with locked_elsewhere(file):
            use(recorder)
            await recorder.close()
    assert len(journal(file)) == 1
    async with recording(file):
        pass
    assert total(records(file)) == (ONE + ONE, 2)
    assert len(records(file)) == 1


class Deaf:
    """A ledger of which one commit comes through and is reported as failed."""

    def __init__(self, file: Path, *, fails: bool) -> None:
        self._ledger = open_ledger(str(file))
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @contextmanager
    def batch(self) -> Any:
        with self._ledger.batch():
            yield
        if self._fails and self._ledger.unfinished():
            self._fails = False
            raise LedgerError("the disk refused the ledger")


@pytest.mark.parametrize("ends", [False, True])
async def test_a_commit_that_came_through_without_being_heard_of_is_not_repeated(file: Path, *, ends: bool) -> None:
    openings: list[Deaf] = []

    def opened() -> Any:
        openings.append(Deaf(file, fails=not openings))
        return openings[-1]

    recorder = Recorder(opened, journal=file.parent / JOURNAL, interval=0.02)
    await recorder.start()
    recorder.begin("k", attempt())
    recorder.begin("ended", attempt("s2"))
    use(recorder)
    use(recorder, "ended")
    recorder.end("ended")
    assert not await recorder.flush()
    if not ends:
        use(recorder)
        assert await recorder.flush()
        assert len(openings) == 2
    await recorder.close()
    assert len(records(file)) == 2
    assert total(records(file))[1] == (2 if ends else 3)


async def test_where_conversations_cannot_be_written_everything_else_is(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_ledger(str(file)).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE conversations RENAME TO gone")
    async with recording(file) as recorder:
        assert (recorder.trouble, list(recorder.remembered())) == ("", [])
        recorder.begin("k", attempt())
        for _ in range(3):
            use(recorder)
            recorder.remember("/p", "s1", b"one", 2.0)
            await recorder.flush()
            caplog.clear()
        assert recorder.trouble == ""
        assert [record.so_far.requests for record in await recorder.ask(lambda ledger: ledger.unfinished())] == [3]
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("ALTER TABLE gone RENAME TO conversations")
        use(recorder)
        assert await recorder.flush()
        recorder.remember("/p", "s2", b"two", 3.0)
    with open_ledger(str(file)) as ledger:
        assert [one.id for one in ledger.conversations(0.0)] == ["s1", "s2"]
    assert total(records(file))[1] == 4
    assert len(records(file)) == 1


async def test_conversations_wait_for_a_ledger_in_trouble_the_newest_of_them(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "TALKS", 3)
    async with recording(file) as recorder:
        with locked_elsewhere(file):
            for number in (1, 2, 3, 4, 2, 5):
                recorder.remember("/p", f"s{number}", b"%d" % number, float(number))
                await asyncio.sleep(0.05)
            await until(lambda: bool(recorder.trouble), 2.0)
        # Nothing else comes, and still they are written.
        await until(lambda: not recorder.trouble)
        with open_ledger(str(file)) as ledger:
            await until(lambda: [one.id for one in ledger.conversations(0.0)] == ["s2", "s4", "s5"])
        with locked_elsewhere(file):
            recorder.remember("/p", "s6", b"", 6.0)
            await recorder.close()
    assert "what is known of 1 conversation is lost" in caplog.text


async def test_a_line_that_was_not_finished_spoils_no_other(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = file.parent / JOURNAL
    async with recording(file) as recorder:
        with locked_elsewhere(file):
            path.write_bytes(b'{"place": {"attempt": {"project": "/p"')  # a crash of another gateway in the middle of it
            recorder.begin("k", attempt())
            use(recorder)
            await recorder.close()
    good = path.read_bytes().splitlines()[-1]
    poison = good.replace(b'"requests":1', b'"requests":-1')
    assert poison != good
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" + poison)
    async with recording(file):
        pass
    assert total(records(file)) == (ONE, 1)
    assert path.read_bytes() == b""
    assert "3 lines of" in caplog.text


async def test_two_gateways_that_start_at_once_write_the_journal_once(file: Path) -> None:
    open_ledger(str(file)).close()
    with locked_elsewhere(file):
        async with recording(file) as recorder:
            for number in range(50):
                recorder.begin(str(number), attempt(str(number)))
                use(recorder, str(number))
    recorders = [Recorder(lambda: open_ledger(str(file), busy_seconds=5.0), journal=file.parent / JOURNAL) for _ in range(4)]
    await asyncio.gather(*(recorder.start() for recorder in recorders))
    await asyncio.gather(*(recorder.close() for recorder in recorders))
    assert total(records(file))[1] == 50
    assert journal(file) == []


async def test_a_ledger_in_trouble_for_long_does_not_fill_the_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "KEPT", 20)
    async with recording(file) as recorder:
        with locked_elsewhere(file):
            for number in range(200):
                recorder.begin(str(number), attempt(str(number)))
                use(recorder, str(number))
                recorder.end(str(number))
            await recorder.flush()
            assert len(recorder._writer.waiting) <= 20
            assert len(journal(file)) >= 180
        await until(lambda: not recorder.trouble)
        assert total(records(file))[1] == 200
        assert journal(file) == []


async def test_where_the_journal_takes_nothing_either_the_oldest_are_lost_and_it_is_said(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "KEPT", 10)
    monkeypatch.setattr(writer_module, "_SILENCE", 0.0)
    (file.parent / JOURNAL).mkdir()
    async with recording(file) as recorder:
        with locked_elsewhere(file):
            for number in range(100):
                recorder.begin(str(number), attempt(str(number)))
                use(recorder, str(number))
                recorder.end(str(number))
            await recorder.flush()
        await until(lambda: not recorder.trouble)
        assert sorted(int(record.attempt.unit_id) for record in records(file)) == list(range(80, 100))
    assert "what 80 units used is lost" in caplog.text


async def test_a_ledger_that_cannot_be_opened_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "ledger.db"
    file.mkdir()
    async with recording(file, preferences=Preferences(), project="/p") as recorder:
        assert "is a directory" in recorder.trouble
        recorder.begin("k", attempt())
        use(recorder)
        assert recorder.context("/p") == Context()
        with pytest.raises(LedgerError, match="is a directory"):
            await recorder.ask(lambda ledger: ledger.spent())
        assert not await recorder.flush()
    assert len([entry for entry in caplog.records if "is a directory" in entry.getMessage()]) == 2  # and at the end
    file.rmdir()
    async with recording(file):
        pass
    assert total(records(file)) == (ONE, 1)


async def test_a_damaged_ledger_is_moved_aside_while_requests_go_on(file: Path) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        await recorder.flush()
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for path in file.parent.glob("ledger.db*"):
            path.write_bytes(b"\xa5" * max(8192, path.stat().st_size))
        use(recorder, tokens=Tokens(input=100))
        assert not await recorder.flush()
        assert "move it aside" in recorder.trouble
        use(recorder, tokens=Tokens(input=200))
        for path in file.parent.glob("ledger.db*"):
            path.rename(file.parent / f"aside-{path.name}")
        await until(lambda: not recorder.trouble)
        use(recorder, tokens=Tokens(input=400))
    # What the old file has is not in the new one again.
    assert total(records(file)) == (Tokens(input=700), 3)


FULL_DISK = """
import asyncio, pathlib, resource, signal, sys
from stepdown.gateway.recorder import Recorder
from stepdown.ledger import Attempt, open_ledger
from stepdown.units import Tokens

async def main(file, journal, is_freed):
    recorder = Recorder(lambda: open_ledger(file), interval=0.01, journal=journal)
    await recorder.start()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, -1))
    number = failed = 0
    while failed < 10:  # opened anew, a full ledger may find room for a few more
        number, unit = number + 1, str(number)
        recorder.begin(unit, Attempt(project="/p", unit_type="t", unit_id=unit, decision="x" * 10_000, started=1.0))
        recorder.used(unit, Tokens(input=number), 0.5, 0.5)
        if number % 2:
            recorder.end(unit)
        failed = 0 if await recorder.flush() else failed + 1
    print(number, recorder.trouble)
    if is_freed:
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    await recorder.close()

asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "freed"))
"""


@pytest.mark.parametrize("end", ["freed", "full"])
async def test_a_full_disk_loses_nothing(file: Path, end: str) -> None:
    """No file may grow beyond 400 kB: enough for a journal of those that the ledger did not take."""
    said, _ = program(FULL_DISK, file, end).communicate(timeout=60)
    count, _, trouble = said.partition(" ")
    assert str(file) in trouble
    assert bool(journal(file)) == (end == "full")
    async with recording(file, busy=5.0):
        pass
    assert total(records(file)) == (Tokens(input=sum(range(int(count) + 1))), int(count))
    assert len(records(file)) == int(count)


async def test_what_is_called_alongside_is_in_the_same_transaction(file: Path) -> None:
    def said(ledger: Ledger) -> None:
        calls.append("called")
        ledger.first_time(f"call {len(calls)}", 1.0)
        if len(calls) == 1:
            raise LedgerError("not now")

    calls: list[str] = []
    async with recording(file) as recorder:
        recorder.alongside(said)
        recorder.begin("k", attempt())
        use(recorder)
        assert not await recorder.flush()
        assert records(file) == []  # the error undid both
        with open_ledger(str(file)) as other:
            await until(lambda: other.spent("/p").tokens == 10)
            assert other.first_time("call 1", 2.0)
            assert not other.first_time("call 2", 2.0)
        assert await recorder.flush()
        assert len(calls) == 2  # nothing was written
        recorder.wake()
        await until(lambda: len(calls) == 3)
    with open_ledger(str(file)) as other:
        assert not other.first_time("call 3", 2.0)
