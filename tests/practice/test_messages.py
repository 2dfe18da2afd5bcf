"""What Messages alone has: thinking, signed; threads, refused; and whatever else comes in."""

import json
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.practice import messages, metering, rejections, script
from stepdown.practice.dialects import MESSAGES
from stepdown.practice.messages import THOUGHT, Rejected
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.signing import signer
from stepdown.units import Tokens

CATALOG = Catalog.load(on="2026-11-23")
BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "Say something."}],
}


async def post(body: object) -> tuple[int, bytes]:
    async with (
        PracticeProvider(latency=0) as provider,
        aiohttp.ClientSession() as session,
        session.post(f"{provider.url}/v1/messages", json=body) as response,
    ):
        return response.status, await response.read()


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}])
@pytest.mark.parametrize("omitted", [True, False])
async def test_thinking_comes_first_and_names_its_model_where_it_is_asked_for(thinking: dict[str, Any], omitted: bool) -> None:
    asked = BODY | {"thinking": thinking | ({"display": "omitted"} if omitted else {})}
    _, raw = await post(asked)
    _, streamed = await post(asked | {"stream": True})
    thought, said = json.loads(raw)["content"]
    assert (thought["type"], thought["thinking"], said["type"]) == ("thinking", "" if omitted else THOUGHT, "text")
    assert signer(thought["signature"], thought["thinking"]) == "claude-sonnet-4-6"
    events = [json.loads(line[6:]) for line in streamed.decode().splitlines() if line.startswith("data: ")]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta" and event["index"] == 0]
    assert "".join(delta.get("thinking", "") for delta in deltas) == thought["thinking"]
    assert deltas[-1] == {"type": "signature_delta", "signature": thought["signature"]}
    assert json.loads(raw)["usage"]["output_tokens"] >= metering.count(THOUGHT) + metering.count(said["text"])


@pytest.mark.parametrize("thinking", [{}, {"thinking": {"type": "disabled"}}])
async def test_nobody_else_gets_any(thinking: dict[str, Any]) -> None:
    _, raw = await post(BODY | thinking)
    assert [block["type"] for block in json.loads(raw)["content"]] == ["text"]


async def test_a_conversation_that_the_server_should_keep_is_refused_so_that_clients_go_on_without() -> None:
    status, raw = await post(BODY | {"thread": {"type": "create"}})
    error = json.loads(raw)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


WORDS = st.sampled_from(["tool_use", "tool_result", "text", "thinking", "any", "tool", "json_schema", "system", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "name", "input", "id", "schema", "format", "path"]), inner
        )
    ),
    max_leaves=6,
)
BLOCK = st.fixed_dictionaries(
    {"type": WORDS}, optional={"text": JSON, "id": JSON, "tool_use_id": JSON, "name": JSON, "input": JSON, "content": JSON}
)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.lists(BLOCK) | st.text()})


def carried_through(body: dict[str, Any]) -> None:
    try:
        body = messages.read(json.dumps(body).encode())
        rejections.check(MESSAGES, body, (), CATALOG)
    except Rejected:
        return
    reply = messages.spoken(script.answer(body), body)
    assert messages.whole("msg_1", "m", reply, Tokens())["content"]
    assert list(messages.stream("msg_1", "m", reply, Tokens(output=reply.tokens)))
    assert metering.prompt_tokens(body) >= 0


@given(JSON, JSON, JSON, JSON, JSON, JSON)
def test_whatever_stands_beside_the_messages_is_read_or_rejected(
    tools: object, choice: object, form: object, system: object, thinking: object, cached: object
) -> None:
    more = {"tools": tools, "tool_choice": choice, "output_config": form, "system": system, "thinking": thinking}
    carried_through(BODY | more | {"cache_control": cached})


@given(st.lists(MESSAGE | JSON, min_size=1, max_size=4))
def test_whatever_stands_in_the_messages_is_read_or_rejected(said: list[object]) -> None:
    carried_through(BODY | {"messages": said})
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "x", "input": {}}]}
    carried_through(BODY | {"messages": [called, *said]})
