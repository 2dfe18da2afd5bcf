"""The practice provider: a real HTTP server on loopback that needs no key and costs nothing.

It speaks Anthropic Messages, OpenAI Chat Completions and OpenAI Responses.

```python
async with PracticeProvider() as provider:
    ...  # talk to provider.url
provider.log  # what was asked and what a bill would say
```
"""

import asyncio
import concurrent.futures
import contextlib
import errno
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import uvicorn

from stepdown.catalog.catalogue import Catalog
from stepdown.errors import ProviderError
from stepdown.practice.app import application
from stepdown.practice.desk import Desk
from stepdown.practice.faults import Fault, Faults
from stepdown.practice.limits import NO_LIMITS, Limits
from stepdown.practice.served import Served

HOST: Final = "127.0.0.1"
MODELS: Final = ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6")
"""What ``GET /v1/models`` lists. Any other name is answered as well, so that whatever was decided can be run."""

LATENCY: Final = 0.03
"""Seconds before an answer: long enough to be seen, short enough to wait for."""


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's program: signals stay with that program, and it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.listening.set()

    def hang_up(self, client: tuple[str, int]) -> None:
        """Close the connection of the client at an address, whatever it waits for."""
        for connection in self.server_state.connections:
            if getattr(connection, "client", None) == client:
                connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class PracticeProvider:
    """A provider to practise with. Start it with ``async with`` in a running loop, or with `start` in a thread of its own.

    ``async with`` may be nested and repeated: the innermost keeps it running, and log, cache and faults stay.

    Attributes:
        log: every request, in order, also readable at ``GET /practice/log``.
        faults: what is to go wrong; more can be added at any time, also by ``POST /practice/faults``.
        left: ids, as in `log`, of requests whose client went away before the end of a streamed answer.
        bodies: the bodies of requests by the same ids, where `keep_bodies` was asked for.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        faults: Iterable[Fault] = (),
        latency: float = LATENCY,
        latencies: Mapping[str, float] | None = None,
        models: tuple[str, ...] = MODELS,
        context: int = 1_000_000,
        log_file: Path | None = None,
        limits: Limits = NO_LIMITS,
        strict: bool = False,
        keep_bodies: bool = False,
    ) -> None:
        """Prepare; nothing listens yet.

        Args:
            port: where to listen on loopback; 0 takes a free one.
            faults: what is to go wrong, see `stepdown.practice.faults`.
            latency: seconds before an answer.
            latencies: the same for single models.
            models: what ``GET /v1/models`` lists.
            context: tokens of a prompt that are accepted.
            log_file: where to append each request as a line of JSON.
            limits: what the headers of every answer say of rates and plans, see `stepdown.practice.limits`.
            strict: whether models reject what their entry in the catalogue excludes, as the real ones do.
            keep_bodies: whether to keep the bodies of requests, for those who want to compare them.
        """
        self.log: list[Served] = []
        self.faults = Faults(faults)
        self._port = port
        self._log_file = log_file
        self.left: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self._desk = Desk(
            record=self._record,
            log=self.log,
            faults=self.faults,
            latency={**(latencies or {}), "": latency},
            models=models,
            context=context,
            catalog=Catalog.load() if strict else None,
            limits=limits,
            left=self.left,
            bodies=self.bodies if keep_bodies else None,
        )
        self._users = 0
        self._socket: socket.socket | None = None
        self._address = ""
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._stop_thread: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def url(self) -> str:
        """Where it listens: ``http://127.0.0.1:PORT``.

        Raises:
            ProviderError: it does not run.
        """
        if not self._address:
            raise ProviderError("the practice provider is not running; start it first")
        return self._address

    @property
    def limits(self) -> Limits:
        """What the headers of every answer say; may be set at any time, also by ``PUT /practice/limits``."""
        return self._desk.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._desk.limits = limits

    def _record(self, served: Served) -> None:
        self.log.append(served)
        if self._log_file is not None:
            with self._log_file.open("ab") as file:
                file.write(msgspec.json.encode(served) + b"\n")

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self._port))
            listener.listen(128)
        except OSError as problem:
            listener.close()
            why = "something else uses it" if problem.errno == errno.EADDRINUSE else problem.strerror
            raise ProviderError(
                f"cannot listen on {HOST}:{self._port}: {why}; take another --port, or 0 for a free one"
            ) from problem
        listener.setblocking(False)
        return listener

    async def __aenter__(self) -> Self:
        self._users += 1
        if self._users > 1:
            return self
        try:
            self._socket = self._listen()
        except ProviderError:
            self._users -= 1
            raise
        self._desk.closing, self._desk.moved = asyncio.Event(), asyncio.Event()
        config = uvicorn.Config(
            application(self._desk),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._desk.hang_up = self._server.hang_up
        self._address = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.listening.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users or self._server is None or self._serving is None:
            return
        self._address = ""
        self._desk.closing.set()
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = self._socket = None

    def start(self) -> Self:
        """Run in a thread of its own, for programs without a loop, until `stop`.

        Raises:
            ProviderError: the port is taken.
        """
        started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = concurrent.futures.Future()

        async def serve() -> None:
            stop = asyncio.Event()
            try:
                async with self:
                    started.set_result((asyncio.get_running_loop(), stop))
                    await stop.wait()
            except ProviderError as problem:
                started.set_exception(problem)

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), name="practice-provider", daemon=True)
        self._thread.start()
        self._stop_thread = started.result()
        return self

    def stop(self) -> None:
        """End what `start` began."""
        if self._thread is not None and self._stop_thread is not None:
            loop, stop = self._stop_thread
            loop.call_soon_threadsafe(stop.set)
            self._thread.join()
            self._thread = self._stop_thread = None
