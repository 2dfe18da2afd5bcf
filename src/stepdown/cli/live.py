"""``stepdown run`` in a terminal: its lines scroll by above, and below them is what runs now and what is still to go."""

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from stepdown.agents.port import Step
from stepdown.cli.board import Board, Row, Running, clock, draw
from stepdown.cli.keys import RatingKeys
from stepdown.cli.progress import CAUSES, Screen, compared
from stepdown.cli.receipts import reason
from stepdown.cli.screen import color, say
from stepdown.cli.terminal import InPlace
from stepdown.decision import Decision
from stepdown.dispatch.forecast import Forecast, Key, key_of
from stepdown.dispatch.trial import Done
from stepdown.errors import LedgerError, PlanError
from stepdown.ledger.records import Outcome, Use
from stepdown.money import dollars
from stepdown.units import Unit

_EVERY: Final = 0.2
"""Seconds between two drawings: enough for the spinner to turn."""

_LAST_STEPS: Final = 8


class _Attempt:
    """What is known of the attempt under way."""

    def __init__(self, unit: Unit, decision: Decision, model: str, cause: str, now: float) -> None:
        self.unit = unit
        self.decision = decision
        self.model = model.partition("/")[2] or model or "the agent's own model"
        self.cause = cause
        self.since = now
        self.steps = 0
        self.last: deque[Step] = deque(maxlen=_LAST_STEPS)
        self.use = Use()


class LiveScreen(Screen):
    """The lines of `Screen`, each unit's when it ends, and below them a board that is redrawn in place.

    Args:
        forecast: what is still to go.
        keys: rates the unit before.
        steps: whether to show every step of the agent, as it happens, above.
        now: seconds, of a clock that only goes on.
    """

    def __init__(
        self, forecast: Forecast, keys: RatingKeys, *, steps: bool = False, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(steps=steps, offer=self._offered, say=self._printed)
        self._forecast = forecast
        self._keys = keys
        self._now = now
        self._place = InPlace(self._drawn, sys.stdout)
        self._timer: asyncio.TimerHandle | None = None
        self._began = self._unit_began = now()
        self._attempt: _Attempt | None = None
        self._held: list[str] = []
        self._holds = False
        self._ended: dict[Key, Row] = {}
        self._results: list[Done] = []
        self._spent = 0.0
        self._unpriced = 0
        self._turn = 0

    # Its place in the terminal.

    def __enter__(self) -> Self:
        self._look()
        self._place.open()
        self._tick()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._holds = False
        try:
            self._printed()  # a unit that was broken off is named, too
        finally:  # also where the terminal is gone, and with it whoever could read that
            self._place.close()

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """The terminal as it was, for a while: for a question."""
        return self._place.paused()

    def _tick(self) -> None:
        self._turn += 1
        self._place.paint()
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._tick)

    # What it is told.

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """An attempt begins; its line is printed when it has ended, unless its steps are to follow it."""
        self._attempt = _Attempt(unit, decision, model, cause, self._now())
        if cause in {"first", "again"}:
            self._unit_began = self._now()
            self._look()
        self._holds = not self._steps
        super().starts(unit, decision, model, cause)

    def step(self, unit: Unit, step: Step) -> None:
        """The agent did something."""
        if self._attempt is not None:
            self._attempt.steps += 1
            self._attempt.last.append(step)
        super().step(unit, step)

    def used(self, unit: Unit, use: Use) -> None:  # noqa: ARG002  (the port's signature)
        """More was used."""
        if self._attempt is not None:
            self._attempt.use = use

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        """An attempt is over: now it is printed."""
        self._attempt = None
        self._spent += outcome.cost_usd or 0.0
        self._unpriced += outcome.cost_usd is None
        self._holds = False
        super().ends(unit, decision, outcome, steps)

    def done(self, done: Done) -> None:
        """A unit is over."""
        self._results.append(done)
        self._forecast.ended(done, self._now() - self._unit_began)
        state = "skipped" if done.skipped else "failed" if done.failed else "done"
        self._ended[key_of(done.unit)] = Row(
            name=_name(done.unit),
            title=done.unit.title,
            state=state,
            tier=None if done.skipped else done.decision.shown.tier,
            model="" if done.skipped else done.decision.model,
            amount="" if done.skipped else dollars(done.cost_usd),
        )
        super().done(done)

    def _look(self) -> None:
        """Read the plan and decide anew. Where that cannot be done, the run itself will say so: it does the same next."""
        with contextlib.suppress(LedgerError, PlanError):
            self._forecast.look()

    # What is printed above.

    def _printed(self, *lines: str) -> None:
        """Print lines, and before them what was held back; or hold them back, too."""
        self._held += lines
        if not self._holds:
            held, self._held = self._held, []
            say(*held)

    def _offered(self, unit: Unit) -> str:
        """Offer a rating on the board, not behind the unit's line: that stays, and the offer does not."""
        self._keys.offer(unit)
        return ""

    # What is drawn below.

    def _drawn(self, columns: int, rows: int) -> list[str]:
        return draw(self.board(), columns, rows, color=color())

    def board(self) -> Board:
        """The run as it stands."""
        now, attempt = self._now(), self._attempt
        sums, to_rate = compared(self._results), self._keys.offered
        unit = None if attempt is None else attempt.unit
        used = 0.0 if attempt is None else attempt.use.cost_usd or 0.0
        return Board(
            rows=tuple(self._row(unit) for unit in self._forecast.units),
            running=None if attempt is None else _running(attempt, now),
            seconds=now - self._began,
            seconds_to_go=self._forecast.seconds(unit, now - self._unit_began),
            spent=self._spent + used,
            unpriced=self._unpriced,
            cost_to_go=self._forecast.cost(unit, used),
            saved=None if sums is None else sums[1] - sums[0],
            to_rate="" if to_rate is None else _name(to_rate),
            turn=self._turn,
        )

    def _row(self, unit: Unit) -> Row:
        key, attempt = key_of(unit), self._attempt
        if attempt is not None and key == key_of(attempt.unit):
            seconds = clock(self._now() - self._unit_began)
            tier, model = attempt.decision.shown.tier, attempt.model
            return Row(name=_name(unit), title=unit.title, state="running", tier=tier, model=model, amount=seconds)
        if key in self._ended:
            return self._ended[key]
        decision = self._forecast.ahead.get(key)
        if decision is None:
            return Row(name=_name(unit), title=unit.title, state="done" if unit.done else "ahead")
        cost = dollars(decision.expected_cost, estimated=True)
        return Row(name=_name(unit), title=unit.title, tier=decision.shown.tier, model=decision.model, amount=cost)


def _running(attempt: _Attempt, now: float) -> Running:
    return Running(
        name=_name(attempt.unit),
        tier=attempt.decision.shown.tier,
        model=attempt.model,
        cause=CAUSES.get(attempt.cause, ""),
        why=reason(attempt.decision),
        seconds=now - attempt.since,
        steps=attempt.steps,
        last=tuple(attempt.last),
        tokens=attempt.use.tokens.total,
        cost=attempt.use.cost_usd,
        checking=attempt.use.ended,
    )


def _name(unit: Unit) -> str:
    return f"{unit.type} {unit.id}".rstrip()
