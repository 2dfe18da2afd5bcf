import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.agents.usage import tokens_of
from stepdown.practice import metering, responses, script
from stepdown.practice.faults import Fault
from stepdown.practice.messages import Rejected, Reply
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

TASK = "## UNIT: Execute Task T01\n\n## Expected Output\n\n- `a.md` — a page\n"
BODY: dict[str, Any] = {"model": "gpt-5.4", "input": "Say something."}
SHELL: dict[str, Any] = {"type": "function", "name": "exec_command", "parameters": {"properties": {"cmd": {}}}}
SCRIPT: dict[str, Any] = {"type": "custom", "name": "exec"}
FILES: dict[str, Any] = {
    "type": "function",
    "name": "write_file",
    "parameters": {"properties": {"path": {}, "content": {}}},
}


async def post(url: str, body: object) -> tuple[int, Mapping[str, str], bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/responses", data=data) as response:
        return response.status, response.headers, await response.read()


def events(raw: bytes) -> list[dict[str, Any]]:
    found = []
    for block in raw.decode().strip().split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


async def test_a_response_is_answered_logged_and_billed_alike() -> None:
    async with PracticeProvider(latency=0) as provider:
        status, headers, raw = await post(provider.url, BODY)
    answer, (served,) = json.loads(raw), provider.log
    assert (status, headers["x-request-id"], served.path) == (200, served.id, "/v1/responses")
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", "gpt-5.4")
    (item,) = answer["output"]
    assert (item["type"], item["role"], item["content"][0]["type"]) == ("message", "assistant", "output_text")
    assert tokens_of(answer["usage"]) == served.tokens
    assert answer["usage"]["total_tokens"] == served.tokens.total > 0


async def test_a_long_prefix_is_cached_without_being_asked_for_and_counted_inside_the_input() -> None:
    first = BODY | {"instructions": "long " * 2000, "input": [message("user", "one")]}
    second = first | {"input": [*first["input"], message("user", "two")]}
    async with PracticeProvider(latency=0) as provider:
        for body in (first, second):
            _, _, raw = await post(provider.url, body)
    one, two = (served.tokens for served in provider.log)
    assert (one.cache_read, one.cache_write, two.cache_write) == (0, 0, 0)
    assert two.cache_read == one.input
    usage = json.loads(raw)["usage"]
    assert usage["input_tokens"] == two.prompt == two.input + usage["input_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize(
    ("tool", "kind"), [(SHELL, "function_call"), (SCRIPT, "custom_tool_call"), (FILES, "function_call"), (None, "message")]
)
async def test_a_stream_tells_the_same_as_the_whole_answer(tool: dict[str, Any] | None, kind: str) -> None:
    body = BODY | {"input": [message("user", TASK)], "tools": [tool] if tool else []}
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, body)
        _, headers, streamed = await post(provider.url, body | {"stream": True})
    assert headers["content-type"].startswith("text/event-stream")
    stream = events(streamed)
    assert [event["sequence_number"] for event in stream] == list(range(len(stream)))
    kinds = [event["type"] for event in stream]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    whole, ended = json.loads(raw)["output"], stream[-1]["response"]["output"]
    assert [event["item"] for event in stream if event["type"] == "response.output_item.done"] == ended
    assert whole[-1]["type"] == ended[-1]["type"] == kind
    for one, other in zip(whole, ended, strict=True):
        assert {key: one[key] for key in one if key not in {"id", "call_id"}} == {
            key: other[key] for key in other if key not in {"id", "call_id"}
        }
        grown = "".join(
            event["delta"] for event in stream if event["type"].endswith(".delta") and event["item_id"] == other["id"]
        )
        assert grown == (other.get("arguments") or other.get("input") or other["content"][0]["text"])


@pytest.mark.parametrize("tool", [SHELL, SCRIPT])
@pytest.mark.parametrize("place", ["tools", "item", "namespace"])
async def test_a_client_with_a_shell_is_led_to_its_files(tool: dict[str, Any], place: str) -> None:
    """Three turns as Codex has them: look, write, say so. Its tools come in one of three places."""
    namespace = {"type": "namespace", "name": "functions", "tools": [tool]}
    given = [message("user", "<environment_context>## UNIT: Not this</environment_context>"), message("user", TASK)]
    if place == "item":
        given.insert(0, {"type": "additional_tools", "role": "developer", "tools": [namespace]})
    body = BODY | {"input": given, "tools": {"tools": [tool], "namespace": [namespace]}.get(place, [])}
    shown = ["(there is no such file)\n", ""]
    async with PracticeProvider(latency=0) as provider:
        for output in shown:
            _, _, raw = await post(provider.url, body)
            answer = json.loads(raw)["output"]
            call = answer[-1]
            record = json.dumps({"exit_code": 0, "output": output})
            said = f"Process exited with code 0\nOutput:\n{output}" if tool is SHELL else f"Script completed\nOutput:\n{record}"
            result = {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": said}
            body = body | {"input": [*body["input"], *answer, result]}
            assert ("cat -- a.md" if output else "> a.md") in call.get("arguments", call.get("input"))
        _, _, raw = await post(provider.url, body)
    assert "All of it is there" in json.loads(raw)["output"][0]["content"][0]["text"]
    assert [served.unit for served in provider.log] == ["Execute Task T01"] * 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        ([], "object"),
        ({"input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["x"]}, "input"),
        ({"model": "m", "input": [{"type": "message", "role": "user"}]}, "content"),
        ({"model": "m", "input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"model": "m", "input": "x", "tools": "all"}, "tools"),
        ({"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, "call_id c"),
    ],
)
async def test_a_bad_request_gets_the_protocols_own_error(body: object, words: str) -> None:
    async with PracticeProvider(latency=0) as provider:
        status, _, raw = await post(provider.url, body)
    failure = json.loads(raw)["error"]
    assert (status, failure["type"], provider.log[0].status) == (400, "invalid_request_error", 400)
    assert words in failure["message"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "content", "x"]), inner),
    max_leaves=6,
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "additional_tools", "y"])},
    optional={"role": JSON, "content": JSON, "arguments": JSON, "name": JSON, "input": JSON, "tools": JSON, "output": JSON},
)


@given(st.lists(ITEM | JSON, max_size=4), JSON, JSON)
def test_whatever_comes_is_read_or_rejected(items: list[object], tools: object, text: object) -> None:
    raw = json.dumps({"model": "m", "input": items, "tools": tools, "text": text}).encode()
    try:
        body = responses.read(raw)
    except Rejected:
        return
    reply = responses.spoken(script.answer(responses.conversation(body)), body)
    whole = responses.whole("resp_1", "m", reply, Tokens(output=reply.tokens))
    assert whole["output"]
    assert len(list(responses.stream("resp_1", "m", reply, Tokens()))) > len(whole["output"])
    assert metering.prompt_tokens(responses.prompt(body)) > 0


async def test_models_are_listed_as_openai_lists_them_for_who_asks_so() -> None:
    async with PracticeProvider(models=("a", "b")) as provider, aiohttp.ClientSession() as session:
        bearer = {"authorization": "Bearer practice"}
        async with session.get(f"{provider.url}/v1/models", headers=bearer) as response:
            listed = await response.json()
        async with session.get(f"{provider.url}/v1/models/z", headers=bearer) as response:
            assert (await response.json())["object"] == "model"
        theirs = bearer | {"anthropic-version": "2023-06-01"}
        async with session.get(f"{provider.url}/v1/models", headers=theirs) as response:
            assert (await response.json())["data"][0]["type"] == "model"
    assert listed["object"] == "list"
    assert [(model["id"], model["object"]) for model in listed["data"]] == [("a", "model"), ("b", "model")]


async def test_what_is_too_long_or_cut_says_so() -> None:
    async with PracticeProvider(latency=0, context=3) as provider:
        status, _, raw = await post(provider.url, BODY)
    assert (status, json.loads(raw)["error"]["type"]) == (400, "invalid_request_error")
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, BODY | {"max_output_tokens": 3})
        _, _, streamed = await post(provider.url, BODY | {"max_output_tokens": 3, "stream": True})
    answer = json.loads(raw)
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert events(streamed)[-1]["type"] == "response.incomplete"


async def test_faults_have_the_protocols_own_shape() -> None:
    faults = [
        Fault(kind="status", status=429, retry_after=2),
        Fault(kind="status", status=404, error="model_gone"),
        Fault(kind="sse_error", status=500),
        Fault(kind="refusal"),
        Fault(kind="cut"),
        Fault(kind="hang"),
    ]
    async with PracticeProvider(latency=0, faults=faults) as provider:
        limited, missing, broken, declined = [
            await post(provider.url, BODY | {"stream": flag}) for flag in (False, False, True, False)
        ]
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(provider.url, BODY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await post(provider.url, BODY)
    assert (limited[0], limited[1]["retry-after"]) == (429, "2")
    assert json.loads(limited[2])["error"]["code"] == "rate_limit_exceeded"
    assert json.loads(missing[2])["error"]["code"] == "model_gone"
    (failed,) = events(broken[2])
    assert (broken[0], failed["type"], failed["code"]) == (200, "error", "server_error")
    assert json.loads(declined[2])["output"][0]["content"][0]["type"] == "refusal"
    assert [served.tokens.total > 0 for served in provider.log] == [False, False, False, True, False, False]


def test_a_schema_is_answered_with_json() -> None:
    body = BODY | {"text": {"format": {"type": "json_schema", "schema": {"properties": {"title": {"type": "string"}}}}}}
    said = responses.conversation(responses.read(json.dumps(body).encode()))
    assert said["output_config"]["format"]["schema"]["properties"]


def test_no_tool_is_called_where_none_is_wanted() -> None:
    body = BODY | {"tools": [SHELL], "tool_choice": "none"}
    assert responses.conversation(body)["tool_choice"] == {"type": "none"}
    reply = Reply(({"type": "text", "text": "x"},))
    assert responses.spoken(reply, body) == reply
    assert responses.billed(Tokens(input=1, cache_write=2, cache_read=3)) == Tokens(input=3, cache_read=3)
