"""The shipped router in a replay: three models, a ledger that fills as tasks are done, and the product's own walk.

What is decided is decided by `Router.decide`, what follows a failure by `dispatch.walk.Walk`, what routing is told by
`build_context` over a ledger in memory. Nothing is learned from the future: a task sees what the tasks before it left in the
ledger.
"""

import statistics
from collections.abc import Callable
from typing import Literal

import msgspec

from bench.routing.data import Field, Run, Task
from bench.routing.episode import Course, Episode
from bench.routing.memory import ReplayLedger
from bench.routing.stops import Rule, Shipped, attempt
from stepdown.catalog import Catalog, Model
from stepdown.catalog.compiled import Entry
from stepdown.catalog.records import Price, Rates
from stepdown.classify import classify, pattern
from stepdown.context import build_context
from stepdown.decision import Context, Decision, Retry
from stepdown.dispatch.walk import Go, Stop, Tried, Walk, tier_run
from stepdown.dispatch.watch import Usage
from stepdown.expectations import DEFAULTS
from stepdown.ledger.records import Attempt, Evidence, Outcome
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.preferences.schema import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import NOTHING_KNOWN, Router
from stepdown.signals import introspect
from stepdown.units import TIERS, PlanText, Tier, Tokens, Unit

PROVIDER = "replay"
PROJECT = "replay"
UNIT_TYPE = "execute-task"
_ROOMY = 10_000_000
"""Context and output of the three models: what fits is not what is replayed."""

Learning = Literal["threshold", "expected_cost"]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How the router is set up for one policy.

    Attributes:
        learning: the rule for evidence; None is the product's default.
        escalate_to: one tier up, or straight to the ceiling.
        remembers: whether the ledger is read: without it every task is the first.
        policy: the thresholds.
        stops: makes the rule that ends runaway attempts, anew for every episode.
    """

    learning: Learning | None = None
    escalate_to: Literal["next", "ceiling"] = "next"
    remembers: bool = True
    policy: Policy = DEFAULT_POLICY
    stops: Callable[[], Rule] = Shipped


class World:
    """A router for one set of three models, and the units it is asked about; used for any number of episodes.

    Args:
        field: the models and the tasks.
        rules: how it is set up.
    """

    def __init__(self, field: Field, rules: Rules) -> None:
        self._rules = rules
        self._models = three_models(field.models)
        defaults = DynamicRouting()
        self._preferences = Preferences(
            models={"default": ModelChoice(self._models[-1].id, PROVIDER)},
            dynamic_routing=msgspec.structs.replace(
                defaults,
                enabled=True,
                tier_models={
                    tier: ModelChoice(model.id, PROVIDER) for tier, model in zip(TIERS[:2], self._models, strict=False)
                },
                escalate_to=rules.escalate_to,
                learning=rules.learning or defaults.learning,
            ),
            policy=rules.policy,
        )
        catalog = Catalog([Entry(model, (model.price,)) for model in self._models if model.price], on="2000-01-01")
        self._router = Router(self._preferences, catalog)
        self._rank = {model.ref: rank for rank, model in enumerate(self._models)}
        self._units = [unit_of(task) for task in field.tasks]
        self._natures = [classify(unit, introspect(unit, rules.policy), rules.policy) for unit in self._units]
        self._patterns = [pattern(unit, nature) for unit, nature in zip(self._units, self._natures, strict=True)]

    def play(self, episode: Episode) -> list[Course]:
        """What becomes of every task, in the field's order."""
        past = _Past(self._preferences, self._router.catalog, reads=self._rules.remembers)
        stops = self._rules.stops()
        courses: dict[int, Course] = {}
        for position in episode.order:
            courses[position] = self._task(position, episode, past, stops)
        return [courses[position] for position in range(len(episode.trials))]

    def _task(self, position: int, episode: Episode, past: "_Past", stops: Rule) -> Course:
        """One task, over its attempts."""
        unit, trials = self._units[position], episode.trials[position]

        def decide(retry: Retry | None = None) -> Decision:
            context = msgspec.structs.replace(past.context(), retry=retry)
            return self._router.decide(unit, context, nature=self._natures[position])

        first = decide()
        walk = Walk(self._router.catalog, escalate=True, step_up=decide)
        history: list[Tried] = []
        started = rank = self._rank[first.ref]
        cost, solved, stopped, killed = 0.0, False, 0, 0
        following: Go | Stop = Go(first, first.ref, "first")
        while isinstance(following, Go):
            rank = self._rank[following.model]
            trial = trials[rank]
            tokens, used = self._tokens(rank, trial.run.cost).total, past.usage(self._patterns[position])
            made = attempt(stops, rank, trial.run, tokens, used, can_step_up=rank < len(self._models) - 1)
            failed = made.stopped or trial.flagged
            cost, solved = cost + made.paid.cost, made.paid.solved
            stopped, killed = stopped + made.stopped, killed + (made.stopped and trial.run.solved)
            tier = tier_run(following.decision, self._models[rank])
            history.append(Tried(following.decision, following.model, tier, "quality" if failed else None, following.cause))
            past.record(
                Attempt(
                    project=PROJECT,
                    unit_type=UNIT_TYPE,
                    unit_id=unit.id,
                    tier=tier,
                    model=following.model,
                    ceiling=self._models[-1].ref,
                    downgraded=rank < self._rank[self._models[-1].ref],
                    pattern=self._patterns[position],
                    started=past.now,
                    cause=following.cause,
                ),
                self._outcome(rank, made.paid, past.now + 0.5, failed=failed, verified=episode.verifier.exists),
            )
            following = walk.after(history)
        return Course(
            started=started, ended=rank, solved=solved, cost=cost, steps_up=len(history) - 1, stopped=stopped, killed=killed
        )

    def _tokens(self, rank: int, cost: float) -> Tokens:
        """The tokens that cost as much on this model."""
        price = self._models[rank].price
        assert price is not None
        return Tokens(input=round(cost / price.rates.input * 1_000_000))

    def _outcome(self, rank: int, paid: Run, finished: float, *, failed: bool, verified: bool) -> Outcome:
        tokens = self._tokens(rank, paid.cost)
        return Outcome(
            failure="quality" if failed else None,
            verified=not failed if verified else None,
            tokens=tokens,
            cost_usd=paid.cost,
            cost_source="reported",
            ceiling_cost_usd=self._models[-1].cost(tokens),
            requests=paid.calls,
            finished=finished,
        )


class _Past:
    """What has happened so far in an episode, as the product's own ledger tells it. Time is counted in attempts."""

    def __init__(self, preferences: Preferences, catalog: Catalog, *, reads: bool) -> None:
        self.now = 0.0
        self._preferences = preferences
        self._catalog = catalog
        self._reads = reads
        self._ledger = ReplayLedger(preferences.policy.evidence_window)

    def context(self) -> Context:
        """What routing is told now."""
        if not self._reads:
            return NOTHING_KNOWN
        return build_context(
            self._ledger, self._preferences, project=PROJECT, now=self.now, catalog=self._catalog, unit_type=UNIT_TYPE
        )

    def usage(self, name: str) -> list[Usage]:
        """What the pattern's successful attempts used, as the dispatcher tells the watch."""
        if not self._reads:
            return []
        used = self._ledger.recent_use(name)
        return [Usage(steps=use.requests, tokens=use.tokens.total, cost_usd=use.cost_usd) for use in used]

    def record(self, attempt: Attempt, outcome: Outcome) -> None:
        """Settle an attempt; a verified first one, or one that failed, is evidence (`dispatch.records.evidence_of`)."""
        self._ledger.settle(self._ledger.begin(attempt), outcome)
        if attempt.cause == "first" and (outcome.failure == "quality" or outcome.verified) and attempt.tier is not None:
            event = Evidence(
                at=outcome.finished,
                pattern=attempt.pattern,
                tier=attempt.tier,
                model=attempt.model,
                success=outcome.failure is None,
                project=PROJECT,
                unit_id=attempt.unit_id,
            )
            self._ledger.add_evidence((event,))
        self.now += 1.0


def unit_of(task: Task) -> Unit:
    """A task as a unit of a plan: its text is the task plan, its first line the title."""
    title = next((line.strip() for line in task.text.splitlines() if line.strip()), "")
    return Unit(UNIT_TYPE, _printable(task.name), _printable(title), plan=PlanText(task=task.text))


def three_models(names: tuple[str, str, str]) -> tuple[Model, Model, Model]:
    """Light, standard and heavy, sold by one provider at a flat price per token.

    The price is the shipped catalogue's for the model, blended over the tokens of a default task; for a model it does not know,
    the median of the tier. Tokens in the replay are dollars divided by it, so that tokens times price is the true cost, while
    before anything is learned the models stand to each other as their list prices do.
    """
    catalog = Catalog.load()
    light, standard, heavy = (
        Model(
            id=name,
            provider=PROVIDER,
            tier=tier,
            context=_ROOMY,
            output=_ROOMY,
            features=frozenset({"tools"}),
            price=Price(rates=_flat(_blended(catalog, name, tier)), source="the replay"),
        )
        for name, tier in zip(names, TIERS, strict=True)
    )
    return light, standard, heavy


def _blended(catalog: Catalog, name: str, tier: Tier) -> float:
    """US dollars per million tokens of a default task."""
    tokens = DEFAULTS[UNIT_TYPE].tokens

    def price(model: Model | None) -> float:
        cost = None if model is None else model.cost(tokens)
        return 0.0 if cost is None else cost / tokens.total * 1_000_000

    own = price(catalog.resolve(name))
    return own or statistics.median(filter(None, map(price, catalog.of_tier(tier))))


def _flat(price: float) -> Rates:
    return Rates(input=price, output=price, cache_read=price, cache_write=price)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
