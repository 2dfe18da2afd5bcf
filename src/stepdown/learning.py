"""Evidence → tier, the threshold rule of SPEC section 9: what a pattern's past says about where to start. Pure.

The rule asks two questions of the newest events at a tier: did more than a fifth fail, and is that more than noise? The second
is the lower end of a Wilson interval. The same interval brings a pattern back without waiting for the window to roll: its
trouble is over when the newest events, by the upper end, fail no more than a fifth. ``python -m bench.learning`` prints what
the rule does at known failure rates. The other rule, the least expected cost, is `stepdown.balance`.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from stepdown.ledger.records import Evidence
from stepdown.policy import Policy
from stepdown.units import Tier

MEASURED: Final = "outcome"
"""The source of evidence that was seen and verified here; the others are somebody's word, or imported."""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pattern starts.

    Attributes:
        tier: where the next unit starts.
        reason: one line in plain words; "" where nothing changes.
        pattern: the pattern whose events decided: the one asked about, or the unit type where that has too few.
        events: how many events were looked at.
        failed: their weighted share of failures, 0 to 1.
        at_least: lower end of the interval around that share.
        probe: whether the tier is tried only to see whether it does by now.
        weighed: whether it was chosen by what starting at each tier costs, failing included.
    """

    tier: Tier
    reason: str = ""
    pattern: str = ""
    events: int = 0
    failed: float = 0.0
    at_least: float = 0.0
    probe: bool = False
    weighed: bool = False


class Experience:
    """All evidence there is, sorted once; asked for every unit until the evidence changes.

    Attributes:
        source: the evidence, as given: per pattern, events in any order.
    """

    __slots__ = ("_groups", "_policy", "_types", "source")

    def __init__(self, source: Mapping[str, Sequence[Evidence]], policy: Policy) -> None:
        self.source = source
        self._policy = policy
        self._types: defaultdict[str, list[str]] = defaultdict(list)
        for name in source:
            self._types[unit_type_of(name)].append(name)
        self._groups: dict[tuple[str, Tier], tuple[Evidence, ...]] = {}

    @property
    def types(self) -> Iterable[str]:
        """The unit types that something is known of."""
        return self._types.keys()

    def events(self, pattern: str, tier: Tier) -> tuple[Evidence, ...]:
        """The newest events of a pattern at a tier, the oldest first; a bare unit type stands for all its tags."""
        key = (pattern, tier)
        known = self._groups.get(key)
        if known is None:
            names = (pattern,) if ":" in pattern else self._types.get(pattern, ())
            found = [event for name in names for event in self.source.get(name, ()) if event.tier is tier]
            found.sort(key=_age)
            known = self._groups[key] = tuple(found[-self._policy.evidence_window :])
        return known

    def adjust(self, pattern: str, tier: Tier) -> Adjustment:
        """One tier higher where `tier` has been failing `pattern` more often than by chance; else the same tier.

        Every ``policy.probe_every``-th verified unit of a pattern that starts higher tries `tier` again.

        Args:
            pattern: ``execute-task:docs``, or a bare unit type. Where the pattern has too few events, its type's decide.
            tier: where the unit would start.
        """
        policy = self._policy
        events = self.events(pattern, tier)
        if len(events) < policy.evidence_minimum:
            pattern = unit_type_of(pattern)
            events = self.events(pattern, tier)
        if len(events) < policy.evidence_minimum:
            return Adjustment(tier=tier, pattern=pattern, events=len(events))
        failed, at_least, _ = shares(events, policy)
        at_most = shares(events[-policy.evidence_recent :], policy)[2]
        said = Adjustment(tier=tier, pattern=pattern, events=len(events), failed=failed, at_least=at_least)
        share = policy.evidence_failure_share
        if tier.above is tier or failed <= share or at_least <= share or at_most <= share:
            return said
        since = self.since_tried(pattern, tier)
        if since >= policy.probe_every - 1:
            reason = f"{pattern} tries {tier} again: {since} units have been verified above it since the last time"
            return msgspec.structs.replace(said, reason=reason, probe=True)
        reason = f"{pattern} on {tier} failed {failed:.0%} of the last {len(events)} times, so it starts at {tier.above}"
        return msgspec.structs.replace(said, tier=tier.above, reason=reason)

    def since_tried(self, pattern: str, tier: Tier) -> int:
        """How many units of `pattern` were verified on higher tiers since one last started on `tier`."""
        last = max((event.at for event in self.events(pattern, tier) if event.source == MEASURED), default=-math.inf)
        higher = (Tier.STANDARD, Tier.HEAVY)[tier.rank :]
        return sum(event.at > last for up in higher for event in self.events(pattern, up) if event.source == MEASURED)


def unit_type_of(pattern: str) -> str:
    """``execute-task`` of ``execute-task:docs``."""
    return pattern.partition(":")[0]


def shares(events: Sequence[Evidence], policy: Policy) -> tuple[float, float, float]:
    """The weighted share of failures among `events`, and the ends of the interval around it; of none, nothing is known."""
    total = sum([event.weight for event in events])
    if total <= 0:
        return 0.0, 0.0, 1.0
    failed = sum([event.weight for event in events if not event.success]) / total
    # Kish's effective size: how many equal events would be as informative.
    size = total * total / sum([event.weight * event.weight for event in events])
    return failed, *interval(failed, size, policy.evidence_confidence)


def interval(share: float, size: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval around a share of failures.

    Args:
        share: observed share, 0 to 1.
        size: effective number of observations, above 0; need not be whole.
        confidence: two-sided, above 0 and below 1.
    """
    z = deviations(confidence)
    spread = z * math.sqrt(max(0.0, share * (1 - share)) / size + z * z / (4 * size * size))
    middle, scale = share + z * z / (2 * size), 1 + z * z / size
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


@lru_cache(maxsize=8)
def deviations(confidence: float) -> float:
    """Standard deviations to each side that hold a two-sided `confidence` of a normal distribution."""
    from statistics import NormalDist  # noqa: PLC0415  (8 ms, which `stepdown status` rarely has to pay)

    return NormalDist().inv_cdf(min(0.5 + confidence / 2, 1 - 1e-12))


def _age(event: Evidence) -> tuple[object, ...]:
    """Oldest first; events of one moment in an order that does not depend on how they were given."""
    return event.at, event.success, event.weight, event.unit_id
