"""Claude Code through the gateway: a declared unit on a cheaper model, and whatever fails on the way."""

import pytest
from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, Done, Journey, Start, is_estimated, recorded, refusals

CLAUDE = program("claude")
CEILING, TIER = "claude-opus-4-6", "claude-sonnet-4-6"
FALLBACKS = ["claude-haiku-5-5", "claude-opus-4-7", "claude-opus-4-8"]
CHAIN = [TIER, *FALLBACKS]

pytestmark = [needs(CLAUDE, "Claude Code"), pytest.mark.xdist_group("claude")]


async def claude(way: Journey) -> Done:
    environ = {
        "ANTHROPIC_BASE_URL": way.url,
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_CUSTOM_HEADERS": "x-stepdown-unit: execute-task\nx-stepdown-unit-id: T01",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [CLAUDE, "-p", "--model", CEILING, "--permission-mode", "acceptEdits", "--output-format", "json"]
    return await way.run(command, environ, stdin=TASK)


async def test_a_declared_unit_runs_on_its_tiers_model_and_is_recorded_to_the_token(start: Start) -> None:
    async with start(standard=TIER) as way:
        done = await claude(way)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.course == [(TIER, "")] * 3
        assert way.said_models == [TIER] * 3
        (record,) = await way.settled()
        assert (record.attempt.unit_type, record.attempt.unit_id, record.attempt.downgraded) == ("execute-task", "T01", True)
        assert recorded([record]) == way.billed
        assert way.billed.cache_read > 0


async def test_what_fails_before_the_first_byte_is_not_noticed(start: Start) -> None:
    async with start(standard=TIER, models={"execution": {"model": CEILING, "fallbacks": FALLBACKS}}) as way:
        way.fail_in_turn(CHAIN, BEFORE)
        done = await claude(way)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.statuses == [200] * 3
        # The answer that came is signed by the ceiling, so that the unit stays with it.
        assert way.course == [*zip(CHAIN, [one.kind for one in BEFORE], strict=True), *[(CEILING, "")] * 3]
        assert way.said_models == [CEILING] * 3
        assert recorded(await way.settled()) == way.billed


async def test_what_fails_in_the_middle_is_told_as_it_is_and_got_over(start: Start) -> None:
    async with start(standard=TIER) as way:
        way.fail(TIER, *MIDWAY)
        done = await claude(way)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.course == [(TIER, "mid_error"), (TIER, "cut_mid"), *[(TIER, "")] * 3]
        assert is_estimated(await way.settled())


async def test_a_budget_that_is_used_up_ends_it_at_once(start: Start) -> None:
    async with start(standard=TIER, budget_ceiling=0.001) as way:
        done = await claude(way)
        assert done.code == 1
        assert "402 budget_ceiling is used up" in done.said
        assert refusals(way, await way.settled()) == 1
