"""One attempt while it is under way, what is told of it, and what is left of it when it is over."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Protocol, cast

import msgspec

from stepdown.agents.port import Agent, Event, Finished, Job, Step, Used
from stepdown.decision import Decision
from stepdown.dispatch.tally import Tally
from stepdown.dispatch.verify import Verdict
from stepdown.dispatch.walk import Go
from stepdown.dispatch.watch import Watch
from stepdown.dispatch.worktree import Snapshot
from stepdown.ledger.records import Outcome, Use
from stepdown.units import Tier, Unit


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a unit went.

    Attributes:
        unit: the unit.
        decision: what its last attempt ran on and why.
        outcome: how that attempt ended, as it stands in the ledger; None where the unit was skipped.
        attempts: how many there were.
        steps: how many steps the agent took in all of them.
        cost_usd: what all of them cost, US dollars; None where one is unknown.
        ceiling_cost_usd: the last attempt's tokens at the ceiling's prices.
        stepped_up: whether a stronger model had to be tried.
        missing: plan files that the unit should have written and did not.
        reason: why there was no further attempt, where it failed.
        skipped: why it was not run at all; "" where it was.
        hooks: names of the pre-dispatch hooks that had a say.
    """

    unit: Unit
    decision: Decision
    outcome: Outcome | None
    attempts: int = 0
    steps: int = 0
    cost_usd: float | None = None
    ceiling_cost_usd: float | None = None
    stepped_up: bool = False
    missing: tuple[str, ...] = ()
    reason: str = ""
    skipped: str = ""
    hooks: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it ran and failed."""
        return self.outcome is not None and self.outcome.failure is not None


class Watcher(Protocol):
    """Is told what happens, as it happens. The command line prints it."""

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """An attempt begins on `model`, provider-qualified, for `cause` (`ledger.port.Attempt.cause`)."""
        ...

    def step(self, unit: Unit, step: Step) -> None:
        """The agent said something or called a tool."""
        ...

    def used(self, unit: Unit, use: Use) -> None:
        """What the attempt under way has used so far, all of it; `use.ended` where the agent is done and the checks follow."""
        ...

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        """An attempt is over and recorded."""
        ...

    def alert(self, text: str) -> None:
        """A budget passed one of its marks."""
        ...


class Quiet:
    """A watcher that says nothing."""

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """Say nothing."""

    def step(self, unit: Unit, step: Step) -> None:
        """Say nothing."""

    def used(self, unit: Unit, use: Use) -> None:
        """Say nothing."""

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        """Say nothing."""

    def alert(self, text: str) -> None:
        """Say nothing."""


class Several:
    """A watcher that tells several others, in order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """An attempt begins."""
        for watcher in self._watchers:
            watcher.starts(unit, decision, model, cause)

    def step(self, unit: Unit, step: Step) -> None:
        """The agent did something."""
        for watcher in self._watchers:
            watcher.step(unit, step)

    def used(self, unit: Unit, use: Use) -> None:
        """More was used."""
        for watcher in self._watchers:
            watcher.used(unit, use)

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        """An attempt is over."""
        for watcher in self._watchers:
            watcher.ends(unit, decision, outcome, steps)

    def alert(self, text: str) -> None:
        """A budget passed one of its marks."""
        for watcher in self._watchers:
            watcher.alert(text)


class Trial:
    """One attempt. Mutable, and gone when the unit is done; the ledger has what lasts."""

    def __init__(self, unit: Unit, go: Go, job: Job, tally: Tally, *, watch: Watch, pattern: str, tier: Tier) -> None:
        self.unit = unit
        self.decision = go.decision
        self.ref = go.model
        self.cause = go.cause
        self.job = job
        self.tally = tally
        self.watch = watch
        self.pattern = pattern
        self.tier = tier
        self.id = 0
        self.snapshot: Snapshot | None = None
        self.end = Finished(failure="quality", message="the agent ended without saying how it went")
        self.verdict: Verdict | None = None
        self.missing: tuple[str, ...] = ()
        self.noticed: list[str] = []

    def judge(self) -> None:
        """Turn a verdict of failure into a quality failure."""
        if self.verdict is not None and self.verdict.verified is False and self.end.failure is None:
            self.end = msgspec.structs.replace(self.end, failure="quality", message=self.verdict.evidence)

    def compare_with_cap(self) -> None:
        """Say that the unit's cap was passed where the agent told its cost only at the end, too late to stop it."""
        cost = self.end.cost_usd if self.end.billed else self.tally.cost
        if self.job.cost_cap is not None and cost is not None and cost > self.job.cost_cap and self.end.failure is None:
            cap = f"per_unit_cost_cap_usd (${self.job.cost_cap:g})"
            self.noticed.append(f"over {cap}: ${cost:.2f}, which was told only when it was done")

    @property
    def evidence(self) -> tuple[str, ...]:
        """What was checked and noticed, one line each."""
        lines = [] if self.verdict is None else [finding.line for finding in self.verdict.findings]
        if self.end.failure is not None and self.end.message:
            lines = [f"{self.end.failure}: {self.end.message}", *(line for line in lines if line != self.end.message)]
        return (*lines, *self.noticed)


async def work(agent: Agent, trial: Trial, note: Callable[[], None], watcher: Watcher) -> Finished:
    """Let the agent work until it ends or the watch stops it; `note` is called whenever something more was used."""
    # Closing the iterator is what stops the agent, whatever happens in between.
    events = cast("AsyncGenerator[Event, None]", agent.run(trial.job))
    try:
        async for event in events:
            trial.tally.take(event)
            if isinstance(event, Used | Finished):
                note()
                watcher.used(trial.unit, trial.tally.use)
            if isinstance(event, Step):
                watcher.step(trial.unit, event)
            stop = trial.watch.see(event)
            if stop is not None and trial.tally.finished is None:
                return Finished(failure=stop.kind, message=stop.reason)
    finally:
        await events.aclose()
    return trial.tally.finished or trial.end


def broken_off(error: BaseException) -> Finished:
    """The end of an attempt that an exception ended."""
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return Finished(failure="cancelled", message="stopped by the user")
    if isinstance(error, BrokenPipeError):
        return Finished(failure="cancelled", message="whoever read the output of stepdown has gone")
    return Finished(failure="provider", message=f"the agent could not run: {error}")
