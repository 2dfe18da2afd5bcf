"""An answer on its way: time limits, breaking off, back-pressure, letting go."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from raw_provider import Answering, RawProvider, Sent, answers, chunk, head, whole

from stepdown.upstream import Answer, Call, Timeouts, UpstreamError
from stepdown.upstream.http import BUFFER, HttpUpstream

LONG = Timeouts(connect=10, first_byte=10, idle=10, total=20)
MEGABYTE = 1_000_000


def post(url: str, body: bytes = b"{}") -> Call:
    return Call(method="POST", url=url + "/v1/messages?key=sk-secret", headers=[], body=body)


@asynccontextmanager
async def asked(
    upstream: HttpUpstream, answering: Answering | bytes, timeouts: Timeouts = LONG, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Answer, RawProvider]]:
    async with RawProvider(answering, tls=tls) as provider:
        answer = await upstream.send(post(provider.url), timeouts)
        try:
            yield answer, provider
        finally:
            await answer.close()


async def until_it_broke(answer: Answer) -> tuple[bytes, UpstreamError]:
    """What came before it broke off, and what was said then: no secret, and none behind it."""
    got = bytearray()

    async def read() -> None:
        async for piece in answer.pieces():
            got.extend(piece)

    with pytest.raises(UpstreamError) as caught:
        await read()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.__cause__ is None
    return bytes(got), caught.value


@asynccontextmanager
async def taking_nothing(says: bytes = b"") -> AsyncIterator[tuple[str, Callable[[], Awaitable[int]]]]:
    """A provider that answers without reading; and how much it then gets to read until the client has left."""
    loop = asyncio.get_running_loop()

    async def accept() -> socket.socket:
        connection, _ = await loop.sock_accept(listening)
        connection.setblocking(False)
        await loop.sock_sendall(connection, says)
        return connection

    async def taken_until_left() -> int:
        taken = 0
        with await accepting as connection, contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(2):
                while read := await loop.sock_recv(connection, MEGABYTE):
                    taken += len(read)
        return taken

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        accepting = asyncio.ensure_future(accept())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", taken_until_left


def open_files() -> int:
    """How many files and connections this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  (only how many)


def streamed(pieces: int, piece: bytes, gone: list[int]) -> Answering:
    """A stream of many pieces; `gone` counts those that left."""

    async def answering(writer: asyncio.StreamWriter, _sent: Sent) -> None:
        writer.write(head(f"content-length: {pieces * len(piece)}"))
        for _ in range(pieces):
            writer.write(piece)
            await writer.drain()
            gone.append(1)

    return answering


@pytest.mark.parametrize(
    ("answering", "got"),
    [
        (answers(head("content-length: 10"), b"hello", end="close"), b"hello"),
        (answers(head("content-length: 10"), b"hello", end="reset"), b"hello"),
        (answers(head("content-length: 10"), b"hello", end="reset", gap=0.05), b"hello"),
        (answers(head("transfer-encoding: chunked"), chunk(b"hello"), end="close", gap=0.05), b"hello"),
        (answers(head("transfer-encoding: chunked"), b"ff\r\nhello", end="reset", gap=0.05), b"hello"),
        (answers(head("transfer-encoding: chunked"), chunk(b"hello"), b"no length\r\n", end="hang", gap=0.05), b"hello"),
        (
            answers(head("transfer-encoding: chunked"), chunk(b"hello"), b"5\r\nlonger than that", end="hang", gap=0.05),
            b"hellolonge",
        ),
    ],
)
@pytest.mark.parametrize("late", [0.0, 0.2])
async def test_a_body_that_breaks_off_is_given_as_far_as_it_came(
    upstream: HttpUpstream, answering: Answering, got: bytes, late: float
) -> None:
    async with asked(upstream, answering) as (answer, _):
        await asyncio.sleep(late)
        start = time.monotonic()
        body, error = await until_it_broke(answer)
        assert (body, error.kind) == (got, "broken")
        assert "broke off in the middle of its answer" in str(error)
        assert time.monotonic() - start < 1  # not only after `idle`


async def test_an_answer_without_a_length_ends_with_its_connection(upstream: HttpUpstream) -> None:
    async with asked(upstream, answers(head("x: y"), b"all", b" of it", end="close", gap=0.02)) as (answer, _):
        assert b"".join([piece async for piece in answer.pieces()]) == b"all of it"


async def test_pieces_come_one_by_one_as_they_are_sent(upstream: HttpUpstream) -> None:
    events = [b"event: ping\n\n", b"", b"data: 1\n\n", b"data: 2\n\n"]
    async with asked(upstream, answers(head("x: y"), *events, end="close", gap=0.03)) as (answer, _):
        assert [piece async for piece in answer.pieces()] == [event for event in events if event]


async def test_a_connection_that_does_not_come_to_stand() -> None:
    """It is accepted, but the other side never speaks TLS."""
    held = []
    async with await asyncio.start_server(lambda *both: held.append(both), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        upstream = HttpUpstream()
        start = time.monotonic()
        call = post(f"https://127.0.0.1:{port}")
        with pytest.raises(UpstreamError, match=f"no connection to 127.0.0.1:{port} within 0.2 s") as caught:
            await upstream.send(call, Timeouts(connect=0.2))
        assert caught.value.kind == "connect"
        assert 0.15 < time.monotonic() - start < 2
        await upstream.close()
        for _, writer in held:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("answering", "timeouts", "said"),
    [
        (answers(end="hang"), Timeouts(first_byte=0.2), "did not begin to answer within 0.2 s"),
        (
            answers(b"HTTP/1.1 200 OK\r\nx: ", *[b"y"] * 40, gap=0.05),
            Timeouts(first_byte=0.2),
            "did not begin to answer within 0.2 s",
        ),
        (answers(end="hang"), Timeouts(total=0.2), "did not begin to answer within 0.2 s"),
    ],
    ids=["silence", "a head drop by drop", "total"],
)
async def test_a_head_that_does_not_come(upstream: HttpUpstream, answering: Answering, timeouts: Timeouts, said: str) -> None:
    async with RawProvider(answering) as provider:
        start = time.monotonic()
        with pytest.raises(UpstreamError) as caught:
            await upstream.send(post(provider.url), timeouts)
        assert caught.value.kind == "timeout"
        assert said in str(caught.value)
        assert 0.15 < time.monotonic() - start < 1
        await asyncio.wait_for(provider.left.wait(), 0.1)


async def test_a_provider_that_does_not_take_the_request_in_is_too_slow_and_let_go(upstream: HttpUpstream) -> None:
    async with taking_nothing() as (url, taken_until_left):
        with pytest.raises(UpstreamError, match=r"did not begin to answer within 0\.2 s"):
            await upstream.send(post(url, bytes(50 * MEGABYTE)), Timeouts(first_byte=0.2))
        assert await taken_until_left() < 50 * MEGABYTE


async def test_silence_in_the_middle(upstream: HttpUpstream) -> None:
    silent = answers(head("content-length: 10"), b"hel", b"lo", end="hang", gap=0.1)
    async with asked(upstream, silent, Timeouts(idle=0.25)) as (answer, provider):
        start = time.monotonic()
        body, error = await until_it_broke(answer)
        assert (body, error.kind) == (b"hello", "timeout")
        assert "fell silent for 0.25 s in the middle of its answer" in str(error)
        assert 0.3 < time.monotonic() - start < 1
        await asyncio.wait_for(provider.left.wait(), 0.1)


async def test_an_answer_that_takes_too_long_although_it_never_falls_silent(upstream: HttpUpstream) -> None:
    drops = answers(head("content-length: 100"), *[b"x"] * 50, gap=0.02)
    async with asked(upstream, drops, Timeouts(total=0.4)) as (answer, provider):
        body, error = await until_it_broke(answer)
        assert 5 < len(body) < 30
        assert error.kind == "timeout"
        assert "took longer than 0.4 s" in str(error)
        await asyncio.wait_for(provider.left.wait(), 0.1)


async def test_a_slow_consumer_is_not_the_provider_s_silence(upstream: HttpUpstream) -> None:
    slow = answers(head("content-length: 3"), b"a", b"b", b"c", gap=0.05)
    async with asked(upstream, slow, Timeouts(idle=0.15)) as (answer, _):
        got = []
        async for piece in answer.pieces():
            got.append(piece)
            await asyncio.sleep(0.4)
        assert b"".join(got) == b"abc"


async def test_a_stalled_consumer_lets_go_at_the_total(upstream: HttpUpstream) -> None:
    async with asked(upstream, streamed(500, bytes(100_000), []), Timeouts(total=0.3)) as (answer, provider):
        await asyncio.wait_for(provider.left.wait(), 1)
        _, error = await until_it_broke(answer)
        assert error.kind == "timeout"


async def test_a_stalled_consumer_stops_the_provider_and_costs_no_memory(upstream: HttpUpstream) -> None:
    gone: list[int] = []
    async with asked(upstream, streamed(500, bytes(100_000), gone)) as (answer, _):
        pieces = answer.pieces()
        size = len(await anext(pieces))
        await asyncio.sleep(0.2)
        stalled = len(gone)
        assert stalled < 300  # what the system's own buffers hold, and ours
        tracemalloc.start()
        await asyncio.sleep(0.3)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(gone) == stalled
        assert grown < MEGABYTE
        async for piece in pieces:
            size += len(piece)
            assert len(piece) <= 8 * BUFFER
        assert size == 50 * MEGABYTE


async def test_300_megabytes_pass_in_a_few(upstream: HttpUpstream) -> None:
    block = bytes(range(256)) * 4096
    async with asked(upstream, streamed(300, block, [])) as (answer, _):
        tracemalloc.start()
        size = 0
        async for piece in answer.pieces():
            size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size == 300 * len(block)
        assert peak < 10 * MEGABYTE


async def test_many_slow_streams_at_once_lose_nothing(upstream: HttpUpstream) -> None:
    async def read(number: int) -> bytes:
        answer = await upstream.send(post(provider.url, str(number).encode()), LONG)
        got = b"".join([piece async for piece in answer.pieces()])
        await answer.close()
        return got

    async def answering(writer: asyncio.StreamWriter, sent: Sent) -> None:
        await answers(head("transfer-encoding: chunked"), *[chunk(sent.body)] * 5, chunk(b""), gap=0.05)(writer, sent)

    async with RawProvider(answering) as provider:
        bodies = await asyncio.gather(*(read(number) for number in range(150)))
        assert bodies == [str(number).encode() * 5 for number in range(150)]
        assert provider.connections == 150


@pytest.mark.parametrize("read_first", [True, False], ids=["waiting", "stalled"])
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
async def test_closing_an_unfinished_answer_closes_the_connection_at_once(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, with_tls: bool, read_first: bool
) -> None:
    upstream = HttpUpstream(tls=trusting)
    endless = answers(head("content-length: 99"), b"x", end="hang") if read_first else streamed(500, bytes(100_000), [])
    async with asked(upstream, endless, tls=serving if with_tls else None) as (answer, provider):
        reading = asyncio.ensure_future(until_it_broke(answer)) if read_first else None
        await asyncio.sleep(0.2)
        assert not provider.left.is_set()
        await answer.close()
        await asyncio.wait_for(provider.left.wait(), 0.1)
        if reading is not None:
            assert "was closed before its end" in str((await reading)[1])
        await answer.close()
    await upstream.close()


async def test_a_call_that_is_cancelled_closes_its_connection_at_once(upstream: HttpUpstream) -> None:
    async with RawProvider(answers(end="hang")) as provider:
        sending = asyncio.ensure_future(upstream.send(post(provider.url), LONG))
        await asyncio.sleep(0.2)
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled()
        await asyncio.wait_for(provider.left.wait(), 0.1)


async def test_a_call_that_is_cancelled_while_it_is_sent_does_not_send_the_rest(upstream: HttpUpstream) -> None:
    async with taking_nothing() as (url, taken_until_left):
        sending = asyncio.ensure_future(upstream.send(post(url, bytes(50 * MEGABYTE)), LONG))
        await asyncio.sleep(0.2)
        before = open_files()
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled()
        await asyncio.sleep(0.05)
        assert open_files() == before - 1
        assert await taken_until_left() < 50 * MEGABYTE


async def test_closing_an_answer_to_a_request_that_is_still_sent_does_not_send_the_rest(upstream: HttpUpstream) -> None:
    async with taking_nothing(head("content-length: 9", status="413 Too Large")) as (url, taken_until_left):
        answer = await upstream.send(post(url, bytes(50 * MEGABYTE)), LONG)
        assert answer.status == 413
        await asyncio.sleep(0.1)
        before = open_files()
        await answer.close()
        await asyncio.sleep(0.05)
        assert open_files() == before - 1
        assert await taken_until_left() < 50 * MEGABYTE


async def test_closing_a_finished_answer_keeps_the_connection(upstream: HttpUpstream) -> None:
    async with RawProvider(whole(b"done")) as provider:
        for _ in range(3):
            answer = await upstream.send(post(provider.url), LONG)
            assert [piece async for piece in answer.pieces()] == [b"done"]
            await answer.close()
            await answer.close()
        assert provider.connections == 1
        assert not upstream._answers


async def test_an_answer_that_came_whole_can_still_be_read_after_the_time_is_over(upstream: HttpUpstream) -> None:
    async with asked(upstream, whole(b"done"), Timeouts(total=0.1)) as (answer, _):
        await asyncio.sleep(0.3)
        assert [piece async for piece in answer.pieces()] == [b"done"]
