import asyncio
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from stepdown.errors import ProviderError
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

BODY: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "Say something."}],
}
TOOL = {"name": "write_file", "input_schema": {"properties": {"path": {}, "content": {}}}}


async def post(url: str, body: object, path: str = "/v1/messages?beta=true") -> tuple[int, Mapping[str, str], bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(url + path, data=data) as response:
        return response.status, response.headers, await response.read()


def events(raw: bytes) -> list[dict[str, Any]]:
    found = []
    for block in raw.decode().strip().split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


async def test_a_message_is_answered_logged_and_billed_alike() -> None:
    async with PracticeProvider(latency=0) as provider:
        status, headers, raw = await post(provider.url, BODY)
    answer, (served,) = json.loads(raw), provider.log
    assert status == 200
    assert answer["model"] == "claude-haiku-4-5"
    assert answer["stop_reason"] == "end_turn"
    assert headers["request-id"] == served.id
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (served.tokens.input, served.tokens.output)
    assert served.tokens.input == 5  # "user" and "Say something." are 18 characters


async def test_a_stream_has_the_events_of_the_protocol_and_rebuilds_the_input_of_a_tool() -> None:
    asked = BODY | {"stream": True, "tools": [TOOL], "messages": [{"role": "user", "content": "## Files to write\n\n- `a.md`"}]}
    async with PracticeProvider(latency=0) as provider:
        _, headers, raw = await post(provider.url, asked)
    assert headers["content-type"].startswith("text/event-stream")
    stream = events(raw)
    kinds = [event["type"] for event in stream]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    written = "".join(
        event["delta"]["partial_json"] for event in stream if event.get("delta", {}).get("type") == "input_json_delta"
    )
    assert json.loads(written)["path"] == "a.md"
    assert stream[-2]["delta"]["stop_reason"] == "tool_use"
    assert stream[-2]["usage"]["output_tokens"] == provider.log[0].tokens.output
    assert stream[0]["message"]["usage"]["input_tokens"] == provider.log[0].tokens.input


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        ([], "object"),
        ({"max_tokens": 1, "messages": []}, "model"),
        (BODY | {"max_tokens": 0}, "max_tokens"),
        (BODY | {"messages": []}, "messages"),
        (BODY | {"messages": [{"role": "robot", "content": "x"}]}, "role"),
        (BODY | {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}, "tool_use_id"),
    ],
)
async def test_a_bad_request_gets_the_protocols_own_error(body: object, words: str) -> None:
    async with PracticeProvider(latency=0) as provider:
        status, _, raw = await post(provider.url, body)
    answer = json.loads(raw)
    assert status == 400
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert words in answer["error"]["message"]
    assert provider.log[0].tokens.total == 0


async def test_counting_agrees_with_the_bill() -> None:
    async with PracticeProvider(latency=0) as provider:
        _, _, raw = await post(provider.url, BODY, "/v1/messages/count_tokens")
        await post(provider.url, BODY)
    assert json.loads(raw)["input_tokens"] == provider.log[1].tokens.prompt


async def test_what_clients_look_at_first_is_there() -> None:
    async with PracticeProvider(models=("a", "b")) as provider, aiohttp.ClientSession() as session:
        for method, path in (("HEAD", "/"), ("GET", "/"), ("HEAD", "/api/hello")):
            async with session.request(method, provider.url + path) as response:
                assert response.status == 200
        async with session.get(f"{provider.url}/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["a", "b"]
        async with session.get(f"{provider.url}/v1/models/z/y") as response:
            assert (await response.json())["id"] == "z/y"
        async with session.get(f"{provider.url}/v1/nothing") as response:
            assert response.status == 404
            assert (await response.json())["error"]["type"] == "not_found_error"


async def test_a_prompt_beyond_the_window_is_refused_in_the_words_that_clients_parse() -> None:
    async with PracticeProvider(latency=0, context=3) as provider:
        status, _, raw = await post(provider.url, BODY)
    assert status == 400
    assert json.loads(raw)["error"]["message"] == "prompt is too long: 5 tokens > 3 maximum"


async def test_faults_hit_the_model_and_the_times_they_name() -> None:
    fault = Fault(kind="status", status=529, model="claude-haiku-4-5", retry_after=2)
    async with PracticeProvider(latency=0, faults=[fault]) as provider:
        other = await post(provider.url, BODY | {"model": "claude-opus-4-6"})
        hit = await post(provider.url, BODY)
        after = await post(provider.url, BODY)
    assert [status for status, _, _ in (other, hit, after)] == [200, 529, 200]
    assert hit[1]["retry-after"] == "2"
    assert json.loads(hit[2])["error"]["type"] == "overloaded_error"
    assert [served.fault for served in provider.log] == ["", "status", ""]


async def test_faults_can_be_added_and_taken_back_while_it_runs() -> None:
    async with PracticeProvider(latency=0) as provider:
        status, _, raw = await post(provider.url, [{"kind": "refusal", "times": 0}], "/practice/faults")
        assert (status, json.loads(raw)) == (200, {"waiting": 1})
        _, _, raw = await post(provider.url, BODY)
        assert json.loads(raw)["stop_reason"] == "refusal"
        bad, _, _ = await post(provider.url, [{"kind": "explode"}], "/practice/faults")
        assert bad == 400
        async with aiohttp.ClientSession() as session, session.delete(f"{provider.url}/practice/faults") as response:
            assert await response.json() == {"waiting": 0}


async def test_an_error_can_be_the_first_event_of_a_stream() -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="sse_error", status=529)]) as provider:
        status, _, raw = await post(provider.url, BODY | {"stream": True})
    assert status == 200
    assert [event["error"]["type"] for event in events(raw)] == ["overloaded_error"]


async def test_a_connection_can_break_and_a_page_can_come_instead() -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="cut"), Fault(kind="html", status=502)]) as provider:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(provider.url, BODY)
        status, headers, _ = await post(provider.url, BODY)
    assert status == 502
    assert headers["content-type"].startswith("text/html")


async def test_a_hanging_request_does_not_keep_the_provider_from_ending() -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="hang")]) as provider:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await post(provider.url, BODY)
    assert provider.log[0].status == 0


async def test_it_can_be_entered_again_and_keeps_log_and_cache(tmp_path: Path) -> None:
    provider = PracticeProvider(latency=0, log_file=tmp_path / "log.jsonl")
    body = BODY | {"system": [{"type": "text", "text": "long " * 2000, "cache_control": {"type": "ephemeral"}}]}
    async with provider:
        async with provider:
            await post(provider.url, body)
        assert provider.url
    with pytest.raises(ProviderError, match="not running"):
        _ = provider.url
    async with provider:
        await post(provider.url, body)
    assert provider.log[1].tokens.cache_read == provider.log[0].tokens.cache_write > 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["tokens"]["cache_read"] for line in lines] == [0, provider.log[1].tokens.cache_read]


def test_programs_without_a_loop_can_use_it() -> None:
    provider = PracticeProvider(latency=0).start()
    try:
        request = urllib.request.Request(f"{provider.url}/v1/messages", json.dumps(BODY).encode())
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        assert len(provider.log) == 1
    finally:
        provider.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(request, timeout=1)


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ProviderError, match=f"127.0.0.1:{port}: something else uses it"):
            PracticeProvider(port=port).start()
        done = subprocess.run(
            [sys.executable, "-m", "stepdown.practice", "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert done.returncode == ProviderError.exit_code
    assert done.stderr.startswith("stepdown: cannot listen")
    assert len(done.stderr.splitlines()) == 1
