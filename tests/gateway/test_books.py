"""What is kept of what passes."""

import asyncio
import re
from collections.abc import Callable, Iterator

import msgspec
import pytest
from gateway_house import HAIKU, KEY, OPUS, UNIT, House, Opening, tokens_of, until
from raw_provider import RawProvider, whole

from stepdown.errors import LedgerError
from stepdown.gateway.books import shown
from stepdown.gateway.passed import Passed
from stepdown.ledger.port import Ledger
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

LIMITS = {
    "anthropic-ratelimit-unified-5h-utilization": "0.25",
    "anthropic-ratelimit-unified-5h-reset": "4000000000",
}


async def test_a_units_requests_are_one_attempt(house: House) -> None:
    for _ in range(3):
        await house.messages(headers=UNIT)
    (record,) = await house.records()
    attempt = record.attempt
    assert (attempt.unit_type, attempt.unit_id, attempt.agent) == ("complete-slice", "M001/S01", "gateway")
    assert (attempt.model, attempt.ceiling, attempt.downgraded) == (f"anthropic/{HAIKU}", f"anthropic/{OPUS}", True)
    assert (attempt.project, attempt.pattern, attempt.cause) == (str(house.directory), "complete-slice", "first")
    assert record.so_far.requests == 3
    assert record.so_far.cost_usd == pytest.approx(sum(line.cost_usd or 0 for line in house.lines))


async def test_a_conversation_is_known_by_its_session(house: House) -> None:
    for session in ("s-1", "s-1", "s-2", ""):
        await house.messages(headers={"x-claude-code-session-id": session} if session else {})
    records = await house.records()
    named = [record.attempt.unit_id for record in records]
    assert named[:2] == ["s-1#1", "s-2#1"]  # the same said again is the same unit
    assert re.fullmatch(r"begins-[0-9a-f]{16}#1", named[2])  # by what it began with, where nothing else names it
    assert {record.attempt.unit_type for record in records} == {"execute-task"}


async def test_each_project_has_its_own(house: House) -> None:
    for project in ("/one", "/zwei/ü"):
        await house.messages(headers={**UNIT, "x-stepdown-project": project})
    assert [record.attempt.project for record in await house.records()] == ["/one", "/zwei/ü"]
    assert [line.project for line in house.lines] == ["/one", "/zwei/ü"]


async def test_what_the_ceiling_would_have_cost_is_kept(house: House) -> None:
    await house.messages(headers=UNIT)
    (line,) = house.lines
    assert line.cost_usd is not None
    assert line.ceiling_usd == pytest.approx(5 * line.cost_usd)  # Opus at five times the price of Haiku
    await house.recorder.close()
    with SqliteLedger(house.directory / "ledger.db") as ledger:
        (record,) = ledger.records()
    assert record.outcome is not None
    assert record.outcome.ceiling_cost_usd == pytest.approx(line.ceiling_usd)
    assert record.outcome.cost_source == "priced"


async def test_what_a_change_of_model_lost_is_kept_with_its_attempt(house: House) -> None:
    seen: list[Passed] = []
    house.books._observers = (seen.append,)
    await house.messages(headers=UNIT)
    (passed,) = seen
    house.books.entered(passed.route, streamed=False)
    house.books.passed(msgspec.structs.replace(passed, cache_loss_usd=0.125))
    (record,) = await house.records()
    assert (record.so_far.requests, record.so_far.cache_loss_usd) == (2, 0.125)


async def test_fifty_at_once(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="slow", pause=0.01, pieces=5, times=25)])
    tasks = [
        house.messages(headers={"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": f"T{n % 10}"}, stream=True)
        for n in range(50)
    ]
    answers = await asyncio.gather(*tasks)
    assert {answer.status for answer in answers} == {200}
    billed = sum((served.tokens for served in provider.log), Tokens())
    records = await house.records()
    assert sum((tokens_of(record) for record in records), Tokens()) == billed
    assert len(records) == 10
    assert sum(record.so_far.requests for record in records) == 50
    assert house.books.streams == 0


async def test_a_subscriptions_word_is_kept_where_it_is_news(
    house: House, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Callable[[Ledger], object]] = []
    telling = house.recorder.tell

    def tell(word: Callable[[Ledger], object]) -> None:
        told.append(word)
        telling(word)

    monkeypatch.setattr(house.recorder, "tell", tell)
    for _ in range(3):
        provider.faults.add([Fault(kind="status", status=529, headers=LIMITS)])
        await house.messages()
    (meter,) = await house.recorder.ask(lambda ledger: ledger.plan_meters())
    assert (meter.provider, meter.window, meter.used) == ("anthropic", "5h", 0.25)
    assert len(told) == 1


async def test_a_follower_who_is_slow_misses_the_oldest_and_holds_up_nobody(house: House) -> None:
    queue = house.books.follow()
    for _ in range(3):
        await house.messages()
    assert queue.qsize() == 3
    line = queue.get_nowait()
    for _ in range(2000):
        queue.put_nowait(line) if not queue.full() else None
    await house.messages(HAIKU)
    assert queue.full()
    while not queue.empty():
        line = queue.get_nowait()
    assert line.asked == HAIKU
    house.books.unfollow(queue)
    house.books.unfollow(queue)
    await house.messages()
    assert queue.empty()


async def test_a_line_is_json_without_a_prompt(house: House) -> None:
    await house.messages(headers=UNIT)
    said = shown(house.lines[0])
    assert said["model"] == f"anthropic/{HAIKU}"
    assert "failure" not in said
    assert "abracadabra" not in str(said)
    assert KEY not in str(said)


async def test_requests_go_on_without_a_ledger(opening: Opening, provider: PracticeProvider) -> None:
    """It comes back, and has all of them."""
    broken = True

    def opened() -> Ledger:
        if broken:
            raise LedgerError("the ledger cannot be used")
        return SqliteLedger(house.directory / "ledger.db")

    async with opening(provider.url, open_ledger=opened) as house:
        for _ in range(3):
            assert (await house.messages(headers=UNIT)).status == 200
        assert not await house.recorder.flush()
        broken = False
        async with asyncio.timeout(10):
            while not await house.recorder.flush():  # noqa: ASYNC110  (no event says so)
                await asyncio.sleep(0.05)
        (record,) = await house.records()
        assert record.so_far.requests == 3


async def test_a_corrupted_ledger_is_somebody_elses_trouble(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url) as house:
        await house.messages(headers=UNIT)
        await house.records()
        (house.directory / "ledger.db").write_bytes(b"this is no database" * 1000)
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (house.directory / name).unlink(missing_ok=True)
        for _ in range(3):
            assert (await house.messages(headers=UNIT)).status == 200
            await asyncio.sleep(0.05)
        assert (await house.ask("/healthz", method="GET")).status == 200


def wild_clocks() -> Iterator[list[float]]:
    yield [1_790_000_000.0, 1_790_000_000.0 - 10 * 365 * 86400, 1_790_000_000.0 + 10 * 365 * 86400]
    yield [-5.0, 0.0, 1e18]


@pytest.mark.parametrize("times", list(wild_clocks()))
async def test_a_clock_that_jumps_stops_nothing(
    opening: Opening, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch, times: list[float]
) -> None:
    now = [times[0]]
    async with opening(provider.url, clock=lambda: now[0]) as house:
        monkeypatch.setattr("stepdown.gateway.relay.time.time", lambda: now[0])
        for number, moment in enumerate(times * 2):
            now[0] = moment
            assert (await house.messages(headers={**UNIT, "x-stepdown-unit-id": f"u{number % 2}"})).status == 200
        monkeypatch.undo()
        used = await house.used()
        assert used[f"anthropic/{HAIKU}"] == sum((served.tokens for served in provider.log), Tokens())


async def test_an_impossible_usage_is_not_believed(opening: Opening) -> None:
    said = b'{"type":"message","usage":{"input_tokens":-5,"output_tokens":99999999999999999999}}'
    async with RawProvider(whole(said, "content-type: application/json")) as provider, opening(provider.url) as house:
        answer = await house.messages(headers=UNIT)
        assert (answer.status, answer.body) == (200, said)
        await until(lambda: house.lines)
        assert (await house.messages(headers=UNIT)).status == 200


async def test_what_is_under_way_is_forgotten_when_it_has_ended(house: House) -> None:
    project = str(house.directory)
    for _ in range(5):
        await asyncio.gather(*(house.messages() for _ in range(7)))
    await house.recorder.flush()
    await house.recorder.refresh()
    assert house.books.unseen_usd(project) == 0.0
    assert house.books.unseen_usd("/never/seen") == 0.0
