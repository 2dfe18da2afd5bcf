"""What the live page is told by the gateway."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
from gateway_house import HAIKU, OPUS, ROUTED, SONNET, UNIT, House, Opening, until

from stepdown.dashboard.host import Health, Request
from stepdown.errors import UsageError
from stepdown.gateway import page
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tier

OBSERVES = ROUTED.replace("delegated", "observe")
FULL_PURSE = ROUTED + "budget_ceiling: 0.000001\nbudget_enforcement: halt\n"


@pytest.fixture
async def slow() -> AsyncIterator[PracticeProvider]:
    """A provider that takes its time over every answer."""
    async with PracticeProvider(latency=0.0) as provider:
        provider.faults.add([Fault(kind="late", pause=0.5, times=0)])
        yield provider


def requests(house: House, project: str = "") -> list[Request]:
    return list(house.host.requests(project or str(house.directory)))


def health(house: House) -> dict[str, Health]:
    return {one.model.rpartition("/")[2]: one for one in house.host.health()}


def doing(house: House) -> list[str]:
    return [one.id for one in house.host.doing(str(house.directory))]


# ---------------------------------------------------------------------------------------------------------- what has passed


async def test_a_request_is_told_as_it_was(house: House) -> None:
    await house.messages(headers=UNIT)
    (line,), (one,) = house.lines, requests(house)
    assert (one.unit, one.id, one.model, one.tier) == (line.unit, line.id, f"anthropic/{HAIKU}", Tier.LIGHT)
    assert (one.asked, one.chosen, one.applied, one.failure, one.status) == (OPUS, f"anthropic/{HAIKU}", True, "", 200)
    assert (one.name, one.at, one.why) == (line.decision, line.at, line.reason)
    assert (one.tokens, one.cost_usd, one.ceiling_usd) == (line.tokens, line.cost_usd, line.ceiling_usd)
    assert one.first_byte is not None
    assert 0 < one.first_byte <= one.seconds


async def test_the_newest_come_first_and_of_one_project_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_SHOWN", 3)
    for number in range(5):
        await house.messages(headers={**UNIT, "x-stepdown-unit-id": f"u{number}"})
        await house.messages(headers={**UNIT, "x-stepdown-project": "/another", "x-stepdown-unit-id": f"o{number}"})
    assert [one.id for one in requests(house)] == ["u4", "u3", "u2"]
    assert [one.id for one in requests(house, "/another")] == ["o4", "o3", "o2"]
    assert requests(house, "/nowhere") == []
    assert len({one.name for one in requests(house)}) == 3


async def test_only_so_many_are_remembered(
    opening: Opening, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_KEPT", 4)
    monkeypatch.setattr(page, "_JUDGED", 2)
    async with opening(provider.url) as house:
        for _ in range(6):
            await house.messages(headers=UNIT)
        assert len(requests(house)) == 4
        assert health(house)[HAIKU].requests == 2


async def test_what_was_refused_is_told_with_its_reason(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url, preferences=FULL_PURSE) as house:
        await house.messages(headers=UNIT)
        await house.recorder.flush()
        await until(lambda: house.books.context(str(house.directory)).meters[0].used > 1)
        assert (await house.messages(headers=UNIT)).status == 402
        refused, passed = requests(house)
        assert (refused.status, refused.failure, refused.model, refused.tier) == (402, "budget", "", None)
        assert "budget_ceiling" in refused.why
        assert (refused.tokens, refused.cost_usd, refused.first_byte) == (None, None, None)
        assert passed.status == 200
        assert health(house)[HAIKU].requests == 1, "nobody was asked"
        shown = await house.ask("/", None, {"accept": "text/html"}, method="GET")
        assert b"budget (402)" in shown.body
        assert b"instead of" not in shown.body.split(b"budget (402)")[1].split(b"</tr>")[0]


async def test_a_mode_that_only_observes_says_what_would_be(opening: Opening, slow: PracticeProvider) -> None:
    async with opening(slow.url, preferences=OBSERVES) as house:
        asking = asyncio.ensure_future(house.messages(headers=UNIT))
        await until(lambda: doing(house))
        (now,) = house.host.doing(str(house.directory))
        assert (now.model, now.asked) == (f"anthropic/{OPUS}", "")
        assert now.why.startswith(f"only observed; it would be {HAIKU}: ")
        await asking
        (one,) = requests(house)
        assert (one.model, one.chosen, one.applied) == (f"anthropic/{OPUS}", f"anthropic/{HAIKU}", False)


# ----------------------------------------------------------------------------------------------------------- how models are


async def test_how_a_model_answers_is_judged_by_what_its_provider_did(house: House, provider: PracticeProvider) -> None:
    await house.messages(headers=UNIT)
    provider.faults.add([Fault(kind="status", status=529, model=HAIKU, times=1)])
    await house.messages(headers=UNIT)
    seen = health(house)
    asked = {name: (one.requests, one.failed, one.failure) for name, one in seen.items()}
    assert asked[HAIKU] == (2, 1, "provider")
    (other,) = asked.keys() - {HAIKU}
    assert other in {SONNET, OPUS}
    assert asked[other] == (1, 0, "")
    assert seen[HAIKU].tier is Tier.LIGHT
    assert all(one.first_byte and one.first_byte > 0 for one in seen.values())
    assert requests(house)[0].model == f"anthropic/{other}"
    assert requests(house)[0].failure == ""


async def test_the_last_one_asked_comes_first_and_its_failure_is_its_own(house: House, provider: PracticeProvider) -> None:
    faults = [Fault(kind="status", status=500, model=model, times=0) for model in (OPUS, SONNET)]
    provider.faults.add(faults)
    await house.messages(headers=UNIT)
    await house.messages()
    newest = requests(house)[0]
    assert (newest.failure, newest.status) == ("provider", 500)
    assert [(one.model, one.failed) for one in house.host.health()] == [
        (f"anthropic/{OPUS}", 1),
        (f"anthropic/{SONNET}", 1),
        (f"anthropic/{HAIKU}", 0),
    ]


async def test_a_median_is_told_of_first_bytes(house: House) -> None:
    for _ in range(3):
        await house.messages(headers=UNIT)
    times = sorted(one.first_byte or 0 for one in requests(house))
    assert health(house)[HAIKU].first_byte == times[1]


async def test_who_asked_to_be_left_alone_is_shown_to_rest(house: House, provider: PracticeProvider) -> None:
    await house.messages(headers=UNIT)
    assert health(house)[HAIKU].rests == 0
    provider.faults.add([Fault(kind="status", status=529, retry_after=120, model=HAIKU, times=1)])
    await house.messages(headers=UNIT)
    assert 110 < health(house)[HAIKU].rests <= 120
    shown = await house.ask("/", None, {"accept": "text/html"}, method="GET")
    assert b"rests 2 min" in shown.body


# ----------------------------------------------------------------------------------------------------- what is under way


async def test_a_request_is_under_way_until_it_ends(opening: Opening, slow: PracticeProvider) -> None:
    async with opening(slow.url) as house:
        asking = [
            asyncio.ensure_future(house.messages(headers={**UNIT, "x-stepdown-unit-id": f"u{number}"})) for number in range(3)
        ]
        await until(lambda: len(doing(house)) == 3)
        assert house.host.doing("/nowhere") == []
        one = house.host.doing(str(house.directory))[0]
        assert (one.unit, one.model, one.asked, one.tier) == (
            "complete-slice",
            f"anthropic/{HAIKU}",
            f"anthropic/{OPUS}",
            Tier.LIGHT,
        )
        assert one.why
        assert one.since == pytest.approx(house.desk.now, abs=5)
        assert {one.name for one in house.host.doing(str(house.directory))} == set(house.books.serving)
        await asyncio.gather(*asking)
        assert doing(house) == []
        assert {one.id for one in requests(house)} == {"u0", "u1", "u2"}


async def test_of_many_the_oldest_are_shown(opening: Opening, slow: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_UNDER_WAY", 2)
    async with opening(slow.url) as house:
        asking = []
        for number in range(4):
            asking.append(asyncio.ensure_future(house.messages(headers={**UNIT, "x-stepdown-unit-id": f"u{number}"})))
            await until(partial(_are_under_way, house, number + 1))
        assert doing(house) == ["u0", "u1"]
        await asyncio.gather(*asking)


def _are_under_way(house: House, count: int) -> bool:
    return len(house.books.serving) == count


async def test_a_client_that_goes_away_is_not_under_way_any_more(opening: Opening, slow: PracticeProvider) -> None:
    async with opening(slow.url) as house:
        asking = asyncio.ensure_future(house.messages(headers=UNIT))
        await until(lambda: doing(house))
        asking.cancel()
        await until(lambda: not doing(house))
        await until(lambda: requests(house))
        assert (requests(house)[0].status, requests(house)[0].failure) == (499, "cancelled")
        assert health(house)[HAIKU].failed == 0, "that was not the provider's doing"


@pytest.mark.parametrize(
    "fault", [Fault(kind="status", status=400), Fault(kind="cut"), Fault(kind="cut_mid"), Fault(kind="garbage")]
)
async def test_nor_is_what_failed(house: House, provider: PracticeProvider, fault: Fault) -> None:
    provider.faults.add([fault])
    try:
        await house.messages(headers=UNIT, stream=True)
    except aiohttp.ClientError:
        assert fault.kind == "cut_mid"
    await until(lambda: not doing(house))
    assert house.books.serving == {}


async def test_nor_is_what_was_refused_or_made_no_sense(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url, preferences=FULL_PURSE) as house:
        await house.messages(headers=UNIT)
        await until(lambda: house.books.context(str(house.directory)).meters[0].used > 1)
        assert (await house.messages(headers=UNIT)).status == 402
        assert (await house.ask("/v1/messages", b"{")).status == 400
        assert house.books.serving == {}


# ----------------------------------------------------------------------------------------------------------- what may be said


async def test_facts_are_those_of_now(house: House) -> None:
    before = house.host.facts()
    assert (before.kind, before.project, before.mode, before.pin) == ("gateway", str(house.directory), "delegated", "")
    assert list(before.modes) == ["observe", "delegated", "full"]
    assert house.host.switch("full") == ""
    assert "there is no mode" in house.host.switch("huge")
    assert house.host.pin("haiku", 60.0) == ""
    now = house.host.facts()
    assert (now.mode, now.pin) == ("full", HAIKU)
    assert now.pinned_until == pytest.approx(house.desk.now + 60, abs=5)
    assert "did you mean" in house.host.pin("claude-haiku-4-6", 60.0)
    assert house.host.facts().pin == HAIKU, "what cannot be changes nothing"
    assert house.host.pin("", 1.0) == ""
    assert (house.host.facts().pin, house.host.facts().pinned_until) == ("", None)


async def test_a_unit_is_rated_by_its_whole_name(house: House) -> None:
    await house.messages(headers=UNIT)
    (said, *_) = await house.host.rate(str(house.directory), "complete-slice M001/S01", "over")
    assert said.startswith("complete-slice M001/S01 rated over: counts as")
    with pytest.raises(UsageError, match="nobody"):
        await house.host.rate(str(house.directory), "complete-slice nobody", "over")
