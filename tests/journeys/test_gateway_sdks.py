"""SDKs."""
import json
from pathlib import Path
import msgspec
import pytest

from clients import needs, sdk_python
from journey import BEFORE, KEY, MIDWAY, TASK, UNHURT, Done, Journey, Start, recorded

SCRIPTS = Path(__file__).parent / "scripts"
PYTHON = sdk_python()
def show(way, done):
    print(done.code, done.said[-1800:], way.wrote, way.course, [(e.method,e.path,e.status,e.answered.get("x-stepdown-model"), e.answered.get("x-stepdown-reason"), e.answer[-300:] if e.status not in (200,) else "") for e in way._tap.exchanges])

async def test_streams(start: Start) -> None:
    async with start(dynamic_routing={"enabled": True, "tier_models": {"light": "gpt-5.4-mini"}}) as way:
        faults = [msgspec.json.encode(one).decode() for one in (*BEFORE, *MIDWAY)]
        faults = [f for f in faults]
        alone = await way.run([PYTHON, str(SCRIPTS / "streams.py"), way.provider.url, way.provider.url, *[f for f in faults if '"retry_after":120' not in f]], {})
        print(alone)
        done = await way.run([PYTHON, str(SCRIPTS / "streams.py"), way.url, way.provider.url, *faults], {})
        show(way, done)

@pytest.mark.parametrize("how", ["plain", "stream"])
async def test_runner(start: Start, how) -> None:
    async with start(light="claude-haiku-4-5") as way:
        way.fail("claude-haiku-4-5", *BEFORE)
        done = await way.run([PYTHON, str(SCRIPTS / "tool_runner.py"), way.url, how], {}, stdin=TASK)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

@pytest.mark.parametrize("how", ["run", "stream"])
@pytest.mark.parametrize("protocol", ["chat", "responses", "messages"])
async def test_pyd(start: Start, how, protocol) -> None:
    m = "claude-haiku-4-5" if protocol == "messages" else "gpt-5.4-mini"
    async with start(light=m) as way:
        way.fail(m, *BEFORE)
        done = await way.run([PYTHON, str(SCRIPTS / "typed_agent.py"), way.url, protocol, how], {}, stdin=TASK)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_agent(start: Start) -> None:
    async with start(standard="claude-sonnet-4-6") as way:
        way.fail("claude-sonnet-4-6", *BEFORE)
        done = await way.run([PYTHON, str(SCRIPTS / "claude_agent.py"), way.url, "claude-opus-4-6"], {}, stdin=TASK)
        show(way, done)
        await way.stop()
        way.check()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)
