"""Qwen."""
import json
import pytest

from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, recorded

QWEN = program("qwen")
CEILING = {"openai": "gpt-5.4", "anthropic": "claude-sonnet-4-6"}
TIER = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5"}

async def qwen(way: Journey, speaks: str) -> Done:
    unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
    (way.home / ".qwen").mkdir()
    (way.home / ".qwen/settings.json").write_text(json.dumps({"model": {"generationConfig": {"customHeaders": unit}}}))
    base = f"{way.url}/v1" if speaks == "openai" else way.url
    name = speaks.upper()
    environ = {f"{name}_BASE_URL": base, f"{name}_API_KEY": KEY, f"{name}_MODEL": CEILING[speaks]}
    return await way.run([QWEN, "--auth-type", speaks, "-y", "-p", TASK], environ)

def show(way, done):
    print(done.code, done.said[-800:], way.wrote, way.course, [(e.method,e.path,e.status,e.answered.get("x-stepdown-model"), e.answered.get("x-stepdown-reason"), e.answer[-300:] if e.status not in (200,) else "") for e in way._tap.exchanges])

@pytest.mark.parametrize("speaks", CEILING)
async def test_plain(start: Start, speaks) -> None:
    async with start(light=TIER[speaks]) as way:
        way.fail(TIER[speaks], *BEFORE[:3])
        done = await qwen(way, speaks)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

@pytest.mark.parametrize("speaks", CEILING)
async def test_mid(start: Start, speaks) -> None:
    async with start(light=TIER[speaks]) as way:
        way.fail(TIER[speaks], MIDWAY[speaks == "openai"])
        done = await qwen(way, speaks)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_budget(start: Start) -> None:
    async with start(light="gpt-5.4-mini", budget_ceiling=0.001) as way:
        done = await qwen(way, "openai")
        show(way, done)
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)
