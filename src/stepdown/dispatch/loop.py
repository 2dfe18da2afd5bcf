"""A unit through its agent, and a plan's units one after another.

`Dispatcher` does one unit: decide, record the start, let the agent work, record the end, tick the box. `run_plan` takes
the pending units of a plan in order, reading the plan anew after each, since a unit may have written the next ones.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

import msgspec

from stepdown.agents.port import Agent, Event, Finished, Job, Started, Step, Used
from stepdown.catalog import Model
from stepdown.classify import pattern
from stepdown.context import build_context
from stepdown.decision import Decision
from stepdown.dispatch.prompts import build_prompt
from stepdown.errors import BudgetError, LedgerError, PlanError
from stepdown.ledger.port import Attempt, Ledger, Outcome
from stepdown.plans.source import PlanSource, pending
from stepdown.routing import Router
from stepdown.units import Tokens, Unit


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a unit's attempt went.

    Attributes:
        unit: the unit.
        decision: what it ran on and why.
        outcome: how it ended, as it stands in the ledger.
        steps: how many steps the agent took.
        seconds: how long it took.
        missing: plan files that the unit should have written and did not.
    """

    unit: Unit
    decision: Decision
    outcome: Outcome
    steps: int
    seconds: float
    missing: tuple[str, ...] = ()


class Watcher(Protocol):
    """Is told what happens, as it happens. The command line prints it."""

    def starts(self, unit: Unit, decision: Decision) -> None:
        """A unit is about to run."""
        ...

    def step(self, unit: Unit, step: Step) -> None:
        """The agent said something or called a tool."""
        ...

    def ends(self, done: Done) -> None:
        """The unit's attempt is over and recorded."""
        ...


class _Tally:
    """What an attempt's events add up to."""

    def __init__(self, model: Model | None, price_of: Callable[[str], Model | None]) -> None:
        self._model = model
        self._price_of = price_of
        self.steps = 0
        self.tokens: Tokens | None = None
        self.requests = 0
        self.cost: float | None = 0.0
        self.finished = Finished(failure="quality", message="the agent ended without saying how it went")

    def take(self, event: Event) -> None:
        match event:
            case Step():
                self.steps += 1
            case Used():
                self.tokens = event.tokens if self.tokens is None else self.tokens + event.tokens
                self.requests += 1
                self._charge(event.tokens, event.model)
            case Finished():
                self.finished = event
            case Started():
                pass

    def _charge(self, tokens: Tokens, name: str) -> None:
        """Add a request at the list price of the model that served it; one unknown price makes the sum unknown."""
        model = (self._price_of(name) if name else None) or self._model
        cost = None if model is None else model.cost(tokens, longest_prompt=tokens.prompt)
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def outcome(self, ceiling: Model | None, now: float) -> Outcome:
        """The end of the attempt as the ledger keeps it."""
        end = self.finished
        if self.tokens is None and end.tokens is not None:
            self._charge(end.tokens, end.model)
        tokens = self.tokens or end.tokens
        priced = self.cost if tokens is not None else None
        cost, source = (priced, "priced") if priced is not None else (end.cost_usd, "reported")
        return Outcome(
            failure=end.failure,
            message=end.message,
            tokens=tokens,
            cost_usd=cost,
            cost_source="unknown" if cost is None else source,
            ceiling_cost_usd=None if ceiling is None or tokens is None else ceiling.cost(tokens),
            requests=end.requests if end.requests is not None else self.requests or None,
            finished=now,
        )


class Dispatcher:
    """Runs units of a plan.

    Args:
        router: decides.
        agent: does the work.
        ledger: remembers.
        plan: where the units come from and where they are ticked.
        clock: seconds since the epoch.
        prompts: directories with prompt templates of the user's own, the strongest first.
        workdir: where the work happens; the plan's project if not given.
    """

    def __init__(
        self,
        router: Router,
        agent: Agent,
        ledger: Ledger,
        plan: PlanSource,
        *,
        clock: Callable[[], float] = time.time,
        prompts: tuple[Path, ...] = (),
        workdir: Path | None = None,
    ) -> None:
        self.router = router
        self.agent = agent
        self.ledger = ledger
        self.plan = plan
        self.prompts = prompts
        self.workdir = Path(plan.project) if workdir is None else workdir
        self._clock = clock

    def decide(self, unit: Unit) -> Decision:
        """What `unit` would run on now."""
        context = build_context(
            self.ledger,
            self.router.preferences,
            project=self.plan.project,
            now=self._clock(),
            providers=self.agent.providers(),
            agent_model=self.agent.configured_model(self.workdir),
        )
        return self.router.decide(unit, context)

    def run(self, unit: Unit, watcher: Watcher | None = None) -> Done:
        """`dispatch`, for callers without an event loop."""
        return asyncio.run(self.dispatch(unit, watcher))

    async def dispatch(self, unit: Unit, watcher: Watcher | None = None) -> Done:
        """Run one attempt of `unit`, record it, and tick its box if it succeeded.

        Raises:
            BudgetError: a hard budget is used up, or nothing may serve the unit; nothing was started.
            AgentError: the agent cannot start.
            LedgerError: the attempt cannot be recorded.
        """
        decision = self.decide(unit)
        if decision.refused:
            raise BudgetError(f"{unit.type} {unit.id} was not started: {decision.refused}")
        job = self._job(unit, decision)
        started = self._clock()
        attempt_id = self.ledger.begin(self._attempt(unit, decision, started))
        tally = _Tally(job.model, lambda name: self.router.catalog.resolve(name, decision.provider))
        ceiling = self.router.catalog.resolve(decision.ceiling, decision.ceiling_provider) if decision.ceiling else None
        missing: tuple[str, ...] = ()
        try:
            if watcher is not None:
                watcher.starts(unit, decision)
            await self._work(job, tally, watcher)
            missing = self._check_outputs(unit, job, tally)
        except BaseException as error:
            tally.finished = _broken_off(error)
            raise
        finally:
            outcome = tally.outcome(ceiling, self._clock())
            self._settle(attempt_id, unit, outcome)
        if outcome.failure is None:
            self.plan.mark_done(unit)
        done = Done(
            unit=unit,
            decision=decision,
            outcome=outcome,
            steps=tally.steps,
            seconds=outcome.finished - started,
            missing=missing,
        )
        if watcher is not None:
            watcher.ends(done)
        return done

    def _settle(self, attempt_id: int, unit: Unit, outcome: Outcome) -> None:
        try:
            self.ledger.settle(attempt_id, outcome)
        except LedgerError as error:
            how = "succeeded" if outcome.failure is None else f"failed ({outcome.failure})"
            raise LedgerError(f"{unit.type} {unit.id} {how}, which could not be recorded: {error}") from error

    async def _work(self, job: Job, tally: _Tally, watcher: Watcher | None) -> None:
        # Closing the iterator is what stops the agent, whatever happens in between.
        events = cast("AsyncGenerator[Event, None]", self.agent.run(job))
        try:
            async for event in events:
                tally.take(event)
                if watcher is not None and isinstance(event, Step):
                    watcher.step(job.unit, event)
        finally:
            await events.aclose()

    def _check_outputs(self, unit: Unit, job: Job, tally: _Tally) -> tuple[str, ...]:
        """The plan files the unit did not write. Where such a file is the whole point of a unit, that is a quality failure."""
        missing = tuple(path for path in job.writes if not (self.workdir / path).is_file())
        if missing and tally.finished.failure is None and unit.type != "execute-task":
            message = f"the agent finished without writing {', '.join(missing)}"
            tally.finished = msgspec.structs.replace(tally.finished, failure="quality", message=message)
        return missing

    def _job(self, unit: Unit, decision: Decision) -> Job:
        """What the agent is told."""
        settings = self.router.preferences.agents.get(self.agent.name)
        writes = self.plan.outputs(unit)
        prompt = build_prompt(unit, self.plan.documents(unit), writes, self.router.policy, self.prompts)
        model = self.router.catalog.resolve(decision.model, decision.provider) if decision.model else None
        if model is None and decision.model:
            model = Model(id=decision.model, provider=decision.provider)
        return Job(
            unit=unit,
            prompt=prompt.text,
            model=model,
            workdir=self.workdir,
            writes=writes,
            timeout=3600.0 if settings is None else settings.timeout,
            cost_cap=self.router.preferences.per_unit_cost_cap_usd,
        )

    def _attempt(self, unit: Unit, decision: Decision, started: float) -> Attempt:
        return Attempt(
            project=self.plan.project,
            unit_type=unit.type,
            unit_id=unit.id,
            title=unit.title,
            tier=decision.tier,
            model=decision.ref,
            ceiling=f"{decision.ceiling_provider}/{decision.ceiling}" if decision.ceiling_provider else decision.ceiling,
            downgraded=decision.downgraded,
            reason=decision.reason,
            decision=msgspec.json.encode(decision).decode(),
            pattern=pattern(unit, decision.classification),
            agent=self.agent.name,
            started=started,
            reserved_usd=decision.expected_cost or 0.0,
            expected=decision.tokens,
        )


def _broken_off(error: BaseException) -> Finished:
    """The end of an attempt that an exception ended."""
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return Finished(failure="cancelled", message="stopped by the user")
    if isinstance(error, BrokenPipeError):
        return Finished(failure="cancelled", message="whoever read the output of stepdown has gone")
    return Finished(failure="provider", message=f"the agent could not run: {error}")


def selected(units: Sequence[Unit], only: str) -> list[Unit]:
    """Those of the pending `units` that `only` names, by id or ``type id``; all of them where it is "".

    Raises:
        PlanError: it names none.
    """
    chosen = [unit for unit in units if not only or _is_called(unit, only)]
    if only and not chosen:
        raise PlanError(f"no pending unit is called '{only}'; `stepdown plan` lists them")
    return chosen


def _is_called(unit: Unit, name: str) -> bool:
    return name in {unit.id, f"{unit.type} {unit.id}"}


async def run_plan(
    dispatcher: Dispatcher,
    *,
    only: str = "",
    max_units: int | None = None,
    watcher: Watcher | None = None,
) -> AsyncIterator[Done]:
    """Run pending units one after another; stops after the first that fails.

    Args:
        dispatcher: runs them.
        only: run just the unit (or units) with this id, or this ``type id``.
        max_units: run at most so many.
        watcher: is told what happens.

    Raises:
        PlanError: `only` names no pending unit.
        BudgetError: a hard budget is used up.
    """
    tried: set[tuple[str, str]] = set()
    while max_units is None or len(tried) < max_units:
        waiting = pending(dispatcher.plan.units())
        if only:
            waiting = [unit for unit in waiting if _is_called(unit, only)] if tried else selected(waiting, only)
        waiting = [unit for unit in waiting if (unit.type, unit.id) not in tried]
        if not waiting:
            return
        unit = waiting[0]
        tried.add((unit.type, unit.id))
        done = await dispatcher.dispatch(unit, watcher)
        yield done
        if done.outcome.failure is not None:
            return
