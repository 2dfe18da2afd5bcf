"""The beginning of an answer, looked at before any of it goes out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from stepdown.gateway.wire import Reader

HOLD: Final = 5.0
"""Seconds that an answer is held back after its first piece while it says nothing: then the client is shown that somebody is
there. Clients give up after 20 s of silence at the earliest."""

_STREAM: Final = 256 * 1024
"""Bytes of a stream that are held back: what comes before the first word is a few hundred."""

_WHOLE: Final = 2 * 1024 * 1024
"""Bytes of an answer in one piece that are held back, to see that all of it comes; the longest have half a megabyte."""


class Ahead:
    """Takes in pieces of an answer until it is clear what they are.

    Args:
        pieces: the answer's; they go on where this stopped.
        reader: reads them.
        streamed: whether they are a stream.
        hold: seconds after the first piece.

    Attributes:
        pieces: the others.
        held: the pieces that were taken in, in order.
        ended: whether they are all.
    """

    def __init__(self, pieces: AsyncIterator[bytes], reader: Reader, *, streamed: bool, hold: float = HOLD) -> None:
        self.held: list[bytes] = []
        self.ended = False
        self.pieces = pieces
        self._reader = reader
        self._most = _STREAM if streamed else _WHOLE
        self._hold = hold
        self._next: asyncio.Task[bytes] | None = None

    async def look(self) -> None:
        """Take in pieces until one says something, or fails, or it has taken too long since the first.

        Raises:
            UpstreamError: it broke off.
        """
        reader, size, until = self._reader, 0, 0.0
        clock = asyncio.get_running_loop().time
        while not reader.began and reader.failure is None and size <= self._most:
            if not self.held:  # a provider that says nothing at all is waited for
                piece = await anext(self.pieces, b"")
                until = clock() + self._hold
            else:
                self._next = asyncio.ensure_future(self._one())
                await asyncio.wait({self._next}, timeout=max(0.0, until - clock()))
                if not self._next.done():
                    return
                piece, self._next = self._next.result(), None
            if not piece:
                self.ended = True
                reader.close()
                return
            self.held.append(piece)
            reader.feed(piece)
            size += len(piece)

    async def awaited(self) -> bytes:
        """The piece that was being waited for when the time was up; b"" is none."""
        if self._next is None:
            return b""
        piece, self._next = await self._next, None
        return piece

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._next is not None:
            self._next.add_done_callback(_unheard)
            self._next.cancel()

    async def _one(self) -> bytes:
        return await anext(self.pieces, b"")


def _unheard(task: "asyncio.Task[bytes]") -> None:
    """Nobody waits for it; asyncio need not complain that nobody heard how it ended."""
    if not task.cancelled():
        task.exception()
