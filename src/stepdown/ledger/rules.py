"""What every ledger agrees on: which values it accepts, and how it names groups. Pure.

A ledger keeps what cannot be had again, so odd text is kept readable instead of refused, while a number that would poison
every later sum is refused at the door.
"""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from stepdown.errors import BudgetError, LedgerError
from stepdown.ledger.records import (
    Attempt,
    Block,
    Cap,
    Conversation,
    Evidence,
    Hold,
    Measure,
    Outcome,
    PlanMeter,
    Rating,
    Record,
    Spent,
    Use,
)
from stepdown.money import dollars
from stepdown.units import Tier, Tokens

GROUPS: Final = ("tier", "type", "model", "agent", "project", "day")
"""What `Ledger.breakdown` groups by."""

RATINGS: Final = ("over", "under", "ok")
"""What a rating says: a lower tier would have done, it was too weak, it was right."""

SECONDS_PER_DAY: Final = 86_400
CONVERSATIONS: Final = 10_000
"""Conversations that are remembered; of more, the oldest are dropped."""
CONVERSATION_SECONDS: Final = 7.0 * SECONDS_PER_DAY
"""Conversations that were silent for longer than this before the newest are dropped: no provider's cache holds them."""
LARGEST_STATE: Final = 65_536
"""Bytes of what is known of one conversation; the gateway's own bounds keep it below half of that."""
LAST_SECOND: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that has a date."""
_LARGEST_COUNT: Final = 2**53
"""The largest count that survives JSON and JavaScript; no real one comes near it."""
_LARGEST_MONEY: Final = 1e12
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()

_ATTEMPT_TEXTS: Final = (
    "project",
    "unit_type",
    "unit_id",
    "title",
    "model",
    "ceiling",
    "reason",
    "decision",
    "person",
    "pattern",
    "agent",
    "key",
    "run",
    "cause",
)
_RATING_TEXTS: Final = ("project", "unit_type", "unit_id", "pattern", "model")
_ATTEMPTS_OF_A_UNIT: Final = 4
"""On the average of the units that are looked at together; more than two steps up make."""
_ROUNDING: Final = 1e-9
"""US dollars by which a cap may be missed: thirty times ten cents are three dollars, also in binary."""


def clean(text: str) -> str:
    r"""The text as a database can hold it: a lone surrogate (a file name that is not UTF-8) becomes ``\udc80``, spelled out.

    So does a NUL, which PostgreSQL does not take.
    """
    if is_clean(text):
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def is_clean(text: str) -> bool:
    """Whether it certainly is so already; it costs next to nothing to ask."""
    return text.isascii() and "\0" not in text


def day_of(started: float) -> int:
    """Days since the epoch, UTC."""
    return int(started) // SECONDS_PER_DAY  # whole seconds first, as the SQL does: no rounding up at midnight


def day_key(day: int) -> str:
    """The name of a day to compare with: it comes after all names where no calendar has the day any more."""
    return day_name(day) if day <= LAST_SECOND // SECONDS_PER_DAY else "~"


def day_name(day: int) -> str:
    """``2026-03-16``, UTC."""
    return dt.date.fromordinal(_EPOCH + day).isoformat()


def check_group(by: str) -> None:
    """Raises `LedgerError` for something that `Ledger.breakdown` cannot group by."""
    if by not in GROUPS:
        raise LedgerError(f"a report cannot be grouped by '{by}': use {', '.join(GROUPS[:-1])} or {GROUPS[-1]}")


def evidence_order(event: Evidence) -> tuple[object, ...]:
    """Oldest first; events of one moment in an order that does not depend on when they were added."""
    return (event.at, event.tier.value, event.project, event.unit_id, event.source)


def accepted_attempt(attempt: Attempt) -> Attempt:
    """The attempt as a ledger keeps it.

    Raises:
        LedgerError: a time, an amount or a count that no attempt can have.
    """
    check_time("started", attempt.started)
    _check_money("reserved_usd", attempt.reserved_usd)
    _check_tokens("expected", attempt.expected)
    _check_count("number", attempt.number)
    changed = {name: clean(text) for name in _ATTEMPT_TEXTS if not is_clean(text := getattr(attempt, name))}
    return msgspec.structs.replace(attempt, **changed) if changed else attempt


def check_cap(cap: Cap, spent: float, in_flight: float, attempt: Attempt) -> None:
    """Raises `BudgetError` where an attempt's reservation does not fit into `cap`.

    What runs alone may start until the limit is reached: a reservation is an estimate, and one that is too large must not
    stop all work for good. Beside others it has to fit, so that parallel units cannot overspend together.

    Args:
        cap: the limit.
        spent: what is spent, reserved or set aside of it, in its measure.
        in_flight: how much of that is reserved for attempts that are running, or set aside.
        attempt: what is to start.
    """
    reserved = attempt.reserved_usd if cap.measure == "usd" else 0.0
    full = spent >= cap.limit - _ROUNDING
    if not full and (in_flight <= 0 or spent + reserved <= cap.limit + _ROUNDING):
        return
    used = f"{cap.name} has no room: {shown(spent, cap)} are spent or reserved"
    raise BudgetError(f"{used} and this unit is expected to cost {dollars(reserved)}" if reserved else used)


def free_of(cap: Cap, spent: float, held: float) -> float:
    """How much of `cap` is left where `spent` is used and `held` set aside by others; nothing where that is next to nothing."""
    left = cap.limit - spent - held
    return left if left > _ROUNDING else 0.0


def granted(more: Hold, left: Iterable[float], others: float) -> float:
    """How much of `more` is set aside.

    Args:
        more: what is asked for.
        left: of each budget of its scope, what is left.
        others: what other gateways have set aside of it.
    """
    amount = min([more.amount, *left])
    return amount if amount >= more.least - _ROUNDING or (more.alone and others <= _ROUNDING) else 0.0


def measured(spent: Spent, measure: Measure) -> float:
    """What was spent, in a measure."""
    return {"usd": spent.usd, "tokens": float(spent.tokens), "requests": float(spent.requests)}[measure]


def shown(amount: float, cap: Cap) -> str:
    """``$21.40 of $25.00``, ``3 of 4 requests``."""
    if cap.measure == "usd":
        return f"{dollars(amount)} of {dollars(cap.limit)}"
    return f"{amount:,.0f} of {cap.limit:,.0f} {cap.measure}"


def accepted_outcome(outcome: Outcome) -> Outcome:
    """The outcome as a ledger keeps it.

    Raises:
        LedgerError: a time, an amount or a count that no outcome can have.
    """
    check_time("finished", outcome.finished)
    if outcome.cost_usd is not None:
        _check_money("cost_usd", outcome.cost_usd)
    if outcome.ceiling_cost_usd is not None:
        _check_money("ceiling_cost_usd", outcome.ceiling_cost_usd)
    _check_money("cache_loss_usd", outcome.cache_loss_usd)
    if outcome.tokens is not None:
        _check_tokens("tokens", outcome.tokens)
    if outcome.requests is not None:
        _check_count("requests", outcome.requests)
    return msgspec.structs.replace(
        outcome,
        message=clean(outcome.message),
        failure=None if outcome.failure is None else clean(outcome.failure),
        cost_source=clean(outcome.cost_source),
        evidence=tuple(map(clean, outcome.evidence)),
        kept=clean(outcome.kept),
    )


def accepted_use(use: Use) -> Use:
    """The use as a ledger keeps it; `LedgerError` for an impossible amount or count."""
    _check_tokens("tokens", use.tokens)
    _check_count("requests", use.requests)
    if use.cost_usd is not None:
        _check_money("cost_usd", use.cost_usd)
    _check_money("cache_loss_usd", use.cache_loss_usd)
    return use


def accepted_import(project: str, source: str, records: Sequence[tuple[Attempt, Outcome]]) -> list[tuple[Attempt, Outcome]]:
    """Records to import as a ledger keeps them, all of one project.

    Raises:
        LedgerError: one of them is not acceptable, or `source` is the name kept for stepdown's own attempts.
    """
    if source in {"", "run"}:
        raise LedgerError(f"records cannot be imported as '{source}': name where they come from")
    return [
        (accepted_attempt(msgspec.structs.replace(attempt, project=project)), accepted_outcome(outcome))
        for attempt, outcome in records
    ]


def accepted_evidence(event: Evidence) -> Evidence:
    """The event as a ledger keeps it; `LedgerError` for an impossible time or weight."""
    check_time("at", event.at)
    _check_money("weight", event.weight)
    return msgspec.structs.replace(
        event,
        pattern=clean(event.pattern),
        model=clean(event.model),
        source=clean(event.source),
        project=clean(event.project),
        unit_id=clean(event.unit_id),
    )


def accepted_rating(rating: Rating) -> Rating:
    """The rating as a ledger keeps it; `LedgerError` for an impossible time or an unknown word."""
    check_time("at", rating.at)
    if rating.word not in RATINGS:
        raise LedgerError(f"a rating is one of {', '.join(RATINGS)}, not '{rating.word}'")
    return msgspec.structs.replace(rating, **{name: clean(getattr(rating, name)) for name in _RATING_TEXTS})


def rating_event(rating: Rating, weight: float) -> Evidence:
    """What a rating says as evidence; see `Ledger.evidence`. Of a model only where it speaks about the one that was used."""
    tier = rating.tier.below if rating.word == "over" else rating.tier
    return Evidence(
        at=rating.at,
        pattern=rating.pattern,
        tier=tier,
        model=rating.model if tier is rating.tier else "",
        success=rating.word != "under",
        weight=weight,
        source="rating",
        project=rating.project,
        unit_id=rating.unit_id,
    )


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of `Ledger.forget` said; its arguments."""

    pattern: str | None
    project: str | None
    at: float

    def covers(self, event: Evidence) -> bool:
        """Whether the event is forgotten by this."""
        return (
            event.at <= self.at
            and self.covers_pattern(event.pattern)
            and (self.project is None or self.project == event.project)
        )

    def covers_attempt(self, attempt: Attempt) -> bool:
        """Whether what the attempt cost is no longer held against its pattern."""
        return (
            attempt.started <= self.at
            and self.covers_pattern(attempt.pattern)
            and (self.project is None or self.project == attempt.project)
        )

    def covers_pattern(self, pattern: str) -> bool:
        """Whether it speaks of the pattern: all, this one, or one of its tags."""
        return self.pattern is None or pattern == self.pattern or pattern.startswith(f"{self.pattern}:")


def accepted_forgotten(pattern: str | None, project: str | None, at: float) -> Forgotten:
    """What is to be forgotten, as a ledger keeps it; `LedgerError` for an impossible time."""
    check_time("at", at)
    return Forgotten(
        pattern=None if pattern is None else clean(pattern), project=None if project is None else clean(project), at=at
    )


def counting(events: Iterable[Evidence], forgotten: Sequence[Forgotten]) -> Iterator[Evidence]:
    """The events that nothing of `forgotten` covers, in their order."""
    return (event for event in events if not any(one.covers(event) for one in forgotten))


def newest_evidence(
    events: Iterable[Evidence],
    ratings: Iterable[Rating],
    forgotten: Sequence[Forgotten],
    *,
    limit: int,
    rating_weight: float,
) -> Mapping[str, Sequence[Evidence]]:
    """What `Ledger.evidence` answers.

    Args:
        events: everything recorded; of each pattern and tier the newest `limit` are enough.
        ratings: those that hold.
        forgotten: what no longer counts.
        limit: how many events of each pattern and tier are wanted.
        rating_weight: what a rating weighs.
    """
    groups: defaultdict[tuple[str, Tier], list[Evidence]] = defaultdict(list)
    rated = (rating_event(rating, rating_weight) for rating in ratings)
    for event in counting(chain(events, rated), forgotten):
        groups[event.pattern, event.tier].append(event)
    patterns: defaultdict[str, list[Evidence]] = defaultdict(list)
    for (pattern, _), members in groups.items():
        patterns[pattern].extend(sorted(members, key=evidence_order, reverse=True)[: max(0, limit)])
    return {pattern: tuple(sorted(members, key=evidence_order)) for pattern, members in patterns.items() if members}


def is_pattern_of(pattern: str, unit_type: str) -> bool:
    """Whether it is a pattern, and one of that type; "" is any. An attempt of which no pattern is known is in none."""
    return bool(pattern) and (not unit_type or pattern.partition(":")[0] == unit_type)


def newest_of_units(records: Iterable[Record], units: int) -> Iterator[Record]:
    """What `Ledger.newest_of_patterns` takes of one pattern's `records`, the newest first. One more is read, not all."""
    seen: set[tuple[str, str]] = set()
    for record in islice(records, max(0, units) * _ATTEMPTS_OF_A_UNIT):
        seen.add((record.attempt.unit_type, record.attempt.unit_id))
        if len(seen) > units:
            return
        yield record


def account_of(record: Record) -> Record:
    """A record as `Ledger.newest_of_patterns` gives it."""
    made, ended = record.attempt, record.outcome
    attempt = Attempt(
        project=made.project,
        unit_type=made.unit_type,
        unit_id=made.unit_id,
        ceiling=made.ceiling,
        downgraded=made.downgraded,
        pattern=made.pattern,
        started=made.started,
        cause=made.cause,
    )
    outcome = ended and Outcome(
        failure=ended.failure,
        cost_usd=ended.cost_usd,
        ceiling_cost_usd=ended.ceiling_cost_usd,
        cache_loss_usd=ended.cache_loss_usd,
        finished=ended.finished,
    )
    return Record(id=record.id, source=record.source, attempt=attempt, outcome=outcome)


def accepted_block(block: Block) -> Block:
    """The block as a ledger keeps it; `LedgerError` for an impossible time."""
    check_time("until", block.until)
    return msgspec.structs.replace(block, model=clean(block.model), reason=clean(block.reason))


def accepted_meter(meter: PlanMeter) -> PlanMeter:
    """The meter as a ledger keeps it; `LedgerError` for an impossible time or fraction."""
    check_time("at", meter.at)
    _check_money("used", meter.used)
    if meter.resets is not None:
        check_time("resets", meter.resets)
    return msgspec.structs.replace(meter, provider=clean(meter.provider), window=clean(meter.window))


def accepted_conversations(states: Iterable[Conversation]) -> dict[tuple[str, str], Conversation]:
    """Conversations as a ledger keeps them, per project and id; of several words about one the last.

    Raises:
        LedgerError: an impossible time, or a state that is too large.
    """
    accepted: dict[tuple[str, str], Conversation] = {}
    for one in states:
        check_time("at", one.at)
        if len(one.state) > LARGEST_STATE:
            raise LedgerError(
                f"what is known of a conversation is {len(one.state):,} bytes: at most {LARGEST_STATE:,} are kept"
            )
        key = (clean(one.project), clean(one.id))
        accepted[key] = msgspec.structs.replace(one, project=key[0], id=key[1])
    return accepted


def conversation_order(conversation: Conversation) -> tuple[object, ...]:
    """Oldest first; those of one moment in an order that does not depend on when they were remembered."""
    return (conversation.at, conversation.project, conversation.id)


def check_time(name: str, seconds: float) -> None:
    """Raises `LedgerError` for what is no time."""
    if not 0 <= seconds <= LAST_SECOND:  # NaN fails this too
        raise LedgerError(f"{name} is no time: {seconds} (seconds since the epoch are expected)")


def _check_money(name: str, amount: float) -> None:
    if not (math.isfinite(amount) and 0 <= amount <= _LARGEST_MONEY):
        raise LedgerError(f"{name} is no amount: {amount} (a number from 0 is expected)")


def _check_count(name: str, count: int) -> None:
    if not 0 <= count <= _LARGEST_COUNT:
        raise LedgerError(f"{name} is no count: {count} (a number from 0 is expected)")


def _check_tokens(name: str, tokens: Tokens) -> None:
    _check_count(f"{name}.input", tokens.input)
    _check_count(f"{name}.output", tokens.output)
    _check_count(f"{name}.cache_read", tokens.cache_read)
    _check_count(f"{name}.cache_write", tokens.cache_write)
