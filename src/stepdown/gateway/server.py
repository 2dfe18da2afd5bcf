"""uvicorn inside our own program: signals end it in two steps, followers never hold it up, and its log says nothing twice."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import uvicorn

from stepdown.gateway.heads import BoundedHeads

_SAID_OTHERWISE: Final = (
    # A provider that broke off is passed on as it was, and the request's line says so.
    "ASGI callable returned without completing response",
    # Codex asks for a WebSocket first and takes no for an answer.
    "Unsupported upgrade request",
    "No supported WebSocket library detected",
    # The command line says how many are under way, and how many were cut.
    "timeout graceful shutdown exceeded",
)
"""What uvicorn would log and nobody has to act on."""

_LOOK: Final = 0.05
"""Seconds between two looks whether it was told to stop once more."""

_LAST: Final = 2.0
"""Seconds that requests which are cut get to note what they used."""


_log: Final = logging.getLogger("stepdown.gateway")


class Server(uvicorn.Server):
    """Tells when it listens and when it is told to stop.

    Args:
        config: uvicorn's.
        closing: set when it stops, so that what would go on for ever ends.
        ready: called once it listens.
        stopping: called when it stops listening, with the number of requests that are still under way.
        leaving: set as soon as it was told to stop.
        linger: seconds for which it takes requests all the same, so that whoever sends them can find out.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        closing: asyncio.Event,
        ready: Callable[[], None],
        stopping: Callable[[int], None] = lambda _: None,
        *,
        leaving: asyncio.Event | None = None,
        linger: float = 0.0,
    ) -> None:
        config.http = BoundedHeads
        super().__init__(config)
        self._leaving = asyncio.Event() if leaving is None else leaving
        self._linger = linger
        self._closing = closing
        self._ready = ready
        self._stopping = stopping
        self.cut = 0
        """Requests that were not waited for."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, stop listening after a while, let requests end, cut those that take too long."""
        self._leaving.set()
        await self._take_leave()
        self._closing.set()
        await asyncio.sleep(0.02)  # followers see it, and are not counted
        self._stopping(len(self.server_state.tasks))
        await super().shutdown(sockets)
        left = set(self.server_state.tasks)
        self.cut = len(left)
        for task in left:
            task.cancel()
        if left:  # what they used is noted at their end, and there has to be somebody to note it
            await asyncio.wait(left, timeout=_LAST)

    async def _take_leave(self) -> None:
        """Listen on for as long as it lingers, or until it is told to stop for the second time."""
        if self._linger and not self.force_exit:
            _log.warning("told to stop: requests are taken for another %g s; ctrl-C again does not wait", self._linger)
        until = time.monotonic() + self._linger
        while not self.force_exit and time.monotonic() < until:  # noqa: ASYNC110  (a signal's handler sets it)
            await asyncio.sleep(_LOOK)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is connected."""
        return not self.server_state.connections

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While it runs, signals end it; unlike uvicorn's own, they are not raised again: there is still something to write."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # with nohup it stays ignored
                before[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        """The first asks requests to end, the second does not wait for them."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _is_news(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):  # cut by us
        return False
    return not any(words in record.getMessage() for words in _SAID_OTHERWISE)
