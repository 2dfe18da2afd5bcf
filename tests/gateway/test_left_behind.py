"""A gateway that dies loses next to nothing, and the next one puts in order what it left."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from recording import program, recording, records, total

from stepdown.gateway.left_behind import settle_left_behind
from stepdown.gateway.presence import Presence
from stepdown.ledger import Attempt, open_ledger
from stepdown.ledger.port import GATEWAY
from stepdown.units import Tokens


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


KILLED = """
import asyncio, sys, time, pathlib
from stepdown.gateway.recorder import Recorder
from stepdown.ledger import Attempt, open_ledger
from stepdown.units import Tokens

async def main(file, journal):
    recorder = Recorder(lambda: open_ledger(file), journal=journal)
    await recorder.start()
    number = 0
    while True:
        unit = str(number % 7)
        recorder.begin(unit, Attempt(project="/p", unit_type="t", unit_id=unit, started=1.0))
        recorder.used(unit, Tokens(input=1), 0.5, 0.5)
        recorder.remember("/p", unit, str(number).encode(), time.time())
        if number % 50 == 49:
            recorder.end(unit)
        number += 1
        print(number, time.monotonic(), flush=True)
        await asyncio.sleep(0.001)

asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2])))
"""


@pytest.mark.parametrize("after", [0.4, 0.75, 1.1])
async def test_a_gateway_that_is_killed_loses_nothing_that_was_used(file: Path, after: float) -> None:
    gateway = program(KILLED, file)
    assert gateway.stdout is not None
    gateway.stdout.readline()
    await asyncio.sleep(after)
    gateway.kill()
    said = [line.split() for line in gateway.communicate()[0].splitlines() if line.count(" ") == 1]
    told = {int(number): float(at) for number, at in said[:-1]}
    last = max(told)
    with open_ledger(str(file)) as ledger:
        written = ledger.spent().requests
        states = [int(one.state) for one in ledger.conversations(0.0)]
    # A commit is not over at once, least of all on a machine that is busy with other tests: what is allowed for that is 250 ms.
    assert told[last] - told.get(written + 1, told[last]) <= 0.5
    assert written <= last + 2
    # What was known of the conversations: they are looked at when a commit begins, and requests are added until it ends.
    newest = max(states)
    assert sorted(states) == list(range(newest + 1))[-7:]
    assert newest < written
    assert told[last] - told.get(newest + 2, told[last]) <= 0.5
    async with recording(file) as recorder:
        assert sorted(int(one.state) for one in recorder.remembered()) == sorted(states)
    found = records(file)
    # What the ledger was not told is in the notes, down to the request that was being said when it was killed.
    requests = total(found)[1]
    assert last <= requests <= last + 3
    assert total(found)[0] == Tokens(input=requests)
    assert {record.outcome.failure for record in found if record.outcome is not None and record.outcome.tokens} == {None}


LIVING = """
import asyncio, sys, pathlib
from stepdown.gateway.recorder import Recorder
from stepdown.ledger import Attempt, open_ledger
from stepdown.units import Tokens

async def main(file, journal):
    recorder = Recorder(lambda: open_ledger(file), journal=journal)
    await recorder.start()
    for name in ("used", "idle"):
        recorder.begin(name, Attempt(project="/p", unit_type="t", unit_id=name, started=1.0))
    recorder.used("used", Tokens(input=7), 0.5, 0.5, cache_loss_usd=0.25)
    print(await recorder.flush(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2])))
"""


async def test_what_a_dead_gateway_left_is_ended_and_what_a_living_one_does_is_not(file: Path) -> None:
    other = program(LIVING, file)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with open_ledger(str(file)) as ledger:  # an agent's own attempt is its run's to put in order
            ledger.begin(Attempt(project="/p", unit_type="t", unit_id="claude", agent="claude", started=1.0))
        async with recording(file):
            assert len(records(file)) == 3
            assert all(record.outcome is None for record in records(file))
    finally:
        other.kill()
        other.communicate()
    async with recording(file, clock=lambda: 9.0):
        found = {record.attempt.unit_id: record.outcome for record in records(file)}
    assert found["claude"] is None
    used, idle = found["used"], found["idle"]
    assert used is not None
    assert (used.failure, used.tokens, used.cost_usd, used.requests, used.finished) == (None, Tokens(input=7), 0.5, 1, 9.0)
    assert used.cache_loss_usd == 0.25
    assert idle is not None
    assert (idle.failure, idle.tokens, idle.requests) == ("cancelled", None, 0)


async def test_a_gateway_on_another_machine_is_left_alone_for_as_long_as_it_says_that_it_is_there(file: Path) -> None:
    elsewhere = Attempt(project="/p", unit_type="t", unit_id="u", started=1.0, agent=GATEWAY, run="gateway-ffffffff4026-7-1")
    with open_ledger(str(file)) as ledger:
        ledger.begin(elsewhere)
        ledger.there(elsewhere.run)
        assert settle_left_behind(ledger, 5.0) == 0
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE gateways SET until = until - 121")  # two minutes without a word
        assert ledger.gateways() == frozenset()
        assert settle_left_behind(ledger, 5.0) == 1


async def test_a_gateway_says_that_it_is_there_with_the_first_thing_that_it_writes(file: Path) -> None:
    async with recording(file) as recorder:
        Presence(recorder, recorder.run)
        recorder.begin("a", Attempt(project="/p", unit_type="t", unit_id="u", started=1.0))
        assert await recorder.flush()
        with open_ledger(str(file)) as ledger:
            assert ledger.gateways() == {recorder.run}
