"""`Dispatcher`: one unit, from its decision to its end, over as many attempts as SPEC section 8 allows.

Each attempt: snapshot the work tree, record the start and reserve, let the agent work while it is watched, verify what it did,
tick the box or put the tree back, record the end. What follows a failure is `walk`'s to say.
"""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from stepdown.agents.port import Agent, Job
from stepdown.catalog import Model
from stepdown.classify import pattern
from stepdown.context import build_context, caps
from stepdown.decision import Context, Decision, Retry
from stepdown.dispatch import hooks
from stepdown.dispatch.checks import checks_of
from stepdown.dispatch.prompts import build_prompt, name_of
from stepdown.dispatch.records import attempt_of, base_name, evidence_of, total
from stepdown.dispatch.tally import Tally
from stepdown.dispatch.trial import Done, Quiet, Trial, Watcher, broken_off, work
from stepdown.dispatch.verify import Verdict, program_finder, verify
from stepdown.dispatch.walk import Go, Stop, Tried, Walk, tier_run
from stepdown.dispatch.watch import Usage, Watch, limits_for
from stepdown.dispatch.worktree import Snapshot, open_tree
from stepdown.errors import BudgetError, LedgerError, PlanError, WorkTreeError
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Attempt, Block, Cap, Outcome
from stepdown.plans.memory import MemoryPlan
from stepdown.plans.source import PlanSource
from stepdown.routing import Router
from stepdown.units import Unit

_QUIET = Quiet()


class Dispatcher:
    """Runs units, each until it is done or nothing is left to try.

    Args:
        router: decides.
        agent: does the work.
        ledger: remembers.
        plan: where the units' texts come from and where they are ticked; without one, a unit is all there is to know.
        workdir: where the work happens; the plan's project if not given.
        clock: seconds since the epoch.
        prompts: directories with prompt templates of the user's own, the strongest first.
        commands_allowed: whether commands that a plan or a project names may be run to verify the work.
        run: what the ledger calls this run.
    """

    def __init__(
        self,
        router: Router,
        agent: Agent,
        ledger: Ledger,
        plan: PlanSource | None = None,
        *,
        workdir: Path | None = None,
        clock: Callable[[], float] = time.time,
        prompts: tuple[Path, ...] = (),
        commands_allowed: bool = False,
        run: str = "",
    ) -> None:
        self.router = router
        self.agent = agent
        self.ledger = ledger
        self.plan = plan if plan is not None else MemoryPlan((), project=str((workdir or Path.cwd()).resolve()))
        self.workdir = Path(self.plan.project) if workdir is None else workdir
        self.clock = clock
        self.commands_allowed = commands_allowed
        self.over_budget = False
        """Whether the user said to go on with a full budget."""
        self.tree = open_tree(self.workdir)
        self._ticks = plan is not None
        self._prompts = prompts
        self._run = run or uuid.uuid4().hex
        self.preferences = router.preferences

    def context(self, unit_type: str = "", *, retry: Retry | None = None, hook_model: str = "") -> Context:
        """The world as it stands now; for units of one type, or of any."""
        context = build_context(
            self.ledger,
            self.preferences,
            project=self.plan.project,
            now=self.clock(),
            catalog=self.router.catalog,
            unit_type=unit_type,
            providers=self.agent.providers(),
            agent_model=self.agent.configured_model(self.workdir),
        )
        if self.over_budget:
            context = msgspec.structs.replace(
                context, meters=tuple(msgspec.structs.replace(meter, hard=False) for meter in context.meters)
            )
        return msgspec.structs.replace(context, retry=retry, hook_model=hook_model)

    def decide(self, unit: Unit) -> Decision:
        """What `unit` would run on now, with what pre-dispatch hooks have to say."""
        change = self.change(unit)
        return self.router.decide(change.unit, self.context(change.unit.type, hook_model=change.model))

    def decide_all(self, units: Iterable[Unit]) -> list[Decision | None]:
        """`decide` for each, with one look at the world; None where a pre-dispatch hook has it skipped."""
        context = self.context()
        changes = [self.change(unit) for unit in units]
        return [
            None
            if change.action == "skip"
            else self.router.decide(change.unit, msgspec.structs.replace(context, hook_model=change.model))
            for change in changes
        ]

    def change(self, unit: Unit) -> hooks.Change:
        """What the pre-dispatch hooks make of `unit`."""
        return hooks.of_plan(unit, self.preferences.pre_dispatch_hooks, self.plan)

    def run(self, unit: Unit, watcher: Watcher = _QUIET) -> Done:
        """`dispatch`, for callers without an event loop."""
        return asyncio.run(self.dispatch(unit, watcher))

    async def dispatch(
        self,
        unit: Unit,
        watcher: Watcher = _QUIET,
        *,
        prompt: str = "",
        writes: tuple[str, ...] | None = None,
        cause: str = "first",
        note: str = "",
    ) -> Done:
        """Run `unit` until it is done or nothing is left to try.

        Args:
            unit: what to do.
            watcher: is told what happens.
            prompt: what the agent is told, instead of what the plan's files say; for hooks.
            writes: files it has to write, relative to the work's directory, where that is not the plan's to say.
            cause: why it runs: ``first``, or ``again`` where a hook asked for it.
            note: something the agent is told besides.

        Raises:
            BudgetError: a hard budget is used up, or nothing may serve the unit; nothing was started.
            AgentError: the agent cannot start.
            LedgerError: an attempt cannot be recorded.
        """
        change = self.change(unit)
        decision = self.router.decide(change.unit, self.context(change.unit.type, hook_model=change.model))
        if change.action == "skip":
            return Done(unit=unit, decision=decision, outcome=None, skipped=f"skipped by the hook {change.fired[-1]}")
        if decision.refused:
            raise BudgetError(f"{unit.type} {unit.id} was not started: {decision.refused}")
        walk = Walk(
            self.router.catalog,
            escalate=self.preferences.dynamic_routing.escalate_on_failure,
            step_up=lambda retry: self.router.decide(change.unit, self.context(change.unit.type, retry=retry)),
        )
        base = self._base(change.unit)
        history: list[Tried] = []
        trials: list[Trial] = []
        following: Go | Stop = Go(decision, decision.ref, cause)
        while isinstance(following, Go):
            told = self._told(change, prompt, _before(trials, note))
            files = self.plan.outputs(change.unit) if writes is None else writes
            trial = self._begin(change.unit, following, told, files, base, trials)
            trials.append(trial)
            following = await self._carry_out(trial, walk, history, watcher)
        self.tree.release(base)
        return self._done(unit, trials, following.reason, change.fired)

    def _base(self, unit: Unit) -> Snapshot | None:
        """The work tree as it was before the unit's first attempt: as a broken run left it, else as it is now.

        It is kept until the unit is over, however often its process dies: what an attempt changed is measured against it, and
        it is what the tree is put back to.
        """
        name = base_name(unit)
        return self.tree.find(name) or self.tree.snapshot(name)

    async def _carry_out(self, trial: Trial, walk: Walk, history: list[Tried], watcher: Watcher) -> Go | Stop:
        """One attempt, from its first event to its last record; what follows it (`Go` or `Stop`)."""
        try:
            watcher.starts(trial.unit, trial.decision, trial.ref, trial.cause)
            trial.end = await work(self.agent, trial, self._note(trial), watcher)
            trial.missing = tuple(path for path in trial.job.writes if not (self.workdir / path).is_file())
            trial.verdict = await self._verified(trial)
            trial.judge()
            trial.compare_with_cap()
        except BaseException as error:
            trial.end = broken_off(error)
            if trial.snapshot is not None:
                trial.noticed.append(f"the work tree is as it was left; {trial.snapshot.ref} has it as it was before")
            self._settle(trial, self._outcome(trial))
            raise
        history.append(Tried(trial.decision, trial.ref, trial.tier, trial.end.failure, trial.cause))
        following = walk.after(history)
        if isinstance(following, Go) and trial.job.cost_cap is not None and (trial.tally.cost or 0.0) >= trial.job.cost_cap:
            following = Stop("the unit has used up its per_unit_cost_cap_usd")
        outcome = self._outcome(trial)
        unticked = self._tick(trial.unit) if trial.end.failure is None else None
        if trial.end.failure is not None and isinstance(following, Go):
            kept = self._put_back(trial)
            outcome = msgspec.structs.replace(outcome, kept=kept, evidence=trial.evidence)
        if trial.end.failure == "rejected":
            until = self.clock() + self.router.policy.block_seconds
            self.ledger.block(Block(model=trial.ref, reason=trial.end.message, until=until))
        self._settle(trial, outcome)
        self.ledger.add_evidence(evidence_of(trial, outcome, self.plan.project))
        watcher.ends(trial.unit, trial.decision, outcome, trial.tally.steps)
        if unticked is not None:
            self.tree.release(trial.snapshot)
            raise unticked
        return following

    # The parts of an attempt.

    def _begin(
        self, unit: Unit, go: Go, told: str, writes: tuple[str, ...], base: Snapshot | None, earlier: list[Trial]
    ) -> Trial:
        """Record the start: a crash after this finds it. The unit's cap is what its earlier attempts have left of it."""
        model = self.router.catalog.find_ref(go.model) or self.router.catalog.resolve(go.model)
        if model is None and go.model:
            provider, _, name = go.model.rpartition("/") if go.decision.provider else ("", "", go.model)
            model = Model(id=name, provider=provider)
        settings = self.preferences.agents.get(self.agent.name)
        key = uuid.uuid4().hex
        started = self.clock()
        cap = self.preferences.per_unit_cost_cap_usd
        name = pattern(unit, go.decision.classification)
        job = Job(
            unit=unit,
            prompt=told,
            model=model,
            workdir=self.workdir,
            writes=writes,
            timeout=3600.0 if settings is None else settings.timeout,
            cost_cap=None if cap is None else cap - sum(trial.tally.cost or 0.0 for trial in earlier),
            env={"STEPDOWN_ATTEMPT": key},
        )
        tally = Tally(model, lambda named: self.router.catalog.resolve(named, go.decision.provider))
        limits = limits_for(unit.type, self._usage(name), self.router.policy)
        watch = Watch(limits, tally.price, self.router.policy, cost_cap=job.cost_cap)
        trial = Trial(unit, go, job, tally, watch=watch, pattern=name, tier=tier_run(go.decision, model))
        trial.snapshot = base
        who = {"project": self.plan.project, "agent": self.agent.name, "run": self._run}
        attempt = attempt_of(trial, **who, number=len(earlier) + 1, started=started)
        try:
            trial.id = self.ledger.begin(attempt, caps=self._caps(attempt))
        except BudgetError:
            self.tree.release(base)
            raise
        return trial

    def _caps(self, attempt: Attempt) -> Sequence[Cap]:
        """The hard budgets that an attempt has to fit into."""
        if self.over_budget:
            return ()
        return caps(self.preferences, attempt.project, attempt.started, model=attempt.model, catalog=self.router.catalog)

    def _usage(self, name: str) -> list[Usage]:
        """What the pattern's successful attempts used, as the watch's limits want it; rounds of tools are requests."""
        used = self.ledger.recent_use(name)
        return [Usage(steps=use.requests, tokens=use.tokens.total, cost_usd=use.cost_usd) for use in used]

    def _note(self, trial: Trial) -> Callable[[], None]:
        def note() -> None:
            # What cannot be noted now is tried again with the next event, and said in earnest when the attempt is settled.
            with contextlib.suppress(LedgerError):
                self.ledger.note_use(trial.id, trial.tally.use)

        return note

    async def _verified(self, trial: Trial) -> Verdict | None:
        """What the checks say; None where the attempt failed before there was anything to check."""
        if trial.end.failure is not None:
            return None
        env = dict(os.environ)

        def look() -> tuple[str, ...] | None:
            return None if trial.snapshot is None else self._changed(trial)

        checks = checks_of(trial.unit, self.preferences, is_program=program_finder(env), writes=trial.job.writes)
        return await verify(
            checks,
            self.workdir,
            commands_allowed=self.commands_allowed,
            finished=trial.end,
            changed=look(),
            timeout=self.router.policy.verify_timeout,
            env=env,
            look=look,
        )

    def _changed(self, trial: Trial) -> tuple[str, ...] | None:
        """What the unit has changed so far; None where the tree cannot tell."""
        try:
            return self.tree.changed(trial.snapshot)
        except WorkTreeError as error:
            trial.noticed.append(f"what changed is not known: {error}")
            return None

    def _put_back(self, trial: Trial) -> str:
        """The tree as it was before the attempt; the ref that keeps what it had become."""
        if trial.snapshot is None:
            return ""
        try:
            kept = self.tree.restore(trial.snapshot, keep_as=f"failed/{trial.job.env['STEPDOWN_ATTEMPT']}")
        except WorkTreeError as error:
            trial.noticed.append(f"the work tree could not be put back, so the next attempt starts from here: {error}")
            return ""
        if self.tree.note:
            trial.noticed.append(self.tree.note)
        return kept

    def _tick(self, unit: Unit) -> PlanError | None:
        """Tick the unit's box; what was wrong with that, to be said once the attempt is recorded."""
        try:
            if self._ticks:
                self.plan.mark_done(unit)
        except PlanError as error:
            return error
        return None

    def _outcome(self, trial: Trial) -> Outcome:
        decision = trial.decision
        ceiling = self.router.catalog.resolve(decision.ceiling, decision.ceiling_provider) if decision.ceiling else None
        outcome = trial.tally.outcome(trial.end, ceiling, self.clock())
        verified = None if trial.verdict is None else trial.verdict.verified
        return msgspec.structs.replace(outcome, verified=verified, evidence=trial.evidence)

    def _settle(self, trial: Trial, outcome: Outcome) -> None:
        try:
            self.ledger.settle(trial.id, outcome)
        except LedgerError as error:
            how = "succeeded" if outcome.failure is None else f"failed ({outcome.failure})"
            unit = trial.unit
            raise LedgerError(f"{unit.type} {unit.id} {how}, which could not be recorded: {error}") from error

    # What the agent is told.

    def _told(self, change: hooks.Change, prompt: str, note: str) -> str:
        """The prompt: the hook's own words where it has some, else the template of the unit's type with the plan's texts."""
        unit = change.unit
        text = change.prompt or prompt
        if text:
            text = f"## UNIT: {name_of(unit)}\n\n{text}"
        else:
            documents, writes = self.plan.documents(unit), self.plan.outputs(unit)
            text = build_prompt(unit, documents, writes, self.router.policy, self._prompts).text
        return "\n\n".join(filter(None, (change.prepend, text, change.append, note)))

    def _done(self, unit: Unit, trials: list[Trial], reason: str, fired: tuple[str, ...]) -> Done:
        last = trials[-1]
        return Done(
            unit=unit,
            decision=last.decision,
            outcome=self._outcome(last),
            attempts=len(trials),
            steps=sum(trial.tally.steps for trial in trials),
            cost_usd=total([self._outcome(trial).cost_usd for trial in trials]),
            ceiling_cost_usd=self._outcome(last).ceiling_cost_usd,
            stepped_up=any(trial.cause in {"step up", "configured"} for trial in trials),
            missing=last.missing,
            reason="" if last.end.failure is None else reason,
            hooks=fired,
        )


def _before(trials: list[Trial], note: str) -> str:
    """What the next attempt is told of the one before."""
    if not trials or trials[-1].end.failure != "quality":
        return note
    seen = "\n".join(f"- {line}" for line in trials[-1].evidence) or f"- {trials[-1].end.message}"
    told = f"## The attempt before\n\nAnother model tried this and failed. What was noticed:\n\n{seen}"
    return f"{note}\n\n{told}" if note else told
