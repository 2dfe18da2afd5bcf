"""What routing is told of each project, kept up to date by the thread that has the ledger for the one that decides."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from stepdown.catalog import Catalog
from stepdown.context import build_context
from stepdown.decision import Context
from stepdown.errors import StepdownError
from stepdown.gateway.writer import log
from stepdown.ledger.port import Ledger
from stepdown.preferences import Preferences

PROJECTS: Final = 64
"""Projects that are kept up to date; the ones asked for last."""
FRESH: Final = 1.0
"""Seconds after which what changed here is in the context."""
STALE: Final = 30.0
"""Seconds after which it is read anew although nothing changed here: time passes, and other processes write too."""
_SHARE: Final = 10
"""Reading may take one in so many seconds of the thread's time; with a ledger that is slow to read, contexts are older."""


class Project:
    """One project. All of it is read without a lock; each attribute has one thread that writes it.

    Attributes:
        context: as it was read last; a world without a past until then.
        asked: when it was asked for last (this and the next on the monotonic clock).
        due: when it is to be read next.
        by: the preferences it was read by.
        spent: US dollars of requests that ended, since this began.
        written: how much of that is in the ledger.
        seen: how much of that is in the context.
    """

    __slots__ = ("asked", "by", "context", "due", "read", "seen", "spent", "took", "written")

    def __init__(self) -> None:
        self.context = Context()
        self.asked = self.due = time.monotonic()
        self.read = -math.inf
        self.took = 0.0
        self.by: Preferences | None = None
        self.spent = self.written = self.seen = 0.0


class Published:
    """The contexts of the projects that somebody asks for.

    Args:
        preferences: the budgets and thresholds; None leaves every project without a past.
        clock: seconds since the epoch.
        idle: seconds after which a project that nobody asks for is forgotten.
        fresh: seconds after which what changed is in the context.
    """

    def __init__(self, preferences: Preferences | None, clock: Callable[[], float], idle: float, fresh: float = FRESH) -> None:
        self._preferences = preferences
        self._clock = clock
        self._idle = idle
        self._fresh = fresh
        self._catalog: tuple[Preferences, Catalog] | None = None  # of these preferences
        self._projects: dict[str, Project] = {}  # replaced, never changed, so that nobody needs a lock to look at it

    def prefer(self, preferences: Preferences) -> None:
        """Go by other preferences."""
        self._preferences = preferences

    def find(self, project: str) -> Project | None:
        """What is known of a project; None where nobody has asked for it."""
        return self._projects.get(project)

    def add(self, project: str) -> Project:
        """Keep it up to date from now on. One thread at a time may call this or `forget`."""
        known = self._projects.get(project)
        if known is None:
            known = Project()
            self._projects = {**self._projects, project: known}
        return known

    def forget(self) -> None:
        """Let go of projects that nobody asks for any more."""
        newest = sorted(self._projects.items(), key=lambda item: -item[1].asked)[:PROJECTS]
        since = time.monotonic() - self._idle
        self._projects = {name: project for name, project in newest if project.asked >= since}

    def named(self) -> Sequence[tuple[str, Project]]:
        """The same by their names."""
        return list(self._projects.items())

    def all(self) -> list[Project]:
        """Every project that is kept up to date."""
        return list(self._projects.values())

    @property
    def due(self) -> float:
        """When something is to be read next, on the monotonic clock."""
        if self._preferences is None:
            return math.inf
        return min(map(self._due, self.all()), default=math.inf)

    def changed(self) -> None:
        """The ledger has changed: what was read is soon too old."""
        for project in self.all():
            project.due = min(project.due, project.read + self._pause(project, self._fresh))

    def read(self, ledger: Callable[[], Ledger], *, at_once: bool = False) -> str:
        """Read what is due, or everything; why it could not be read, or "".

        A context that cannot be read stays as it was.
        """
        for name, project in self._projects.items():
            begun = time.monotonic()
            if self._due(project) > begun and not at_once:
                continue
            written, project.by = project.written, self._preferences
            try:
                project.context = self._built(ledger(), name, project.by)
            except StepdownError as error:
                project.due = time.monotonic() + FRESH
                return str(error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours: decisions go on with what they know
                log.exception("what routing is told of a project cannot be put together")
                project.due = time.monotonic() + STALE
                return f"{type(error).__name__}: {error}"
            # In this order: for a moment something counts twice against a budget, never not at all.
            project.seen = written
            project.read = time.monotonic()
            project.took = project.read - begun
            project.due = project.read + self._pause(project, STALE)
        return ""

    def _due(self, project: Project) -> float:
        return project.due if project.by is self._preferences else -math.inf

    def _built(self, ledger: Ledger, project: str, preferences: Preferences | None) -> Context:
        if preferences is None:
            return Context()
        if self._catalog is None or self._catalog[0] is not preferences:
            self._catalog = preferences, Catalog.load(preferences.catalog)
        return build_context(ledger, preferences, project=project, now=self._clock(), catalog=self._catalog[1])

    def _pause(self, project: Project, wanted: float) -> float:
        return max(wanted, _SHARE * project.took * len(self._projects))
