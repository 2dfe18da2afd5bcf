"""What the real providers refuse, in their words: in a provider that was told to be strict, and in no other."""

import io
import json
from typing import Any

import aiohttp
import pytest

from stepdown.practice.messages import THOUGHT
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.rejections import MOST_TOOLS
from stepdown.practice.signing import sign

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
SAID = {"role": "user", "content": "x"}
HAIKU: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 500, "messages": [SAID]}
OPUS = HAIKU | {"model": "claude-opus-4-8"}
MINI: dict[str, Any] = {"model": "gpt-5.4-mini", "messages": [SAID]}
ASKED: dict[str, Any] = {"model": "gpt-5.4-mini", "input": "x"}
TOOLS = [{"type": "function", "name": f"t{number}", "function": {"name": f"t{number}"}} for number in range(MOST_TOOLS + 1)]
ROUND = [{"role": "assistant", "content": [{"type": "tool_use", "id": "call:1", "name": "x", "input": {}}]}]
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 2_000}}
INTERLEAVED = {"anthropic-beta": "a-1, interleaved-thinking-2025-05-14"}
LONG = "x" * 4 * 450_000


def thought(model: str, words: str = THOUGHT) -> list[dict[str, Any]]:
    block = {"type": "thinking", "thinking": words, "signature": sign(model, THOUGHT)}
    return [SAID, {"role": "assistant", "content": [block, {"type": "text", "text": "ok"}]}, SAID]


def sealed(model: str) -> list[dict[str, Any]]:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sign(model, THOUGHT)}
    return [SAID, reasoning, {"role": "assistant", "content": "ok"}, SAID]


async def ask(
    path: str, body: object, headers: dict[str, str] | None = None, *, strict: bool = True
) -> tuple[int, dict[str, Any]]:
    async with (
        PracticeProvider(latency=0, strict=strict) as provider,
        aiohttp.ClientSession(headers=headers or {}) as session,
        session.post(provider.url + path, data=io.BytesIO(json.dumps(body).encode())) as response,
    ):
        assert provider.log[0].status == response.status
        return response.status, json.loads(await response.read())


REFUSED = [
    (MESSAGES, HAIKU | {"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
    (MESSAGES, HAIKU | {"output_config": {"effort": "high"}}, "This model does not support the effort parameter."),
    (
        MESSAGES,
        HAIKU | {"model": "claude-haiku-4-5-20251001", "max_tokens": 64_001},
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
    ),
    (MESSAGES, OPUS | BUDGET, '"thinking.type.enabled" is not supported for this model.'),
    (MESSAGES, HAIKU | BUDGET, "`max_tokens` must be greater than `thinking.budget_tokens`"),
    (MESSAGES, HAIKU | {"messages": [SAID, {"role": "system", "content": "y"}]}, 'messages: Unexpected role "system".'),
    (MESSAGES, HAIKU | {"messages": [SAID, *ROUND]}, "messages.1.content.0.tool_use.id: String should match pattern"),
    (
        MESSAGES,
        OPUS | {"messages": thought("claude-haiku-4-5")},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (MESSAGES, OPUS | {"messages": thought("claude-opus-4-8", "others")}, "Invalid `signature` in `thinking` block"),
    (MESSAGES, HAIKU | {"messages": [{"role": "user", "content": LONG}]}, "prompt is too long: 450001 tokens > 200000 maximum"),
    (
        CHAT,
        MINI | {"tools": TOOLS},
        "array too long. Expected an array with maximum length 128, but got an array with length 129",
    ),
    (CHAT, MINI | {"max_completion_tokens": 128_001}, "This model supports at most 128000 completion tokens"),
    (CHAT, MINI | {"model": "gpt-4.1-mini", "reasoning_effort": "low"}, "'reasoning_effort' is not supported with this model."),
    (CHAT, MINI | {"messages": [{"role": "user", "content": LONG}]}, "This model's maximum context length is 400000 tokens."),
    (RESPONSES, ASKED | {"tools": TOOLS}, "Expected an array with maximum length 128"),
    (RESPONSES, ASKED | {"max_output_tokens": 128_001}, "max_output_tokens is too large: 128001."),
    (RESPONSES, ASKED | {"input": LONG}, "Your input exceeds the context window of this model."),
    (RESPONSES, ASKED | {"input": sealed("claude-opus-4-8")}, "The encrypted content for item rs_1 could not be verified."),
    (RESPONSES, ASKED | {"input": sealed("unheard-of")}, "could not be verified."),
]


@pytest.mark.parametrize(("path", "body", "words"), REFUSED, ids=[words[:40] for _, _, words in REFUSED])
async def test_what_the_catalogue_excludes_is_refused_by_a_strict_provider_alone(path: str, body: Any, words: str) -> None:
    status, answer = await ask(path, body)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert words in answer["error"]["message"]
    assert (await ask(path, body, strict=False))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (MESSAGES, HAIKU | {"model": "gpt-5.4-mini"}, "model: gpt-5.4-mini"),
        (CHAT, MINI | {"model": "claude-haiku-4-5"}, "The model `claude-haiku-4-5` does not exist"),
        (CHAT, MINI | {"model": "gpt-6-luna"}, "only supported in v1/responses and not in v1/chat/completions"),
        (RESPONSES, ASKED | {"model": "claude-haiku-4-5"}, "The model `claude-haiku-4-5` does not exist"),
    ],
)
async def test_a_model_is_not_found_where_it_is_not_sold(path: str, body: Any, words: str) -> None:
    status, answer = await ask(path, body)
    assert status == 404
    assert words in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (MESSAGES, HAIKU | BUDGET, INTERLEAVED),
        (MESSAGES, HAIKU | BUDGET | {"max_tokens": 64_000}, {}),
        (MESSAGES, OPUS | {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "max_tokens": 128_000}, {}),
        (MESSAGES, OPUS | {"messages": [SAID, {"role": "system", "content": "y"}]}, {}),
        (MESSAGES, OPUS | {"messages": thought("claude-opus-4-8")}, {}),
        (MESSAGES, HAIKU | {"messages": thought("claude-haiku-4-5-20251001")}, {}),
        (MESSAGES, HAIKU | {"model": "unheard-of", "thinking": {"type": "adaptive"}, "max_tokens": 1_000_000}, {}),
        (CHAT, MINI | {"model": "grok-4.3", "tools": TOOLS}, {}),
        (CHAT, MINI | {"tools": TOOLS[1:], "reasoning_effort": "low", "max_completion_tokens": 128_000}, {}),
        (RESPONSES, ASKED | {"tools": TOOLS[1:], "reasoning": {"effort": "low"}}, {}),
        (RESPONSES, ASKED | {"input": sealed("gpt-5.4")}, {}),
    ],
)
async def test_what_the_model_can_do_is_answered(path: str, body: Any, headers: dict[str, str]) -> None:
    assert (await ask(path, body, headers))[0] == 200


async def test_counting_refuses_the_same_and_asks_for_no_limit() -> None:
    path = f"{MESSAGES}/count_tokens"
    body = {key: value for key, value in HAIKU.items() if key != "max_tokens"}
    assert (await ask(path, body))[0] == 200
    status, answer = await ask(path, body | {"thinking": {"type": "adaptive"}})
    assert (status, answer["error"]["message"]) == (400, "adaptive thinking is not supported on this model")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (MESSAGES, HAIKU | {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "max_tokens": 4_000}),
        (RESPONSES, ASKED | {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}),
    ],
)
async def test_its_own_thinking_can_be_replayed_to_the_model_and_to_no_stranger(path: str, body: dict[str, Any]) -> None:
    """The whole story: a turn, and the next with what was thought in the first."""
    _, answer = await ask(path, body)
    if path == MESSAGES:
        later = body | {"messages": [SAID, {"role": "assistant", "content": answer["content"]}, SAID]}
        stranger, words = "claude-sonnet-4-6", "Invalid `signature`"
    else:
        later = body | {"input": [SAID, *answer["output"], SAID]}
        stranger, words = "grok-4.3", "could not be verified"
    assert (await ask(path, later))[0] == 200
    status, refused = await ask(path, later | {"model": stranger})
    assert status == 400
    assert words in refused["error"]["message"]
