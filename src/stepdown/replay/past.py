"""The ledger as replaying sees it: runs, what was recorded of their units, and what was known before each began. Pure."""

import math
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.classify import classify
from stepdown.decision import Classification, Context
from stepdown.ledger.records import Evidence, Expectation, Record
from stepdown.policy import Policy
from stepdown.replay.recorded import Recorded, recorded
from stepdown.savings import runs
from stepdown.units import Tier, Tokens, Unit

STARTS: Final = frozenset({"first", "again"})
"""Causes of an attempt with which a unit is taken up anew (`Attempt.cause`); every other one follows an attempt before it."""

_EXACT: Final = 1_000
"""Of so many runs every context is worked out exactly; of more, what was learned is brought up to date every `_GRAIN`."""

_GRAIN: Final = 0.01
"""As a share of the runs that began before: a context may be this much older than its run, and is never younger."""


class Try(msgspec.Struct, frozen=True):
    """One try at a unit: an attempt, and the fallbacks that followed it because a provider failed.

    Attributes:
        attempts: in order, all of them ended.
        model: the provider-qualified model it began on.
        tier: of the model that ended it; None is unknown.
    """

    attempts: tuple[Record, ...]
    model: str
    tier: Tier | None

    @property
    def failure(self) -> str | None:
        """How it ended: a kind of SPEC 8, or None for success."""
        outcome = self.attempts[-1].outcome
        return None if outcome is None else outcome.failure

    @property
    def judged(self) -> bool:
        """Whether it says anything of the model: it succeeded or failed in quality, and was not merely stopped."""
        return self.failure in {None, "quality"}


class Pass(msgspec.Struct, frozen=True):
    """One dispatch of a unit: the tries from the first to the one that succeeded, or after which it was given up.

    Attributes:
        unit: as far as deciding needs it.
        was: what its first decision recorded.
        tries: at least one.
        started: of the first attempt, seconds since the epoch.
        project: whose.
        agent: who did it.
        run: the position of its run in `Past.runs`.
    """

    unit: Unit
    was: Recorded
    tries: tuple[Try, ...]
    started: float
    project: str
    agent: str
    run: int

    def nature(self, policy: Policy) -> Classification:
        """How hard the unit is under `policy`: classified again where its signals were recorded, else as it was then."""
        if self.was.signals is None:
            return self.was.nature
        return classify(self.unit, self.was.signals, policy)


class Run(msgspec.Struct, frozen=True):
    """What it took to get one piece of work done, as `stepdown.savings.runs` has it."""

    records: tuple[Record, ...]
    passes: tuple[Pass, ...]

    @property
    def started(self) -> float:
        """Of its first attempt, seconds since the epoch."""
        return self.records[0].attempt.started


class Moment(msgspec.Struct, frozen=True):
    """What was known when a pass began: nothing that happened at or after `Pass.started` is in it.

    Attributes:
        context: evidence, expectations and blocked models, nothing else; the same object for as long as nothing was learned.
        step: the pass.
    """

    context: Context
    step: Pass


class Past:
    """The runs of a ledger.

    Args:
        records: attempts, in any order; of all the units they belong to, none may be left out.
        evidence: `Ledger.evidence` without a limit: everything that still counts.
        tier_of: the tier of a provider-qualified model, for attempts recorded without one; None is unknown.

    Attributes:
        runs: those that ended, in the order they began.
        running: how many have not ended.
        evidence: all events, the oldest first.
    """

    def __init__(
        self,
        records: Iterable[Record],
        evidence: Mapping[str, Sequence[Evidence]],
        tier_of: Callable[[str], Tier | None] = lambda _: None,
    ) -> None:
        grouped = [tuple(run) for run in runs(records)]
        ended = [run for run in grouped if all(record.outcome is not None for record in run)]
        ended.sort(key=lambda run: (run[0].attempt.started, run[0].id))
        self.running = len(grouped) - len(ended)
        self.runs = tuple(Run(run, tuple(_passes(run, number, tier_of))) for number, run in enumerate(ended))
        self.evidence = tuple(sorted((event for events in evidence.values() for event in events), key=lambda event: event.at))

    def moments(self, policy: Policy, *, since_run: int = 0, grain: float = 0.0) -> Iterator[Moment]:
        """Every pass of the runs from number `since_run` on, in the order they began, with what was known then.

        Args:
            policy: the window and the weight of evidence, and how long a rejected model stays blocked.
            since_run: runs before it only make up the past.
            grain: by which share of the runs before it a context may be older than its run; where there are few, it never is.
        """
        steps = sorted((step for run in self.runs for step in run.passes), key=lambda step: step.started)
        known = _Knowledge(self, policy)
        context = Context()
        due = 0
        for number, step in enumerate(steps):
            if step.run < since_run:
                continue
            if number >= due:
                context = known.at(step.started)
                due = number + max(1, int(number * (grain or (_GRAIN if number >= _EXACT else 0.0))))
            yield Moment(context, step)


class _Knowledge:
    """What a ledger knew at a time; asked about times that only rise."""

    def __init__(self, past: Past, policy: Policy) -> None:
        self._policy = policy
        self._evidence = [_weighed(event, policy) for event in past.evidence]
        ended = [record for run in past.runs for record in run.records if record.outcome is not None]
        self._ended = sorted(((record.outcome.finished, record) for record in ended if record.outcome), key=lambda one: one[0])
        self._read = self._seen = 0
        self._windows: defaultdict[str, dict[Tier, deque[Evidence]]] = defaultdict(dict)
        self._means: dict[tuple[str, str], _Mean] = {}
        self._rejected: list[tuple[float, str, str]] = []
        self._context = Context()

    def at(self, moment: float) -> Context:
        """Everything dated before `moment`; the same object as before where that is nothing new."""
        changes: dict[str, object] = {}
        if patterns := self._learn(moment):
            fresh = {name: tuple(event for window in self._windows[name].values() for event in window) for name in patterns}
            changes["evidence"] = {**self._context.evidence, **fresh}
        if types := self._measure(moment):
            changes["expectations"] = {**self._context.expectations, **{key: self._means[key].expectation() for key in types}}
        blocked = {model: reason for until, model, reason in self._rejected if until > moment}
        if blocked != self._context.blocked:
            changes["blocked"] = blocked
        if changes:
            self._context = msgspec.structs.replace(self._context, **changes)
        return self._context

    def _learn(self, moment: float) -> set[str]:
        """Take in the evidence up to `moment`; the patterns it speaks about."""
        end = bisect_left(self._evidence, moment, lo=self._read, key=lambda event: event.at)
        fresh = self._evidence[self._read : end]
        self._read = end
        for event in fresh:
            window = self._windows[event.pattern].setdefault(event.tier, deque(maxlen=max(1, self._policy.evidence_window)))
            window.append(event)
        return {event.pattern for event in fresh}

    def _measure(self, moment: float) -> set[tuple[str, str]]:
        """Take in what ended up to `moment`; the types and models that were measured."""
        end = bisect_left(self._ended, moment, lo=self._seen, key=lambda one: one[0])
        fresh = self._ended[self._seen : end]
        self._seen = end
        touched: set[tuple[str, str]] = set()
        for finished, record in fresh:
            attempt, outcome = record.attempt, record.outcome
            if outcome is None or not attempt.model:
                continue
            if outcome.failure == "rejected":
                self._rejected.append((finished + self._policy.block_seconds, attempt.model, outcome.message))
            elif outcome.failure is None and outcome.tokens is not None:
                key = (attempt.unit_type, attempt.model)
                self._means.setdefault(key, _Mean()).add(outcome.tokens, outcome.requests)
                touched.add(key)
        return touched


class _Mean:
    """The mean use of successful units, as `Ledger.expectations` has it."""

    __slots__ = ("asked", "requests", "tokens", "units")

    def __init__(self) -> None:
        self.units = self.asked = self.requests = 0
        self.tokens = Tokens()

    def add(self, tokens: Tokens, requests: int | None) -> None:
        self.units += 1
        self.tokens += tokens
        if requests is not None:
            self.asked += 1
            self.requests += requests

    def expectation(self) -> Expectation:
        requests = self.requests / self.asked if self.asked else None
        return Expectation(tokens=self.tokens.scaled(1 / self.units), requests=requests, units=self.units)


def _weighed(event: Evidence, policy: Policy) -> Evidence:
    """A rating as `policy` weighs it, whatever policy the ledger was asked under."""
    if event.source != "rating" or math.isclose(event.weight, policy.rating_weight):
        return event
    return msgspec.structs.replace(event, weight=policy.rating_weight)


def _passes(run: Sequence[Record], number: int, tier_of: Callable[[str], Tier | None]) -> Iterator[Pass]:
    passes: list[list[list[Record]]] = []
    for record in run:
        cause = record.attempt.cause
        if cause in STARTS or not passes:
            passes.append([[record]])
        elif cause == "fallback":
            passes[-1][-1].append(record)
        else:
            passes[-1].append([record])
    for tries in passes:
        first = tries[0][0].attempt
        was = recorded(first)
        yield Pass(
            unit=was.unit,
            was=was,
            tries=tuple(_try(attempts, tier_of) for attempts in tries),
            started=first.started,
            project=first.project,
            agent=first.agent,
            run=number,
        )


def _try(attempts: Sequence[Record], tier_of: Callable[[str], Tier | None]) -> Try:
    last = attempts[-1].attempt
    return Try(tuple(attempts), attempts[0].attempt.model, last.tier or tier_of(last.model))
