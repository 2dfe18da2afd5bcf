"""The check of calls that Claude Code's auto mode asks its provider for: a verdict on each, as a stream and in one piece."""

import io
import json
from typing import Any

import aiohttp
import pytest

from stepdown.practice.provider import PracticeProvider
from stepdown.practice.tools import TOOLS

ASKED = [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}]
TASK = {"role": "user", "content": "## UNIT: Execute Task T01\n\n## Files to write\n\n- `a.md`\n"}
BODY: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 500, "messages": [TASK], "tools": list(TOOLS)}


async def ask(body: object, *, strict: bool = True) -> str:
    async with (
        PracticeProvider(latency=0, strict=strict) as provider,
        aiohttp.ClientSession() as session,
        session.post(f"{provider.url}/v1/messages", data=io.BytesIO(json.dumps(body).encode())) as response,
    ):
        assert response.status == 200
        return (await response.read()).decode()


@pytest.mark.parametrize("strict", [True, False])
async def test_every_call_has_a_verdict(*, strict: bool) -> None:
    answer = json.loads(await ask(BODY | {"safeguards": ASKED}, strict=strict))
    calls = [block["id"] for block in answer["content"] if block["type"] == "tool_use"]
    (result,) = answer["safeguard_results"]
    assert result["type"] == "dangerous_tool_use"
    assert result["status"]["type"] == "available"
    assert result["status"]["tool_uses"] == {call: {"type": "evaluated", "outcome": "not_flagged"} for call in calls}
    assert calls


async def test_in_a_stream_it_comes_at_the_end() -> None:
    said = await ask(BODY | {"safeguards": ASKED, "stream": True})
    events = [json.loads(line.removeprefix("data: ")) for line in said.splitlines() if line.startswith("data: ")]
    assert [one["type"] for one in events if "safeguard_results" in json.dumps(one)] == ["message_delta"]
    delta = next(one for one in events if one["type"] == "message_delta")["delta"]
    assert delta["safeguard_results"][0]["status"]["tool_uses"]


@pytest.mark.parametrize(
    "more",
    [{}, {"safeguards": []}, {"safeguards": [{"type": "of_tomorrow"}]}, {"safeguards": ASKED, "model": "deepseek-flash"}],
)
async def test_who_is_not_asked_or_does_not_check_says_nothing(more: dict[str, Any]) -> None:
    assert "safeguard_results" not in await ask(BODY | more)
