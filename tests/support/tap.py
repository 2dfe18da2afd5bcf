"""A tap on a connection: it passes bytes on as they are, and keeps what an HTTP client and its server said to each other."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Exchange:
    """One request and what came back.

    Attributes:
        method: ``POST``.
        path: without its query.
        headers: of the request, names in lower case.
        body: of the request, as it was sent.
        answer: everything that came back, head and all.
    """

    def __init__(self, head: bytes) -> None:
        line, *rest = head.decode("latin-1").split("\r\n")
        self.method, target, _ = line.split(" ")
        self.path = target.partition("?")[0]
        self.headers = _headers(rest)
        self.body = b""
        self.answer = b""

    @property
    def status(self) -> int:
        """Of the answer; 0 where there was none."""
        return int(self.answer.split(b" ", 2)[1]) if self.answer else 0

    @property
    def answered(self) -> dict[str, str]:
        """The answer's headers, names in lower case."""
        return _headers(self.answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:])


def _headers(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Tap:
    """Listens on loopback from ``async with`` on, in front of the server at a URL.

    Attributes:
        exchanges: in the order in which they began.
    """

    def __init__(self, behind: str) -> None:
        parts = urlsplit(behind)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.exchanges: list[Exchange] = []
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        heard: list[Exchange] = []  # of this connection; none of the clients sends a request before the last is answered
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
            try:
                ways = {asyncio.create_task(self._up(reader, back, heard)), asyncio.create_task(_down(there, writer, heard))}
                _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in left:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                back.transport.abort()
        finally:
            writer.close()
            self._open.discard(task)

    async def _up(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, heard: list[Exchange]) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head[:-4])
                assert exchange.headers.get("transfer-encoding") is None, "a tap reads bodies by their length"
                heard.append(exchange)
                self.exchanges.append(exchange)
                back.write(head)
                exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", "0")))
                back.write(exchange.body)
                await back.drain()


async def _down(there: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: list[Exchange]) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await there.read(65536):
            if heard:
                heard[-1].answer += piece
            writer.write(piece)
            await writer.drain()
