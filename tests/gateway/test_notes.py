"""What a gateway has noted survives it, and is in the ledger once."""

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest
from recording import ONE, attempt, journal, locked_elsewhere, program, recording, records, total, use

from stepdown.gateway import notes as notes_module
from stepdown.gateway.entry import Entry, Place, Sum
from stepdown.gateway.notes import Notes
from stepdown.gateway.recorder import NOTES
from stepdown.ledger import open_ledger
from stepdown.units import Tokens

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from recording import attempt, use
from stepdown.gateway.recorder import Recorder
from stepdown.ledger import open_ledger

async def main() -> None:
    recorder = Recorder(lambda: open_ledger(sys.argv[1]), journal=Path(sys.argv[2]), interval=float(sys.argv[4]))
    await recorder.start()
    for number in range(300):
        recorder.begin(str(number % 7), attempt(str(number % 7)))
        use(recorder, str(number % 7))
        if number % 10 == 9:
            await asyncio.sleep(0.002)
        if number % 7 == 5 and number > 250:
            recorder.end(str(number % 7), "quality", "it was refused")
    print("noted", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
SUPPORT = str(Path(__file__).parents[1] / "support")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def left(file: Path) -> list[Path]:
    return sorted((file.parent / NOTES).glob("*"))


@pytest.mark.parametrize("interval", ["60", "0.01"])
async def test_a_recorder_that_is_killed_loses_nothing(file: Path, interval: str, caplog: pytest.LogCaptureFixture) -> None:
    with program(KILLED, file, SUPPORT, interval) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "noted\n"
        assert process.wait(10) == -signal.SIGKILL
    async with recording(file):
        pass
    found = records(file)
    assert total(found) == (Tokens(input=300, output=600, cache_read=900, cache_write=1200), 300)
    assert sum(one.outcome.cost_usd or 0 for one in found if one.outcome) == 75.0
    assert {one.outcome.failure for one in found if one.outcome} == {None, "quality"}
    assert left(file) == []
    assert any("a gateway died" in entry.getMessage() for entry in caplog.records)


async def test_two_that_find_the_same_notes_at_once_write_them_once(file: Path) -> None:
    with program(KILLED, file, SUPPORT, "60") as process:
        process.wait(20)
    copies = [(path, path.read_bytes()) for path in left(file)]
    for _ in range(2):  # the second time what is in the ledger already is found again
        for path, content in copies:
            path.write_bytes(content)
        gateways = [recording(file, busy=5.0) for _ in range(3)]
        await asyncio.gather(*(one.__aenter__() for one in gateways))
        for one in gateways:
            await one.__aexit__(None, None, None)
        assert total(records(file))[1] == 300
    assert left(file) == []


async def test_who_lives_is_left_alone_and_what_the_ledger_has_is_not_kept(file: Path) -> None:
    async with recording(file, interval=0.02) as one:
        for number in range(50):
            one.begin("k", attempt())
            use(one)
            await asyncio.sleep(0.001)
            if number == 25:
                async with recording(file):
                    assert len(left(file)) == 2
        await one.flush()
        await one.flush()
        assert sum(path.stat().st_size for path in left(file)) == 0
    assert left(file) == []
    assert total(records(file))[1] == 50


async def test_while_the_ledger_takes_nothing_everything_is_noted(file: Path) -> None:
    open_ledger(str(file)).close()
    async with recording(file, interval=0.01) as recorder:
        with locked_elsewhere(file):
            for number in range(100):
                recorder.begin(str(number), attempt(str(number)))
                use(recorder, str(number))
                recorder.end(str(number))
                await asyncio.sleep(0.005)
            noted: list[Entry] = []
            for path in left(file):  # as another gateway would find it, had this one died
                copy = file.parent / "copy" / path.name
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(path.read_bytes())
            assert Notes(file.parent / "copy", "gateway-2").left_behind(noted.extend) == 100
            assert {entry.used.tokens.total for entry in noted} == {10}
    assert journal(file) == []
    assert total(records(file))[1] == 100


def entry(name: str, requests: int) -> Entry:
    place = Place(attempt=attempt(name))
    place = Place(attempt=msgspec.structs.replace(place.attempt, key=f"{name}.1"))
    return Entry(place, used=Sum(tokens=ONE, requests=requests))


def test_lines_that_were_torn_cost_themselves_and_nothing_else(tmp_path: Path) -> None:
    notes = Notes(tmp_path, "gateway-1")
    for number in range(4):
        notes.note(entry(f"u{number}", 1))
    notes.note(entry("u0", 2))
    notes.close(keep=True)
    [file] = [path for path in tmp_path.iterdir() if path.stat().st_size]
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([lines[0], lines[1][:40], b"\xff\x00", lines[2], b"[]", lines[3], lines[4], lines[2][:-9]]))
    found: list[Entry] = []
    assert Notes(tmp_path, "gateway-2").left_behind(found.extend) == 3
    assert {(one.place.attempt.unit_id, one.used.requests) for one in found} == {("u0", 2), ("u2", 1), ("u3", 1)}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no /dev/full")
def test_a_full_disk_stops_nothing_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes(tmp_path / "notes", "gateway-1")
    notes.note(entry("u0", 1))
    for file in notes._files:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file._descriptor)
        os.close(full)
    clock = iter(float(number) for number in range(10_000, 20_000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for number in range(20):
        notes.note(entry(f"u{number}", 1))
    said = [entry.getMessage() for entry in caplog.records]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    notes.close(keep=False)


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "notes").write_text("a file")
    notes = Notes(tmp_path / "notes", "gateway-1")
    for _ in range(3):
        notes.note(entry("u0", 1))
    notes.turn()
    notes.written()
    notes.close(keep=False)
    assert len(caplog.records) == 1
    assert Notes(tmp_path / "notes", "gateway-2").left_behind(lambda _: None) == 0


def test_a_file_that_grows_too_large_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_module, "LARGEST", 2_000)
    notes = Notes(tmp_path, "gateway-1")
    for number in range(100):
        notes.note(entry(f"u{number}", 1))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3_000
    notes.close(keep=False)
