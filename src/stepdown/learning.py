"""Evidence → tier: what a pattern's past says about where to start (SPEC section 9, the default rule). Pure.

The rule asks two questions of the newest events at a tier: did more than a fifth fail, and is that more than noise? The
second is the lower end of a Wilson interval. What it does at known failure rates is printed by ``python -m bench.calibration``.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

import msgspec

from stepdown.ledger.port import Evidence
from stepdown.policy import Policy
from stepdown.units import TIERS, Tier

_CERTAIN = 0.95


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pattern starts.

    Attributes:
        tier: never below the tier that was asked about, and at most one above it.
        reason: one line in plain words; "" where nothing changes.
        pattern: the pattern whose events decided: the one asked about, or the unit type where that has too few.
        events: how many events were looked at.
        failed: their weighted share of failures, 0 to 1.
        at_least: lower end of the interval around that share.
    """

    tier: Tier
    reason: str = ""
    pattern: str = ""
    events: int = 0
    failed: float = 0.0
    at_least: float = 0.0


def relevant(pattern: str, evidence: Mapping[str, Sequence[Evidence]]) -> tuple[Evidence, ...]:
    """All events that may speak about `pattern`: its own and, for the fallback, those of its unit type."""
    unit_type = pattern.partition(":")[0]
    return tuple(event for name, events in evidence.items() if name.partition(":")[0] == unit_type for event in events)


def adjust(pattern: str, tier: Tier, evidence: Sequence[Evidence], policy: Policy) -> Adjustment:
    """One tier higher where `tier` has been failing `pattern` more often than by chance; else the same tier.

    Args:
        pattern: ``execute-task:docs``, or a bare unit type, which then stands for all its tags.
        tier: where the unit would start.
        evidence: events in any order; those of other patterns and tiers are passed over (`relevant`).
        policy: the window, the minimum, the share and the confidence.
    """
    unit_type = pattern.partition(":")[0]
    events = [event for event in evidence if event.tier is tier and event.pattern == pattern]
    if len(events) < policy.evidence_minimum:
        pattern = unit_type
        tagged = f"{unit_type}:"
        events = [
            event
            for event in evidence
            if event.tier is tier and (event.pattern == unit_type or event.pattern.startswith(tagged))
        ]
    if len(events) < policy.evidence_minimum:
        return Adjustment(tier=tier, pattern=pattern, events=len(events))
    events = sorted(events, key=lambda event: event.at)[-policy.evidence_window :]
    failed, size = _weighted(events)
    at_least = lower_bound(failed, size, policy.evidence_confidence)
    share = policy.evidence_failure_share
    if tier.above is tier or failed <= share or at_least <= share:
        return Adjustment(tier=tier, pattern=pattern, events=len(events), failed=failed, at_least=at_least)
    reason = f"{pattern} on {tier} failed {failed:.0%} of the last {len(events)} times, so it starts at {tier.above}"
    return Adjustment(tier=tier.above, reason=reason, pattern=pattern, events=len(events), failed=failed, at_least=at_least)


def lower_bound(share: float, size: float, confidence: float) -> float:
    """The lower end of Wilson's interval around a share of failures.

    Args:
        share: observed share, 0 to 1.
        size: effective number of observations, above 0; need not be whole.
        confidence: two-sided, above 0 and below 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    return max(0.0, (share + z * z / (2 * size) - spread) / (1 + z * z / size))


def _weighted(events: Sequence[Evidence]) -> tuple[float, float]:
    """The weighted share of failures, and how many equal events would be as informative (Kish's effective size)."""
    total = sum(event.weight for event in events)
    if total <= 0:
        return 0.0, float(len(events))
    failed = sum(event.weight for event in events if not event.success)
    return failed / total, total * total / sum(event.weight * event.weight for event in events)


def failure_rates(needed: Tier, evidence: Sequence[Evidence], policy: Policy) -> tuple[float, float, float]:
    """The probability that work needing `needed` fails on a light, a standard and a heavy model, each from 0 to 1.

    Each tier's prior (``policy.failure_*``) counts as ``policy.failure_prior_events`` events, and `evidence`, the events that
    are `relevant` to one pattern, moves it from there. Never higher on a stronger tier.
    """
    base = (policy.failure_light, policy.failure_standard, policy.failure_heavy)[needed.rank]
    priors = _priors(needed.rank, base, policy.failure_below)
    if not evidence:
        return priors
    weights, failures = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for event in evidence:
        rank = event.tier.rank
        weights[rank] += event.weight
        if not event.success:
            failures[rank] += event.weight
    before = policy.failure_prior_events
    light, standard, heavy = (
        (prior * before + failed) / (before + weight) if before + weight > 0 else prior
        for prior, failed, weight in zip(priors, failures, weights, strict=True)
    )
    standard = min(light, standard)
    return light, standard, min(standard, heavy)


@lru_cache(maxsize=64)
def _priors(needed: int, base: float, below: float) -> tuple[float, float, float]:
    """Per tier, before any evidence. Cached: nearly every decision asks for one of the same three."""
    light, standard, heavy = (min(_CERTAIN, base + below * max(0, needed - tier.rank)) for tier in TIERS)
    standard = min(light, standard)
    return light, standard, min(standard, heavy)
