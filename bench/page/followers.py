"""``python -m bench.page.followers PORT PATH PAGES``: so many open pages that read everything they are told.

A process of its own: what reading costs is nobody else's. It says a line when all of them have been told something, counts from
the line on that it is sent, and says what it counted (`Heard`) when its standard input ends.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

_TOP: Final = Path(__file__).parents[2]
_FIRST: Final = 2_000
"""Bytes from which on a page has been told more than that it will be told something."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What one page was told while that was counted, on average.

    Attributes:
        told: how often something came.
        size: bytes in all.
        lost: how many pages are not connected any more.
    """

    told: float
    size: float
    lost: int


class _Follower(asyncio.Protocol):
    """One page: it counts, and keeps nothing."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.begun = asyncio.get_running_loop().create_future()
        self.told = 0
        self.size = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        if not self.size and not self.begun.done() and not data.startswith(b"HTTP/1.1 200 "):
            self.connection_lost(ConnectionError(f"the page's events: {data[:40]!r}"))
            return
        self.told += 1
        self.size += len(data)
        if not self.begun.done() and self.size > _FIRST:
            self.begun.set_result(None)

    def connection_lost(self, problem: Exception | None) -> None:
        self.lost = True
        if not self.begun.done():
            self.begun.set_exception(problem or ConnectionError("the page's events ended before anything was told"))


class Pages:
    """Open pages, as whoever opened them sees them.

    Args:
        asked: where they are told to count; None is nobody.

    Attributes:
        heard: what they were told; known once they are closed, and None where there are none.
    """

    def __init__(self, asked: IO[bytes] | None) -> None:
        self._asked = asked
        self.heard: Heard | None = None

    def count(self) -> None:
        """Count from now on."""
        if self._asked is not None:
            self._asked.write(b"count\n")
            self._asked.flush()


@contextlib.contextmanager
def open_pages(port: int, path: str, pages: int) -> Iterator[Pages]:
    """So many of them, all told everything once already; none starts nothing."""
    if not pages:
        yield Pages(None)
        return
    command = [sys.executable, "-m", "bench.page.followers", str(port), path, str(pages)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_TOP) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        if not one.stdout.readline():
            raise ConnectionError(f"{pages} pages could not be opened at port {port}")
        found = Pages(one.stdin)
        yield found
        one.stdin.close()
        found.heard = msgspec.json.decode(one.stdout.readline(), type=Heard)


async def _follow(port: int, path: str, pages: int) -> None:
    loop = asyncio.get_running_loop()
    head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: text/event-stream\r\n"
    head += "accept-encoding: gzip, deflate, br, zstd\r\n\r\n"
    opened = [(await loop.create_connection(lambda: _Follower(head.encode()), "127.0.0.1", port))[1] for _ in range(pages)]
    await asyncio.gather(*(one.begun for one in opened))
    print("open", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        for one in opened:
            one.told, one.size = 0, 0
    heard = Heard(
        told=sum(one.told for one in opened) / pages,
        size=sum(one.size for one in opened) / pages,
        lost=sum(one.lost for one in opened),
    )
    print(msgspec.json.encode(heard).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(_follow(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
