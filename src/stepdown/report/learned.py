"""What was learned: what counts as evidence per pattern and tier, and what follows from it for the next units. Pure."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from stepdown.decision import Context
from stepdown.learning import Experience, shares, unit_type_of
from stepdown.ledger import Evidence, Rating
from stepdown.ledger.gsd_json import SOURCE
from stepdown.policy import Policy
from stepdown.routing import Router
from stepdown.units import TIERS, Tier, type_defaults


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence of one pattern at one tier.

    Attributes:
        tier: the tier.
        events: how many events count: the newest of the window.
        outcomes: of them, verified first attempts.
        ratings: of them, your ratings; each weighs more than an outcome.
        imported: of them, what GSD had counted before.
        failed: the weighted share of failures, 0 to 1.
        interval: the interval around that share, of the confidence that learning asks for.
        newest: when the newest of them happened, seconds since the epoch.
    """

    tier: Tier
    events: int
    outcomes: int
    ratings: int
    imported: int
    failed: float
    interval: tuple[float, float]
    newest: float


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a unit of a pattern starts.

    Attributes:
        planned: where it would start before anything was learned.
        tier: where it starts now.
        reason: why; "" where nothing changes.
        probe: whether the next unit only tries whether a lower tier does by now.
        probe_in: after how many more verified units a lower tier is tried again; null where none is waiting for it.
    """

    planned: Tier
    tier: Tier
    reason: str
    probe: bool
    probe_in: int | None


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned; ``stepdown learned --json`` is this.

    Attributes:
        routing: ``on`` or ``off``.
        rule: what makes evidence count: ``threshold`` or ``expected_cost``.
        evidence: per pattern, what counts at each tier; what was learned last comes first.
        starts: per pattern, where its units start, for each tier that a plan may have them start at.
        stood_down: patterns that routing leaves alone, each with the reason.
        contradictions: ratings of one pattern that cannot all be right, a line a pattern.
        reset_due: whether the next run forgets all this, since ``dynamic_routing_reset`` says so.
    """

    routing: str
    rule: str
    evidence: dict[str, list[Cell]]
    starts: dict[str, list[Start]]
    stood_down: dict[str, str]
    contradictions: list[str]
    reset_due: bool


def gather(router: Router, context: Context, ratings: Sequence[Rating], *, due: bool) -> Learned:
    """Put together what is known.

    Args:
        router: with the preferences in force.
        context: the world as the next unit would find it.
        ratings: the ratings that hold, in all projects.
        due: whether ``dynamic_routing_reset`` is to be acted on.
    """
    policy, routing = router.policy, router.preferences.dynamic_routing
    newest_first = sorted(context.evidence, key=lambda name: (-max(event.at for event in context.evidence[name]), name))
    evidence = {name: list(_cells(context.evidence[name], policy)) for name in newest_first}
    experience = Experience(context.evidence, policy)
    starts: dict[str, list[Start]] = {}
    # A type's events also speak for units without a tag, and for tags that have too few of their own.
    for pattern in dict.fromkeys(part for name in newest_first for part in (name, unit_type_of(name))):
        unit_type = unit_type_of(pattern)
        if unit_type and unit_type.isprintable():  # an imported name may be no unit's
            planned = {type_defaults(unit_type)[1], *(cell.tier for cell in evidence.get(pattern, ()))}
            starts[pattern] = [_start(router, context, experience, pattern, tier) for tier in sorted(planned)]
    counting = {_identity(event) for events in context.evidence.values() for event in events if event.source == "rating"}
    return Learned(
        routing="on" if routing.enabled else "off",
        rule=routing.learning,
        evidence=evidence,
        starts=starts,
        stood_down=dict(context.stood_down),
        contradictions=list(_contradictions(rating for rating in ratings if _identity(rating) in counting)),
        reset_due=due,
    )


def _identity(said: Evidence | Rating) -> tuple[str, str, str, float]:
    return said.project, said.pattern, said.unit_id, said.at


def _cells(events: Iterable[Evidence], policy: Policy) -> Iterator[Cell]:
    for tier in TIERS:
        own = [event for event in events if event.tier is tier]
        if not own:
            continue
        failed, at_least, at_most = shares(own, policy)
        imported, rated = (sum(event.source == source for event in own) for source in (SOURCE, "rating"))
        yield Cell(
            tier=tier,
            events=len(own),
            outcomes=len(own) - imported - rated,
            ratings=rated,
            imported=imported,
            failed=failed,
            interval=(at_least, at_most),
            newest=max(event.at for event in own),
        )


def _start(router: Router, context: Context, experience: Experience, pattern: str, planned: Tier) -> Start:
    said = router.start(pattern, context, planned)
    waits = said.reason and not said.probe and said.tier is planned.above and said.tier is not planned
    left = router.policy.probe_every - 1 - experience.since_tried(said.pattern, planned)
    return Start(
        planned=planned,
        tier=said.tier,
        reason=said.reason,
        probe=said.probe,
        probe_in=max(0, left) if waits and router.preferences.dynamic_routing.learning == "threshold" else None,
    )


def _contradictions(ratings: Iterable[Rating]) -> Iterator[str]:
    """Patterns of which one rating says that a tier would have done, and another that it, or a stronger one, was too weak."""
    patterns: dict[str, list[Rating]] = {}
    for rating in ratings:
        patterns.setdefault(rating.pattern, []).append(rating)
    for pattern, given in patterns.items():
        pairs = [
            (over, under)
            for over in given
            for under in given
            if over.word == "over" and under.word == "under" and over.tier.below <= under.tier
        ]
        if pairs:
            over, under = pairs[0]
            more = len({_identity(rating) for pair in pairs for rating in pair}) - 2
            yield (
                f"{pattern}: {over.unit_id} was over on {over.tier} ({over.tier.below} would have done), "
                f"{under.unit_id} was under on {under.tier} (too weak)" + (f"; {more} more like these" if more else "")
            )


def follows(learned: Learned, policy: Policy) -> Iterator[str]:
    """What changes for the next units, line by line."""
    # From wherever a plan has them start, the units of a pattern may all try the same tier: that is said once.
    changes = dict.fromkeys(_change(name, start) for name, starts in learned.starts.items() for start in starts if start.reason)
    if changes:
        yield "What it changes now"
        yield from (f"  {line}" for line in changes)
    elif learned.rule == "threshold":
        yield (
            f"It changes nothing now: no tier of a pattern has {policy.evidence_minimum} events or more of which it is beyond "
            f"chance that over {policy.evidence_failure_share:.0%} fail."
        )
    else:
        yield (
            f"It changes nothing now: each unit type has fewer than {policy.evidence_minimum} events, or its units start where "
            "they are expected to cost least as it is."
        )


def _change(pattern: str, start: Start) -> str:
    if start.probe:
        return start.reason
    why = start.reason.removesuffix(f", so it starts at {start.tier}").removeprefix(f"{pattern} starts at {start.tier}, ")
    line = f"{pattern} starts at {start.tier} instead of {start.planned}: {why}"
    if start.probe_in is None:
        return line
    units = f"after {start.probe_in} more verified unit{'' if start.probe_in == 1 else 's'}" if start.probe_in else "next"
    return f"{line}; {start.planned} is tried again {units}"
