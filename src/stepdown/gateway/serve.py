"""The gateway as a running process: its socket, its parts, preferences that are read again, and an end that loses nothing."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn

from stepdown.alerts import Alerts, is_news
from stepdown.errors import GatewayError, LedgerError, StepdownError
from stepdown.gateway.books import Books, Line
from stepdown.gateway.desk import Desk
from stepdown.gateway.found import Found, find, forget, remember
from stepdown.gateway.guard import LOOPBACK
from stepdown.gateway.logs import Log
from stepdown.gateway.options import HERE, Options
from stepdown.gateway.parts import Parts, assembled
from stepdown.gateway.people import anybody
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.server import Server
from stepdown.gateway.world import World
from stepdown.preferences.load import places
from stepdown.webhook import Webhook

_log: Final = logging.getLogger("stepdown.gateway")

_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at the preferences' files, and at the budgets."""


_OPEN: Final = (
    "{host} can be reached by others: set a token in STEPDOWN_GATEWAY_TOKEN, make one with `stepdown token create`, "
    "or use 127.0.0.1"
)
"""Why a gateway that nobody could use, or everybody, is not started."""


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on.

    Raises:
        GatewayError: somebody else has the port, another gateway of ours or a stranger; or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except (OSError, OverflowError) as problem:
        taken.close()
        if isinstance(problem, OverflowError):
            raise GatewayError(f"there is no port {port}: ports go up to 65535") from problem
        if problem.errno != errno.EADDRINUSE:
            raise GatewayError(f"cannot listen on {host}:{port}: {problem.strerror}") from problem
        there = find(host, port)
        who = f"a gateway of stepdown (process {there.pid})" if there else "another program"
        raise GatewayError(f"port {port} is taken by {who}; choose another with --port") from problem
    taken.listen(1024)
    taken.setblocking(False)
    return taken


async def serve(
    options: Options,
    *,
    environ: Mapping[str, str] = os.environ,
    ready: Callable[[Found, Desk], None] = lambda *_: None,
    stopping: Callable[[int], None] = lambda _: None,
    passing: Callable[[Line], None] | None = None,
    log: Log | None = None,
) -> int:
    """Run a gateway until it is told to stop; how many requests it did not wait for.

    Args:
        options: how.
        environ: where keys are.
        ready: called once requests are taken.
        stopping: called when it is told to stop, with the number of requests that are under way.
        passing: called with each request that has ended; None is not.
        log: gets a line for each request; None is nobody.

    Raises:
        GatewayError: it cannot listen there, or would be open to others without a token.
    """
    if options.host not in LOOPBACK and not options.token and not anybody():
        raise GatewayError(_OPEN.format(host=options.host))
    seen = stamps(places(Path(options.project)))  # before they are read: what is written from now on is news
    preferences = options.load()
    taken = listen(options.host, options.port)
    found = Found(
        host=HERE.get(options.host, options.host),
        port=taken.getsockname()[1],
        pid=os.getpid(),
        started=time.time(),
        project=options.project,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(taken.close)
        parts = await assembled(stack, options, found, preferences, environ, log)
        desk, books = parts.desk, parts.books
        if options.mode and (problem := desk.switch(options.mode)):
            raise GatewayError(problem)
        server = _server(options, parts, partial(_announce, parts.found, desk, ready), stopping)
        stack.callback(forget, parts.found)
        webhook = Webhook(parts.upstream, environ)
        stack.push_async_callback(webhook.close)
        beside = [
            _reload(options, desk, books, parts.recorder, environ, seen=seen),
            _alert(options.project, books, parts.recorder, desk, webhook),
            *([_end_when_idle(options.idle, books, server)] if options.idle else ()),
            *([_tell(books.follow(), passing)] if passing is not None else ()),
        ]
        for each in beside:
            stack.callback(asyncio.ensure_future(each).cancel)
        await server.serve(sockets=[taken])
    return server.cut


def _server(options: Options, parts: Parts, ready: Callable[[], None], stopping: Callable[[int], None]) -> Server:
    config = uvicorn.Config(
        parts.application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=round(options.drain),
        timeout_keep_alive=75,
    )
    control = parts.control
    return Server(config, control.closing, ready, stopping, leaving=control.leaving, linger=options.linger)


def _announce(found: Found, desk: Desk, ready: Callable[[Found, Desk], None]) -> None:
    remember(found)
    ready(found, desk)


async def _tell(lines: "asyncio.Queue[Line]", passing: Callable[[Line], None]) -> None:
    while True:
        passing(await lines.get())


async def _reload(
    options: Options, desk: Desk, books: Books, recorder: Recorder, environ: Mapping[str, str], *, seen: tuple[object, ...]
) -> None:
    """Read the preferences again when their files change; ones that cannot be read are named, and the last good ones stay."""
    files = places(Path(options.project))
    while True:
        await asyncio.sleep(_LOOK_AGAIN)
        now = stamps(files)
        if now == seen:
            continue
        seen = now
        try:
            preferences = await asyncio.to_thread(options.load)
            world = await asyncio.to_thread(World.of, preferences, environ)
        except (StepdownError, OSError) as problem:
            _log.warning("the preferences stay as they were: %s", problem)
            continue
        desk.reload(world)
        books.policy = preferences.policy
        recorder.prefer(preferences)
        _log.warning("the preferences were read again; mode %s", desk.mode)
        for warning in preferences.warnings:
            _log.warning("%s", warning)


def stamps(files: Iterable[Path]) -> tuple[object, ...]:
    """When files were last written; one that appears or goes counts too."""
    found = []
    for path in files:
        with contextlib.suppress(OSError):
            facts = path.stat()
            found.append((path, facts.st_mtime_ns, facts.st_size))
    return tuple(found)


async def _alert(project: str, books: Books, recorder: Recorder, desk: Desk, webhook: Webhook) -> None:
    """Say once per window when a budget passes one of its marks."""
    alerts = Alerts(project)
    while True:
        await asyncio.sleep(_LOOK_AGAIN)
        for alert in books.alerts(alerts):
            with contextlib.suppress(LedgerError):  # it is said when that is over
                if await recorder.ask(partial(is_news, alert)):
                    _log.warning("%s", alert.message)
                    webhook.tell(desk.world.preferences.alerts.webhook_env, alert)
                alerts.said(alert)


async def _end_when_idle(seconds: float, books: Books, server: Server) -> None:
    """End after so many seconds in which nothing passed and nobody was connected: an agent that waits for its user stays so."""
    while True:
        await asyncio.sleep(min(5.0, seconds))
        if not server.is_quiet:
            books.last = time.monotonic()
        elif time.monotonic() - books.last >= seconds:
            server.should_exit = True
            return
