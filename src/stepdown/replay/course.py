"""The course that a recorded unit would have taken under a router: facts where it was tried so, else expectations. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.balance import missed
from stepdown.catalog import Model
from stepdown.decision import Context, Decision, Meter, Retry
from stepdown.dispatch.walk import Stop, Tried, Walk, tier_run
from stepdown.ledger.port import GATEWAY
from stepdown.preferences.schema import DynamicRouting
from stepdown.replay.past import Moment, Pass, Try
from stepdown.replay.purse import Fill, Purse
from stepdown.replay.world import World, spent
from stepdown.routing import Router
from stepdown.units import Tier, Tokens

_STEPS_UP: Final = frozenset({"step up", "configured"})


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass would have been, in expectation.

    Attributes:
        tier: where it starts.
        model: provider-qualified, what it starts on.
        usd: US dollars; None where a price, or what was used, is unknown.
        tokens: all kinds, as the recorded attempts used them where it took their course.
        requests: likewise.
        escalations: how often it steps up.
        failed: the chance that it fails in quality for good.
        missed: the chance that it fails and nothing notices (`stepdown.balance.missed`), where its outcome is not recorded.
        unsolved: the chance that it ends without success, stopped ones included.
        tried: whether how its first attempt ends is known from the record, and not only likely.
        same: whether it starts on the model it was recorded to start on.
        refused: whether a full budget would have refused it.
        stood_down: whether routing stood down for its pattern, as recorded.
    """

    tier: Tier
    model: str
    usd: float | None
    tokens: int
    requests: int
    escalations: float
    failed: float
    missed: float
    unsolved: float
    tried: bool
    same: bool
    refused: bool
    stood_down: bool


class Follower:
    """Follows passes, in the order they began, under one router.

    Args:
        router: decides, at the prices of its catalogue.
        world: how work goes.
        usual: the present preferences' routing: where stepping up is as it was, what was given up then is given up now.
        reach: per agent, the providers it can reach; agents that are not named reach any.

    Attributes:
        gives_up: whether stepping up is as it was.
    """

    def __init__(
        self, router: Router, world: World, usual: DynamicRouting, reach: Mapping[str, frozenset[str] | None] = {}
    ) -> None:
        self.router = router
        self.world = world
        routing = router.preferences.dynamic_routing
        self.gives_up = (routing.escalate_on_failure, routing.escalate_to) == (usual.escalate_on_failure, usual.escalate_to)
        self._reach = reach
        self._purse = Purse(router.preferences)
        self._memory: dict[tuple[object, ...], Decision] = {}
        self._remembered: Context | None = None

    def follow(self, moment: Moment, *, share: float = 1.0) -> Course:
        """The course of one pass; `share` is the chance that it is needed at all, which is what the budgets are told."""
        step = moment.step
        meters, fill = self._purse.fill(step.project, step.started)
        decide = self._decider(moment, meters, fill)
        walk = Walk(self.router.catalog, escalate=self.router.preferences.dynamic_routing.escalate_on_failure, step_up=decide)
        first = decide(None)
        journey = _Journey(self, step, walk)
        # Without a ceiling nothing is known of what it runs on but what it ran on.
        journey.go(first, first.ref or step.tries[0].model, "first", (), 1.0)
        last = spent(step.tries)[-1].outcome
        ended = step.started if last is None else last.finished
        uses = share * (journey.usd or 0.0)
        self._purse.pay(step.project, step.started, ended, uses, round(share * journey.tokens), round(share * journey.requests))
        return Course(
            tier=journey.tier,
            model=first.ref or step.tries[0].model,
            usd=journey.usd,
            tokens=journey.tokens,
            requests=journey.requests,
            escalations=journey.escalations,
            failed=journey.failed,
            missed=journey.missed,
            tried=journey.tried,
            unsolved=journey.unsolved,
            same=not first.ref or first.ref == step.tries[0].model,
            refused=fill[1],
            stood_down=bool(step.was.stood_down),
        )

    def _decider(self, moment: Moment, meters: tuple[Meter, ...], fill: Fill) -> Callable[[Retry | None], Decision]:
        """Decides a pass, for its first attempt and for those after a failure; decisions that must be alike are made once."""
        step, was = moment.step, moment.step.was
        nature = step.nature(self.router.policy)
        if moment.context is not self._remembered:
            self._memory.clear()
            self._remembered = moment.context
        unit = step.unit
        alike = (unit.type, unit.trigger, unit.model, nature.tier, nature.tag, was.ceiling, was.hook_model, step.agent)

        def decide(retry: Retry | None) -> Decision:
            key = (*alike, was.stood_down, fill, retry)
            known = self._memory.get(key)
            if known is None:
                context = self._context(moment, meters, fill)
                known = self._memory[key] = self.router.decide(
                    unit, msgspec.structs.replace(context, retry=retry), nature=nature
                )
            return known

        return decide

    def _context(self, moment: Moment, meters: tuple[Meter, ...], fill: Fill) -> Context:
        """The context as it was then."""
        was = moment.step.was
        reach = self._reach.get(moment.step.agent)
        if moment.step.agent == GATEWAY:
            # Of the providers that a client's request could have gone to, only that of the model it named is certain.
            reach = frozenset({was.ceiling.partition("/")[0]})
        return msgspec.structs.replace(
            moment.context,
            now=moment.step.started,
            meters=meters,
            providers=reach,
            agent_model=was.ceiling,
            hook_model=was.hook_model,
            stood_down={was.pattern: was.stood_down} if was.stood_down else {},
            pace=fill[2],
        )


class _Journey:
    """One pass on its way: adds up what it costs over the branches it may take."""

    def __init__(self, follower: Follower, step: Pass, walk: Walk) -> None:
        self._follower = follower
        self._step = step
        self._walk = walk
        self._catalog = follower.router.catalog
        self.tier = Tier.STANDARD
        self.usd: float | None = 0.0
        self.tokens = self.requests = 0
        self.escalations = self.failed = self.missed = self.unsolved = 0.0
        self.tried = True

    def go(self, decision: Decision, ref: str, cause: str, before: tuple[Tried, ...], chance: float) -> None:
        """Take the next attempt, which is made with `chance`, and what follows it."""
        model = self._catalog.find_ref(ref)
        tier = tier_run(decision, model)
        self.escalations += chance * (cause in _STEPS_UP)
        found = next((one for one in self._step.tries if one.model == ref), None)
        self._spend(chance, self._recorded(found) if found is not None else self._estimate(ref, model, tier))
        failure, fails = self._outcome(found, tier)
        is_likely = 0 < fails < 1
        if not before:
            self.tier, self.tried = tier, not is_likely
        if is_likely:
            self.missed += chance * missed(fails, self._follower.world.policy)
        if not fails:
            return
        history = (*before, Tried(decision, ref, tier, failure, cause))
        following = Stop("") if failure != "quality" or self._gave_up(found, before) else self._walk.after(history)
        if isinstance(following, Stop):
            self.unsolved += chance * fails
            self.failed += chance * fails * (failure == "quality")
        else:
            self.go(following.decision, following.model, following.cause, history, chance * fails)

    def _gave_up(self, found: Try | None, before: Sequence[Tried]) -> bool:
        """Whether this was the recorded end, reached the way it was recorded, and nothing about stepping up has changed."""
        tries = self._step.tries
        path = (*(tried.model for tried in before), "" if found is None else found.model)
        return self._follower.gives_up and path == tuple(one.model for one in tries)

    def _outcome(self, found: Try | None, tier: Tier) -> tuple[str | None, float]:
        """How an attempt fails, and with which chance: as it did where this model or tier was tried; else as is likely.

        A stronger model is taken to do what a weaker one did, and a weaker one to fail where a stronger one failed.
        """
        if found is not None:
            return found.failure, float(found.failure is not None)
        judged = [one for one in self._step.tries if one.judged]
        if not judged:  # stopped, or no provider answered: so it would have been
            return self._step.tries[-1].failure, 1.0
        same = [one for one in judged if one.tier is tier]
        if same:
            return "quality", float(same[-1].failure is not None)
        if any(one.failure is None and one.tier is not None and one.tier < tier for one in judged):
            return "quality", 0.0
        if any(one.failure is not None and one.tier is not None and one.tier > tier for one in judged):
            return "quality", 1.0
        return "quality", self._follower.world.failing(self._step, tier)

    def _spend(self, chance: float, used: tuple[float | None, int, int]) -> None:
        usd, tokens, requests = used
        self.usd = None if usd is None or self.usd is None else self.usd + chance * usd
        self.tokens += round(chance * tokens)
        self.requests += round(chance * requests)

    def _recorded(self, found: Try) -> tuple[float | None, int, int]:
        """What a try cost that was made, at the prices of the replay."""
        costs = [self._follower.world.cost(record, self._catalog)[0] for record in found.attempts]
        known = [cost for cost in costs if cost is not None]
        outcomes = [record.outcome for record in found.attempts if record.outcome is not None]
        tokens = sum(outcome.tokens.total for outcome in outcomes if outcome.tokens is not None)
        requests = sum(outcome.requests or 0 for outcome in outcomes)
        return sum(known) if len(known) == len(costs) else None, tokens, requests

    def _estimate(self, ref: str, model: Model | None, tier: Tier) -> tuple[float | None, int, int]:
        """What an attempt would cost on a model that was not tried: its tokens where the work was done, scaled and priced."""
        reference = self._reference(tier)
        record = reference.attempts[-1]
        outcome = record.outcome
        if (
            outcome is not None
            and outcome.failure is not None
            and outcome.cost_usd == 0
            and not (outcome.tokens or Tokens()).total
        ):
            return 0.0, 0, outcome.requests or 0  # it failed before anything was used
        if outcome is None or outcome.tokens is None or not outcome.tokens.total or model is None:
            return None, 0, 0
        tokens = self._follower.world.tokens(outcome.tokens, self._step, record.attempt.model, ref)
        return model.cost(tokens), tokens.total, outcome.requests or 0

    def _reference(self, tier: Tier) -> Try:
        """The try whose use says most: on the same tier, else the one that did the work, else the last."""
        tries = self._step.tries
        same = [one for one in tries if one.tier is tier and one.judged]
        done = [one for one in tries if one.failure is None]
        return (same or done or [one for one in tries if one.judged] or list(tries))[-1]
