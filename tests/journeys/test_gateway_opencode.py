"""OpenCode through the gateway, on each of the three protocols."""

import json
from typing import Final

import msgspec
import pytest
from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, is_estimated, recorded, refusals

OPENCODE = program("opencode")


class Way(msgspec.Struct, frozen=True):
    """A protocol: OpenCode's package for it, the model it is given, the light one, and one for the title."""

    package: str
    ceiling: str
    tier: str
    small: str
    fallbacks: list[str]


CHAT: Final = Way(
    "@ai-sdk/openai-compatible", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", ["gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.5"]
)
RESPONSES: Final = msgspec.structs.replace(CHAT, package="@ai-sdk/openai")
MESSAGES: Final = Way("@ai-sdk/anthropic", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-haiku-4-5", [])

pytestmark = needs(OPENCODE, "OpenCode")


async def opencode(way: Journey, over: Way) -> Done:
    unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
    provider = {
        "npm": over.package,
        "name": "stepdown",
        "options": {"baseURL": f"{way.url}/v1", "apiKey": KEY, "headers": unit},
        "models": {over.ceiling: {}, over.small: {}},
    }
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "model": f"stepdown/{over.ceiling}",
        "small_model": f"stepdown/{over.small}",
        "permission": {"edit": "allow", "bash": "allow", "webfetch": "deny"},
        "provider": {"stepdown": provider},
    }
    (way.home / "opencode.json").write_text(json.dumps(settings))
    environ = {
        "OPENCODE_CONFIG": str(way.home / "opencode.json"),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }
    return await way.run([OPENCODE, "run", "-m", f"stepdown/{over.ceiling}"], environ, stdin=TASK)


def worked(way: Journey, over: Way) -> list[tuple[str, str]]:
    """The course without the title, which OpenCode asks for beside the work."""
    return [(model, fault) for model, fault in way.course if model != over.small]


async def test_a_declared_unit_runs_on_its_tiers_model_and_is_recorded_to_the_token(start: Start) -> None:
    async with start(light=MESSAGES.tier) as way:
        done = await opencode(way, MESSAGES)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.course == [(MESSAGES.tier, "")] * 4
        records = await way.settled()
        assert {(one.attempt.unit_id, one.attempt.model) for one in records} == {("S01", f"anthropic/{MESSAGES.tier}")}
        assert recorded(records) == way.billed


@pytest.mark.parametrize("over", [CHAT, RESPONSES], ids=["chat", "responses"])
async def test_it_gets_over_a_whole_day_of_faults(start: Start, over: Way) -> None:
    async with start(light=over.tier, models={"completion": {"model": over.ceiling, "fallbacks": over.fallbacks}}) as way:
        way.fail_in_turn([over.tier, *over.fallbacks], BEFORE)
        # Over Responses its reasoning is sealed by the model that answered, and the unit stays there; over Chat nothing is.
        stays = over.ceiling if over is RESPONSES else over.tier
        way.fail(stays, *([UNHURT] if over is RESPONSES else []), *MIDWAY)
        done = await opencode(way, over)
        assert (done.code, way.wrote) == (0, True), done.said
        before = [*zip([over.tier, *over.fallbacks], [one.kind for one in BEFORE], strict=True)]
        first = (over.ceiling, "late" if over is RESPONSES else "")
        assert worked(way, over) == [*before, first, (stays, "mid_error"), (stays, "cut_mid"), (stays, ""), (stays, "")]
        assert way.statuses == [200] * 6  # the title, three turns, and the two that broke off asked again
        assert is_estimated(await way.settled())


async def test_a_budget_that_is_used_up_ends_it_at_once(start: Start) -> None:
    async with start(light=CHAT.tier, budget_ceiling=0.001) as way:
        done = await opencode(way, CHAT)
        assert done.code == 1
        assert "budget_ceiling is used up" in done.said
        assert refusals(way, await way.settled()) in {1, 2}  # the title's, where the work was faster, and its own
