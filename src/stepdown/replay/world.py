"""How recorded work is taken to go on another model: its tokens, its price, its chance of failing. Pure.

Decisions are replayed with what was known then (`stepdown.replay.past`). What would have come of them is estimated with
everything the ledger knows by now, since nothing is decided by it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from stepdown.catalog import Catalog
from stepdown.expectations import Expectations
from stepdown.learning import Experience, unit_type_of
from stepdown.ledger.records import Evidence, Expectation, Record
from stepdown.odds import Odds
from stepdown.policy import Policy
from stepdown.replay.past import Pass, Past, Try
from stepdown.units import Tier, Tokens

_MEASURED: Final = "measured"
"""`Expected.provenance` of a mean over units of this type on this model."""


class World:
    """Everything the ledger knows of how work goes.

    Args:
        past: the runs.
        expectations: `Ledger.expectations`.
        catalog: the models at the prices that the ledger's costs are compared with: today's.
        policy: the present one. How likely work is to fail does not change with the policy it is replayed under.

    Attributes:
        catalog: as given.
        policy: as given.
    """

    def __init__(
        self, past: Past, expectations: Mapping[tuple[str, str], Expectation], catalog: Catalog, policy: Policy
    ) -> None:
        self.catalog = catalog
        self.policy = policy
        self._expectations = Expectations(expectations, policy)
        self._by_need = _by_need(past)
        self._odds: dict[Tier, Odds] = {}

    def tokens(self, tokens: Tokens, step: Pass, used_on: str, model: str) -> Tokens:
        """`tokens` of a unit on `used_on` as `model` would count them, by what both used for units of this type.

        Only where both were seen on at least ``policy.expectation_minimum`` units of the type; else they stay as they are.
        """
        tier = step.was.nature.tier
        here = self._expectations.of(step.unit.type, tier, used_on)
        there = self._expectations.of(step.unit.type, tier, model)
        if used_on == model or {here.provenance, there.provenance} != {_MEASURED}:
            return tokens
        return tokens.scaled(there.tokens.total / here.tokens.total)

    def failing(self, step: Pass, tier: Tier) -> float:
        """The chance that verification finds fault with such a unit's first attempt on `tier`, where neither it nor others say.

        Learned from units that were as hard by themselves: that light models do light work well says nothing of heavy work.
        """
        needed = step.was.nature.tier
        odds = self._odds.get(needed)
        if odds is None:
            odds = self._odds[needed] = Odds(Experience(self._by_need.get(needed, {}), self.policy), self.policy)
        return odds.of(step.was.pattern, needed)[tier.rank]

    def cost(self, record: Record, prices: Catalog) -> tuple[float | None, bool]:
        """What an attempt cost, in US dollars, and whether that is recorded and not worked out from its tokens.

        Where `prices` differ from today's, what was recorded is scaled by them, so that an agent's own count stays its own.
        """
        outcome, model = record.outcome, prices.find_ref(record.attempt.model)
        if outcome is None:
            return None, False
        tokens = outcome.tokens
        listed = model.cost(tokens) if model is not None and tokens is not None and tokens.total else None
        if outcome.cost_usd is None:
            return listed, False
        today = self.catalog.find_ref(record.attempt.model)
        if model is None or today is None or model.price == today.price or tokens is None:
            return outcome.cost_usd, True
        before = today.cost(tokens)
        return (outcome.cost_usd * listed / before if before and listed is not None else listed), True


def spent(tries: Iterable[Try]) -> list[Record]:
    """The attempts of several tries."""
    return [record for one in tries for record in one.attempts]


def _by_need(past: Past) -> dict[Tier, dict[str, list[Evidence]]]:
    """The evidence by how hard its units were; of units that are not in the ledger, by the tier it speaks about."""
    needed = {
        (step.project, step.unit.type, record.attempt.unit_id): step.was.nature.tier
        for run in past.runs
        for step in run.passes
        for record in step.tries[0].attempts
    }
    found: defaultdict[Tier, dict[str, list[Evidence]]] = defaultdict(lambda: defaultdict(list))
    for event in past.evidence:
        tier = needed.get((event.project, unit_type_of(event.pattern), event.unit_id), event.tier)
        found[tier][event.pattern].append(event)
    return {tier: dict(patterns) for tier, patterns in found.items()}
