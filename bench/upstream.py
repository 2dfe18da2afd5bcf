"""``python -m bench.upstream``: what a call to a provider costs, and what a stream holds.

CPU of the client alone, beside a provider in a process of its own: a 163 KB request with a small answer, and one with a stream
of 300 events, through `HttpUpstream` and through aiohttp as its documentation has it, taking turns. Then, each in a fresh
process: memory of 1,000 streams at once that send an event every half second, and of a 50 MB answer whose reader stalls.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import resource
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import aiohttp

from stepdown.upstream import Call, Timeouts
from stepdown.upstream.http import HttpUpstream

BODY: Final = b'{"model": "m", "messages": "' + b"x" * 162_900 + b'"}'
HEADERS: Final = (
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "bench/1.0"),
    ("x-api-key", "none"),
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "one,two,three"),
    ("x-app", "cli"),
)
EVENT: Final = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"' + b"w" * 40 + b'"}}\n\n'
)
EVENTS: Final = 300
STREAMS: Final = 1_000
STALLED: Final = 50_000_000
ROUNDS, CALLS, STREAM_CALLS = 9, 120, 20

Calling = Callable[[str], Awaitable[int]]
"""One call to an address; how many bytes it was answered."""


class Provider(asyncio.Protocol):
    """Answers by path, with as little of its own as possible."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen = bytearray()
        self._length = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._may_write = asyncio.Event()
        self._may_write.set()

    def pause_writing(self) -> None:
        """It reads more slowly than this writes."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """A part of a request; the whole of it is answered."""
        self._seen += data
        if self._length < 0 and (end := self._seen.find(b"\r\n\r\n")) >= 0:
            start = self._seen.lower().find(b"content-length: ") + 16
            self._length = end + 4 + int(self._seen[start : self._seen.index(b"\r", start)])
        if 0 <= self._length <= len(self._seen):
            path = bytes(self._seen[: self._seen.index(b"\r")]).split()[1]
            del self._seen[: self._length]
            self._length = -1
            self._task = self._loop.create_task(self._answer(path))

    async def _answer(self, path: bytes) -> None:
        write = self._transport.write
        if path == b"/whole":
            write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n" + b"y" * 2000)
            return
        if path == b"/big":
            write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % STALLED)
            block = bytes(100_000)
            for _ in range(STALLED // len(block)):
                await self._may_write.wait()
                write(block)
            return
        write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
        for _ in range(EVENTS if path == b"/events" else 20):
            write(chunk)
            await asyncio.sleep(0 if path == b"/events" else 0.5)
        write(b"0\r\n\r\n")


def serve(told: Connection) -> None:
    """Listen, say where, until killed."""

    async def listen() -> None:
        allow_many_files()
        server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=2 * STREAMS)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """A provider in a process of its own; its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard == resource.RLIM_INFINITY else min(hard, 8192), hard))


def resident() -> float:
    """MB of memory that this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[Calling]:
    upstream, timeouts = HttpUpstream(), Timeouts()

    async def call(url: str) -> int:
        answer = await upstream.send(Call(method="POST", url=url, headers=HEADERS, body=BODY), timeouts)
        try:
            return sum([len(piece) async for piece in answer.pieces()])
        finally:
            await answer.close()

    yield call
    await upstream.close()


@contextlib.asynccontextmanager
async def plain() -> AsyncIterator[Calling]:
    async with aiohttp.ClientSession() as session:

        async def call(url: str) -> int:
            async with session.post(url, data=BODY, headers=dict(HEADERS)) as response:
                return sum([len(piece) async for piece in response.content.iter_any()])

        yield call


async def cpu(calling: Calling, url: str, calls: int) -> float:
    """Microseconds of CPU a call."""
    start = time.process_time()
    for _ in range(calls):
        await calling(url)
    return (time.process_time() - start) / calls * 1e6


async def compare(url: str) -> None:
    print(f"{'CPU a call, median and least of rounds':42}{'HttpUpstream':>16}{'plain aiohttp':>16}{'ratio':>8}")
    async with ours() as our, plain() as their:
        for name, path, calls in (
            ("163 KB, small answer", "/whole", CALLS),
            (f"163 KB, {EVENTS} events", "/events", STREAM_CALLS),
        ):
            await cpu(our, url + path, 20)
            await cpu(their, url + path, 20)
            rounds = [(await cpu(our, url + path, calls), await cpu(their, url + path, calls)) for _ in range(ROUNDS)]
            columns = [[each[side] for each in rounds] for side in (0, 1)]
            cells = [f"{statistics.median(column):.0f} / {min(column):.0f} µs" for column in columns]
            ratio = statistics.median(our_us / their_us for our_us, their_us in rounds)
            print(f"{name:42}" + "".join(f"{cell:>16}" for cell in cells) + f"{ratio:8.2f}")


async def slow_streams(url: str) -> str:
    allow_many_files()
    async with ours() as our:
        await our(url + "/whole")
        before = resident()
        calls = [asyncio.ensure_future(our(url + "/slow")) for _ in range(STREAMS)]
        await asyncio.sleep(6)
        during = resident()
        sizes = await asyncio.gather(*calls)
    whole = sum(size == 20 * len(EVENT) for size in sizes)
    held = (during - before) * 1000 / STREAMS
    return f"{STREAMS} slow streams: {before:.0f} MB before, {during:.0f} MB during, {held:.0f} KB a stream, {whole} came whole"


async def stalled(url: str) -> str:
    upstream = HttpUpstream()
    answer = await upstream.send(Call(method="POST", url=url + "/whole", headers=HEADERS, body=BODY), Timeouts())
    assert [piece async for piece in answer.pieces()]
    before = resident()
    answer = await upstream.send(Call(method="POST", url=url + "/big", headers=HEADERS, body=BODY), Timeouts())
    pieces = answer.pieces()
    size = len(await anext(pieces))
    await asyncio.sleep(2)
    during = resident()
    async for piece in pieces:
        size += len(piece)
    await upstream.close()
    assert size == STALLED
    return f"{STALLED // 1_000_000} MB answer: {before:.1f} MB before, {during:.1f} MB while its reader stalls; all of it came"


def alone(part: Callable[[str], Awaitable[str]], url: str) -> None:
    """A part in a fresh process, whose memory nothing else has touched."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(run, (part, url)))


def run(part: Callable[[str], Awaitable[str]], url: str) -> str:
    with asyncio.Runner() as runner:
        return runner.run(coroutine(part, url))


async def coroutine(part: Callable[[str], Awaitable[str]], url: str) -> str:
    return await part(url)


def main() -> None:
    with provider() as url:
        asyncio.run(compare(url))
        alone(slow_streams, url)
        alone(stalled, url)


if __name__ == "__main__":
    main()
