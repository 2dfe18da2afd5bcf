"""Responses that go out piece by piece, well or badly: with pauses, cut off, or with an error in the middle."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send


class Playback(Response):
    """A body in pieces, each sent by itself. It stops where the client goes away, and says so.

    Attributes:
        before: seconds until the head.
        each: seconds before each piece.
        stop: how many pieces go out before something happens; None is all of them.
        pause: seconds of silence at `stop`.
        last: what is sent at `stop` instead of the rest; None goes on with the rest.
        cut: whether the connection is closed where the pieces end, in the middle of the response.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        headers: Mapping[str, str],
        media_type: str,
        *,
        closing: asyncio.Event,
        left: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            pieces: the body.
            headers: of the response.
            media_type: of the body.
            closing: set when the provider ends: nobody is kept waiting then.
            left: called where the client went away before the end.
        """
        super().__init__(None, 200, dict(headers), media_type)
        del self.headers["content-length"]
        self._pieces = pieces
        self._closing = closing
        self._left = left
        self.before, self.each, self.pause = 0.0, 0.0, 0.0
        self.stop: int | None = None
        self.last: bytes | None = None
        self.cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play it."""
        del scope
        playing = asyncio.ensure_future(self._play(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            else:
                self._left()
        finally:
            for task in (playing, leaving):
                task.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)

    async def _play(self, send: Send) -> None:
        await self._wait(self.before)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces[: self.stop]:
            await self._send(send, piece)
        if self.stop is not None:
            await self._wait(self.pause)
            rest = (self.last,) if self.last is not None else self._pieces[self.stop :]
            for piece in () if self.cut else rest:
                await self._send(send, piece)
        if not self.cut:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, piece: bytes) -> None:
        await self._wait(self.each)
        await send(_body(piece))

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._closing.wait()


def _body(piece: bytes) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": True}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class HungUp(Response):
    """No response at all: the connection is closed."""

    def __init__(self, hang_up: Callable[[tuple[str, int]], None]) -> None:
        """Prepare; `hang_up` closes the connection of the client with that address."""
        super().__init__()
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close it."""
        del send
        self._hang_up(tuple(scope["client"]))
        await _gone(receive)
