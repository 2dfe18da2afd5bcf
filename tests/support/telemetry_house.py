"""A whole gateway in front of the practice provider, with telemetry switched on."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from stepdown import telemetry
from stepdown.gateway.app import Gateway
from stepdown.gateway.books import Books
from stepdown.gateway.control import Control
from stepdown.gateway.desk import Desk
from stepdown.gateway.door import Door
from stepdown.gateway.guard import Guard
from stepdown.gateway.people import People
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.world import World
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import load_preferences
from stepdown.telemetry.page import metrics_route
from stepdown.upstream.http import HttpUpstream
from stepdown.upstream.port import Timeouts

PREFERENCES = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true, tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}}
gateway: {mode: delegated}
providers:
  anthropic: {base_url: "%s", protocols: [messages]}
  openai: {base_url: "%s/v1", protocols: [chat, responses]}
"""
KEY = "sk-ant-practice-0123456789"
PROMPT = "The secret word is abracadabra."
UNITS = {
    "x-stepdown-unit": "complete-slice",
    "x-stepdown-unit-id": "M001/S01",
    "x-stepdown-project": "/home/ann/secret-project",
}


class House:
    """A gateway that runs, and what can be done with it."""

    def __init__(self, url: str, provider: PracticeProvider, session: aiohttp.ClientSession, books: Books) -> None:
        self.url = url
        self.provider = provider
        self.books = books
        self._session = session

    @contextlib.asynccontextmanager
    async def asking(
        self, model: str = "claude-opus-4-6", *, stream: bool = True, headers: Mapping[str, str] = {}
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A Messages request, answered as far as its head."""
        body = {"model": model, "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
        sent = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "content-type": "application/json", **headers}
        async with self._session.post(f"{self.url}/v1/messages", data=json.dumps(body), headers=sent) as answer:
            yield answer

    async def ask(self, model: str = "claude-opus-4-6", *, stream: bool = True, headers: Mapping[str, str] = {}) -> int:
        """A Messages request, read to its end; the status."""
        async with self.asking(model, stream=stream, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def post(self, path: str, body: Mapping[str, Any]) -> int:
        """Any request, read to its end; the status."""
        async with self._session.post(self.url + path, json=body, headers={"authorization": f"Bearer {KEY}"}) as answer:
            await answer.read()
            return answer.status

    async def page(self, host: str = "127.0.0.1") -> tuple[int, str]:
        """``GET /metrics``."""
        async with self._session.get(f"{self.url}/metrics", headers={"host": host}) as answer:
            return answer.status, await answer.text()

    async def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample, as Prometheus would read it."""
        status, text = await self.page()
        assert status == 200
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def sample(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        found = await self.metrics()
        return sum(value for (one, its), value in found.items() if one == name and labels.items() <= dict(its).items())


@contextlib.asynccontextmanager
async def open_house(directory: Path, *faults: Fault, preferences: str = "") -> AsyncIterator[House]:
    """A gateway that observes as the environment says; its ledger and its preferences are in `directory`."""
    async with contextlib.AsyncExitStack() as stack:
        provider = await stack.enter_async_context(PracticeProvider(faults=faults, latency=0.0))
        written = directory / "stepdown.yaml"
        written.write_text((PREFERENCES % (provider.url, provider.url)) + preferences)
        wanted = load_preferences(directory, home=directory / "home")
        environ = {"ANTHROPIC_API_KEY": KEY, **{k: v for k, v in os.environ.items() if k.startswith("OTEL_")}}
        recorder = Recorder(lambda: SqliteLedger(directory / "ledger.db"), journal=directory / "journal.jsonl")
        stack.push_async_callback(recorder.close)
        view = telemetry.View(
            catalog=lambda: desk.world.catalog,
            meters=lambda: books.context(str(directory)).meters,
            streams=lambda: books.streams,
        )
        observer = telemetry.observer(view, environ)
        books = Books(recorder, wanted.policy, observers=() if observer is None else (observer,))
        desk = Desk(World.of(wanted, environ), books, project=str(directory), environ=environ)
        if observer is not None:
            stack.push_async_callback(asyncio.to_thread, observer.close)
        upstream = HttpUpstream()
        stack.push_async_callback(upstream.close)
        guard = Guard()
        people = People(guard.ring, recorder, directory / "people.json")
        control = Control(desk, books, recorder, dict, people)
        more = [metrics_route(observer)]
        application = Gateway(desk, upstream, books, control, Door(guard, people, None), Timeouts(), more=more)
        url = await stack.enter_async_context(_served(application))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield House(url, provider, session, books)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they stay with pytest


@contextlib.asynccontextmanager
async def _served(application: Gateway) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(application, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
