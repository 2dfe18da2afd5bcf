"""aider"""
import pytest
import yaml

from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, recorded

AIDER = program("aider")
async def aider(way: Journey) -> Done:
    unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
    settings = [{"name": name, "edit_format": "diff", "weak_model_name": "openai/gpt-5.4-nano", "extra_params": {"extra_headers": unit}} for name in ("openai/gpt-5.4", "openai/gpt-5.4-nano")]
    (way.home / "models.yml").write_text(yaml.safe_dump(settings))
    environ = {"OPENAI_API_BASE": f"{way.url}/v1", "OPENAI_API_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    (way.home / "task.txt").write_text(TASK)
    quiet = ["--no-analytics", "--no-check-update", "--no-show-model-warnings", "--no-show-release-notes", "--no-pretty", "--no-gitignore"]
    command = [AIDER, "--model", "openai/gpt-5.4", "--model-settings-file", str(way.home / "models.yml"), "--yes-always", *quiet, "--map-tokens", "0", "--message-file", str(way.home / "task.txt"), "src/b.py"]
    return await way.run(command, environ)

def show(way, done):
    print(done.code, done.said[-800:], way.wrote, way.course, [(e.method,e.path,e.status,e.answered.get("x-stepdown-model"), e.answered.get("x-stepdown-reason"), e.answer[-300:] if e.status not in (200,) else "") for e in way._tap.exchanges])

async def test_bad(start: Start) -> None:
    fb=["gpt-5.2", "gpt-5-mini", "gpt-5"]
    async with start(light="gpt-5.4-mini", models={"completion": {"model": "gpt-5.4", "fallbacks": fb}}) as way:
        for model, fault in zip(["gpt-5.4-mini", *fb], BEFORE): way.fail(model, fault)
        way.fail("gpt-5.4", *MIDWAY)
        done = await aider(way)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_budget(start: Start) -> None:
    async with start(light="gpt-5.4-mini", budget_ceiling=0.001) as way:
        done = await aider(way)
        show(way, done)
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)
