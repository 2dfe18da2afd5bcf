"""Evidence and prices → tier: start where a unit costs least, failures included (``learning: expected_cost``, SPEC 9). Pure.

What starting at a tier costs is what the attempt costs, what failing costs where verification notices it (stepping up; from the
ceiling there is nowhere to go), and what failing costs where nothing does. The last has no price list: it is
`Policy.missed_failure` times what the unit costs on the ceiling, and it keeps a cheap model that fails quietly from looking
cheap. How much fails quietly is reckoned from what is noticed; a rating ``under`` is a quiet failure that the user saw.
docs/decisions/0005 says where the numbers are from.
"""

from collections.abc import Sequence

import msgspec

from stepdown.candidates import Offer
from stepdown.learning import MEASURED, Adjustment, Experience, unit_type_of
from stepdown.money import dollars
from stepdown.odds import Odds
from stepdown.policy import Policy
from stepdown.units import TIERS, Tier


def start(
    pattern: str,
    needed: Tier,
    offers: Sequence[Offer | None],
    odds: Odds,
    experience: Experience,
    policy: Policy,
) -> Adjustment:
    """The tier with the least expected cost.

    Nothing moves before the unit type has ``policy.evidence_minimum`` verified outcomes or ratings: they show that failing is
    noticed here at all. A stronger tier than the one in use has to be better by ``policy.hysteresis``, a weaker one just
    better, so that what is nearly equal neither flaps nor settles on the dear side.

    Args:
        pattern: ``execute-task:docs``.
        needed: where such a unit starts before anything is learned.
        offers: per tier from light up to the ceiling's, who would serve there (`Market.ladder`); None where nobody does.
        odds: how likely failing is.
        experience: the evidence.
        policy: the thresholds.
    """
    unit_type = unit_type_of(pattern)
    events = sum(len(experience.events(unit_type, tier)) for tier in TIERS)
    failing, blamed = odds.of(pattern, needed), odds.blamed(pattern)
    stay = Adjustment(tier=needed, pattern=pattern, events=events, failed=failing[needed.rank])
    ceiling = offers[-1].cost if offers and offers[-1] is not None else None
    if events < policy.evidence_minimum or ceiling is None:
        return stay
    scores = {
        tier: (offer.cost if offer is offers[-1] else offer.total)
        + (missed(failing[tier.rank], policy) + blamed[tier.rank]) * policy.missed_failure * ceiling
        for tier, offer in zip(TIERS, offers, strict=False)
        if offer is not None and offer.cost is not None and offer.total is not None
    }
    if _verified(unit_type, experience) < policy.evidence_minimum:  # what was called too weak is no reason to go down
        scores = {tier: score for tier, score in scores.items() if tier >= needed}
        if not scores:
            return stay
    used = _in_use(pattern, experience)
    current = used if used in scores else min(needed, max(scores))
    if current not in scores:
        return stay
    stay = msgspec.structs.replace(stay, weighed=True)
    best = min(scores, key=lambda tier: (scores[tier], tier))
    if best > current and scores[best] >= scores[current] * (1 - policy.hysteresis):
        best = current
    below = _worth_a_try(pattern, best, offers, scores[best], experience, policy) if min(scores) < best else None
    if below is not None:
        since = experience.since_tried(pattern, below)
        reason = f"{pattern} tries {below} again: {since} units have been verified above it since the last time"
        return msgspec.structs.replace(stay, tier=below, reason=reason, probe=True)
    if best is needed:
        return stay
    reason = f"{pattern} starts at {best}, where it costs least when failing is counted"
    if needed in scores:
        reason += f" ({dollars(scores[best])}; at {needed} {dollars(scores[needed])})"
    return msgspec.structs.replace(stay, tier=best, reason=reason, failed=failing[best.rank])


def missed(noticed: float, policy: Policy) -> float:
    """The chance that a unit fails and nothing notices, where verification finds fault with a share `noticed` of all units.

    Verification finds ``policy.verifier_recall`` of what failed, and faults ``policy.verifier_false_alarms`` of what did not.
    """
    recall, alarms = policy.verifier_recall, policy.verifier_false_alarms
    if recall <= alarms:
        return noticed
    failing = min(1.0, max(0.0, (noticed - alarms) / (recall - alarms)))
    return failing * (1 - recall)


def _verified(unit_type: str, experience: Experience) -> int:
    """Events that show that work of this type is checked, or was good enough: all but ratings that it was too weak."""
    return sum(event.source == MEASURED or event.success for tier in TIERS for event in experience.events(unit_type, tier))


def _in_use(pattern: str, experience: Experience) -> Tier | None:
    """Where the newest unit of the pattern started; None where none was verified."""
    measured = [(event.at, tier) for tier in TIERS for event in experience.events(pattern, tier) if event.source == MEASURED]
    return max(measured)[1] if measured else None


def _worth_a_try(
    pattern: str, best: Tier, offers: Sequence[Offer | None], score: float, experience: Experience, policy: Policy
) -> Tier | None:
    """The nearest tier below that would be the best if it never failed, where it is due: every ``policy.probe_every`` units."""
    for below in reversed(TIERS[: best.rank]):
        offer = offers[below.rank]
        if offer is not None and offer.cost is not None and offer.cost < score * (1 - policy.hysteresis):
            return below if experience.since_tried(pattern, below) >= policy.probe_every - 1 else None
    return None
