"""Which models a unit would have run on: the shipped router and the shipped walk after failures, under several ceilings."""

from collections.abc import Mapping

import msgspec

from bench.claim.units import Finished
from stepdown.catalog import Catalog, Model
from stepdown.decision import Context, Decision, Needs
from stepdown.dispatch.walk import Go, Stop, Tried, Walk, tier_run
from stepdown.preferences.schema import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import Tier

_HAIKU, _SONNET, _OPUS = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6"


class Setup(msgspec.Struct, frozen=True):
    """What a user has set.

    Attributes:
        name: for the tables.
        about: one line.
        preferences: with routing on.
        own: whether a unit's ceiling is the model it ran on, as with an agent that has its own setting.
    """

    name: str
    about: str
    preferences: Preferences
    own: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a route: it is made when all before it failed."""

    model: Model
    tier: Tier
    downgraded: bool
    cause: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit runs on.

    Attributes:
        needed: how hard it is by itself.
        ceiling: the model the user chose.
        steps: the first attempt, and what follows for as long as each fails.
        unchanged: why routing changed nothing; "" where it did.
        decision: the first attempt's.
    """

    needed: Tier
    ceiling: Model
    steps: tuple[Step, ...]
    unchanged: str
    decision: Decision


def setups() -> tuple[Setup, ...]:
    """Ceilings of one generation with its tiers named, today's cheapest below the same ceilings, the newest, and others."""
    named = {"light": _HAIKU, "standard": _SONNET}
    return (
        Setup("opus", f"{_OPUS} for every phase; tiers named: {_HAIKU}, {_SONNET}", _preferences(_OPUS, named)),
        Setup("sonnet", f"{_SONNET} for every phase; light is {_HAIKU}", _preferences(_SONNET, named)),
        Setup(
            "phases",
            f"{_OPUS} for planning (and so validation and discussions), {_SONNET} for the rest; tiers named as above",
            _preferences(_SONNET, named, planning=_OPUS),
        ),
        Setup("opus, cheapest", f"{_OPUS}; no tier named: the cheapest of today's catalogue", _preferences(_OPUS)),
        Setup("sonnet, cheapest", f"{_SONNET}; no tier named", _preferences(_SONNET)),
        Setup("newest opus", "claude-opus-5-5; no tier named", _preferences("claude-opus-5-5")),
        Setup("newest sonnet", "claude-sonnet-5-5; no tier named", _preferences("claude-sonnet-5-5")),
        Setup("as they ran", "each unit's ceiling is the model it ran on; no tier named", _preferences(""), own=True),
    )


def _preferences(default: str, tiers: Mapping[str, str] | None = None, **phases: str) -> Preferences:
    models = {name: ModelChoice(model) for name, model in {"default": default, **phases}.items() if model}
    named = {Tier(tier): ModelChoice(model) for tier, model in (tiers or {}).items()}
    return Preferences(models=models, dynamic_routing=DynamicRouting(enabled=True, tier_models=named))


class Routes:
    """The routes of units under one setup, each decided in a world without a past."""

    def __init__(self, setup: Setup, catalog: Catalog) -> None:
        self._router = Router(setup.preferences, catalog)
        self._own = setup.own
        self._contexts: dict[str, Context] = {}

    def of(self, one: Finished, *, by_own_prompts: bool = False) -> Route | None:
        """The route of a unit; None where its ceiling, or what that costs, is unknown.

        Args:
            one: the unit.
            by_own_prompts: whether fit is judged by the prompts that this unit had, which nobody knows before, instead of those
                that units of its type have.
        """
        context = self._context(one)
        if by_own_prompts:
            context = msgspec.structs.replace(context, needs=self._needs(one))
        decision = self._router.decide(one.unit, context)
        ceiling = self._router.catalog.resolve(decision.ceiling, decision.ceiling_provider)
        if ceiling is None or ceiling.price is None or not decision.model:
            return None
        return Route(
            needed=decision.classification.tier,
            ceiling=ceiling,
            steps=self._steps(one, decision, context),
            unchanged=decision.unchanged,
            decision=decision,
        )

    def largest_prompt(self, one: Finished) -> int:
        """Tokens of a unit's largest prompt, estimated from its average as routing does."""
        return min(one.tokens.prompt, round(one.mean_prompt * self._router.policy.context_peak_to_mean))

    def _needs(self, one: Finished) -> Needs:
        return Needs(prompt=self.largest_prompt(one), output=self._router.policy.requested_output)

    def _context(self, one: Finished) -> Context:
        """One context per ceiling of the agent's: a router prepares anew for each that it has not seen."""
        name = one.model if self._own else ""
        if name not in self._contexts:
            self._contexts[name] = Context(agent_model=name)
        return self._contexts[name]

    def _steps(self, one: Finished, decision: Decision, context: Context) -> tuple[Step, ...]:
        """The attempts for as long as every one fails in quality."""
        catalog = self._router.catalog
        walk = Walk(
            catalog,
            escalate=True,
            step_up=lambda retry: self._router.decide(one.unit, msgspec.structs.replace(context, retry=retry)),
        )
        steps: list[Step] = []
        history: list[Tried] = []
        following: Go | Stop = Go(decision, decision.ref, "first")
        while isinstance(following, Go):
            taken, ref = following.decision, following.model
            model = catalog.find_ref(ref)
            if model is None:
                break
            tier = tier_run(taken, model)
            downgraded = taken.downgraded and ref == taken.ref
            steps.append(Step(model=model, tier=tier, downgraded=downgraded, cause=following.cause))
            history.append(Tried(taken, ref, tier, "quality", following.cause))
            following = walk.after(history)
        return tuple(steps)
