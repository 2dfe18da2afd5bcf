"""Codex."""
import pytest

from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, recorded

CODEX = program("codex")
CEILING, TIER = "gpt-5.4", "gpt-5.4-mini"
FALLBACKS = ["gpt-5.4-nano", "gpt-5-mini", "gpt-5-nano"]

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

async def codex(way: Journey) -> Done:
    (way.home / ".codex").mkdir()
    (way.home / ".codex/config.toml").write_text(CONFIG.format(url=way.url, model=CEILING))
    command = [CODEX, "exec", "--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox", "-"]
    return await way.run(command, {"OPENAI_API_KEY": KEY}, stdin=TASK)

def show(way, done):
    print(done.code, done.said[-800:], way.wrote, way.course, [(e.method,e.path,e.status,e.answered.get("x-stepdown-model"), e.answered.get("x-stepdown-reason"), e.answer[-300:] if e.status not in (200,) else "") for e in way._tap.exchanges])

async def test_plain(start: Start) -> None:
    async with start(light=TIER) as way:
        done = await codex(way)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_bad(start: Start) -> None:
    async with start(light=TIER, models={"completion": {"model": CEILING, "fallbacks": FALLBACKS}}) as way:
        for model, fault in zip([TIER, *FALLBACKS], BEFORE): way.fail(model, fault)
        way.fail(CEILING, UNHURT, *MIDWAY)
        done = await codex(way)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_budget(start: Start) -> None:
    async with start(light=TIER, budget_ceiling=0.001) as way:
        done = await codex(way)
        show(way, done)
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)
