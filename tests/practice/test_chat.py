import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.agents.usage import tokens_of
from stepdown.practice import chat, metering, script
from stepdown.practice.messages import Rejected, Reply
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

TASK = "## UNIT: Execute Task T01\n\n## Expected Output\n\n- `a.md`\n- `b.md`\n"
BODY: dict[str, Any] = {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Say something."}]}


def function(name: str, *properties: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"properties": {key: {} for key in properties}}}}


FILES = [function("write_file", "path", "content"), function("read_file", "path")]
WORK: dict[str, Any] = BODY | {"messages": [{"role": "user", "content": TASK}], "tools": FILES}


async def post(url: str, body: object, path: str = "/v1/chat/completions") -> tuple[int, Mapping[str, str], bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(url + path, data=data) as response:
        return response.status, response.headers, await response.read()


def chunks(raw: bytes) -> list[dict[str, Any]]:
    *found, done = raw.decode().strip().split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(one.removeprefix("data: ")) for one in found]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_completion_is_answered_logged_and_billed_alike(path: str) -> None:
    async with PracticeProvider(latency=0) as provider:
        status, headers, raw = await post(provider.url, BODY | {"reasoning_effort": "low"}, path)
    answer, (served,) = json.loads(raw), provider.log
    assert (status, headers["x-request-id"], served.path) == (200, served.id, path)
    assert (answer["object"], answer["model"]) == ("chat.completion", "gpt-5.4-mini")
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert (choice["finish_reason"], choice["message"]["role"], choice["message"]["refusal"]) == ("stop", "assistant", None)
    assert "no model was asked" in choice["message"]["content"]
    assert tokens_of(answer["usage"]) == served.tokens
    assert answer["usage"]["total_tokens"] == served.tokens.total > 0


async def test_a_long_prefix_is_cached_without_being_asked_for() -> None:
    first = BODY | {"messages": [{"role": "system", "content": "long " * 2000}, *BODY["messages"]]}
    second = first | {
        "messages": [*first["messages"], {"role": "assistant", "content": "ok"}, {"role": "user", "content": "on"}]
    }
    async with PracticeProvider(latency=0) as provider:
        for body in (first, second):
            _, _, raw = await post(provider.url, body)
    one, two = (served.tokens for served in provider.log)
    assert (one.cache_read, one.cache_write, two.cache_read) == (0, 0, one.input)
    assert json.loads(raw)["usage"]["prompt_tokens_details"]["cached_tokens"] == two.cache_read
    assert json.loads(raw)["usage"]["prompt_tokens"] == two.prompt


@pytest.mark.parametrize("body", [BODY, WORK])
@pytest.mark.parametrize("told", [True, False])
async def test_a_stream_tells_the_same_as_the_whole_answer(body: dict[str, Any], told: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if told else {}
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, body)
        _, headers, streamed = await post(provider.url, body | {"stream": True, **options})
    assert headers["content-type"].startswith("text/event-stream")
    found, whole = chunks(streamed), json.loads(raw)["choices"][0]
    usage = found.pop() if told else None
    assert usage is None or (usage["choices"], tokens_of(usage["usage"])) == ([], provider.log[1].tokens)
    assert all(("usage" in chunk, chunk.get("usage")) == (told, None) for chunk in found)
    deltas = [chunk["choices"][0]["delta"] for chunk in found]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == whole["message"]["content"]
    assert found[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
    calls: dict[int, dict[str, str]] = {}
    for part in (part for delta in deltas for part in delta.get("tool_calls", ())):
        call = calls.setdefault(part["index"], {"name": part["function"].get("name"), "arguments": ""})
        call["arguments"] += part["function"]["arguments"]
        assert ("id" in part) == (part["function"].get("name") is not None)
    wanted = [call["function"] for call in whole["message"].get("tool_calls", ())]
    assert [calls[index] for index in sorted(calls)] == wanted


async def test_files_are_read_and_written_in_parallel_calls() -> None:
    messages = WORK["messages"]
    shown = ["error: no such file", "x\n"]
    async with PracticeProvider(latency=0) as provider:
        for answers in (shown, ["ok", "ok"]):
            _, _, raw = await post(provider.url, WORK | {"messages": messages})
            said = json.loads(raw)["choices"][0]["message"]
            assert all(call["id"].startswith("call_") for call in said["tool_calls"])
            results = [
                {"role": "tool", "tool_call_id": call["id"], "content": text}
                for call, text in zip(said["tool_calls"], answers, strict=True)
            ]
            messages = [*messages, said, *results]
        _, _, raw = await post(provider.url, WORK | {"messages": messages})
    assert "All of it is there" in json.loads(raw)["choices"][0]["message"]["content"]
    written = [json.loads(call["function"]["arguments"]) for call in messages[3 + 1]["tool_calls"]]
    assert written[0]["content"].startswith("# a\n")  # what is not there is made, not the error message written into it
    assert written[1]["content"].startswith("x\n\n<!-- Execute Task T01")
    assert {served.unit for served in provider.log} == {"Execute Task T01"}


@pytest.mark.parametrize("record", [True, False])
async def test_a_client_with_a_shell_alone_is_led_to_its_files(record: bool) -> None:
    """As mini-swe-agent: one tool, answers as a record, and a command that says that all is done."""
    task = TASK.replace("- `b.md`\n", "") + "\nFinish with: `echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT`."
    messages: list[dict[str, Any]] = [{"role": "user", "content": task}]
    body = BODY | {"tools": [function("bash", "command")]}
    commands = []
    async with PracticeProvider(latency=0) as provider:
        for output in ("x\n", "", ""):
            _, _, raw = await post(provider.url, body | {"messages": messages})
            said = json.loads(raw)["choices"][0]["message"]
            (call,) = said["tool_calls"]
            commands.append(json.loads(call["function"]["arguments"])["command"])
            text = json.dumps({"returncode": 0, "output": output}) if record else output
            messages = [*messages, said, {"role": "tool", "tool_call_id": call["id"], "content": text}]
    assert "cat -- a.md" in commands[0]
    assert ">> a.md" in commands[1]
    assert commands[2] == "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "final_result"}}])
async def test_a_client_that_insists_on_a_tool_gets_its_form_filled(choice: object) -> None:
    """As pydantic-ai asks for a typed result."""
    form = function("final_result")
    form["function"]["parameters"] = {"properties": {"summary": {"type": "string"}, "count": {"type": "integer"}}}
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, BODY | {"tools": [*FILES, form], "tool_choice": choice})
    (call,) = json.loads(raw)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "final_result"
    assert json.loads(call["function"]["arguments"]) == {"summary": "practice", "count": 1}


async def test_no_tool_is_called_where_none_is_wanted() -> None:
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, WORK | {"tool_choice": "none"})
    assert json.loads(raw)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("form", ["json_schema", "json_object"])
async def test_json_is_answered_with_json(form: str) -> None:
    schema = {"schema": {"type": "object", "properties": {"title": {"type": "string"}}}}
    wanted = {"type": form} | ({"json_schema": schema} if form == "json_schema" else {})
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, BODY | {"response_format": wanted})
    said = json.loads(json.loads(raw)["choices"][0]["message"]["content"])
    assert said == ({"title": "practice"} if form == "json_schema" else {"practice": True})


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_cuts_the_answer(key: str) -> None:
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, BODY | {key: 3})
    assert json.loads(raw)["choices"][0]["finish_reason"] == "length"
    assert provider.log[0].tokens.output <= 3


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "x", "arguments": "{}"}}]}
ANSWER = {"role": "tool", "tool_call_id": "c", "content": "ok"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        ([], "object"),
        ({"messages": []}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": "x"}, "messages"),
        ({"model": "m", "messages": ["x"]}, "messages"),
        ({"model": "m", "messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        (BODY | {"max_tokens": 0}, "max_tokens"),
        (BODY | {"tools": "all"}, "tools"),
        (BODY | {"messages": [ANSWER]}, "preceeding"),
        (BODY | {"messages": [*BODY["messages"], CALL]}, "c"),
        (BODY | {"messages": [*BODY["messages"], CALL, *BODY["messages"]]}, "did not have response messages: c"),
    ],
)
async def test_a_bad_request_gets_the_protocols_own_error(body: object, words: str) -> None:
    async with PracticeProvider(latency=0) as provider:
        status, _, raw = await post(provider.url, body)
    failure = json.loads(raw)["error"]
    assert (status, failure["type"], provider.log[0].status) == (400, "invalid_request_error", 400)
    assert words in failure["message"]


def test_a_call_that_is_answered_is_fine() -> None:
    chat.read(json.dumps(BODY | {"messages": [*BODY["messages"], CALL, ANSWER]}).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "function", "name", "arguments", "id"]), inner)
    ),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"])},
    optional={"content": JSON, "tool_calls": JSON, "tool_call_id": JSON, "refusal": JSON},
)


@given(st.lists(MESSAGE | JSON, max_size=4), JSON, JSON, JSON, JSON)
def test_whatever_comes_is_read_or_rejected(
    messages: list[object], tools: object, choice: object, form: object, options: object
) -> None:
    asked = {"messages": messages, "tools": tools, "tool_choice": choice, "response_format": form, "stream_options": options}
    try:
        body = chat.read(json.dumps({"model": "m", **asked}).encode())
    except Rejected:
        return
    reply = script.answer(chat.conversation(body))
    assert chat.whole("chatcmpl_1", "m", reply, Tokens(output=reply.tokens))["choices"]
    assert list(chat.stream("chatcmpl_1", body, reply, Tokens()))[-1] == chat.DONE
    assert metering.prompt_tokens(chat.prompt(body)) > 0


def test_a_refusal_is_told_in_its_own_place() -> None:
    whole = chat.whole("chatcmpl_1", "m", script.REFUSAL, Tokens(output=1))["choices"][0]["message"]
    assert (whole["content"], "told to refuse" in whole["refusal"]) == (None, True)
    said = [json.loads(one.removeprefix(b"data: ")) for one in list(chat.stream("x_1", BODY, script.REFUSAL, Tokens()))[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in said]
    assert "".join(delta.get("refusal") or "" for delta in deltas) == whole["refusal"]
    assert isinstance(script.REFUSAL, Reply)
