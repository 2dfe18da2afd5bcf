"""Every fault in every protocol, streamed and not, as a client sees it."""

import asyncio
import itertools
import json
import time
from typing import Any

import aiohttp
import pytest

from stepdown.practice.faults import Fault, Faults
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
BODIES: dict[str, dict[str, Any]] = {
    MESSAGES: {"model": "claude-haiku-4-5", "max_tokens": 9_000, "messages": [{"role": "user", "content": "Say something."}]},
    CHAT: {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Say something."}]},
    RESPONSES: {"model": "gpt-5.4-mini", "input": "Say something."},
}
ENDS = {MESSAGES: b"event: message_stop\n", CHAT: b"data: [DONE]\n", RESPONSES: b"event: response.completed\n"}
BROKEN = (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

each_protocol = pytest.mark.parametrize("path", list(BODIES))
streamed_or_not = pytest.mark.parametrize("stream", [True, False])


class Seen:
    """What a client saw of one answer: its status, its pieces with when they came, and whether it broke off."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[float, bytes]] = []
        self.broke = False
        self.head_after = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)


async def ask(url: str, path: str, *, stream: bool) -> Seen:
    seen, began = Seen(), time.monotonic()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url + path, json=BODIES[path] | {"stream": stream}) as response,
        ):
            seen.status, seen.head_after = response.status, time.monotonic() - began
            seen.headers = {name.lower(): value for name, value in response.headers.items()}
            async for piece in response.content.iter_any():
                seen.pieces.append((time.monotonic() - began, piece))
    except BROKEN:
        seen.broke = True
    return seen


async def once(fault: Fault, path: str, *, stream: bool) -> tuple[Seen, PracticeProvider]:
    async with PracticeProvider(latency=0, faults=[fault]) as provider:
        return await ask(provider.url, path, stream=stream), provider


def message_of(body: bytes) -> str:
    """What the last thing in an answer says went wrong."""
    last = body.strip().split(b"\n\n")[-1].split(b"data: ")[-1]
    found = json.loads(last)
    if found.get("type") == "error" and "error" not in found:
        return str(found["message"])
    return str(found.get("response", found)["error"]["message"])


@each_protocol
@streamed_or_not
@pytest.mark.parametrize(("status", "retry_after"), [(529, None), (503, None), (500, None), (429, 1), (429, 120), (401, None)])
async def test_an_error_response(path: str, stream: bool, status: int, retry_after: float | None) -> None:
    fault = Fault(
        kind="status", status=status, retry_after=retry_after, headers={"x-should-retry": "false"}, message="Not today."
    )
    seen, provider = await once(fault, path, stream=stream)
    assert (seen.status, seen.headers.get("retry-after")) == (status, None if retry_after is None else str(retry_after))
    assert seen.headers["x-should-retry"] == "false"
    assert message_of(seen.body) == "Not today."
    assert (provider.log[0].status, provider.log[0].tokens) == (status, Tokens())


@each_protocol
@pytest.mark.parametrize("status", [529, 429])
async def test_an_error_as_the_first_event(path: str, status: int) -> None:
    seen, provider = await once(Fault(kind="sse_error", status=status, message="Not today."), path, stream=True)
    assert (seen.status, seen.broke) == (200, False)
    assert seen.headers["content-type"].startswith("text/event-stream")
    assert seen.body.count(b"data: ") == 1
    assert message_of(seen.body) == "Not today."
    assert provider.log[0].tokens == Tokens()


@each_protocol
@pytest.mark.parametrize("kind", ["sse_error", "mid_error"])
async def test_without_a_stream_such_an_error_is_an_error_response(path: str, kind: Any) -> None:
    seen, _ = await once(Fault(kind=kind, status=503, message="Not today."), path, stream=False)
    assert (seen.status, message_of(seen.body)) == (503, "Not today.")


@each_protocol
async def test_an_error_in_the_middle(path: str) -> None:
    seen, provider = await once(Fault(kind="mid_error", status=529, message="Not today."), path, stream=True)
    assert (seen.status, seen.broke) == (200, False)
    assert b"This is the practice" in seen.body  # content went out before it
    assert ENDS[path] not in seen.body
    assert message_of(seen.body) == "Not today."
    assert (provider.log[0].fault, provider.log[0].tokens) == ("mid_error", Tokens())
    if path == RESPONSES:  # it is the response that began which fails
        told = [json.loads(line) for line in seen.body.replace(b"data: ", b"").split(b"\n") if line.startswith(b"{")]
        ids = {one["response"]["id"] for one in told if "response" in one}
        assert len(ids) == 1


@each_protocol
async def test_an_error_after_the_first_event_and_before_any_content(path: str) -> None:
    seen, _ = await once(Fault(kind="mid_error", status=529, message="Not today.", pieces=1), path, stream=True)
    assert seen.body.count(b"data: ") == 2
    assert b"This is" not in seen.body


@each_protocol
@streamed_or_not
async def test_a_connection_that_is_closed_before_anything(path: str, stream: bool) -> None:
    seen, provider = await once(Fault(kind="cut"), path, stream=stream)
    assert (seen.broke, seen.status, seen.body) == (True, 0, b"")
    assert (provider.log[0].status, provider.log[0].fault) == (0, "cut")


@each_protocol
@streamed_or_not
async def test_a_connection_that_is_closed_in_the_middle(path: str, stream: bool) -> None:
    seen, provider = await once(Fault(kind="cut_mid"), path, stream=stream)
    assert (seen.broke, seen.status, bool(seen.body)) == (True, 200, True)
    assert ENDS[path] not in seen.body
    assert provider.log[0].tokens == Tokens()


@each_protocol
@streamed_or_not
async def test_a_late_answer_is_whole_and_billed(path: str, stream: bool) -> None:
    seen, provider = await once(Fault(kind="late", pause=0.3), path, stream=stream)
    assert seen.head_after >= 0.3
    assert (seen.status, seen.broke, b"no model was asked" in seen.body or stream) == (200, False, True)
    assert provider.log[0].tokens.output > 0


@each_protocol
@streamed_or_not
async def test_silence_in_the_middle(path: str, stream: bool) -> None:
    seen, provider = await once(Fault(kind="silence", pause=0.3), path, stream=stream)
    times = [at for at, _ in seen.pieces]
    assert max(after - before for before, after in itertools.pairwise(times)) >= 0.25
    assert seen.broke is False
    assert ENDS[path] in seen.body if stream else json.loads(seen.body)
    assert provider.log[0].tokens.output > 0


@each_protocol
async def test_a_slow_stream_has_as_many_pieces_as_told(path: str) -> None:
    seen, provider = await once(Fault(kind="slow", pause=0.005, pieces=40), path, stream=True)
    assert seen.body.count(b"data: ") >= 40
    assert seen.pieces[-1][0] >= 40 * 0.005
    assert ENDS[path] in seen.body
    assert provider.log[0].tokens.output > 400


@each_protocol
@streamed_or_not
async def test_garbage(path: str, stream: bool) -> None:
    seen, _ = await once(Fault(kind="garbage"), path, stream=stream)
    assert seen.status == 200
    assert seen.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    with pytest.raises(ValueError):  # noqa: PT011 - any reason why this is no JSON will do
        json.loads(seen.body.removeprefix(b"data: "))


@each_protocol
async def test_a_proxys_page(path: str) -> None:
    seen, _ = await once(Fault(kind="html", status=502, message="Bad luck"), path, stream=True)
    assert (seen.status, seen.headers["content-type"].startswith("text/html")) == (502, True)
    assert b"Bad luck" in seen.body


async def test_that_a_client_went_away_is_known_at_once() -> None:
    """The other clients of the provider do not notice, and it does not wait for the pause to end."""
    async with PracticeProvider(latency=0, faults=[Fault(kind="silence", pause=30, times=1)]) as provider:
        async with aiohttp.ClientSession() as session:
            response = await session.post(provider.url + CHAT, json=BODIES[CHAT] | {"stream": True})
            await response.content.readany()
            assert provider.left == []
            response.close()
            async with asyncio.timeout(2):
                while not provider.left:  # noqa: ASYNC110 - the provider tells nobody
                    await asyncio.sleep(0.005)
        assert provider.left == [provider.log[0].id]
        assert (await ask(provider.url, CHAT, stream=True)).broke is False
        assert len(provider.left) == 1


async def test_a_pause_does_not_keep_the_provider_from_ending() -> None:
    began = time.monotonic()
    async with PracticeProvider(latency=0, faults=[Fault(kind="silence", pause=30)]) as provider:
        asking = asyncio.create_task(ask(provider.url, MESSAGES, stream=True))
        async with asyncio.timeout(5):
            while not provider.log:  # noqa: ASYNC110 - the provider tells nobody
                await asyncio.sleep(0.005)
    await asking
    assert time.monotonic() - began < 10


def test_faults_are_taken_in_order_by_model_and_unit() -> None:
    faults = Faults([Fault(kind="cut", model="a", times=2), Fault(kind="hang", unit="T01"), Fault(kind="html", times=0)])
    kinds = [
        fault.kind
        for model, unit in (("a", ""), ("b", "T01"), ("a", "T01"), ("a", "T01"))
        if (fault := faults.take(model, unit))
    ]
    assert kinds == ["cut", "hang", "cut", "html"]
    assert len(faults) == 1
    faults.clear()
    assert faults.take("a", "") is None
