"""aider through the gateway. It asks for no usage, so that the gateway estimates it, and says so."""

import pytest
import yaml
from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, Done, Journey, Start, is_estimated

AIDER = program("aider")
CEILING, TIER, WEAK = "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"
FALLBACKS = ["gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.5"]
CHAIN = [TIER, *FALLBACKS]
QUIET = (
    *("--no-analytics", "--no-check-update", "--no-show-model-warnings", "--no-show-release-notes"),
    *("--no-pretty", "--no-gitignore", "--map-tokens", "0", "--yes-always"),
)

pytestmark = [needs(AIDER, "aider"), pytest.mark.xdist_group("aider")]


async def aider(way: Journey, *, patience: float = 90.0) -> Done:
    headers = {"extra_headers": {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}}
    settings = [
        {"name": f"openai/{name}", "edit_format": "diff", "weak_model_name": f"openai/{WEAK}", "extra_params": headers}
        for name in (CEILING, WEAK)
    ]
    (way.home / "models.yml").write_text(yaml.safe_dump(settings))
    (way.home / "task.txt").write_text(TASK)
    environ = {"OPENAI_API_BASE": f"{way.url}/v1", "OPENAI_API_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    places = ["--model-settings-file", str(way.home / "models.yml"), "--message-file", str(way.home / "task.txt")]
    return await way.run([AIDER, "--model", f"openai/{CEILING}", *places, *QUIET, "src/b.py"], environ, patience=patience)


async def test_an_edit_and_its_commit_get_over_a_whole_day_of_faults(start: Start) -> None:
    async with start(light=TIER, models={"completion": {"model": CEILING, "fallbacks": FALLBACKS}}) as way:
        way.fail_in_turn(CHAIN, BEFORE)
        way.fail(CEILING, MIDWAY[0])
        way.fail(TIER, MIDWAY[1])
        done = await aider(way)
        assert (done.code, way.wrote) == (0, True), done.said
        before = [*zip(CHAIN, [one.kind for one in BEFORE], strict=True), (CEILING, "mid_error")]
        assert way.course == [*before, (TIER, "cut_mid"), (TIER, ""), (WEAK, "")]
        assert way.statuses == [200] * 4  # the edit, which broke off twice, and the commit's message
        assert is_estimated(await way.settled())


async def test_a_budget_that_is_used_up_is_asked_again_ever_more_slowly(start: Start) -> None:
    """It takes no status for final but 400, 401 and 404, and doubles its pauses until they are a minute."""
    async with start(light=TIER, budget_ceiling=0.001) as way:
        await aider(way, patience=20.0)
        assert way.wrote
        assert way.course == [(TIER, "")]
        await way.stop()
        assert 1 <= sum(one.status == 402 for one in way.asked) <= 8
        assert way.statuses[0] == 200
