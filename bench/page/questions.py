"""Every question that the page asks a ledger, timed one by one: whatever the page's code asks, without a list of it here."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from bench.page.filled import PROJECT
from stepdown.catalog import Catalog
from stepdown.context import build_context
from stepdown.dashboard.view import read_state, read_units
from stepdown.errors import UsageError
from stepdown.ledger import Ledger, open_ledger
from stepdown.ledger.rules import SECONDS_PER_DAY
from stepdown.preferences import Preferences
from stepdown.preferences.schema import Budget
from stepdown.report.story import gather

WINDOWS: Final = ("day", "week", "month", "project")
"""Budgets that are shown: their sums are asked for."""

TOGETHER: Final = "all of it"
"""All questions of one look, with what Python makes of the answers; no question by itself."""

Asked = dict[tuple[str, str], list[float]]
"""Seconds of each question, by what was looked at and what was asked."""


class TimedLedger:
    """A ledger that notes how long each of its answers takes.

    Args:
        ledger: which.
        now: seconds since the epoch, to say since when sums are asked for.
    """

    def __init__(self, ledger: Ledger, now: float) -> None:
        self.looking_at = ""
        self.asked: Asked = {}
        self._ledger = ledger
        self._now = now

    def __getattr__(self, name: str) -> Callable[..., object]:
        """A method of the ledger."""
        method = getattr(self._ledger, name)

        def timed(*args: object, **known: Any) -> object:
            begun = time.perf_counter()
            try:
                return method(*args, **known)
            finally:
                took = time.perf_counter() - begun
                self.asked.setdefault((self.looking_at, question(name, known, self._now)), []).append(took)

        return timed


def question(name: str, known: Mapping[str, Any], now: float) -> str:
    """What is asked, in words that are the same each time: the method, and what narrows it."""
    words = []
    for key, value in known.items():
        if key == "since":
            words.append(f"{(now - value) / SECONDS_PER_DAY:.0f} days" if value else "all days")
        elif value and not isinstance(value, int | float):
            words.append(key.replace("_", " "))
        elif value is True:
            words.append(key)
    return f"{name}, {', '.join(words)}" if words else name


class Asking:
    """Asks one ledger what the page asks, over one connection, as the page does.

    Args:
        path: the ledger.
        times: how often each question will be asked; older units are others each time, which nobody has read just before.
    """

    def __init__(self, path: Path, times: int) -> None:
        self._now = time.time()
        self._ledger = open_ledger(f"sqlite:{path}")
        self._timed = TimedLedger(self._ledger, self._now)
        self._preferences = Preferences(
            budget_ceiling=1e9, budgets=tuple(Budget(unit="usd", limit=1e9, window=window) for window in WINDOWS)
        )
        self._catalog = Catalog.load()
        (oldest,) = self._ledger.units(PROJECT, limit=1, before=(self._now - 600 * SECONDS_PER_DAY, 0))
        self._old = [(oldest[0].attempt.started + number * SECONDS_PER_DAY, 0) for number in range(times)]

    @property
    def asked(self) -> Asked:
        """What was asked so far."""
        return self._timed.asked

    def once(self, number: int) -> None:
        """Look at everything that can be looked at."""
        ledger = cast("Ledger", self._timed)  # it has whatever a ledger has
        self._look("every second", ledger.stamp)
        self._look("every request", ledger.projects)
        self._look("newest units", lambda: read_units(ledger, PROJECT))
        at, attempt = self._old[number]
        self._look("older units", lambda: read_units(ledger, PROJECT, before=f"{at!r}-{attempt}"))
        self._look("units by id", lambda: read_units(ledger, PROJECT, starts=f"M0000/S{number % 10:02}"))
        self._look("units by an id of none", lambda: read_units(ledger, PROJECT, starts="X"))
        self._look("failed units", lambda: read_units(ledger, PROJECT, failed=True))
        self._look("older failed units", lambda: read_units(ledger, PROJECT, before=f"{at!r}-{attempt}", failed=True))
        # A gateway knows what its routing was told; the page of a run has to read it.
        known = build_context(self._ledger, self._preferences, project=PROJECT, now=self._now, catalog=self._catalog)
        self._look("sums and learned", lambda: read_state(ledger, self._preferences, self._catalog, PROJECT, self._now, known))
        self._look("what routing is told", lambda: build_context(ledger, self._preferences, project=PROJECT, now=self._now))
        (unit,) = self._ledger.units(PROJECT, limit=1, before=(at, attempt))
        self._look("receipt", lambda: gather(ledger, PROJECT, f"{unit[-1].attempt.unit_type} {unit[-1].attempt.unit_id}"))
        self._look("receipt of no unit", lambda: _mistaken(ledger))

    def _look(self, what: str, look: Callable[[], object]) -> None:
        self._timed.looking_at = what
        begun = time.perf_counter()
        look()
        self._timed.asked.setdefault((what, TOGETHER), []).append(time.perf_counter() - begun)

    def close(self) -> None:
        """Let go of the ledger."""
        self._ledger.close()


def _mistaken(ledger: Ledger) -> None:
    try:
        gather(ledger, PROJECT, "X9")
    except UsageError:  # it says which unit may have been meant, and looks for that
        return


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A question; seconds.

    Attributes:
        looking_at: what for.
        question: which.
        small: of the small ledger, the median.
        median: of the large one.
        first: of the large one, the first that was asked.
        worst: of the large one, the first included.
    """

    looking_at: str
    question: str
    small: float
    median: float
    first: float
    worst: float


def questions(small: Path, large: Path, times: int) -> list[Row]:
    """Both ledgers, in turn."""
    both = Asking(small, times), Asking(large, times)
    try:
        for number in range(times):
            for one in both:
                one.once(number)
    finally:
        for one in both:
            one.close()
    return rows(both[0].asked, both[1].asked)


def rows(small: Asked, large: Asked) -> list[Row]:
    """What was asked of the large ledger, in the order of it; a question that only that one was asked has no ratio."""
    return [
        Row(
            looking_at=looking_at,
            question=asked,
            small=statistics.median(small.get((looking_at, asked), [0.0])),
            median=statistics.median(taken),
            first=taken[0],
            worst=max(taken),
        )
        for (looking_at, asked), taken in large.items()
    ]


def over(rows: Sequence[Row], goal: float) -> list[Row]:
    """Those that took longer than they should."""
    return [row for row in rows if row.question != TOGETHER and row.worst > goal]
