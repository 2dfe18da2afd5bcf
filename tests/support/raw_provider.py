"""A provider of bytes: it records what it is sent to the byte, and answers what a test tells it, HTTP or not."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

import msgspec


class Sent(msgspec.Struct, frozen=True):
    """One request as it came: its first line, its headers in their order, its body, and the number of its connection."""

    line: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    connection: int

    def header(self, name: str) -> list[bytes]:
        return [value for key, value in self.headers if key.decode("latin-1").lower() == name]


Answering = Callable[[asyncio.StreamWriter, Sent], Awaitable[None]]


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer in one piece."""
    return head(f"content-length: {len(body)}", *headers, status=status) + body


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class RawProvider:
    """Listens on loopback from ``async with`` on.

    Attributes:
        sent: every request, in order.
        left: set when a client has closed a connection.
        connections: how many there have been.
    """

    def __init__(
        self, answering: Answering | bytes = b"", *, tls: ssl.SSLContext | None = None, take_bodies: bool = True
    ) -> None:
        self.answering = answering
        self.sent: list[Sent] = []
        self.left = asyncio.Event()
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._take_bodies = take_bodies
        self._server: asyncio.Server | None = None
        self._served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._served.values():
            writer.transport.abort()
        await asyncio.gather(*self._served)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._served[task] = writer
        try:
            await self._converse(reader, writer, self.connections)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            del self._served[task]
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            raw = await reader.readuntil(b"\r\n\r\n")
            line, *rest = raw[:-4].split(b"\r\n")
            headers = [(name, value.strip(b" ")) for name, _, value in (each.partition(b":") for each in rest)]
            length = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
            body = await reader.readexactly(length) if self._take_bodies else b""
            sent = Sent(line.decode("latin-1"), headers, body, connection)
            self.sent.append(sent)
            if isinstance(self.answering, bytes):
                writer.write(self.answering)
                await writer.drain()
                continue
            answering = asyncio.ensure_future(self.answering(writer, sent))
            gone = asyncio.ensure_future(self._gone(reader, writer))
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not answering.done():
                answering.cancel()
                raise ConnectionResetError
            await answering
            if writer.is_closing():
                return

    async def _gone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the client has left, while nothing is expected of it."""
        while not (reader.at_eof() or reader.exception() or writer.transport.is_closing()):  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(0.002)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close without a goodbye: the other side sees a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


def answers(*parts: bytes, end: Literal["keep", "close", "reset", "hang"] = "keep", gap: float = 0.0) -> Answering:
    """Answering in parts, `gap` seconds apart, with an end of its own."""

    async def answering(writer: asyncio.StreamWriter, _sent: Sent) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(gap)
        if end == "close":
            writer.close()
        elif end == "reset":
            reset(writer)
        elif end == "hang":
            await asyncio.Event().wait()

    return answering
