"""When a running attempt is given up, judged by its requests and its cost alone.

A `Rule` is asked before each attempt and told of each that ended. An attempt that was stopped is known only to have needed more
than its limit: it is remembered as such, and never as an attempt of that size. A rule that learned from what finished in time
would draw its limit closer with every attempt it stops.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from bench.routing.data import Run
from stepdown.dispatch.watch import Limits, Usage, limits_for
from stepdown.policy import DEFAULT_POLICY, Policy

UNLIMITED = Limits(steps=10**9, tokens=10**15)

Measure = Literal["cost", "steps"]


class Rule(Protocol):
    """Decides how far an attempt may go."""

    def limits(self, rank: int, used: Sequence[Usage], *, can_step_up: bool) -> Limits:
        """What an attempt on a tier's model may use.

        Args:
            rank: the tier's: 0 light, 1 standard, 2 heavy.
            used: what successful attempts used so far, the newest first, as the product's dispatcher knows it.
            can_step_up: whether a stronger model is left to try.
        """
        ...

    def ended(self, rank: int, run: Run, *, stopped: bool) -> None:
        """Learn from an attempt that is over."""
        ...


class Never:
    """No attempt is stopped."""

    def limits(self, rank: int, used: Sequence[Usage], *, can_step_up: bool) -> Limits:
        """See `Rule.limits`."""
        del rank, used, can_step_up
        return UNLIMITED

    def ended(self, rank: int, run: Run, *, stopped: bool) -> None:
        """See `Rule.ended`."""


class Shipped:
    """The product's own rule: `stepdown.dispatch.watch.limits_for`, asked as the dispatcher asks it.

    Args:
        policy: ``watch_multiple`` is the one number it has.
    """

    def __init__(self, policy: Policy = DEFAULT_POLICY) -> None:
        self._policy = policy

    def limits(self, rank: int, used: Sequence[Usage], *, can_step_up: bool) -> Limits:
        """See `Rule.limits`."""
        del rank, can_step_up
        return limits_for("execute-task", used, self._policy)

    def ended(self, rank: int, run: Run, *, stopped: bool) -> None:
        """See `Rule.ended`."""


class Percentile:
    """A multiple of a percentile of what this model's own attempts needed, solved or not; a stopped one counts as endless.

    Args:
        share: the percentile as a fraction: 0.8.
        multiple: of it.
        measure: what is counted: US dollars or requests.
        known: per tier, all values in hindsight; None learns them as attempts end.
        minimum: attempts on a model below which none is stopped.
        always: whether an attempt is stopped even where no stronger model is left.
    """

    def __init__(
        self,
        share: float,
        *,
        multiple: float = 1.0,
        measure: Measure = "cost",
        known: Sequence[Sequence[float]] | None = None,
        minimum: int = 10,
        always: bool = False,
    ) -> None:
        self._share = share
        self._multiple = multiple
        self._measure = measure
        self._learns = known is None
        self._seen: list[list[float]] = [[], [], []] if known is None else [sorted(values) for values in known]
        self._minimum = minimum
        self._always = always

    def limits(self, rank: int, used: Sequence[Usage], *, can_step_up: bool) -> Limits:
        """See `Rule.limits`."""
        del used
        seen = self._seen[rank]
        if len(seen) < self._minimum or not (can_step_up or self._always):
            return UNLIMITED
        limit = self._multiple * nearest_rank(seen, self._share)
        if math.isinf(limit):
            return UNLIMITED
        if self._measure == "cost":
            return Limits(steps=UNLIMITED.steps, tokens=UNLIMITED.tokens, cost_usd=limit)
        return Limits(steps=math.floor(limit), tokens=UNLIMITED.tokens)

    def ended(self, rank: int, run: Run, *, stopped: bool) -> None:
        """See `Rule.ended`."""
        if self._learns:
            value = math.inf if stopped else measured(run, self._measure)
            bisect.insort(self._seen[rank], value)


class Attempted(msgspec.Struct, frozen=True):
    """What became of an attempt under a rule: what was paid of the run, and whether it was stopped before its end."""

    paid: Run
    stopped: bool


def attempt(rule: Rule, rank: int, run: Run, tokens: int, used: Sequence[Usage], *, can_step_up: bool) -> Attempted:
    """Make an attempt under a rule, and let the rule learn from it. Arguments as those of `Rule.limits`."""
    after = stopped_after(run, tokens, rule.limits(rank, used, can_step_up=can_step_up))
    rule.ended(rank, run, stopped=after is not None)
    if after is None:
        return Attempted(run, stopped=False)
    return Attempted(Run(solved=False, cost=run.cost * after / max(1, run.calls), calls=after), stopped=True)


def measured(run: Run, measure: Measure) -> float:
    """A whole run by one measure."""
    return run.cost if measure == "cost" else float(run.calls)


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The percentile of sorted values: one of them, so that a stopped attempt's infinity stays one."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def stopped_after(run: Run, tokens: int, limits: Limits) -> int | None:
    """After how many of its requests a run passes a limit, its use being spread evenly over them; None where it never does."""
    calls = max(1, run.calls)
    passes = limits.steps + 1
    if tokens > 0:
        passes = min(passes, int(limits.tokens * calls / tokens) + 1)
    if limits.cost_usd is not None and run.cost > 0:
        passes = min(passes, int(limits.cost_usd * calls / run.cost) + 1)
    return passes if passes <= calls else None
