"""A provider's response while its body is on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from stepdown.upstream.failures import broken_off
from stepdown.upstream.headers import incoming
from stepdown.upstream.port import Headers, Timeouts, UpstreamError

_BROKEN: Final = (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError)


class HttpAnswer:
    """An `Answer` over aiohttp.

    One timer watches over it: looking at the clock now and then costs nothing a piece, where a timeout around every read would
    have to be set and taken back for each. It also listens for the end of its connection: where the body stops being HTTP on
    the way, aiohttp closes the connection and leaves the reader waiting.
    """

    __slots__ = (
        "_closed",
        "_deadline",
        "_failure",
        "_finished",
        "_headers",
        "_host",
        "_loop",
        "_response",
        "_timeouts",
        "_timer",
        "_waiting_since",
    )

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        host: str,
        timeouts: Timeouts,
        deadline: float,
        finished: Callable[["HttpAnswer"], None],
    ) -> None:
        """Take over a response whose head has come.

        Args:
            response: its body has not been touched.
            host: for messages.
            timeouts: `idle` and `total` count from here on.
            deadline: when `total` is over, by the loop's clock.
            finished: told once, when nothing more is to come.
        """
        self._response = response
        self._headers: Headers = incoming(response.raw_headers)
        self._host = host
        self._timeouts = timeouts
        self._deadline = deadline
        self._finished = finished
        self._failure: UpstreamError | None = None
        self._waiting_since: float | None = None
        self._loop = asyncio.get_running_loop()
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        self._closed = protocol.closed if protocol is not None else None
        if self._closed is not None:
            self._closed.add_done_callback(self._lost)
        elif protocol is not None:
            self._loop.call_soon(self._lost)
        self._timer = self._loop.call_at(min(deadline, self._loop.time() + timeouts.idle), self._look)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Headers:
        """As they came, without hop-by-hop ones."""
        return self._headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in. What had come in before it broke off is given before the error is raised."""
        while piece := await self._next():
            yield piece
        self._let_go()
        if self._failure is not None:
            self._response.close()
            # The client's own words hold the whole address, its query too.
            raise self._failure from None

    async def close(self) -> None:
        """Let go of it: an unfinished body takes its connection with it."""
        self.cut(UpstreamError("broken", f"the answer of {self._host} was closed before its end"))

    def cut(self, failure: UpstreamError) -> None:
        """End it now; whoever waits for the next piece gets this failure. Nothing where the body has come to its end."""
        connection = self._response.connection
        if connection is not None:
            self._failure = self._failure or failure
            # Closing would first send what is left of the request, and wait for the other side's TLS to say goodbye.
            if connection.transport is not None:
                connection.transport.abort()
            self._response.close()
        self._let_go()

    async def _next(self) -> bytes:
        """The next piece; b"" at the end, a bad one too."""
        content = self._response.content
        if self._failure is not None:
            return b""
        self._waiting_since = self._loop.time()
        try:
            return await content.readany()
        except _BROKEN as problem:
            if self._failure is not None:  # it was cut from here, while it was waited for
                return b""
            self._failure = broken_off(problem, self._host)
            return _left_unread(content)
        finally:
            self._waiting_since = None

    def _let_go(self) -> None:
        self._timer.cancel()
        if self._closed is not None:
            self._closed.remove_done_callback(self._lost)
            self._closed = None
        self._finished(self)

    def _lost(self, _closed: asyncio.Future[None] | None = None) -> None:
        """The connection is gone: wake the reader, where aiohttp did not."""
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError())

    def _look(self) -> None:
        """Look at the clock: too late, or look again when it may be.

        Only waiting for the provider counts as idle: a consumer may take its time, up to `total`.
        """
        now, idle = self._loop.time(), self._timeouts.idle
        quiet_until = (now if self._waiting_since is None else self._waiting_since) + idle
        if now >= self._deadline:
            self.cut(UpstreamError("timeout", f"the answer of {self._host} took longer than {self._timeouts.total:g} s"))
        elif now >= quiet_until:
            self.cut(UpstreamError("timeout", f"{self._host} fell silent for {idle:g} s in the middle of its answer"))
        else:
            self._timer = self._loop.call_at(min(self._deadline, quiet_until), self._look)


def _left_unread(content: aiohttp.StreamReader) -> bytes:
    """What came in before the break. aiohttp would keep it from those who had not read it yet."""
    content.set_exception(None)  # type: ignore[arg-type]  # its type knows only of setting one
    return content.read_nowait(-1)
