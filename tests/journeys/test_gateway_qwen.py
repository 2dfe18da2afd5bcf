"""Qwen Code through the gateway. Alone it loses its turn at an error that begins a stream; through the gateway it does not."""

import json
from typing import Final

import pytest
from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, Done, Journey, Start, recorded, refusals

QWEN = program("qwen")
CEILING: Final = {"openai": "gpt-5.4", "anthropic": "claude-sonnet-4-6"}
TIER: Final = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5"}

pytestmark = needs(QWEN, "Qwen Code")


async def qwen(way: Journey, speaks: str) -> Done:
    unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
    (way.home / ".qwen").mkdir()
    (way.home / ".qwen/settings.json").write_text(json.dumps({"model": {"generationConfig": {"customHeaders": unit}}}))
    name, base = speaks.upper(), f"{way.url}/v1" if speaks == "openai" else way.url
    environ = {f"{name}_BASE_URL": base, f"{name}_API_KEY": KEY, f"{name}_MODEL": CEILING[speaks]}
    return await way.run([QWEN, "--auth-type", speaks, "-y", "-p", TASK], environ)


@pytest.mark.parametrize("speaks", CEILING)
async def test_what_fails_before_the_first_byte_is_not_noticed(start: Start, speaks: str) -> None:
    tier, ceiling = TIER[speaks], CEILING[speaks]
    async with start(light=tier) as way:
        way.fail(tier, *BEFORE[:2])
        done = await qwen(way, speaks)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.statuses == [200] * 3
        if speaks == "openai":
            assert way.course == [(tier, "status"), (ceiling, ""), (tier, "sse_error"), (ceiling, ""), (tier, "")]
        else:  # its thinking is signed by the model that answered
            assert way.course == [(tier, "status"), *[(ceiling, "")] * 3]
        assert recorded(await way.settled()) == way.billed


@pytest.mark.parametrize("speaks", CEILING)
async def test_what_fails_in_the_middle_is_told_as_it_is(start: Start, speaks: str) -> None:
    """It stops there, as it does alone."""
    fault = MIDWAY[speaks == "openai"]
    async with start(light=TIER[speaks]) as way:
        way.fail(TIER[speaks], fault)
        done = await qwen(way, speaks)
        assert done.code == 1
        assert ("other side closed" if fault.kind == "cut_mid" else "told to fail (mid_error)") in done.said
        assert way.course == [(TIER[speaks], fault.kind)]
        (record,) = await way.settled()
        assert record.outcome is not None
        assert (record.outcome.failure, record.outcome.cost_source) == ("provider", "estimated")


async def test_a_budget_that_is_used_up_ends_it_at_once(start: Start) -> None:
    async with start(light=TIER["openai"], budget_ceiling=0.001) as way:
        done = await qwen(way, "openai")
        assert done.code == 1
        assert "402 budget_ceiling is used up" in done.said
        assert refusals(way, await way.settled()) == 1
