"""The practice model hands work to a sub-agent: once, and only where the client offers that and its user asks for it."""

from typing import Any

import pytest

from stepdown.practice import script

SAID = "Ask the sub-agent counter: Count the files here."
AGENT = {"name": "Agent", "input_schema": {"type": "object", "properties": {"prompt": {"type": "string"}}}}


def body(text: str, *more: dict[str, Any], tools: tuple[dict[str, Any], ...] = (AGENT,)) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}, *more]
    return {"model": "claude-opus-4-6", "max_tokens": 500, "messages": messages, "tools": list(tools)}


def calls(asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(block) for block in script.answer(asked).content if block["type"] == "tool_use"]


@pytest.mark.parametrize("name", ["Agent", "Task"])
def test_it_is_handed_over_once(name: str) -> None:
    tool = AGENT | {"name": name}
    (call,) = calls(body(SAID, tools=(tool,)))
    assert (call["name"], call["input"]["subagent_type"]) == (name, "counter")
    assert call["input"]["prompt"] == "Count the files here."
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "3"}]}
    assert calls(body(SAID, {"role": "assistant", "content": [call]}, result, tools=(tool,))) == []


@pytest.mark.parametrize(("text", "tools"), [(SAID, ()), ("Count the files here.", (AGENT,))])
def test_else_it_is_not(text: str, tools: tuple[dict[str, Any], ...]) -> None:
    assert calls(body(text, tools=tools)) == []
