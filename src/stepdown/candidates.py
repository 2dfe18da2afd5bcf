"""Which models may serve a unit below its ceiling, what each would cost, and which is the cheapest (SPEC section 5). Pure."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

import msgspec

from stepdown.catalog import Catalog, Model
from stepdown.decision import Candidate, Context, Needs
from stepdown.expectations import Expectations, Expected
from stepdown.fit import fit
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.providers import participating
from stepdown.units import TIERS, Tier, Unit


class Ceiling(msgspec.Struct, frozen=True):
    """The model the user chose for a unit.

    Attributes:
        model: the ceiling; with `tier` None where the catalogue does not know it.
        origin: which setting named it: ``models.execution``.
        fallbacks: what the user listed to try when the provider fails; unknown names are left out.
        known: whether the catalogue knows it.
    """

    model: Model
    origin: str
    fallbacks: tuple[Model, ...] = ()
    known: bool = True


class Stall(msgspec.Struct, frozen=True):
    """A model as it stands under one ceiling: what does not change from unit to unit.

    Attributes:
        model: the model.
        ref: its provider-qualified name.
        named: whether the user named it for its tier.
        misfit: why it can never serve below this ceiling; "" if it can.
    """

    model: Model
    ref: str
    named: bool = False
    misfit: str = ""


class Offer(msgspec.Struct, frozen=True):
    """A model that was considered: its cost, and why it may not serve (``""``: it may)."""

    model: Model
    ref: str
    cost: float | None
    total: float | None
    misfit: str = ""
    adaptations: tuple[str, ...] = ()

    def candidate(self, *, taken: bool, why: str) -> Candidate:
        """The same, as it stands on the receipt."""
        return Candidate(
            model=self.ref,
            tier=self.model.tier,
            expected_cost=self.cost,
            expected_total=self.total,
            taken=taken,
            why=why,
        )


class Work(msgspec.Struct, frozen=True):
    """What is to be priced: a unit of some difficulty, in a context.

    Attributes:
        unit: the unit.
        tier: how hard it is by itself.
        context: the world.
        needs: what it asks of a model.
        expectations: what units use.
        failing: probability that a first attempt fails, for a light, a standard and a heavy model.
        ceiling_cost: expected US dollars on the ceiling, which is also what stepping up costs; None is unknown.
    """

    unit: Unit
    tier: Tier
    context: Context
    needs: Needs
    expectations: Expectations
    failing: tuple[float, float, float]
    ceiling_cost: float | None = None

    def expected(self, model: Model | None) -> Expected:
        """What the unit is expected to use on `model`."""
        return self.expectations.of(self.unit.type, self.tier, "" if model is None else model.ref)


class Quote(msgspec.Struct, frozen=True):
    """The market's answer for one kind of work below one ceiling.

    Attributes:
        offers: everything that was considered.
        chosen: the cheapest that serves; None where nothing does.
        candidates: the offers as they stand on the receipt, with why each was or was not taken.
    """

    offers: tuple[Offer, ...]
    chosen: Offer | None
    candidates: tuple[Candidate, ...]


class Market:
    """The models there are to choose from under the user's preferences: prepared once, asked for every unit."""

    def __init__(self, preferences: Preferences, catalog: Catalog) -> None:
        self._preferences = preferences
        self._catalog = catalog
        self._pools: dict[str, Mapping[Tier, tuple[Stall, ...]]] = {}
        self._providers: dict[str, frozenset[str]] = {}
        self._world: tuple[object, ...] = ()
        self._quotes: dict[tuple[object, ...], Quote] = {}
        self._named: dict[Tier, Model] = {}
        for tier, choice in preferences.dynamic_routing.tier_models.items():
            model = catalog.resolve(choice.model, choice.provider)
            if model is not None:
                self._named[tier] = model

    def ceiling(self, choice: ModelChoice, origin: str) -> Ceiling:
        """The ceiling a user's choice stands for; a name the catalogue does not know stays as it was written."""
        model = self._catalog.resolve(choice.model, choice.provider)
        resolved = (self._catalog.resolve(name, "") for name in choice.fallbacks)
        fallbacks = tuple(fallback for fallback in resolved if fallback is not None)
        if model is not None:
            return Ceiling(model, origin, fallbacks)
        return Ceiling(Model(id=choice.model, provider=choice.provider), origin, fallbacks, known=False)

    @cached_property
    def taking_part(self) -> frozenset[str]:
        """The providers whose models routing may choose under any of the ceilings that are set."""
        ceilings = [self.ceiling(choice, key) for key, choice in self._preferences.models.items()]
        sets = [self._taking_part(ceiling.model) for ceiling in ceilings if ceiling.known]
        return frozenset[str]().union(*sets) if sets else self._taking_part(None)

    def _taking_part(self, ceiling: Model | None) -> frozenset[str]:
        name = "" if ceiling is None else ceiling.provider
        providers = self._providers.get(name)
        if providers is None:
            providers = self._providers[name] = participating(self._preferences, self._catalog, ceiling)
        return providers

    def _pool(self, ceiling: Model) -> Mapping[Tier, tuple[Stall, ...]]:
        """Per tier below the ceiling's, what routing may choose among; in the ceiling's own, the same model sold by others."""
        pool = self._pools.get(ceiling.ref)
        if pool is None:
            pool = self._pools[ceiling.ref] = {tier: tuple(self._stalls(tier, ceiling)) for tier in TIERS}
        return pool

    def _stalls(self, tier: Tier, ceiling: Model) -> Iterable[Stall]:
        if ceiling.tier is None or tier > ceiling.tier:
            return
        if tier in self._named:
            # The user's word wins within its tier. The ceiling itself is what remains when nothing else serves.
            model = self._named[tier]
            if model.ref != ceiling.ref:
                yield Stall(model, model.ref, named=True, misfit=self._never(model, ceiling))
            return
        for model in self._catalog.of_tier(tier):
            if model.provider not in self._taking_part(ceiling) or model.ref == ceiling.ref:
                continue
            # The ceiling keeps its own tier (docs/decisions/0003): only the same model sold elsewhere replaces it there.
            if tier < ceiling.tier or (model.family and model.family == ceiling.family):
                yield Stall(model, model.ref, misfit=self._never(model, ceiling))

    def _never(self, model: Model, ceiling: Model) -> str:
        """Why `model` can never serve below `ceiling`, whatever the unit."""
        if model.provider not in self._taking_part(ceiling):
            return f"{model.provider} takes no part here"
        if model.tier is None or ceiling.tier is None or model.tier > ceiling.tier:
            return f"is of a tier ({model.tier or 'unknown'}) above the ceiling's"
        if model.price is None:
            return "has no known price"
        return "" if ceiling.price else "cannot be compared: the ceiling has no known price"

    def price(self, model: Model, work: Work, expected: Expected) -> tuple[float | None, float | None]:
        """Expected US dollars of `work` on `model`, and the same with what failing and stepping up would cost."""
        cost = model.cost(expected.tokens, longest_prompt=expected.prompt_peak)
        if cost is None:
            return None, None
        rescue = cost if work.ceiling_cost is None else work.ceiling_cost
        return cost, cost + work.failing[(model.tier or work.tier).rank] * rescue

    def obstacle(self, model: Model, context: Context) -> str:
        """Why the world does not let a model be used; "" if it does."""
        return _obstacle(model, model.ref, context)

    def offer(self, model: Model, work: Work) -> Offer:
        """What `model` would cost, and whether it can serve `work` at all; whether it is below a ceiling is not asked."""
        return self._offer(Stall(model, model.ref, named=True), work, None)

    def taken(self, model: Model, work: Work, why: str) -> Candidate:
        """A model that was taken without being chosen on the market: the ceiling, or one that somebody named."""
        return self.offer(model, work).candidate(taken=True, why=why)

    def _offer(self, stall: Stall, work: Work, limit: float | None) -> Offer:
        """An offer of at most `limit` dollars, or less than that where the user did not name the model."""
        model, ref = stall.model, stall.ref
        cost, total = self.price(model, work, work.expectations.of(work.unit.type, work.tier, ref))
        misfit = stall.misfit or _obstacle(model, ref, work.context)
        if not misfit and limit is not None and cost is not None:
            if cost > limit:
                misfit = "would cost more than the ceiling"
            elif cost == limit and not stall.named:
                misfit = "would cost as much as the ceiling"
        if misfit:
            return Offer(model, ref, cost, total, misfit)
        fits = fit(model, work.needs)
        return Offer(model, ref, cost, total, fits.misfit, fits.adaptations)

    def quote(self, target: Tier, work: Work, ceiling: Ceiling) -> Quote:
        """What the market offers for `work` at `target` below `ceiling`.

        Units of one kind get one quote for as long as the world stays the same, so that a plan of a hundred units, or a
        conversation of a thousand requests, does not price every model for each of them.
        """
        context = work.context
        world = (work.expectations, context.blocked, context.providers)
        if len(self._quotes) > _MOST_QUOTES or any(now is not then for now, then in zip(world, self._world, strict=False)):
            self._quotes.clear()
        self._world = world
        key = (ceiling.model.ref, target, work.unit.type, work.tier, work.needs, work.failing)
        quote = self._quotes.get(key)
        if quote is None:
            offers = tuple(self._offers(target, work, ceiling))
            chosen = self.cheapest(offers, ceiling)
            named = {model.ref for model in self._named.values()}
            considered = (*_considered(offers, chosen, ceiling, named), *self._below(target, work, ceiling))
            quote = self._quotes[key] = Quote(offers, chosen, considered)
        return quote

    def ladder(self, work: Work, ceiling: Ceiling) -> list[Offer | None]:
        """Who would serve `work` at each tier from light up to the ceiling's, the last of which is never None."""
        assert ceiling.model.tier is not None
        below = [self.quote(tier, work, ceiling).chosen for tier in TIERS[: ceiling.model.tier.rank]]
        return [*below, self.quote(ceiling.model.tier, work, ceiling).chosen or self.offer(ceiling.model, work)]

    def _below(self, target: Tier, work: Work, ceiling: Ceiling) -> Iterable[Candidate]:
        """The cheapest of each tier below the unit's: what somebody asks about who wonders why it is not cheaper still."""
        assert ceiling.model.tier is not None
        pool = self._pool(ceiling.model)
        for tier in reversed(TIERS[: min(target, ceiling.model.tier).rank]):
            offer = self.cheapest([self._offer(stall, work, work.ceiling_cost) for stall in pool[tier]], ceiling)
            if offer is not None:
                yield offer.candidate(taken=False, why=f"is for {tier} work; this is {target}")

    def _offers(self, target: Tier, work: Work, ceiling: Ceiling) -> list[Offer]:
        """The offers from `target` up to the ceiling's tier; tiers above the first that serves are not asked."""
        assert ceiling.model.tier is not None
        pool = self._pool(ceiling.model)
        offers: list[Offer] = []
        for tier in TIERS[target.rank : ceiling.model.tier.rank + 1]:
            offers += [self._offer(stall, work, work.ceiling_cost) for stall in pool[tier]]
            if any(not offer.misfit for offer in offers):
                break
        return offers

    def pinned(self, tier: Tier, ceiling: Ceiling | None) -> tuple[Model, ...]:
        """What may serve a pinned tier: the model named for it, the ceiling if it is of that tier, else all that take part."""
        if tier in self._named:
            return (self._named[tier],)
        if ceiling is not None and ceiling.model.tier is tier:
            return (ceiling.model,)
        providers = self._taking_part(None if ceiling is None else ceiling.model)
        return tuple(model for model in self._catalog.of_tier(tier) if model.provider in providers)

    def cheapest(self, offers: Iterable[Offer], ceiling: Ceiling | None) -> Offer | None:
        """The cheapest offer that may serve; the ceiling's provider and then the name decide between equals."""

        def rank(offer: Offer) -> tuple[float, bool, str]:
            home = ceiling is not None and offer.model.provider == ceiling.model.provider
            return float("inf") if offer.cost is None else offer.cost, not home, offer.ref

        serving = [offer for offer in offers if not offer.misfit]
        return min(serving, key=rank, default=None)


_MOST_QUOTES = 256


def _considered(offers: Iterable[Offer], chosen: Offer | None, ceiling: Ceiling, named: Collection[str]) -> Iterable[Candidate]:
    """Each offer with why it was taken, or was not."""
    for offer in offers:
        if offer is chosen:
            yield offer.candidate(taken=True, why="named in tier_models" if offer.ref in named else "the cheapest that fits")
        elif offer.misfit:
            yield offer.candidate(taken=False, why=offer.misfit)
        elif chosen is not None:
            yield offer.candidate(taken=False, why=f"fits, but {chosen.model.id} is cheaper or nearer")
        else:
            yield offer.candidate(taken=False, why=f"fits, but {ceiling.model.id} was kept")


def chain(model: Model | None, ceiling: Ceiling | None) -> tuple[str, ...]:
    """Chosen, configured fallbacks, configured primary: provider-qualified, without duplicates."""
    models = [] if model is None else [model]
    if ceiling is not None:
        models += [*ceiling.fallbacks, ceiling.model]
    return tuple(dict.fromkeys(entry.ref for entry in models))


def nothing_below(tier: Tier, quote: Quote, ceiling: Ceiling) -> tuple[str, str]:
    """Why nothing below the ceiling could be taken for work on `tier`: the code and the sentence."""
    top = ceiling.model
    if top.tier is not None and tier >= top.tier:
        return "at ceiling", f"that is the tier of {top.id}, the ceiling"
    if not quote.offers:
        return "no cheaper model", f"no model below {top.id} takes part"
    return "none fits", f"nothing below {top.id} can be used: {quote.offers[0].model.id} {quote.offers[0].misfit}"


def _obstacle(model: Model, ref: str, context: Context) -> str:
    if ref in context.blocked:
        return f"blocked: {context.blocked[ref]}"
    if context.providers is not None and model.provider and model.provider not in context.providers:
        return f"the agent cannot reach {model.provider}"
    return ""
