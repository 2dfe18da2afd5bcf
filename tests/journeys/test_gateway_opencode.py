"""OpenCode."""
import json
import pytest

from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, recorded

OPENCODE = program("opencode")
PACKAGES = {"chat": "@ai-sdk/openai-compatible", "responses": "@ai-sdk/openai", "messages": "@ai-sdk/anthropic"}

async def opencode(way: Journey, protocol: str, model: str, small: str) -> Done:
    unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
    provider = {
        "npm": PACKAGES[protocol],
        "name": "stepdown",
        "options": {"baseURL": f"{way.url}/v1", "apiKey": KEY, "headers": unit},
        "models": {model: {}, small: {}},
    }
    (way.home / "opencode.json").write_text(json.dumps({
        "autoupdate": False, "share": "disabled", "snapshot": False,
        "model": f"stepdown/{model}", "small_model": f"stepdown/{small}",
        "permission": {"edit": "allow", "bash": "allow", "webfetch": "deny"},
        "provider": {"stepdown": provider},
    }))
    environ = {"OPENCODE_CONFIG": str(way.home / "opencode.json"), "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}
    return await way.run([OPENCODE, "run", "-m", f"stepdown/{model}"], environ, stdin=TASK)

def show(way, done):
    print(done.code, done.said[-800:], way.wrote, way.course, [(e.method,e.path,e.status,e.answered.get("x-stepdown-model"), e.answered.get("x-stepdown-reason"), e.answer[-300:] if e.status not in (200,) else "") for e in way._tap.exchanges])

@pytest.mark.parametrize("protocol", PACKAGES)
async def test_plain(start: Start, protocol) -> None:
    light, ceiling = ("claude-haiku-4-5", "claude-sonnet-4-6") if protocol == "messages" else ("gpt-5.4-mini", "gpt-5.4")
    async with start(light=light) as way:
        done = await opencode(way, protocol, ceiling, "claude-haiku-4-5" if protocol == "messages" else "gpt-5.4-nano")
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

@pytest.mark.parametrize("protocol", PACKAGES)
async def test_bad(start: Start, protocol) -> None:
    light, ceiling = ("claude-haiku-4-5", "claude-sonnet-4-6") if protocol == "messages" else ("gpt-5.4-mini", "gpt-5.4")
    fb = ["claude-sonnet-4-5", "claude-opus-4-5", "claude-sonnet-4-0"] if protocol == "messages" else ["gpt-5.2", "gpt-5-mini", "gpt-5"]
    async with start(light=light, models={"completion": {"model": ceiling, "fallbacks": fb}}) as way:
        for model, fault in zip([light, *fb], BEFORE): way.fail(model, fault)
        way.fail(ceiling, UNHURT, *MIDWAY)
        done = await opencode(way, protocol, ceiling, "claude-3-5-haiku-latest" if protocol == "messages" else "gpt-5.4-nano")
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_budget(start: Start) -> None:
    async with start(light="gpt-5.4-mini", budget_ceiling=0.001) as way:
        done = await opencode(way, "chat", "gpt-5.4", "gpt-5.4-nano")
        show(way, done)
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)
