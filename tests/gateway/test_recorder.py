"""What passes is added up and written down, to the token."""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording import ONE, attempt, locked_elsewhere, only, recording, records, total, until, use

from stepdown.errors import LedgerError
from stepdown.gateway import recorder as recorder_module
from stepdown.gateway.left_behind import name_of_run
from stepdown.gateway.recorder import JOURNAL, Recorder
from stepdown.ledger import Block, Ledger, Outcome, Use, open_ledger
from stepdown.ledger.rules import LARGEST_STATE
from stepdown.preferences import Preferences
from stepdown.units import Tokens

WEEK = 7 * 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


async def test_the_requests_of_a_unit_are_one_attempt(file: Path) -> None:
    async with recording(file, clock=lambda: 160.0) as recorder:
        recorder.begin("k", attempt())
        recorder.begin("k", attempt("another"))
        for _ in range(3):
            use(recorder)
        assert recorder.is_open("k")
    record, ended = only(file)
    assert ended == Outcome(
        tokens=Tokens(input=3, output=6, cache_read=9, cache_write=12),
        cost_usd=0.75,
        cost_source="priced",
        ceiling_cost_usd=3.0,
        requests=3,
        finished=160.0,
    )
    assert (record.attempt.agent, record.attempt.run, record.attempt.unit_id) == ("gateway", name_of_run(), "s1")


async def test_what_a_unit_used_so_far_is_seen_by_everybody_soon(file: Path) -> None:
    async with recording(file, interval=0.05) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        with open_ledger(str(file)) as other:
            await until(lambda: other.spent("/p").tokens == 10, 2.0)
            use(recorder)
            await until(lambda: other.spent("/p").tokens == 20, 2.0)
            assert other.spent("/p").usd == 0.5
            [record] = other.unfinished()
            assert record.so_far == Use(tokens=ONE + ONE, requests=2, cost_usd=0.5)


async def test_many_changes_are_written_together(file: Path) -> None:
    commits: list[float] = []

    class Counting:
        """A ledger that counts its batches."""

        def __init__(self) -> None:
            self._ledger = open_ledger(str(file))

        def __getattr__(self, name: str) -> Any:
            if name == "batch":
                commits.append(time.monotonic())
            return getattr(self._ledger, name)

    recorder = Recorder(Counting, interval=0.2, journal=file.parent / JOURNAL)
    await recorder.start()
    commits.clear()
    begun = time.monotonic()
    for number in range(500):
        recorder.begin(str(number), attempt(str(number)))
        use(recorder, str(number))
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    await recorder.flush()
    took = time.monotonic() - begun
    assert 1 <= len(commits) <= took / 0.2 + 3
    await recorder.close()
    assert total(records(file))[1] == 500


@pytest.mark.parametrize(
    ("kinds", "end", "failure"),
    [
        (["provider", None], None, None),
        (["provider", "rejected"], None, "rejected"),
        ([], None, "cancelled"),
        ([None], "budget", "budget"),
    ],
)
async def test_how_a_unit_ended(file: Path, kinds: list[str | None], end: str | None, failure: str | None) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        for kind in kinds:
            use(recorder, failure=kind)
        recorder.end("k", end, "because")
        recorder.end("k", "provider")
        assert not recorder.is_open("k")
    _, ended = only(file)
    assert (ended.failure, ended.verified) == (failure, None)


async def test_what_is_used_after_the_end_begins_another_attempt(file: Path) -> None:
    async with recording(file, clock=lambda: 200.0) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        recorder.end("k")
        use(recorder)
        with pytest.raises(KeyError, match="nothing was begun"):
            use(recorder, "unknown")
    first, second = records(file)
    assert (first.attempt.number, second.attempt.number) == (1, 2)
    assert (first.attempt.started, second.attempt.started) == (100.0, 200.0)
    assert first.attempt.key != second.attempt.key
    assert total([first, second]) == (ONE + ONE, 2)


async def test_who_is_silent_for_long_has_ended_when_the_last_request_did(file: Path) -> None:
    now = 160.0
    async with recording(file, idle=0.3, clock=lambda: now) as recorder:
        recorder.begin("k", attempt())
        recorder.begin("busy", attempt("s2"))
        use(recorder)
        now = 1000.0
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            use(recorder, "busy")
            await asyncio.sleep(0.02)
        assert (recorder.is_open("k"), recorder.is_open("busy")) == (False, True)
        await recorder.flush()
        ended = records(file)[0].outcome
        assert ended is not None
        assert (ended.failure, ended.verified, ended.finished) == (None, None, 160.0)
        recorder.begin("k", attempt(started=900.0))
        use(recorder)
    assert [record.attempt.started for record in records(file) if record.attempt.unit_id == "s1"] == [100.0, 900.0]


async def test_there_is_room_for_so_many_units_and_the_silent_ones_go_first(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "OPEN", 10)
    async with recording(file) as recorder:
        recorder.begin("first", attempt("first"))
        for number in range(30):
            recorder.begin(str(number), attempt(str(number)))
            use(recorder, str(number))
            use(recorder, "first")
        assert recorder.is_open("first")
        assert sum(recorder.is_open(str(number)) for number in range(30)) == 9
    assert len(records(file)) == 31
    assert total(records(file))[1] == 60


async def test_a_word_that_cannot_be_believed_spoils_no_sum(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        use(recorder, tokens=Tokens(input=-5))
        use(recorder, tokens=Tokens(output=2**53 - 1))
        use(recorder, cost=float("nan"))
        with pytest.raises(LedgerError, match="started is no time"):
            recorder.begin("other", attempt(started=-1.0))
    _, ended = only(file)
    assert (ended.tokens, ended.requests, ended.cost_usd) == (ONE, 4, None)
    assert "is not believed" in caplog.text


async def test_a_clock_that_is_badly_wrong_stops_nothing(file: Path) -> None:
    times = iter([-5.0, 1e300, 50.0, 1e12])
    async with recording(file, clock=lambda: next(times, 150.0)) as recorder:
        recorder.begin("k", attempt())
        for _ in range(5):
            use(recorder)
    _, ended = only(file)
    assert (ended.requests, ended.finished) == (5, 150.0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_ten_thousand_calls_are_in_the_ledger_to_the_token(file: Path, seed: int) -> None:
    chance, units, failures = random.Random(seed), 40, [None, None, None, "provider", "cancelled"]
    expected: defaultdict[str, Tokens] = defaultdict(Tokens)
    requests: defaultdict[str, int] = defaultdict(int)
    async with recording(file, interval=0.005) as recorder:
        for _ in range(10_000):
            unit = str(chance.randrange(units))
            if chance.random() < 0.02:
                recorder.end(unit)
            recorder.begin(unit, attempt(unit))
            tokens = Tokens(input=chance.randrange(2000), output=chance.randrange(500), cache_read=chance.randrange(10**6))
            use(recorder, unit, tokens, failure=chance.choice(failures))
            expected[unit] += tokens
            requests[unit] += 1
            if chance.random() < 0.005:
                await asyncio.sleep(chance.random() * 0.01)
    found = records(file)
    for unit in map(str, range(units)):
        assert total([record for record in found if record.attempt.unit_id == unit]) == (expected[unit], requests[unit])
    with open_ledger(str(file)) as ledger:
        assert ledger.spent("/p").tokens == sum(expected.values(), Tokens()).total
        assert sum((line.tokens for line in ledger.breakdown("type")), Tokens()) == sum(expected.values(), Tokens())
        assert ledger.spent("/p").usd == 2_500.0


async def test_a_unit_that_somebody_else_ended_goes_on(file: Path) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        await recorder.flush()
        with open_ledger(str(file)) as other:
            [running] = other.unfinished()
            other.settle(running.id, Outcome(failure="cancelled", tokens=ONE, requests=1, cost_usd=0.25, finished=5.0))
        use(recorder)
        assert await recorder.flush()
        assert recorder.trouble == ""
    assert total(records(file)) == (ONE + ONE, 2)
    assert [record.attempt.number for record in records(file)] == [1, 2]


async def test_a_question_is_answered_by_a_ledger_that_knows_everything(file: Path) -> None:
    async with recording(file, interval=60.0) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
        assert (await recorder.ask(lambda ledger: ledger.spent("/p"))).tokens == 10
        with pytest.raises(ZeroDivisionError):
            await recorder.ask(lambda ledger: 1 // len(ledger.blocks(0.0)))
        with pytest.raises(LedgerError, match="no attempt 99"):
            await recorder.ask(lambda ledger: ledger.settle(99, Outcome(finished=1.0)))
        assert recorder.trouble == ""
    with pytest.raises(LedgerError, match="stopping"):
        await recorder.ask(lambda ledger: ledger.spent())


async def test_a_word_for_the_ledger_waits_until_that_takes_it(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    def say(model: str) -> Callable[[Ledger], None]:
        return lambda ledger: ledger.block(Block(model=model, reason="403", until=9e9))

    async with recording(file, preferences=Preferences(), project="/p") as recorder:
        recorder.tell(say("a/one"))
        await until(lambda: "a/one" in recorder.context("/p").blocked, 3.0)
        with locked_elsewhere(file):
            recorder.tell(lambda ledger: ledger.block(Block(model="bad", reason="", until=-1.0)))
            recorder.tell(lambda _: 1 // 0)
            recorder.tell(say("a/two"))
            await recorder.flush()
            assert recorder.trouble
        await until(lambda: not recorder.trouble)
        await recorder.flush()
        blocks = await recorder.ask(lambda ledger: ledger.blocks(0.0))
        assert [block.model for block in blocks] == ["a/one", "a/two"]
    assert "until is no time" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_what_a_change_of_model_lost_is_added_up(file: Path) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        use(recorder, cache_loss_usd=0.125)
        use(recorder)
        await recorder.flush()
        [running] = await recorder.ask(lambda ledger: ledger.unfinished())
        assert (running.so_far.cost_usd, running.so_far.cache_loss_usd) == (0.5, 0.125)
        use(recorder, cache_loss_usd=0.0625)
        use(recorder, cache_loss_usd=float("nan"))  # nothing of that is believed
    _, ended = only(file)
    assert (ended.cost_usd, ended.cache_loss_usd, ended.requests) == (None, 0.1875, 4)


async def test_what_is_known_of_a_conversation_is_there_when_the_gateway_is_started_again(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording(file, clock=lambda: WEEK, interval=0.05) as recorder:
        assert list(recorder.remembered()) == []
        recorder.remember("/p", "s1", b"old", 1.0)
        recorder.remember("/p", "s2", b"two", 3.0)
        recorder.remember("/p", "s1", b"one", 2.0)
        with open_ledger(str(file)) as other:
            await until(lambda: len(other.conversations(0.0)) == 2, 2.0)
        recorder.remember("/q", "s1", b"three", 4.0)
        recorder.remember("/q", "large", bytes(LARGEST_STATE + 1), 4.0)
    assert "65,537 bytes" in caplog.text
    async with recording(file, clock=lambda: WEEK + 2.5) as recorder:
        known = [(one.project, one.id, one.state, one.at) for one in recorder.remembered()]
        assert known == [("/p", "s2", b"two", 3.0), ("/q", "s1", b"three", 4.0)]


async def test_conversations_go_with_what_they_used_in_one_commit(file: Path) -> None:
    batches: list[list[str]] = []

    class Watched:
        """A ledger that says what is called in each of its batches."""

        def __init__(self) -> None:
            self._ledger = open_ledger(str(file))

        def __getattr__(self, name: str) -> Any:
            if name == "batch":
                batches.append([])
            elif batches:
                batches[-1].append(name)
            return getattr(self._ledger, name)

    recorder = Recorder(Watched, journal=file.parent / JOURNAL)
    await recorder.start()
    batches.clear()
    for number in range(3):
        recorder.begin("k", attempt())
        use(recorder)
        recorder.remember("/p", "s1", b"%d" % number, 2.0)
        assert await recorder.flush()
    recorder.remember("/p", "s1", b"last", 2.0)
    assert await recorder.flush()
    assert batches == [["begin", "note_use", "remember"], *[["note_use", "remember"]] * 2, ["remember"]]
    await recorder.close()


@pytest.mark.parametrize("at", [-5.0, 1e300, float("nan")])
async def test_a_conversation_on_a_clock_that_is_badly_wrong_stops_nothing(file: Path, at: float) -> None:
    async with recording(file) as recorder:
        recorder.remember("/p", "wild", b"", at)
        recorder.begin("k", attempt())
        use(recorder)
        assert await recorder.flush()
        recorder.remember("/p", "now", b"", 1.0)
    with open_ledger(str(file)) as ledger:
        assert "now" in {one.id for one in ledger.conversations(0.0)}
    assert total(records(file))[1] == 1


async def test_it_is_closed_twice_and_what_comes_later_is_said_to_be_lost(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with recording(file) as recorder:
        recorder.begin("k", attempt())
        use(recorder)
    await recorder.close()
    assert len(records(file)) == 1
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        use(recorder)
    assert "after it had stopped writing" in caplog.text
    await Recorder(lambda: open_ledger(str(file)), journal=file.parent / JOURNAL).close()
