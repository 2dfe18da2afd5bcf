"""What the real providers refuse of replayed thinking, in their words: another's, and where some is missing."""

from typing import Any

import pytest

from stepdown.catalog import Catalog
from stepdown.practice.messages import THOUGHT, Rejected
from stepdown.practice.rejected_thinking import check
from stepdown.practice.signing import sign

CATALOG = Catalog.load()
HAIKU, SONNET, MINI, LARGE = "claude-haiku-4-5", "claude-sonnet-4-6", "gpt-5.4-mini", "gpt-5.4"
SAID = {"role": "user", "content": "x"}
ENABLED, ADAPTIVE = {"thinking": {"type": "enabled", "budget_tokens": 2_000}}, {"thinking": {"type": "adaptive"}}
SEALING = {"include": ["reasoning.encrypted_content"]}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "y"}]}


def thought(model: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": THOUGHT, "signature": sign(model, THOUGHT)}


def redacted(model: str) -> dict[str, Any]:
    return {"type": "redacted_thinking", "data": sign(model, THOUGHT)}


def loop(*blocks: Any) -> dict[str, Any]:
    """A turn that is going on: `blocks`, a call, its result."""
    return {"messages": [SAID, {"role": "assistant", "content": [*blocks, CALL]}, RESULT]}


def items(*given: Any) -> dict[str, Any]:
    return {"input": [SAID, *given]}


def reasoning(model: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sign(model, THOUGHT)}


def called(**more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}", **more}


def chat(*messages: Any) -> dict[str, Any]:
    return {"messages": [SAID, *messages]}


def asked(signature: str = "", **more: Any) -> dict[str, Any]:
    """An assistant's call of a tool in Chat Completions."""
    extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
    call = {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}, **extra}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


DONE = {"role": "tool", "tool_call_id": "c", "content": "y"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "y"}
DETAILS = {"reasoning_details": [{"type": "reasoning.encrypted", "data": sign("grok-4.3", THOUGHT)}]}
GEMINI = "gemini-3.8-flash"

REFUSED = [
    ("messages", HAIKU, ADAPTIVE | loop(thought(SONNET)), "messages.1.content.0: Invalid `signature` in `thinking` block"),
    ("messages", HAIKU, loop(redacted(SONNET)), "messages.1.content.0: Invalid `data` in `redacted_thinking` block"),
    ("messages", HAIKU, loop({"type": "thinking", "thinking": "", "signature": ""}), "Invalid `signature`"),
    (
        "messages",
        HAIKU,
        ENABLED | loop(),
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    ("messages", HAIKU, ENABLED | loop({"type": "text", "text": "I see."}), "but found `text`"),
    ("messages", "deepseek-flash", loop(), "The `content[].thinking` in the thinking mode must be passed back to the API."),
    ("responses", MINI, items(reasoning("grok-4.3"), called()), "The encrypted content for item rs_1 could not be verified."),
    (
        "responses",
        MINI,
        items(reasoning(LARGE)),
        "'rs_1' of type 'reasoning' was provided without its required following item.",
    ),
    ("responses", MINI, items(reasoning(LARGE), SAID), "without its required following item."),
    (
        "responses",
        MINI,
        SEALING | items(called(id="fc_1"), OUTPUT),
        "Item 'fc_1' of type 'function_call' was provided without its",
    ),
    (
        "responses",
        MINI,
        SEALING | items({"role": "assistant", "content": "y", "id": "msg_1"}),
        "Item 'msg_1' of type 'message'",
    ),
    ("chat", MINI, chat({"role": "assistant", "content": "y", **DETAILS}), "Invalid `signature` in reasoning details"),
    (
        "chat",
        "deepseek-flash",
        chat(asked(), DONE),
        "The `reasoning_content` in the thinking mode must be passed back to the API.",
    ),
    ("chat", GEMINI, chat(asked(), DONE), "Function call is missing a thought_signature in functionCall parts."),
    ("chat", GEMINI, chat(asked(sign("gemini-4-argon", THOUGHT)), DONE), "Corrupted thought signature."),
]


def look(protocol: str, name: str, body: dict[str, Any]) -> None:
    model = CATALOG.resolve(name)
    assert model is not None
    check(protocol, body, model, CATALOG)


@pytest.mark.parametrize(("protocol", "name", "body", "words"), REFUSED)
def test_thinking_of_others_or_none_is_refused(protocol: str, name: str, body: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected) as refused:
        look(protocol, name, body)
    assert refused.value.status == 400
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("protocol", "name", "body"),
    [
        ("messages", SONNET, ADAPTIVE | loop(thought(SONNET))),
        ("messages", SONNET, ADAPTIVE | loop()),
        ("messages", HAIKU, ENABLED | loop(thought(HAIKU))),
        ("messages", HAIKU, ENABLED | loop(redacted(HAIKU))),
        ("messages", HAIKU, ENABLED | {"messages": [*loop()["messages"], {"role": "assistant", "content": "y"}, SAID]}),
        ("messages", HAIKU, ENABLED | {"messages": [*loop(thought(HAIKU))["messages"], *loop()["messages"][1:]]}),
        ("messages", "deepseek-flash", loop(thought("deepseek-flash"))),
        ("messages", "deepseek-flash", {"thinking": {"type": "disabled"}} | loop()),
        ("responses", MINI, SEALING | items(reasoning(LARGE), called(id="fc_1"), called(id="fc_2"), OUTPUT)),
        ("responses", MINI, SEALING | items(called(), OUTPUT)),
        ("responses", MINI, items(called(id="fc_1"), OUTPUT)),
        ("responses", "gpt-4.1", SEALING | items(called(id="fc_1"), OUTPUT)),
        ("chat", "grok-4.3", chat({"role": "assistant", "content": "y", **DETAILS})),
        ("chat", "deepseek-flash", chat(asked(reasoning_content="Hm."), DONE)),
        ("chat", MINI, chat(asked(), DONE)),
        ("chat", GEMINI, chat(asked(sign(GEMINI, THOUGHT)), DONE)),
        ("chat", GEMINI, chat(asked(), DONE, {"role": "assistant", "content": "y"}, SAID)),
    ],
)
def test_its_own_thinking_and_what_may_be_missing_are_taken(protocol: str, name: str, body: dict[str, Any]) -> None:
    look(protocol, name, body)
