"""Claude Code through the gateway: its tool loop to the end, whatever fails on the way."""

from collections.abc import Sequence

import pytest

from clients import needs, program
from journey import BEFORE, KEY, MIDWAY, TASK, Done, Journey, Start, recorded

CLAUDE = program("claude")
CEILING, TIER = "claude-opus-4-6", "claude-sonnet-4-6"

pytestmark = [needs(CLAUDE, "Claude Code"), pytest.mark.xdist_group("claude")]


async def claude(way: Journey) -> Done:
    environ = {
        "ANTHROPIC_BASE_URL": way.url,
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_CUSTOM_HEADERS": "x-stepdown-unit: execute-task\nx-stepdown-unit-id: T01",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [CLAUDE, "-p", "--model", CEILING, "--permission-mode", "acceptEdits", "--output-format", "json"]
    return await way.run(command, environ, stdin=TASK)


async def test_before(start: Start) -> None:
    async with start(standard=TIER) as way:
        way.fail(TIER, *BEFORE)
        done = await claude(way)
        print(done, way.course, [(e.method,e.path,e.status) for e in way._tap.exchanges])
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_mid(start: Start) -> None:
    async with start(standard=TIER) as way:
        way.fail(TIER, *MIDWAY)
        done = await claude(way)
        print(done, way.course, [(e.method,e.path,e.status) for e in way._tap.exchanges])
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)

async def test_budget(start: Start) -> None:
    async with start(standard=TIER, budget_ceiling=0.001) as way:
        done = await claude(way)
        print(done, way.course, [(e.method,e.path,e.status, e.answer[-300:]) for e in way._tap.exchanges])
        await way.stop()
        print([(r.attempt.model, r.outcome) for r in way.records()], way.billed)
