"""The client's side of a request: what it sent, whether it is still there, and what it is sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.types import Receive, Scope, Send

from stepdown.gateway.wire import Unreadable
from stepdown.ledger.records import Person
from stepdown.team.roles import PERSON

LARGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of one request; the Messages API takes 32 MB, and a larger one is somebody's mistake."""


class Gone(Exception):  # noqa: N818  (it is no error: people press ctrl-C)
    """The client has gone."""


class Client:
    """The client's side of a request.

    Attributes:
        headers: in their order, names in lower case.
        named: the same by name.
        query: what follows the question mark.
        person: whose token it brought; None where no tokens are needed.
        body: what it sent, once `read`; b"" again when nobody needs it any more.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        self.named = dict(self.headers)
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self.person: Person | None = scope.get(PERSON)
        self.body = b""
        self._receive = receive
        self._send = send

    async def read(self) -> None:
        """Take in all of the request's body.

        Raises:
            Unreadable: it is too large, or not plain JSON by its header.
            Gone: the client has.
        """
        expect_json(self.named)
        self.body = await read_body(self.named, self._receive)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """While this lasts, a client that goes ends what is inside at once, with `Gone`."""
        inside = asyncio.current_task()
        assert inside is not None
        lasts, gone = True, False

        def end(_: "asyncio.Task[None]") -> None:
            # It also ends where the whole answer has been sent; what is inside has then come to its end as well.
            nonlocal gone
            if lasts:
                gone = True
                inside.cancel()

        watch = asyncio.ensure_future(self._until_gone())
        watch.add_done_callback(end)
        try:
            yield
        except asyncio.CancelledError:
            if gone and inside.uncancel() == 0:  # else somebody else wants it to end as well
                raise Gone from None
            raise
        finally:
            lasts = False
            watch.cancel()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of the answer."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, piece: bytes, *, more: bool) -> None:
        """A piece of its body; waits for as long as the client is slow to take it."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """An answer in one piece, in JSON."""
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.start(status, head + headers)
        await self.piece(body, more=False)


def expect_json(headers: Mapping[str, str]) -> None:
    """Refuse a body that is not plain JSON by its header; names are in lower case.

    Raises:
        Unreadable: it is not.
    """
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Unreadable(f"content-type '{kind}' is not understood here: send application/json", 415)
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Unreadable("a compressed body is not understood here: send it as it is", 415)


async def read_body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """All of a request's body, never more of it than is taken; header names are in lower case.

    Raises:
        Unreadable: it is too large.
        Gone: the client has.
    """
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > LARGEST_BODY:
        raise _too_large()
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > LARGEST_BODY:
            raise _too_large()
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large() -> Unreadable:
    return Unreadable(f"the request is larger than {LARGEST_BODY // 1024 // 1024} MB", 413)
