"""The gateway's part of the status file: what it says of each project that it serves, written when that changes."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from stepdown import statusfile
from stepdown.catalog.names import without_date
from stepdown.context import meters
from stepdown.errors import LedgerError
from stepdown.gateway.desk import Desk
from stepdown.gateway.found import Found
from stepdown.gateway.passed import Passed
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.world import World
from stepdown.ledger.open import home
from stepdown.ledger.port import Ledger
from stepdown.savings import learned_costs, of_accounts
from stepdown.statusfile import Session, Status, Window
from stepdown.whole import write_whole

_log: Final = logging.getLogger("stepdown.gateway")

_INTERVAL: Final = 2.0
"""Seconds between two looks at what has changed while nothing passes."""
_PAUSE: Final = 0.25
"""Seconds between two looks while something does: Claude Code draws its line about half a second after an answer, and then not
again for a while."""
SESSIONS: Final = 200
"""Sessions that a file holds; the ones that were silent longest go."""
_PROJECTS: Final = 64
"""Projects that are written for; likewise."""
_STALE: Final = 60.0
"""Seconds after which the ledger is read although nothing passed: units end by themselves, and other processes write too."""
_SHARE: Final = 10
"""Reading it may take one in so many seconds; with one that is slow to read, what the line says is older."""
_THEIRS: Final = frozenset({"human", "plan"})
"""Who asks in a session's main conversation: not an agent for another, nor for itself."""


class _Known(NamedTuple):
    """What the ledger knows of a project: fields of `Status`."""

    saved: float | None = None
    budget: tuple[str, float] | None = None
    windows: tuple[Window, ...] = ()


class _Project:
    """What is known of a project.

    Attributes:
        status: as the file has it; None before it was written.
        sessions: by id, the one that was silent longest first.
        has_passed: whether a request has passed since the ledger was read.
        read: when that was, on the monotonic clock.
        took: seconds that it took.
        known: what the ledger said.
    """

    def __init__(self, sessions: dict[str, Session]) -> None:
        self.status: Status | None = None
        self.sessions = sessions
        self.has_passed = True
        self.read = -math.inf
        self.took = 0.0
        self.known = _Known()

    @property
    def is_due(self) -> bool:
        """Whether the ledger is to be read."""
        since = time.monotonic() - self.read
        return since >= (self.took * _SHARE if self.has_passed else _STALE)


class StatusFiles:
    """Keeps a status file for each project whose requests pass.

    Args:
        recorder: reads the ledger.
        found: the gateway.
    """

    def __init__(self, recorder: Recorder, found: Found) -> None:
        self._recorder = recorder
        self._found = found
        self._home = str(home())
        self._born = statusfile.born(found.pid)
        self._projects: dict[str, _Project] = {}  # the one that was silent longest first
        self._trouble = ""
        self._news = asyncio.Event()
        self._of(found.project)

    def passed(self, passed: Passed) -> None:
        """Note a request that has ended: an observer of `Books`."""
        project = self._of(passed.route.project)
        project.has_passed = True
        self._news.set()
        going, hop = passed.route.going, passed.hop
        if going is None or hop is None or passed.failure or going.errand or going.found.origin not in _THEIRS:
            return
        model = hop.model
        project.sessions.pop(going.name, None)
        project.sessions[going.name] = Session(
            provider=model.provider,
            model=without_date(model.id) or model.id,
            tier=model.tier.value if model.tier is not None else "",
            applied=passed.route.applied,
        )
        while len(project.sessions) > SESSIONS:
            del project.sessions[next(iter(project.sessions))]

    @contextlib.asynccontextmanager
    async def kept(self, desk: Desk) -> AsyncIterator[None]:
        """While this lasts, write what there is to write; then say for the last time what is true, and that this has ended."""
        keeping = asyncio.ensure_future(self._keep(desk))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            for name, project in self._projects.items():
                await self._write(name, project, desk, pid=0)

    async def _keep(self, desk: Desk) -> None:
        while True:
            for name, project in list(self._projects.items()):
                await self._write(name, project, desk, pid=self._found.pid)
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _INTERVAL)
            self._news.clear()

    async def _write(self, name: str, project: _Project, desk: Desk, *, pid: int) -> None:
        """Write a project's file if what it says has changed."""
        if project.is_due:
            await self._read(name, project, desk.world)
        pin, before = desk.pin, project.status
        status = Status(
            at=time.time(),
            project=name,
            url=self._found.url,
            pid=pid,
            born=self._born,
            mode=desk.mode,
            pin=pin.pin if pin is not None else "",
            until=pin.until if pin is not None else 0.0,
            sessions=dict(project.sessions),
            **project.known._asdict(),
        )
        if before is not None and status._replace(at=before.at) == before:
            return
        try:
            await asyncio.to_thread(_put, Path(statusfile.file_of(self._home, name)), statusfile.encoded(status))
        except OSError as problem:
            self._warn(f"the status file of {name} cannot be written: {problem.strerror or problem}")
        else:
            project.status = status

    async def _read(self, name: str, project: _Project, world: World) -> None:
        """Ask the ledger; while it cannot be read, what is known stays as it was."""
        begun, project.has_passed = time.monotonic(), False
        try:
            project.known = await self._recorder.ask(partial(_known, name, world))
        except LedgerError as problem:
            self._warn(f"the status line is not told what the ledger knows: {problem}")
        project.read = time.monotonic()
        project.took = project.read - begun

    def _of(self, name: str) -> _Project:
        """What is known of a project; the sessions of an earlier gateway are still its own."""
        project = self._projects.pop(name, None)
        if project is None:
            earlier = statusfile.read(statusfile.file_of(self._home, name))
            project = _Project(dict(earlier.sessions) if earlier is not None and earlier.project == name else {})
        self._projects[name] = project
        if len(self._projects) > _PROJECTS:
            del self._projects[next(one for one in self._projects if one != self._found.project)]
        return project

    def _warn(self, trouble: str) -> None:
        """Say what is wrong, once for as long as it is the same."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("%s", trouble)


def _known(name: str, world: World, ledger: Ledger) -> _Known:
    """In the thread that has the ledger."""
    policy = world.preferences.policy
    learned = learned_costs(ledger.expectations(), world.catalog.resolve, policy.expectation_minimum)
    saved = of_accounts(ledger.accounts(name), learned=learned)
    windows = tuple(Window(one.provider, one.window, one.used, one.resets, one.at) for one in ledger.plan_meters())
    return _Known(saved.net_usd if saved.downgraded else None, _fullest(ledger, world, name), windows)


def _fullest(ledger: Ledger, world: World, name: str) -> tuple[str, float] | None:
    """The fullest budget; the subscriptions' windows are told by themselves."""
    budgets = [one for one in world.preferences.budgets if one.unit != "plan"]
    preferences = msgspec.structs.replace(world.preferences, budgets=tuple(budgets))
    fullest = max(meters(ledger, preferences, name, time.time()), key=lambda meter: meter.used, default=None)
    return None if fullest is None else (fullest.name, fullest.used)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, content, mode=0o600)
