"""How likely work of a pattern is to fail on each tier: hierarchical counts with forgetting (SPEC section 9). Pure.

"Fail" is what verification notices. Tag, unit type and everything together lend each other strength: a tag with few events
stands near its type, a type with few near its prior, and the priors are corrected by how all work has gone here compared with
what they say. Older events count less. A stronger tier is never believed to fail more often.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from stepdown.learning import Experience, unit_type_of
from stepdown.ledger.records import Evidence
from stepdown.policy import Policy
from stepdown.units import TIERS, Tier, type_defaults

_CERTAIN: Final = 0.95
"""Nothing is believed to fail always: what is never tried again can never be seen to have become better."""

Rates = tuple[float, float, float]
"""For a light, a standard and a heavy model."""


class Odds:
    """The chance that a first attempt fails, per pattern; worked out once for as long as the evidence stays the same."""

    __slots__ = ("_corrections", "_experience", "_known", "_policy")

    def __init__(self, experience: Experience, policy: Policy) -> None:
        self._experience = experience
        self._policy = policy
        self._corrections: Rates | None = None
        self._known: dict[tuple[str, int], Rates] = {}

    def of(self, pattern: str, needed: Tier) -> Rates:
        """The chance that verification finds fault with work of `pattern` that by itself needs `needed`.

        Never higher on a stronger tier; between 0 and 0.95.
        """
        key = (pattern, needed.rank)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._work_out(pattern, needed)
        return known

    def blamed(self, pattern: str) -> Rates:
        """The share of a pattern's units that its user called too weak on each tier: failures that verification had missed.

        What was too weak on a tier would have been on every tier below it, tried there or not.
        """
        light, standard, heavy = (self._blame(self._experience.events(pattern, tier)) for tier in TIERS)
        standard = max(standard, heavy)
        return max(light, standard), standard, heavy

    def _blame(self, events: Sequence[Evidence]) -> float:
        said = sum([event.weight for event in events if event.source == "rating" and not event.success])
        return said / (self._policy.evidence_minimum + sum([event.weight for event in events])) if said else 0.0

    def _work_out(self, pattern: str, needed: Tier) -> Rates:
        unit_type, policy = unit_type_of(pattern), self._policy
        before = policy.failure_prior_events
        rates, weights = [], []
        for tier, prior, correction in zip(TIERS, priors(needed, policy), self._correct(), strict=True):
            rate, weight = min(_CERTAIN, prior * correction), before
            for name in (unit_type, pattern) if pattern != unit_type else (unit_type,):
                failed, total = faded(self._experience.events(name, tier), policy)
                if before + total > 0:
                    rate = (rate * before + failed) / (before + total)
                weight = before + total
            rates.append(min(_CERTAIN, rate))
            weights.append(weight)
        return _falling(rates, weights)

    def _correct(self) -> Rates:
        """Per tier, failures seen in all types for one that the priors expected, shrunk towards 1."""
        if self._corrections is None:
            before = self._policy.failure_prior_events
            seen, expected = [before] * 3, [before] * 3
            for unit_type in self._experience.types:
                believed = priors(type_defaults(unit_type)[1], self._policy)
                for tier in TIERS:
                    failed, total = faded(self._experience.events(unit_type, tier), self._policy)
                    seen[tier.rank] += failed
                    expected[tier.rank] += total * believed[tier.rank]
            light, standard, heavy = (a / b if b > 0 else 1.0 for a, b in zip(seen, expected, strict=True))
            self._corrections = light, standard, heavy
        return self._corrections


def faded(events: Sequence[Evidence], policy: Policy) -> tuple[float, float]:
    """Weight of the failures among `events` (the oldest first) and weight of all; each newer event fades those before it."""
    failed = total = 0.0
    for event in events:
        failed, total = failed * policy.failure_fading, total * policy.failure_fading + event.weight
        if not event.success:
            failed += event.weight
    return failed, total


def priors(needed: Tier, policy: Policy) -> Rates:
    """Per tier, before any evidence: what work that needs `needed` fails with."""
    base = (policy.failure_light, policy.failure_standard, policy.failure_heavy)[needed.rank]
    return _priors(needed.rank, base, policy.failure_below)


@lru_cache(maxsize=64)
def _priors(needed: int, base: float, below: float) -> Rates:
    light, standard, heavy = (min(_CERTAIN, base + below * max(0, needed - tier.rank)) for tier in TIERS)
    standard = min(light, standard)
    return light, standard, min(standard, heavy)


def _falling(rates: list[float], weights: list[float]) -> Rates:
    """The nearest rates that do not rise with the tier: neighbours that do share their mean (pooled adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for rate, weight in zip(rates, weights, strict=True):
        blocks.append((rate, max(weight, 1e-9), 1))
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (low, light, many), (high, heavy, more) = blocks[-2:]
            blocks[-2:] = [((low * light + high * heavy) / (light + heavy), light + heavy, many + more)]
    light_rate, standard_rate, heavy_rate = (rate for rate, _, many in blocks for _ in range(many))
    return light_rate, standard_rate, heavy_rate
