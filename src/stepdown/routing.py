"""`Router.decide(unit, context) -> Decision`: the pipeline of SPEC section 4. Pure: the same inputs give the same decision.

The order is the specification's. Each step either settles the decision, or moves the unit's tier and says why, or does
nothing; what the steps said stands on the receipt in that order.
"""

from collections.abc import Callable

import msgspec

from stepdown import balance
from stepdown.budget import exhausted, fullest, pressure
from stepdown.candidates import Ceiling, Market, Offer, Work, chain, nothing_below
from stepdown.catalog import Catalog, Model
from stepdown.classify import classify, pattern
from stepdown.decision import Candidate, Classification, Context, Decision, Needs
from stepdown.expectations import Expectations
from stepdown.fit import fit
from stepdown.learning import Adjustment, Experience
from stepdown.money import dollars
from stepdown.odds import Odds
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.signals import introspect
from stepdown.switching import leave
from stepdown.units import TIERS, Tier, Unit, type_defaults

NOTHING_KNOWN = Context()


class Case:
    """One unit on its way through the pipeline: the only mutable thing in it, and gone when the decision is made."""

    def __init__(self, unit: Unit, context: Context, nature: Classification, ceiling: Ceiling | None) -> None:
        self.unit = unit
        self.context = context
        self.nature = nature
        self.ceiling = ceiling
        self.tier = nature.tier
        self.steps: list[str] = []
        self.work: Work | None = None
        self.forced = False
        """Whether pressure, a retry or what was learned decided the tier, so that a look at expected costs no longer does."""

    def move(self, tier: Tier, why: str) -> None:
        """Go on at `tier`."""
        self.tier = tier
        self.steps.append(why)


class Router:
    """Decides which model a unit runs on.

    Args:
        preferences: what the user wants; ``stepdown.load_preferences`` reads them from files.
        catalog: the models there are; the shipped ones with the user's own on top if not given.
    """

    def __init__(self, preferences: Preferences, catalog: Catalog | None = None) -> None:
        self.preferences = preferences
        self.catalog = Catalog.load(preferences.catalog) if catalog is None else catalog
        self.policy = preferences.policy
        self._routing = preferences.dynamic_routing
        self._market = Market(preferences, self.catalog)
        self._prepared: Expectations | None = None
        self._lived: tuple[Experience, Odds] | None = None
        self._until_switch: tuple[Callable[[Case], Decision | None], ...] = (self._pin, self._hook, self._find_ceiling)
        self._after_switch: tuple[Callable[[Case], Decision | None], ...] = (self._learn, self._press, self._escalate)

    def decide(self, unit: Unit, context: Context = NOTHING_KNOWN, *, nature: Classification | None = None) -> Decision:
        """The model for `unit` in `context`, with the reason. Never raises for what a plan or a ledger contains.

        Args:
            unit: what is to be done.
            context: the world; as if it had no past if not given.
            nature: how hard the unit is, where that is known already; else its plan's texts are introspected.
        """
        case = self._open(unit, context, nature)
        for step in self._until_switch:
            decision = step(case)
            if decision is not None:
                return decision
        routed = self._route(case)
        if self._routing.enabled:
            return routed
        off = self._unchanged(
            self._open(unit, context, case.nature), "disabled", "routing is off (dynamic_routing.enabled: false)"
        )
        return msgspec.structs.replace(off, would=routed)

    def start(self, name: str, context: Context = NOTHING_KNOWN, tier: Tier | None = None) -> Adjustment:
        """Where the next unit of the pattern `name` starts, by what was learned alone: without budgets or standing down.

        Args:
            name: ``execute-task:docs``.
            context: the world.
            tier: where such a unit starts before anything is learned; its type's default if not given.
        """
        unit_type, _, tag = name.partition(":")
        tier = tier or type_defaults(unit_type)[1]
        nature = Classification(tier=tier, reason=f"the default of {unit_type}", tag=tag)
        return self._learned(self._open(Unit(unit_type), context, nature))

    def _open(self, unit: Unit, context: Context, nature: Classification | None) -> Case:
        """Default tier and introspection."""
        if nature is None:
            nature = classify(unit, introspect(unit, self.policy), self.policy)
        return Case(unit, context, nature, self._ceiling_of(unit, context))

    def _route(self, case: Case) -> Decision:
        for step in self._after_switch:
            decision = step(case)
            if decision is not None:
                return decision
        return self._choose(case)

    # The steps, in order.

    def _pin(self, case: Case) -> Decision | None:
        """The user's own word: a model, or a tier which the market then serves. It may exceed the ceiling, but must fit."""
        pin = case.context.pin or self.preferences.pin
        if not pin:
            return None
        if pin not in _TIER_NAMES:
            return self._named(case, self._market.ceiling(ModelChoice(pin), "pin").model, "pinned", f"pinned to {pin}")
        case.tier = Tier(pin)
        work = self._work(case)
        offers = [self._market.offer(model, work) for model in self._market.pinned(Tier(pin), case.ceiling)]
        chosen = self._market.cheapest(offers, case.ceiling)
        if chosen is None:
            case.move(case.nature.tier, f"pinned to {pin}, but no {pin} model that takes part fits")
            return None
        return self._named(case, chosen.model, "pinned", f"pinned to {pin}")

    def _hook(self, case: Case) -> Decision | None:
        """A model that a pre-dispatch hook names, and hooks that keep their own."""
        if case.context.hook_model:
            hooked = self._market.ceiling(ModelChoice(case.context.hook_model), "pre_dispatch_hooks").model
            return self._named(case, hooked, "hook", f"a pre-dispatch hook names {hooked.id}")
        if case.unit.is_hook and not self._routing.hooks and case.ceiling is not None:
            return self._named(case, case.ceiling.model, "hook", "hooks keep their own model (dynamic_routing.hooks: false)")
        return None

    def _find_ceiling(self, case: Case) -> Decision | None:
        """Nothing to route below: no ceiling, or one that nothing is known of."""
        if case.ceiling is None:
            return self._unchanged(
                case, "no ceiling", f"no model is set for {case.unit.phase}, so there is no ceiling to stay below"
            )
        if not case.ceiling.known:
            return self._unchanged(case, "unknown model", f"{case.ceiling.model.id} is not in the catalogue: used as named")
        return None

    def _learn(self, case: Case) -> Decision | None:
        """Start a tier higher where the evidence says so; stand down where routing has not paid."""
        name = pattern(case.unit, case.nature)
        stood_down = case.context.stood_down.get(name)
        if stood_down:
            return self._unchanged(case, "stood down", stood_down)
        adjustment = self._learned(case)
        if adjustment.reason:
            case.move(adjustment.tier, adjustment.reason)
        case.forced = adjustment.weighed
        return None

    def _learned(self, case: Case) -> Adjustment:
        """Where the evidence would have the unit start, by the rule the user chose."""
        name = pattern(case.unit, case.nature)
        experience, odds = self._experience(case.context)
        ceiling = case.ceiling
        if (
            self._routing.learning == "threshold"
            or ceiling is None
            or ceiling.model.tier is None
            or ceiling.model.price is None
        ):
            return experience.adjust(name, case.tier)
        offers = self._market.ladder(self._work(case), ceiling)
        return balance.start(name, case.tier, offers, odds, experience, self.policy)

    def _press(self, case: Case) -> Decision | None:
        """Move down as the fullest budget fills, or as pacing's price on a dollar asks."""
        if self._routing.pressure == "pacing":
            self._pace(case)
            return None
        meter = fullest(case.context.meters) if self._routing.budget_pressure else None
        if meter is not None and meter.used >= self.policy.pressure_light:
            pressed = pressure(case.tier, case.unit.type, case.context.meters, self.policy, light_ok=self._light_serves(case))
            if pressed.reason:
                case.move(pressed.tier, pressed.reason)
                case.forced = True
        return None

    def _pace(self, case: Case) -> None:
        """Go down for as long as what that saves, at today's price on a dollar, outweighs what failing more often costs."""
        price, ceiling = case.context.pace, case.ceiling
        if price <= 0 or ceiling is None or case.unit.type == "replan-slice":
            return
        work = self._work(case)
        while case.tier > Tier.LIGHT and work.ceiling_cost is not None:
            here = self._market.quote(case.tier, work, ceiling).chosen
            below = self._market.quote(case.tier.below, work, ceiling).chosen
            cost = work.ceiling_cost if here is None else here.cost
            if below is None or below.cost is None or cost is None:
                return
            riskier = work.failing[case.tier.below.rank] - work.failing[case.tier.rank]
            if price * (cost - below.cost) <= riskier * work.ceiling_cost:
                return
            case.move(case.tier.below, f"spending is ahead of its pace (a dollar counts {1 + price:.1f} times)")
            case.forced = True

    def _escalate(self, case: Case) -> Decision | None:
        """A retry after a quality failure runs one tier above the one that failed, in every band."""
        retry = case.context.retry
        if retry is None:
            return None
        case.forced = True
        failed = f"{retry.tier} failed" + (f" on {retry.model}" if retry.model else "")
        if not self._routing.escalate_on_failure:
            case.move(max(case.tier, retry.tier), f"{failed}; stepping up is off (escalate_on_failure: false)")
        elif self._routing.escalate_to == "ceiling":
            case.move(Tier.HEAVY, f"stepped up to the ceiling: {failed}")
        else:
            case.move(retry.tier.above, f"stepped up: {failed}")
        return None

    def _choose(self, case: Case) -> Decision:
        """The cheapest that fits at the tier, else at the next tier up that is still below the ceiling, else the ceiling."""
        ceiling = case.ceiling
        assert ceiling is not None
        work = self._work(case)
        quote = self._market.quote(case.tier, work, ceiling)
        chosen = quote.chosen
        if chosen is None:
            return self._unchanged(case, *nothing_below(case.tier, quote, ceiling), considered=quote.candidates)
        own = self._market.offer(ceiling.model, work)
        if not case.forced and chosen.total is not None and own.total is not None and chosen.total >= own.total:
            costs = f"({dollars(chosen.total)}, the ceiling {dollars(own.total)})"
            why = f"with its expected failures {chosen.model.id} would be no cheaper {costs}"
            kept = tuple(msgspec.structs.replace(candidate, taken=False) for candidate in quote.candidates)
            return self._unchanged(case, "stood down", why, considered=kept)
        return self._stay(case, chosen, ceiling) or self._decision(
            case, chosen.model, considered=quote.candidates, chosen=chosen
        )

    def _stay(self, case: Case, chosen: Offer, ceiling: Ceiling) -> Decision | None:
        """In the middle of a conversation: its own model, where leaving it for the chosen one would not pay (SPEC 12)."""
        ongoing = case.context.ongoing
        here = self.catalog.find_ref(ongoing.holder) if ongoing is not None and ongoing.cached else None
        if ongoing is None or here is None or here.ref == chosen.ref or case.context.retry is not None:
            return None
        work = self._work(case)
        own = self._market.offer(here, work)
        top = ceiling.model
        if own.misfit or here.tier is None or here.tier < case.tier:
            return None  # it cannot take this turn, or is too weak for it
        if here.ref != top.ref and (here.tier > (top.tier or here.tier) or (own.cost or 0.0) > (work.ceiling_cost or 0.0)):
            return None  # the user has chosen something cheaper meanwhile
        turns = work.expectations.requests(case.unit.type) or self.policy.turn_requests
        failing = work.failing[(chosen.model.tier or case.tier).rank]
        found = leave(here, chosen.model, ongoing, turns=turns, failing=failing, policy=self.policy)
        if found is None or found.pays:
            case.steps += [] if found is None else [f"leaving {here.id} pays: {found}"]
            return None
        why = f"leaving {here.id} for {chosen.model.id} would not pay: {found}"
        if here.ref == top.ref:
            return self._unchanged(case, "switching", why)
        return self._decision(case, here, why=why, chosen=own)

    # What the steps share.

    def _ceiling_of(self, unit: Unit, context: Context) -> Ceiling | None:
        """The model the user chose for this unit: a hook's own, a request's, the phase's, the default, the agent's (SPEC 5)."""
        if unit.is_hook and unit.model:
            return self._market.ceiling(ModelChoice(unit.model), f"hook {unit.type.removeprefix('hook/')}")
        if context.ceiling is not None:
            return self._market.ceiling(context.ceiling, "the request")
        found = self.preferences.model_for(unit.phase)
        if found is not None:
            return self._market.ceiling(found[1], f"models.{found[0]}")
        if context.agent_model:
            return self._market.ceiling(ModelChoice(context.agent_model), "the agent's own configuration")
        return None

    def _work(self, case: Case) -> Work:
        """What there is to price: made once a unit."""
        if case.work is None:
            unit, context, needed = case.unit, case.context, case.nature.tier
            expectations = self._expectations(context)
            peak = expectations.of(unit.type, needed, "").prompt_peak
            needs = context.needs or Needs(prompt=peak, output=self.policy.requested_output)  # as such units have asked
            failing = self._experience(context)[1].of(pattern(unit, case.nature), needed)
            work = Work(unit, needed, context, needs, expectations, failing)
            if case.ceiling is not None:
                top = case.ceiling.model
                work = msgspec.structs.replace(work, ceiling_cost=self._market.price(top, work, work.expected(top))[0])
            case.work = work
        return case.work

    def _expectations(self, context: Context) -> Expectations:
        """The context's expectations, prepared; a context that is used again is not prepared again."""
        if self._prepared is None or self._prepared.source is not context.expectations:
            self._prepared = Expectations(context.expectations, self.policy)
        return self._prepared

    def _experience(self, context: Context) -> tuple[Experience, Odds]:
        """The context's evidence, prepared; likewise."""
        if self._lived is None or self._lived[0].source is not context.evidence:
            experience = Experience(context.evidence, self.policy)
            self._lived = experience, Odds(experience, self.policy)
        return self._lived

    def _light_serves(self, case: Case) -> bool:
        """Whether a light model fits and has not been failing this pattern: what the first band asks."""
        if case.ceiling is None or case.tier is not Tier.STANDARD:
            return False
        name = pattern(case.unit, case.nature)
        if self._experience(case.context)[0].adjust(name, Tier.LIGHT).tier is not Tier.LIGHT:
            return False
        offers = self._market.quote(Tier.LIGHT, self._work(case), case.ceiling).offers
        return any(not offer.misfit and offer.model.tier is Tier.LIGHT for offer in offers)

    def _named(self, case: Case, model: Model, unchanged: str, why: str) -> Decision | None:
        """A decision for a model that somebody named; None, with a sentence on the receipt, where it cannot be used."""
        obstacle = self._obstacle(model, case)
        if obstacle:
            case.steps.append(f"{why}, which cannot be used: {obstacle}")
            return None
        case.tier = model.tier or case.tier
        return self._decision(case, model, unchanged=unchanged, why=why)

    def _obstacle(self, model: Model, case: Case) -> str:
        """Why a model cannot be used whatever anybody wants; of a model that nothing is known of, nothing is assumed."""
        standing = self._market.obstacle(model, case.context)
        if standing or model.tier is None:
            return standing
        return fit(model, self._work(case).needs).misfit

    def _unchanged(self, case: Case, code: str, why: str, *, considered: tuple[Candidate, ...] = ()) -> Decision:
        """The ceiling, with the reason why routing changed nothing."""
        ceiling = case.ceiling
        if ceiling is None:
            return self._decision(case, None, unchanged=code, why=why)
        obstacle = self._market.obstacle(ceiling.model, case.context)
        if not obstacle:
            return self._decision(case, ceiling.model, unchanged=code, why=why, considered=considered)
        for fallback in ceiling.fallbacks:
            if not self._obstacle(fallback, case):
                why = f"{ceiling.model.id} cannot be used ({obstacle}); {fallback.id} is the next of your fallbacks"
                return self._decision(case, fallback, unchanged=code, why=why, considered=considered)
        refused = f"{ceiling.model.id} cannot be used ({obstacle}), and no fallback can"
        return self._decision(case, ceiling.model, unchanged=code, why=refused, considered=considered, refused=refused)

    def _decision(
        self,
        case: Case,
        model: Model | None,
        *,
        unchanged: str = "",
        why: str = "",
        considered: tuple[Candidate, ...] = (),
        chosen: Offer | None = None,
        refused: str = "",
    ) -> Decision:
        """The receipt."""
        unit, ceiling, work = case.unit, case.ceiling, self._work(case)
        full = exhausted(case.context.meters)
        expected = work.expected(model)
        if chosen is None and model is not None:
            considered = (self._market.taken(model, work, why), *considered)
        cost, total = (None, None) if model is None else self._market.price(model, work, expected)
        tier = case.tier
        if ceiling is not None and ceiling.model.tier is not None and unchanged not in {"pinned", "hook"}:
            tier = min(tier, ceiling.model.tier)
        return Decision(
            unit_type=unit.type,
            unit_id=unit.id,
            phase=unit.phase,
            tier=tier,
            classification=case.nature,
            model="" if model is None else model.id,
            provider="" if model is None else model.provider,
            ceiling="" if ceiling is None else ceiling.model.id,
            ceiling_provider="" if ceiling is None else ceiling.model.provider,
            ceiling_tier=None if ceiling is None else ceiling.model.tier,
            ceiling_origin="" if ceiling is None else ceiling.origin,
            downgraded=chosen is not None,
            unchanged=unchanged,
            reason="; ".join(filter(None, (case.nature.reason, *case.steps, why))),
            steps=(case.nature.reason, *case.steps, *((why,) if why else ())),
            fallbacks=chain(model, ceiling),
            expected_cost=cost,
            expected_total=total,
            ceiling_cost=work.ceiling_cost,
            tokens=expected.tokens,
            tokens_source=expected.provenance,
            candidates=considered,
            adaptations=() if chosen is None else chosen.adaptations,
            refused=refused or ("" if full is None else f"{full.name} is used up ({full.detail})"),
        )


_TIER_NAMES = frozenset(tier.value for tier in TIERS)
