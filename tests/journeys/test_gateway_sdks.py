"""SDKs through the gateway: the helpers that people write agents with, and two agents written so."""

import json
from pathlib import Path

import msgspec
import pytest
from clients import needs, sdk_python
from journey import BEFORE, MIDWAY, TASK, Done, Journey, Start, recorded

from stepdown.practice.faults import Fault

SCRIPTS = Path(__file__).parent / "scripts"
PYTHON = sdk_python()
LONG_WAIT = BEFORE[2]

pytestmark = [needs(PYTHON, "the SDKs' environment"), pytest.mark.xdist_group("sdks")]


async def script(way: Journey, name: str, *arguments: str) -> Done:
    return await way.run([PYTHON, str(SCRIPTS / f"{name}.py"), *arguments], {}, stdin=TASK)


async def outcomes(way: Journey, url: str, model: str, faults: list[Fault], helpers: str) -> dict[str, str]:
    """What becomes of each helper's stream through each fault of a model."""
    told = [msgspec.json.encode(msgspec.structs.replace(one, model=model)).decode() for one in faults]
    done = await script(way, "streams", url, way.provider.url, helpers, *told)
    assert done.code == 0, done.said
    came: dict[str, str] = json.loads(done.said.splitlines()[-1])
    return came


@pytest.mark.parametrize(
    ("helpers", "ceiling", "tier"),
    [("chat,responses", "gpt-5.4", "gpt-5.4-mini"), ("messages", "claude-sonnet-4-6", "claude-haiku-4-5")],
)
async def test_streaming_helpers_keep_turns_that_they_lose_alone(start: Start, helpers: str, ceiling: str, tier: str) -> None:
    begins = [BEFORE[0], BEFORE[1], BEFORE[3]]
    async with start(light=tier) as way:
        alone = await outcomes(way, way.provider.url, ceiling, [*begins, *MIDWAY], helpers)
        way.provider.log.clear()
        through = await outcomes(way, way.url, tier, [*begins, *MIDWAY, LONG_WAIT], helpers)
        assert {name for name, came in alone.items() if came == "ok"} == {
            f"{fault} {helper}" for fault in ("status", "cut") for helper in helpers.split(",")
        }
        for name, came in through.items():
            if name.startswith(("mid_error", "cut_mid")):
                assert came == alone[name]  # the truth, as they see it alone
            else:
                assert came == "ok", (name, came)
        assert {one.status for one in way.asked} == {200}
        await way.stop()
        way.check()


@pytest.mark.parametrize("how", ["plain", "stream"])
async def test_the_tool_runner_does_its_task(start: Start, how: str) -> None:
    """It asks for a conversation kept by the server first, takes no for an answer, and sends everything from then on."""
    async with start(light="claude-haiku-4-5") as way:
        done = await script(way, "tool_runner", way.url, how)
        assert (done.code, done.said.split()[-1], way.wrote) == (0, "end_turn", True), done.said
        assert way.statuses == [400, 200, 200, 200]
        assert recorded(await way.settled()) == way.billed


@pytest.mark.parametrize(
    ("protocol", "ceiling", "tier", "how"),
    [
        ("chat", "gpt-5.4", "gpt-5.4-mini", "stream"),
        ("responses", "gpt-5.6-terra", "gpt-5.6-luna", "run"),
        ("messages", "claude-sonnet-4-6", "claude-haiku-4-5", "stream"),
    ],
)
async def test_pydantic_ai_does_its_task_while_the_provider_fails(
    start: Start, protocol: str, ceiling: str, tier: str, how: str
) -> None:
    async with start(light=tier) as way:
        way.fail(tier, BEFORE[0], BEFORE[1], LONG_WAIT)
        done = await script(way, "typed_agent", way.url, protocol, ceiling, how)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.statuses == [200] * 3
        assert way.course[:2] == [(tier, "status"), (ceiling, "")]
        if protocol == "responses":  # its reasoning is sealed by the model that answered
            assert way.course[2:] == [(ceiling, "")] * 2
        else:
            assert way.course[2:] == [(tier, "sse_error"), (ceiling, ""), (tier, "status"), (ceiling, "")]
        assert recorded(await way.settled()) == way.billed


async def test_claude_agent_sdk_does_its_task_and_does_not_wait_two_minutes(start: Start) -> None:
    async with start(standard="claude-sonnet-4-6") as way:
        way.fail("claude-sonnet-4-6", LONG_WAIT)
        done = await script(way, "claude_agent", way.url, "claude-opus-4-6")
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.course == [("claude-sonnet-4-6", "status"), *[("claude-opus-4-6", "")] * 3]
        assert recorded(await way.settled()) == way.billed
