"""A gateway's parts put together, from the inside out; what has to be ended is ended in the reverse order."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec
from starlette.types import ASGIApp

from stepdown import telemetry
from stepdown.dashboard.app import Dashboard
from stepdown.gateway.app import Gateway
from stepdown.gateway.books import Books
from stepdown.gateway.clock import Clock
from stepdown.gateway.control import Control
from stepdown.gateway.conversations import Conversations
from stepdown.gateway.desk import Desk
from stepdown.gateway.door import Door
from stepdown.gateway.elsewhere import Elsewhere
from stepdown.gateway.found import Found
from stepdown.gateway.guard import LOOPBACK, Guard
from stepdown.gateway.logs import Log
from stepdown.gateway.options import HERE, Options
from stepdown.gateway.page import GatewayHost, Passing
from stepdown.gateway.passed import Passed
from stepdown.gateway.people import People
from stepdown.gateway.presence import Presence
from stepdown.gateway.purse import Purse
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.resting import Resting
from stepdown.gateway.statusfile import StatusFiles
from stepdown.gateway.turned_away import Doorstep, TurnedAway
from stepdown.gateway.world import World
from stepdown.ledger import open_ledger
from stepdown.ledger.open import is_shared
from stepdown.preferences import Preferences
from stepdown.team.keyring import Keyring
from stepdown.telemetry.page import metrics_route
from stepdown.upstream.http import HttpUpstream
from stepdown.upstream.port import Timeouts

_SETTLED: Final = 2.0
"""Seconds after which what nobody has asked for yet is made ready: an agent that was started with the gateway comes first."""


class _Pace(NamedTuple):
    """How often the ledger is written and read; see `Recorder`."""

    interval: float
    fresh: float


_OWN: Final = _Pace(0.25, 1.0)
_SHARED: Final = _Pace(0.5, 2.0)
"""Over the network each transaction is dearer. Nothing is lost by waiting: what passed is noted on the disk (notes.py)."""


class Parts(NamedTuple):
    """What the running program has to do with."""

    found: Found
    recorder: Recorder
    desk: Desk
    books: Books
    control: Control
    upstream: HttpUpstream
    application: ASGIApp


async def assembled(
    stack: contextlib.AsyncExitStack,
    options: Options,
    found: Found,
    preferences: Preferences,
    environ: Mapping[str, str],
    log: Log | None,
) -> Parts:
    """All of a gateway but its server.

    Args:
        stack: ends what was begun.
        options: how it is started.
        found: where it is.
        preferences: to begin with.
        environ: where keys are.
        log: gets a line for each request; None is nobody.
    """
    clock, shared = Clock(), is_shared(environ)
    pace = _SHARED if shared else _OWN
    recorder = Recorder(
        open_ledger,
        preferences=preferences,
        project=options.project,
        clock=clock,
        agree=clock.agree,
        interval=pace.interval,
        fresh=pace.fresh,
    )
    await recorder.start()
    stack.push_async_callback(recorder.close)
    ring = Keyring(options.token, always=options.host not in LOOPBACK)
    people = People(ring, recorder, clock=clock)
    await people.start()
    found = msgspec.structs.replace(found, closed=ring.closed)
    observer = _observer(options, recorder, environ, lambda: desk, lambda: books)
    told, told_away = _watching(observer, log)
    status, resting = StatusFiles(recorder, found), Resting()
    lately = Passing(resting)
    purse = Purse(recorder, lambda: desk.world, f"{found.port}-{secrets.token_hex(8)}", clock)
    books = Books(recorder, preferences.policy, clock, observers=(status.passed, lately.passed, *told), purse=purse)
    stack.callback(purse.close)
    stack.callback(asyncio.ensure_future(purse.tend()).cancel)
    stack.callback(asyncio.ensure_future(Presence(recorder, recorder.run).keep()).cancel)
    known = Conversations((one.project, one.id, one.state) for one in recorder.remembered())
    world = World.of(preferences, environ)
    desk = Desk(world, books, project=options.project, environ=environ, clock=clock, conversations=known)
    desk.catch_up = Elsewhere(recorder, known, options.project, shared=shared).catch_up
    await stack.enter_async_context(status.kept(desk))
    if observer is not None:
        stack.push_async_callback(asyncio.to_thread, observer.close)
    upstream = HttpUpstream()
    stack.push_async_callback(upstream.close)
    control = Control(desk, books, recorder, lambda: _facts(found, desk, ring), people)
    page = Dashboard(GatewayHost(found, desk, books, recorder, control, lately), open_ledger, control.closing, people)
    stack.push_async_callback(page.close)
    stack.callback(asyncio.get_running_loop().call_later(_SETTLED, page.warm).cancel)
    guard = Guard(options.host_names | {options.host} - set(HERE), options.token, ring=ring)
    door, more = Door(guard, people, page), [metrics_route(observer)]
    application = Gateway(desk, upstream, books, control, door, Timeouts(), more=more, page=page, resting=resting)
    return Parts(found, recorder, desk, books, control, upstream, Doorstep(application, told_away))


def _observer(
    options: Options,
    recorder: Recorder,
    environ: Mapping[str, str],
    desk: Callable[[], Desk],
    books: Callable[[], Books],
) -> telemetry.Observer | None:
    """Whoever counts what passes, if that is installed; None is nobody."""
    view = telemetry.View(
        catalog=lambda: desk().world.catalog,
        meters=lambda: books().context(options.project).meters,
        streams=lambda: books().streams,
        requests=lambda: len(books().serving),
        in_trouble=lambda: bool(recorder.trouble),
        waiting=lambda: recorder.waiting,
        kept=lambda: recorder.kept,
    )
    return telemetry.observer(view, environ)


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


def _facts(found: Found, desk: Desk, ring: Keyring) -> dict[str, Any]:
    now = msgspec.structs.replace(found, closed=ring.closed)  # the first token may have been made since
    return {"version": version("stepdown"), "mode": desk.mode, **msgspec.to_builtins(now)}
