"""Conversations that nobody declared, in `delegated` and `full`, against a provider that refuses what real ones do."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from gateway_house import HAIKU, OPUS, ROUTED, SONNET, Answered, House, Opening
from talking import Talker, models, thoughts, units

from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

FULL = ROUTED.replace("mode: delegated", "mode: full")
BIG = "Migrate the whole database, redesign the architecture and keep it secure: authentication, encryption, deadlocks."


@pytest.fixture
async def strict() -> AsyncIterator[PracticeProvider]:
    async with PracticeProvider(latency=0, strict=True, keep_bodies=True) as provider:
        yield provider


@pytest.fixture
async def full(opening: Opening, strict: PracticeProvider) -> AsyncIterator[House]:
    async with opening(strict.url, preferences=FULL) as house:
        yield house


@pytest.fixture
async def delegated(opening: Opening, strict: PracticeProvider) -> AsyncIterator[House]:
    async with opening(strict.url, preferences=ROUTED) as house:
        yield house


async def test_a_persons_turn_goes_one_tier_down_and_its_tools_stay_with_it(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full)
    answer = await talker.says("Add a button.")
    assert answer.headers["x-stepdown-model"] == f"anthropic/{SONNET}"
    await talker.runs("done")
    await talker.says("Add another.")
    assert models(strict) == [SONNET] * 3
    assert units(await full.records()) == [("execute-task", "s#1", SONNET), ("execute-task", "s#2", SONNET)]


async def test_delegated_leaves_a_persons_turn_alone_and_says_what_full_would_do(
    delegated: House, strict: PracticeProvider
) -> None:
    answer = await Talker(delegated).says("Add a button.")
    assert models(strict) == [OPUS]
    assert answer.headers["x-stepdown-reason"].startswith("observed only: ")
    assert delegated.lines[0].chosen == f"anthropic/{SONNET}"


async def test_delegated_routes_sub_agents_errands_and_units_of_a_plan(delegated: House, strict: PracticeProvider) -> None:
    await Talker(delegated, headers={"x-claude-code-agent-id": "a1"}).says("Look for the parser.")
    title = Talker(delegated, "t")
    title.history.append({"role": "user", "content": "Name this conversation: add a button."})
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False}
    await title.ask(tools=[], thinking=None, output_config={"format": {"type": "json_schema", "schema": schema}})
    dispatch = "## UNIT: Complete Slice S01\n\nM001/S01: Buttons\n\nWrite the summary."
    await Talker(delegated, "p").says(dispatch, thinking=None)  # Haiku 4.5 has no adaptive thinking
    assert models(strict) == [SONNET, HAIKU, HAIKU]
    kinds = [(kind, model) for kind, _, model in units(await delegated.records())]
    assert kinds == [("subagent/agent", SONNET), ("hook/title", HAIKU), ("complete-slice", HAIKU)]


async def test_planning_and_heavy_work_keep_their_model(full: House, strict: PracticeProvider) -> None:
    await Talker(full, "a").says("<system-reminder>\nPlan mode is active. Do not edit.\n</system-reminder>\nAdd a button.")
    await Talker(full, "b").says(BIG)
    assert models(strict) == [OPUS, OPUS]


async def test_in_mid_conversation_it_goes_down_and_back_without_the_others_thinking(
    full: House, strict: PracticeProvider
) -> None:
    talker = Talker(full)
    await talker.says(BIG)
    await talker.says("Add a button.", thinking={"type": "adaptive"})
    await talker.says(BIG)
    seen = models(strict)
    assert (seen[0], seen[-1]) == (OPUS, OPUS)
    assert {served.status for served in strict.log} == {200}
    assert thoughts(talker) == 3


async def test_a_conversation_is_moved_where_its_cache_is_gone_and_only_what_is_foreign_is_left_out(
    opening: Opening, strict: PracticeProvider
) -> None:
    now = [1_790_000_000.0]
    async with opening(strict.url, preferences=FULL, clock=lambda: now[0]) as house:
        talker = Talker(house)
        await talker.says(BIG)
        now[0] += 3_600  # a free moment: nobody has it cached any more
        answer = await talker.says("Add a button.")
        assert answer.status == 200
        await talker.runs("done")
        now[0] += 3_600
        await talker.says(BIG)
        assert models(strict) == [OPUS, SONNET, SONNET, OPUS]
        assert {served.status for served in strict.log} == {200}
        (_, moved, _) = await house.records()
    receipt = json.loads(moved.attempt.decision)
    assert receipt["adaptations"] == [f"1 thinking block of anthropic/{OPUS} left out"]
    sent = [json.loads(body) for body in strict.bodies.values()]
    counts = [
        sum(
            block["type"] == "thinking"
            for message in body["messages"]
            for block in message["content"]
            if isinstance(block, dict)
        )
        for body in sent
    ]
    # Opus; Sonnet without Opus's; Sonnet with its own; Opus again with its own first and without Sonnet's two.
    assert counts == [0, 0, 1, 1]


async def test_switching_is_priced_and_the_sum_can_be_read(opening: Opening, strict: PracticeProvider) -> None:
    short = FULL.replace("dynamic_routing: {", "dynamic_routing: {thresholds: {turn_requests: 3}, ")
    async with opening(strict.url, preferences=short) as house:
        talker = Talker(house)
        await talker.says(BIG)
        answer = await talker.says("Add a button.")
        assert models(strict) == [OPUS, OPUS]
        why = "leaving claude-opus-4-6 for claude-sonnet-4-6 would not pay: 3 requests x $"
        assert why in answer.headers["x-stepdown-reason"]
        assert why in house.lines[-1].reason
        (_, stayed) = await house.records()
        assert why in stayed.attempt.reason


async def test_a_pin_ends_the_discussion(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full, headers={"x-stepdown-pin": "heavy"})
    await talker.says("Add a button.")
    assert models(strict) == [OPUS]


async def test_a_unit_that_stumbles_is_raised_once_for_its_rest(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full)
    await talker.says("Add a button.")
    answer = await talker.runs("no", "no", "no", "no", error=True)
    assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
    assert "4 tool results in a row were errors" in answer.headers["x-stepdown-reason"]
    await talker.runs("fine")
    await talker.says("Add another.")
    assert models(strict)[:3] == [SONNET, OPUS, OPUS]
    assert {served.status for served in strict.log} == {200}
    first, raised, *_ = await full.records()
    assert first.outcome is not None
    assert (first.outcome.failure, first.attempt.model) == ("quality", f"anthropic/{SONNET}")
    assert "4 tool results" in first.outcome.message
    assert (raised.attempt.cause, raised.attempt.unit_id) == ("step up", first.attempt.unit_id)


async def test_a_unit_on_its_ceiling_that_stumbles_stays(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full)
    await talker.says(BIG)
    await talker.runs("no", "no", "no", "no", error=True)
    assert models(strict) == [OPUS, OPUS]


async def test_a_mode_that_changes_in_the_middle_of_a_unit_waits_for_the_next(full: House, strict: PracticeProvider) -> None:
    full.desk.switch("delegated")
    talker = Talker(full)
    await talker.says("Add a button.")
    full.desk.switch("full")
    await talker.runs("done")
    assert models(strict) == [OPUS, OPUS]


async def test_a_conversation_survives_a_restart(opening: Opening, strict: PracticeProvider) -> None:
    async with opening(strict.url, preferences=FULL) as house:
        talker = Talker(house)
        await talker.says("Add a button.")
        await talker.runs("done")
    async with opening(strict.url, preferences=FULL) as again:
        talker.house = again
        answer = await talker.says("Add another.")
        assert answer.status == 200
        assert units(await again.records())[-1] == ("execute-task", "s#2", SONNET)
    assert models(strict) == [SONNET] * 3


async def test_what_a_change_of_models_wrote_anew_is_recorded_as_lost(opening: Opening, strict: PracticeProvider) -> None:
    cheap = FULL.replace("dynamic_routing: {", "dynamic_routing: {thresholds: {turn_requests: 200, switch_returns: 0}, ")
    async with opening(strict.url, preferences=cheap) as house:
        talker = Talker(house)
        await talker.says(BIG)
        await talker.says("Add a button.")
        assert models(strict) == [OPUS, SONNET]
        await talker.says("Add another.")
        _, moved, later = await house.records()
    assert moved.so_far.cache_loss_usd > 0
    assert later.so_far.cache_loss_usd == 0


async def test_a_user_who_changes_the_model_is_followed(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full)
    await talker.says(BIG)
    talker.model = SONNET
    answer = await talker.says("Add a button.")
    assert answer.status == 200
    talker.model = HAIKU
    await talker.says("Add another.", thinking=None)
    order = [HAIKU, SONNET, OPUS]
    assert [order.index(model) for model in models(strict)] == [2, 1, 0]


async def test_a_unit_is_over_when_the_next_one_begins(full: House) -> None:
    talker = Talker(full)
    await talker.says("Add a button.")
    await talker.says("Add another.")
    first, second = await full.records()
    assert first.outcome is not None
    assert (first.outcome.failure, first.outcome.verified) == (None, None)
    assert second.outcome is None


async def test_a_client_that_trims_its_history_gets_nobodys_thinking_refused(
    opening: Opening, strict: PracticeProvider
) -> None:
    eager = FULL.replace("dynamic_routing: {", "dynamic_routing: {thresholds: {turn_requests: 500, switch_returns: 0}, ")
    async with opening(strict.url, preferences=eager) as house:
        talker = Talker(house)
        del talker.headers["x-claude-code-session-id"]
        await talker.says(BIG)
        await talker.says("Add a button.")
        del talker.history[:2]
        answer = await talker.says(BIG)
        assert answer.status == 200
    assert models(strict) == [OPUS, SONNET, OPUS]


ENABLED = {"type": "enabled", "budget_tokens": 1_024}
OPUS45, SONNET45 = "claude-opus-4-5", "claude-sonnet-4-5"


async def test_where_thinking_cannot_be_left_out_a_stumbling_unit_stays(opening: Opening, strict: PracticeProvider) -> None:
    older = FULL.replace(SONNET, SONNET45).replace(f"{{model: {OPUS}, fallbacks: [{SONNET45}]}}", OPUS45)
    async with opening(strict.url, preferences=older) as house:
        talker = Talker(house, model=OPUS45)
        await talker.says("Add a button.", thinking=ENABLED)
        answer = await talker.runs("no", "no", "no", "no", error=True, thinking=ENABLED)
        assert answer.status == 200
        house.desk.switch("observe")
        assert (await talker.runs("fine", thinking=ENABLED)).status == 200
    assert models(strict) == [SONNET45] * 3


async def test_observe_changes_no_byte_of_a_client_that_changes_models_by_itself(
    opening: Opening, strict: PracticeProvider
) -> None:
    async with opening(strict.url, preferences=FULL.replace("mode: full", "mode: observe")) as house:
        talker = Talker(house)
        await talker.says("Add a button.")
        talker.model = SONNET
        await talker.says("Add another.")
    sent = json.loads(list(strict.bodies.values())[-1])
    assert sum(block["type"] == "thinking" for block in sent["messages"][1]["content"]) == 1


async def test_a_pin_in_the_middle_of_a_unit_is_obeyed(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full)
    await talker.says("Add a button.")
    talker.headers["x-stepdown-pin"] = "heavy"
    answer = await talker.runs("done")
    assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
    talker.headers["x-stepdown-pin"] = SONNET
    await talker.runs("done")
    assert models(strict) == [SONNET, OPUS, SONNET]
    assert {served.status for served in strict.log} == {200}


async def test_a_question_does_not_raise_anything(full: House, strict: PracticeProvider) -> None:
    talker = Talker(full)
    await talker.says("Add a button.")
    sent = [msgspec.structs.replace(served) for served in strict.log]
    ask = full.ask

    async def asked_first(path: str, body: object, headers: dict[str, str]) -> Answered:
        said = (await ask("/v1/stepdown/route", body, headers)).json
        assert said["hops"][0] == f"anthropic/{OPUS}"
        return await ask(path, body, headers)

    full.ask = asked_first  # type: ignore[method-assign,assignment]
    await talker.runs("no", "no", "no", "no", error=True)
    full.ask = ask  # type: ignore[method-assign]
    first, raised = await full.records()
    assert first.outcome is not None
    assert (first.outcome.failure, raised.attempt.cause) == ("quality", "step up")
    assert len(sent) == 1


async def test_a_dearer_fallback_answers_once_and_not_for_the_rest(opening: Opening, strict: PracticeProvider) -> None:
    dearer = FULL.replace(f"{{model: {OPUS}, fallbacks: [{SONNET}]}}", f"{{model: {SONNET}, fallbacks: [{OPUS}]}}")
    async with opening(strict.url, preferences=dearer) as house:
        talker = Talker(house, model=SONNET)
        await talker.says("Add a button.")
        strict.faults.add([Fault(kind="status", status=503, model=SONNET)])
        await talker.runs("done")
        await talker.runs("done")
    assert models(strict) == [SONNET, SONNET, OPUS, SONNET]
