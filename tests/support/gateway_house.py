"""A whole gateway on loopback, in the test's own loop: real server, real client of providers, real ledger in a file."""

import asyncio
import contextlib
import io
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvicorn
from yarl import URL

from stepdown.dashboard.app import Dashboard
from stepdown.gateway.ahead import HOLD
from stepdown.gateway.app import Gateway
from stepdown.gateway.books import Books, Line
from stepdown.gateway.control import Control
from stepdown.gateway.conversations import Conversations
from stepdown.gateway.desk import Desk
from stepdown.gateway.door import Door
from stepdown.gateway.found import Found
from stepdown.gateway.guard import Guard
from stepdown.gateway.page import GatewayHost, Passing
from stepdown.gateway.people import People
from stepdown.gateway.purse import Purse
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.resting import Resting
from stepdown.gateway.server import Server
from stepdown.gateway.world import World
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Record
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.preferences import Preferences, load_preferences
from stepdown.units import Tokens
from stepdown.upstream.http import HttpUpstream
from stepdown.upstream.port import Timeouts

OPUS, SONNET, HAIKU = "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"
KEY = "sk-ant-the-client's-own-0123456789"
PROMPT = "The secret word is abracadabra."
UNIT = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "M001/S01"}
"""A declared unit, which routing gives to the light model."""

ROUTED = """
models: {default: {model: claude-opus-4-6, fallbacks: [claude-sonnet-4-6]}}
dynamic_routing: {enabled: true, tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}}
gateway: {mode: delegated}
"""
PROVIDERS = """
providers:
  anthropic: {base_url: "URL", protocols: [messages]}
  openai: {base_url: "URL/v1", protocols: [chat, responses]}
"""
Opening = Callable[..., contextlib.AbstractAsyncContextManager["House"]]
"""`open_house` without its directory."""

QUICK = Timeouts(connect=5, first_byte=5, idle=5, total=20)


class Answered(msgspec.Struct, frozen=True):
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class House:
    """A gateway that runs, and what can be done with it."""

    def __init__(
        self,
        url: str,
        desk: Desk,
        books: Books,
        host: GatewayHost,
        page: Dashboard,
        recorder: Recorder,
        session: aiohttp.ClientSession,
        directory: Path,
    ) -> None:
        self.url = url
        self.desk = desk
        self.books = books
        self.host = host
        self.page = page
        self.recorder = recorder
        self.directory = directory
        self._lines: list[Line] = []
        self._queue = books.follow()
        self._session = session

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def lines(self) -> list[Line]:
        """What has passed so far."""
        while not self._queue.empty():
            self._lines.append(self._queue.get_nowait())
        return self._lines

    @contextlib.asynccontextmanager
    async def asking(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, method: str = "POST"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Any request, answered as far as its head; a body that is no bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        url = URL(self.url + path, encoded=True)
        sending = None if data is None else io.BytesIO(data)
        async with self._session.request(method, url, data=sending, headers=sent, allow_redirects=False) as answer:
            yield answer

    async def ask(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, method: str = "POST"
    ) -> Answered:
        """Likewise, read to its end."""
        async with self.asking(path, body, headers, method=method) as answer:
            whole = await answer.read()
            return Answered(answer.status, {name.lower(): value for name, value in answer.headers.items()}, whole)

    async def messages(self, model: str = OPUS, *, headers: Mapping[str, str] = {}, **more: Any) -> Answered:
        """A request of the Messages API, with the client's own key."""
        return await self.ask("/v1/messages", messages(model, **more), {"x-api-key": KEY, **headers})

    async def records(self) -> Sequence[Record]:
        """What the ledger has, the oldest first."""
        assert await self.recorder.flush()
        with SqliteLedger(self.directory / "ledger.db") as ledger:
            return list(reversed(ledger.records()))

    async def used(self) -> dict[str, Tokens]:
        """Per model, what the ledger says that was used."""
        found: dict[str, Tokens] = {}
        for record in await self.records():
            found[record.attempt.model] = found.get(record.attempt.model, Tokens()) + tokens_of(record)
        return found


def tokens_of(record: Record) -> Tokens:
    """What an attempt used, ended or not."""
    return (record.outcome.tokens or Tokens()) if record.outcome else record.so_far.tokens


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for something that nothing tells of."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(0.002)


def messages(model: str = OPUS, **more: Any) -> dict[str, Any]:
    """A small request of the Messages API."""
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": PROMPT}], **more}


class _Quiet(Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they stay with pytest


@contextlib.asynccontextmanager
async def open_house(
    directory: Path,
    url: str = "http://127.0.0.1:9",
    *,
    preferences: str = ROUTED,
    providers: str = PROVIDERS,
    environ: Mapping[str, str] = {},
    guard: Guard | None = None,
    token: str = "",
    timeouts: Timeouts = QUICK,
    hold: float = HOLD,
    drain: int = 5,
    open_ledger: Callable[[], Ledger] | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[House]:
    """A gateway whose ledger and preferences are in `directory`, in front of the providers at `url`; `token` lets one in."""
    async with contextlib.AsyncExitStack() as stack:
        wanted = written(directory, preferences + providers.replace("URL", url))
        ledger = open_ledger or (lambda: SqliteLedger(directory / "ledger.db"))
        journal = directory / "journal.jsonl"
        project = str(directory)
        recorder = Recorder(ledger, preferences=wanted, project=project, journal=journal, interval=0.02, clock=clock)
        await recorder.start()
        stack.push_async_callback(recorder.close)
        resting = Resting()
        lately = Passing(resting)
        purse = Purse(recorder, lambda: desk.world, "house", clock)
        books = Books(recorder, wanted.policy, clock, (lately.passed,), purse)
        stack.callback(asyncio.ensure_future(purse.tend()).cancel)
        known = Conversations((one.project, one.id, one.state) for one in recorder.remembered())
        world = World.of(wanted, environ)
        desk = Desk(world, books, project=project, environ=environ, clock=clock, conversations=known)
        upstream = HttpUpstream()
        stack.push_async_callback(upstream.close)
        guard = guard or Guard(token=token)
        people = People(guard.ring, recorder, directory / "people.json", clock)
        await people.start()
        facts = {"project": project, "port": 1, "host": "h", "pid": 1}
        control = Control(desk, books, recorder, lambda: dict(facts), people)
        found = Found(host="127.0.0.1", port=1, pid=1, started=clock(), project=project)
        host = GatewayHost(found, desk, books, recorder, control, lately)
        page = Dashboard(host, ledger, control.closing, people)
        stack.push_async_callback(page.close)
        door = Door(guard, people, page)
        application = Gateway(desk, upstream, books, control, door, timeouts, page=page, resting=resting, hold=hold)
        address = await stack.enter_async_context(served(application, control, drain))
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        house = House(address, desk, books, host, page, recorder, session, directory)
        yield house


def written(directory: Path, text: str) -> Preferences:
    """These preferences, by way of a file."""
    (directory / "stepdown.yaml").write_text(text)
    return load_preferences(directory, home=directory / "home")


@contextlib.asynccontextmanager
async def served(application: Gateway, control: Control, drain: int = 5) -> AsyncIterator[str]:
    """An application on a free port, until the block ends; then its streams may take `drain` seconds."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        application,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=drain,
    )
    ready = asyncio.Event()
    server = _Quiet(config, control.closing, ready.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await ready.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        logging.getLogger("uvicorn.error").handlers.clear()
