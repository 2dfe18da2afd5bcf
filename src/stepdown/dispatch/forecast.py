"""What a run has still before it: which units, on which models, for how much, for how long. All of it is an estimate."""

from collections import defaultdict
from statistics import fmean
from typing import Final

from stepdown.decision import Decision
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.loop import is_called
from stepdown.dispatch.trial import Done
from stepdown.units import Unit

Key = tuple[str, str]
"""A unit's type and id."""

_PARKED: Final = "unparking"
"""What the units of a parked milestone wait for: somebody who unparks it, and no unit of the run."""

_PAST: Final = 500
"""Attempts of the project's past that are looked at for how long units take."""


class Forecast:
    """Reads the plan ahead of a run, and learns from the run how long units take.

    Args:
        dispatcher: decides; its plan is read and its ledger asked for the past.
        only: as in `run_plan`.
        max_units: likewise.

    Attributes:
        units: the plan's units, but for those of parked milestones, as they were at the last `look`.
        ahead: what the run has still to do and on what, in the plan's order, the unit that runs now among it; None where a hook
            will have it skipped.
    """

    def __init__(self, dispatcher: Dispatcher, *, only: str = "", max_units: int | None = None) -> None:
        self._dispatcher = dispatcher
        self._only = only
        self._max_units = max_units
        self._tried: set[Key] = set()
        self._ran = 0
        self._took: dict[str, list[float]] = defaultdict(list)
        self._past = _past(dispatcher)
        self.units: tuple[Unit, ...] = ()
        self.ahead: dict[Key, Decision | None] = {}

    def look(self) -> None:
        """Read the plan and decide what is pending, as both are now."""
        self.units = tuple(unit for unit in self._dispatcher.plan.units() if _PARKED not in unit.waits)
        pending = [unit for unit in self.units if not unit.done and key_of(unit) not in self._tried]
        pending = [unit for unit in pending if not self._only or is_called(unit, self._only)]
        if self._max_units is not None:  # what waits comes after what can run
            pending = sorted(pending, key=lambda unit: bool(unit.waits))[: self._max_units - self._ran]
        self.ahead = dict(zip(map(key_of, pending), self._dispatcher.decide_all(pending), strict=True))

    def ended(self, done: Done, seconds: float) -> None:
        """A unit is over, `seconds` after it began."""
        key = key_of(done.unit)
        if key not in self._tried:
            self._ran += not (done.skipped or done.unit.is_hook)
            self._tried.add(key)
        self.ahead.pop(key, None)
        if done.outcome is not None and not done.failed:
            self._took[done.unit.type].append(seconds)

    def cost(self, running: Unit | None = None, used: float = 0.0) -> float | None:
        """US dollars still to be spent; None where one unit's is unknown.

        Args:
            running: the unit that runs now.
            used: what it has cost so far.
        """
        total = 0.0
        for key, decision in self.ahead.items():
            if decision is None:
                continue
            if decision.expected_cost is None:
                return None
            is_running = running is not None and key == key_of(running)
            total += max(0.0, decision.expected_cost - used) if is_running else decision.expected_cost
        return total

    def seconds(self, running: Unit | None = None, elapsed: float = 0.0) -> float | None:
        """Seconds that are still to go; None where nothing is known that they could be guessed from.

        Args:
            running: the unit that runs now.
            elapsed: how long it has been running.
        """
        total = 0.0
        for (unit_type, unit_id), decision in self.ahead.items():
            if decision is None:
                continue
            takes = self._seconds_of(unit_type)
            if takes is None:
                return None
            is_running = running is not None and (unit_type, unit_id) == key_of(running)
            total += max(0.0, takes - elapsed) if is_running else takes
        return total

    def _seconds_of(self, unit_type: str) -> float | None:
        """How long such a unit takes: as in this run, or as in the project's past, or as any unit of this run."""
        if unit_type in self._took:
            return fmean(self._took[unit_type])
        if unit_type in self._past:
            return self._past[unit_type]
        everything = [seconds for several in self._took.values() for seconds in several]
        return fmean(everything) if everything else None


def key_of(unit: Unit) -> Key:
    """What a unit is known by in a plan."""
    return unit.type, unit.id


def _past(dispatcher: Dispatcher) -> dict[str, float]:
    """Per unit type, how long this agent's successful attempts took in this project, on average."""
    took: dict[str, list[float]] = defaultdict(list)
    for record in dispatcher.ledger.records(dispatcher.plan.project, limit=_PAST):
        attempt, outcome = record.attempt, record.outcome
        if attempt.agent == dispatcher.agent.name and outcome is not None and outcome.failure is None:
            took[attempt.unit_type].append(outcome.finished - attempt.started)
    return {unit_type: fmean(several) for unit_type, several in took.items()}
