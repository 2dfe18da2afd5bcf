"""The gateway as a running process: its socket, its parts, preferences that are read again, and an end that loses nothing."""

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn

from stepdown import telemetry
from stepdown.alerts import Alerts, is_news
from stepdown.dashboard.app import Dashboard
from stepdown.errors import GatewayError, LedgerError, StepdownError
from stepdown.gateway.app import Gateway
from stepdown.gateway.books import Books, Line
from stepdown.gateway.clock import Clock
from stepdown.gateway.control import Control
from stepdown.gateway.conversations import Conversations
from stepdown.gateway.desk import Desk
from stepdown.gateway.door import Door
from stepdown.gateway.elsewhere import Elsewhere
from stepdown.gateway.found import Found, find, forget, remember
from stepdown.gateway.guard import LOOPBACK, Guard
from stepdown.gateway.logs import Log
from stepdown.gateway.page import GatewayHost, Passing
from stepdown.gateway.passed import Passed
from stepdown.gateway.people import People, anybody
from stepdown.gateway.purse import Purse
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.resting import Resting
from stepdown.gateway.server import Server
from stepdown.gateway.statusfile import StatusFiles
from stepdown.gateway.turned_away import Doorstep, TurnedAway
from stepdown.gateway.world import World
from stepdown.ledger import open_ledger
from stepdown.ledger.open import is_shared
from stepdown.preferences import Preferences
from stepdown.preferences.load import places
from stepdown.team.keyring import Keyring
from stepdown.telemetry.page import metrics_route
from stepdown.upstream.http import HttpUpstream
from stepdown.upstream.port import Timeouts
from stepdown.webhook import Webhook

_log: Final = logging.getLogger("stepdown.gateway")

_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at the preferences' files, and at the budgets."""

_SETTLED: Final = 2.0
"""Seconds after which what nobody has asked for yet is made ready: an agent that was started with the gateway comes first."""

_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (read, not listened on)
"""Where this machine reaches what listens on all of its addresses."""


_OPEN: Final = (
    "{host} can be reached by others: set a token in STEPDOWN_GATEWAY_TOKEN, make one with `stepdown token create`, "
    "or use 127.0.0.1"
)
"""Why a gateway that nobody could use, or everybody, is not started."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway is started.

    Attributes:
        host: the address to listen on; beyond loopback a token is needed.
        port: 0 takes a free one.
        project: whose requests are counted that name no project.
        load: reads the preferences; called again when one of their files changes.
        mode: what to start in; "" is what the preferences say.
        token: what every request has to bring; "" is nothing.
        host_names: further names by which it may be called.
        linger: seconds for which requests are taken after it was told to stop, while ``/readyz`` says no.
        drain: seconds that streams may take to end after that.
        idle: seconds without a request after which it ends by itself; 0 is never.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    project: str
    load: Callable[[], Preferences]
    mode: str = ""
    token: str = ""
    host_names: frozenset[str] = frozenset()
    linger: float = 0.0
    drain: float = 30.0
    idle: float = 0.0


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
        host=_HERE.get(options.host, options.host),
        port=taken.getsockname()[1],
        pid=os.getpid(),
        started=time.time(),
        project=options.project,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(taken.close)
        clock = Clock()
        recorder = Recorder(open_ledger, preferences=preferences, project=options.project, clock=clock, agree=clock.agree)
        await recorder.start()
        stack.push_async_callback(recorder.close)
        ring = Keyring(options.token, always=options.host not in LOOPBACK)
        people = People(ring, recorder, clock=clock)
        await people.start()
        found = msgspec.structs.replace(found, closed=ring.closed)
        world = World.of(preferences, environ)
        observer = telemetry.observer(
            telemetry.View(
                catalog=lambda: desk.world.catalog,
                meters=lambda: books.context(options.project).meters,
                streams=lambda: books.streams,
                requests=lambda: len(books.serving),
                in_trouble=lambda: bool(recorder.trouble),
                waiting=lambda: recorder.waiting,
                kept=lambda: recorder.kept,
            ),
            environ,
        )
        status, resting = StatusFiles(recorder, found), Resting()
        lately = Passing(resting)
        purse = Purse(recorder, lambda: desk.world, f"{found.port}-{secrets.token_hex(8)}", clock)
        told, told_away = _watching(observer, log)
        books = Books(recorder, preferences.policy, clock, observers=(status.passed, lately.passed, *told), purse=purse)
        stack.callback(purse.close)
        stack.callback(asyncio.ensure_future(purse.tend()).cancel)
        known = Conversations((one.project, one.id, one.state) for one in recorder.remembered())
        desk = Desk(world, books, project=options.project, environ=environ, clock=clock, conversations=known)
        desk.catch_up = Elsewhere(recorder, known, options.project, shared=is_shared(environ)).catch_up
        if options.mode and (problem := desk.switch(options.mode)):
            raise GatewayError(problem)
        await stack.enter_async_context(status.kept(desk))
        if observer is not None:
            stack.push_async_callback(asyncio.to_thread, observer.close)
        upstream = HttpUpstream()
        stack.push_async_callback(upstream.close)
        control = Control(desk, books, recorder, lambda: _facts(found, desk, ring), people)
        guard = Guard(options.host_names | {options.host} - set(_HERE), options.token, ring=ring)
        host = GatewayHost(found, desk, books, recorder, control, lately)
        page = Dashboard(host, open_ledger, control.closing, people)
        stack.push_async_callback(page.close)
        stack.callback(asyncio.get_running_loop().call_later(_SETTLED, page.warm).cancel)
        more = [metrics_route(observer)]
        door = Door(guard, people, page)
        application = Gateway(desk, upstream, books, control, door, Timeouts(), more=more, page=page, resting=resting)
        config = uvicorn.Config(
            Doorstep(application, told_away),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=round(options.drain),
            timeout_keep_alive=75,
        )
        here = partial(_announce, found, desk, ready)
        server = Server(config, control.closing, here, stopping, leaving=control.leaving, linger=options.linger)
        stack.callback(forget, found)
        stack.callback(asyncio.ensure_future(_reload(options, desk, books, recorder, environ, seen=seen)).cancel)
        webhook = Webhook(upstream, environ)
        stack.push_async_callback(webhook.close)
        stack.callback(asyncio.ensure_future(_alert(options.project, books, recorder, desk, webhook)).cancel)
        if options.idle:
            stack.callback(asyncio.ensure_future(_end_when_idle(options.idle, books, server)).cancel)
        if passing is not None:
            stack.callback(asyncio.ensure_future(_tell(books.follow(), passing)).cancel)
        await server.serve(sockets=[taken])
    return server.cut


def _announce(found: Found, desk: Desk, ready: Callable[[Found, Desk], None]) -> None:
    remember(found)
    ready(found, desk)


def _watching(
    observer: telemetry.Observer | None, log: Log | None
) -> tuple[tuple[Callable[[Passed], None], ...], tuple[Callable[[TurnedAway], None], ...]]:
    """Who is told of requests that have ended, and who of those that were turned away."""
    passed: list[Callable[[Passed], None]] = []
    away: list[Callable[[TurnedAway], None]] = []
    if observer is not None:
        passed.append(observer)
        away.append(observer.turned_away)
    if log is not None:
        passed.append(log.passed)
        away.append(log.turned_away)
    return tuple(passed), tuple(away)


async def _tell(lines: "asyncio.Queue[Line]", passing: Callable[[Line], None]) -> None:
    while True:
        passing(await lines.get())


def _facts(found: Found, desk: Desk, ring: Keyring) -> dict[str, Any]:
    now = msgspec.structs.replace(found, closed=ring.closed)  # the first token may have been made since
    return {"version": version("stepdown"), "mode": desk.mode, **msgspec.to_builtins(now)}


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
