"""Codex through the gateway: a declared unit on a cheaper model, and whatever fails on the way."""

import pytest
from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, is_estimated, recorded, refusals

CODEX = program("codex")
CEILING, TIER = "gpt-5.4", "gpt-5.4-mini"
FALLBACKS = ["gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.5"]
CHAIN = [TIER, *FALLBACKS]
CONFIG = """
model = "{model}"
model_provider = "stepdown"

[model_providers.stepdown]
name = "stepdown"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
http_headers = {{ "x-stepdown-unit" = "complete-slice", "x-stepdown-unit-id" = "S01" }}
"""

pytestmark = [needs(CODEX, "Codex"), pytest.mark.xdist_group("codex")]


async def codex(way: Journey) -> Done:
    (way.home / ".codex").mkdir()
    (way.home / ".codex/config.toml").write_text(CONFIG.format(url=way.url, model=CEILING))
    # Its sandbox needs user namespaces, which some containers forbid; what runs here is a script that writes two files.
    command = [CODEX, "exec", "--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox", "-"]
    return await way.run(command, {"OPENAI_API_KEY": KEY}, stdin=TASK)


async def test_a_declared_unit_runs_on_its_tiers_model_and_is_recorded_to_the_token(start: Start) -> None:
    async with start(light=TIER) as way:
        done = await codex(way)
        assert (done.code, way.wrote) == (0, True), done.said
        assert way.course == [(TIER, "")] * 3
        assert way.said_models == [TIER] * 3
        (record,) = await way.settled()
        assert (record.attempt.unit_type, record.attempt.unit_id, record.attempt.downgraded) == ("complete-slice", "S01", True)
        assert recorded([record]) == way.billed


async def test_it_gets_over_a_whole_day_of_faults(start: Start) -> None:
    async with start(light=TIER, models={"completion": {"model": CEILING, "fallbacks": FALLBACKS}}) as way:
        way.fail_in_turn(CHAIN, BEFORE)
        way.fail(CEILING, UNHURT, *MIDWAY)
        done = await codex(way)
        assert (done.code, way.wrote) == (0, True), done.said
        before = [*zip(CHAIN, [one.kind for one in BEFORE], strict=True), (CEILING, "late")]
        assert way.course == [*before, (CEILING, "mid_error"), (CEILING, "cut_mid"), (CEILING, ""), (CEILING, "")]
        assert way.statuses == [200] * 5  # three turns, and the two that broke off asked again
        assert is_estimated(await way.settled())


async def test_a_budget_that_is_used_up_ends_it(start: Start) -> None:
    async with start(light=TIER, budget_ceiling=0.001) as way:
        done = await codex(way)
        assert done.code == 1
        assert "402 Payment Required: budget_ceiling is used up" in done.said
        # It takes no status but 400 and a few codes of OpenAI's own for final: five more, each later than the last.
        assert refusals(way, await way.settled()) == 6
