"""A rating: the user's word on a finished unit, what it counts as, and what follows from it."""

from collections.abc import Iterator, Sequence

import msgspec

from stepdown.context import build_context
from stepdown.decision import Context, Decision
from stepdown.errors import UsageError
from stepdown.ledger import Evidence, Ledger, Rating, Record
from stepdown.ledger.rules import rating_event
from stepdown.preferences.schema import ModelChoice
from stepdown.recorded import is_finished, is_open
from stepdown.routing import Router
from stepdown.units import Tier, type_defaults


def rating_of(attempts: Sequence[Record], word: str, at: float) -> Rating:
    """The rating of a unit by its attempts, the oldest first: it speaks about the last one.

    Raises:
        UsageError: the unit has not finished, or the ledger does not know on which tier it ran.
    """
    last = attempts[-1]
    attempt = last.attempt
    name = f"{attempt.unit_type} {attempt.unit_id}"
    if is_open(last):
        raise UsageError(
            f"{name} is still open, and the gateway that served it does not run: the next `stepdown serve` ends it"
        )
    if last.outcome is None:
        raise UsageError(f"{name} has not finished: it is running, or its process died (`stepdown run` takes it up again)")
    if not is_finished(last):
        raise UsageError(f"{name} was stopped before it finished ({last.outcome.failure}); `stepdown run` takes it up again")
    if attempt.tier is None:
        raise UsageError(f"{name} cannot be rated: the ledger does not know on which tier it ran (it is from {last.source})")
    return Rating(
        project=attempt.project,
        unit_type=attempt.unit_type,
        unit_id=attempt.unit_id,
        word=word,
        tier=attempt.tier,
        pattern=attempt.pattern or attempt.unit_type,
        model=attempt.model,
        at=at,
    )


def rate(
    ledger: Ledger, router: Router, attempts: Sequence[Record], word: str, now: float, *, named: bool = False
) -> Sequence[str]:
    """Record a rating; what follows from it, line by line.

    Args:
        ledger: where.
        router: decides for the next unit.
        attempts: all of the unit, the oldest first.
        word: ``over``, ``ok`` or ``under``.
        now: seconds since the epoch.
        named: whether the ceiling was what the unit's requests named, as in the gateway; else the preferences say it.

    Raises:
        UsageError: as `rating_of`.
        LedgerError: the ledger takes nothing.
    """
    rating = rating_of(attempts, word, now)
    ledger.rate(rating)
    # Read anew, or the rating would be missing.
    context = build_context(ledger, router.preferences, project=rating.project, now=now, catalog=router.catalog)
    if named:
        context = below(attempts[-1].attempt.ceiling, context)
    return list(consequence(rating, start_of(attempts), router, context))


def start_of(attempts: Sequence[Record]) -> Tier:
    """The tier such a unit starts from before anything is learned: what its last decision says it is, else its type's."""
    try:
        return msgspec.json.decode(attempts[-1].attempt.decision, type=Decision).classification.tier
    except msgspec.DecodeError:
        return type_defaults(attempts[-1].attempt.unit_type)[1]


def below(ceiling: str, context: Context) -> Context:
    """The same context under the ceiling that a unit had, by its provider-qualified name; "" leaves it to the preferences."""
    provider, _, model = ceiling.partition("/")
    return msgspec.structs.replace(context, ceiling=ModelChoice(model, provider)) if model else context


def consequence(rating: Rating, tier: Tier, router: Router, context: Context) -> Iterator[str]:
    """What a rating counts as, and where the next similar unit starts.

    Args:
        rating: as it was given.
        tier: where such a unit starts before anything is learned.
        router: knows the rule by which evidence moves tiers.
        context: everything known, the rating included.
    """
    event = rating_event(rating, router.policy.rating_weight)
    kind = "success" if event.success else "failure"
    counted = f"{event.weight:g} {kind}{'' if event.weight == 1 else 'es' if event.success else 's'}"
    yield (
        f"{rating.unit_type} {rating.unit_id} rated {rating.word}: counts as {counted} at {event.tier} for {rating.pattern}"
        + (", the lowest tier there is" if rating.word == "over" and rating.tier is event.tier else "")
    )
    now = router.start(rating.pattern, context, tier)
    more, then = _until_it_moves(event, tier, router, context)
    line = f"The next similar unit starts at {now.tier}" + (f": {now.reason}" if now.reason else ", as its plan has it")
    yield f"{line}; {more} more such rating{'' if more == 1 else 's'} would start it at {then}" if more else line


def _until_it_moves(event: Evidence, tier: Tier, router: Router, context: Context) -> tuple[int, Tier]:
    """How many more events like this one, of other units, move the start, and where to; 0 where they never do."""
    now = router.start(event.pattern, context, tier).tier
    more = tuple(context.evidence.get(event.pattern, ()))
    for number in range(1, router.policy.evidence_window + 1):
        more += (msgspec.structs.replace(event, at=event.at + number, unit_id=f"{number}"),)
        then = msgspec.structs.replace(context, evidence={**context.evidence, event.pattern: more})
        moved = router.start(event.pattern, then, tier).tier
        if moved is not now:
            return number, moved
    return 0, now
