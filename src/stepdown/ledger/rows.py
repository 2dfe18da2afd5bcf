"""How the ledger's records stand in SQLite's rows, both ways; the order of columns is decided here alone. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stepdown.ledger.records import Attempt, Evidence, Line, Outcome, Rating, Record, Use
from stepdown.ledger.rules import Forgotten
from stepdown.units import Tier, Tokens

ATTEMPT: Final = (
    "project, unit_type, unit_id, title, tier, model, ceiling, downgraded, reason, decision, pattern, agent, started, "
    "reserved_usd, expected_input, expected_output, expected_cache_read, expected_cache_write, key, run, number, cause, person"
)
"""The columns of an `Attempt`: 23."""
OUTCOME: Final = (
    "finished, failure, message, verified, input, output, cache_read, cache_write, cost_usd, cost_source, "
    "ceiling_cost_usd, requests, evidence, kept, cache_loss_usd"
)
"""The columns of an `Outcome`: 15; `finished` is NULL while the attempt runs."""
USE: Final = (
    "so_far_input, so_far_output, so_far_cache_read, so_far_cache_write, so_far_requests, so_far_usd, so_far_ended, "
    "so_far_cache_loss_usd"
)
"""The columns of a `Use`: 8."""
ACCOUNT: Final = (
    "id, source, project, pattern, started, unit_type, unit_id, ceiling, downgraded, cause, "
    "finished, failure, cost_usd, ceiling_cost_usd, cache_loss_usd"
)
"""Of an attempt's columns those that say what it cost and why: 15, all of them in the index ``attempts_accounts``."""
BILLED: Final = (
    "id, source, project, unit_type, unit_id, tier, model, ceiling, downgraded, agent, started, reserved_usd, cause, "
    "finished, failure, verified, input, output, cache_read, cache_write, cost_usd, cost_source, ceiling_cost_usd, "
    "cache_loss_usd"
)
"""Of an attempt's columns those that a bill is made of: 24."""
EVIDENCE: Final = "pattern, tier, at, project, unit_id, source, model, success, weight"
FORGOTTEN: Final = "pattern, project, at"
RATING: Final = "project, unit_type, unit_id, word, tier, pattern, model, at"
LINE: Final = (
    "sum(attempts), sum(failed), sum(unverified), sum(downgraded), sum(unpriced), total(usd), total(ceiling_usd), "
    "total(comparable_usd), sum(input), sum(output), sum(cache_read), sum(cache_write)"
)
"""The sums of a `Line`, over the table ``sums``."""

_TIERS: Final = {"": None, **{tier.value: tier for tier in Tier}}

Values = tuple[object, ...]
Row = Sequence[Any]
"""What SQLite hands over; the schema says what is in it."""


def attempt_values(attempt: Attempt) -> Values:
    """In the order of `ATTEMPT`."""
    expected = attempt.expected
    return (
        *(attempt.project, attempt.unit_type, attempt.unit_id, attempt.title, str(attempt.tier or ""), attempt.model),
        *(attempt.ceiling, attempt.downgraded, attempt.reason, attempt.decision, attempt.pattern, attempt.agent),
        *(attempt.started, attempt.reserved_usd),
        *(expected.input, expected.output, expected.cache_read, expected.cache_write),
        *(attempt.key, attempt.run, attempt.number, attempt.cause, attempt.person),
    )


def outcome_values(outcome: Outcome) -> Values:
    """In the order of `OUTCOME`."""
    used = outcome.tokens
    tokens = (None,) * 4 if used is None else (used.input, used.output, used.cache_read, used.cache_write)
    return (
        *(outcome.finished, outcome.failure, outcome.message, outcome.verified, *tokens),
        *(outcome.cost_usd, outcome.cost_source, outcome.ceiling_cost_usd, outcome.requests),
        *(msgspec.json.encode(outcome.evidence).decode() if outcome.evidence else "", outcome.kept),
        outcome.cache_loss_usd,
    )


def use_values(use: Use) -> Values:
    """In the order of `USE`."""
    used = use.tokens
    tokens = (used.input, used.output, used.cache_read, used.cache_write)
    return (*tokens, use.requests, use.cost_usd, use.ended, use.cache_loss_usd)


def evidence_values(event: Evidence) -> Values:
    """In the order of `EVIDENCE`."""
    key = (event.pattern, event.tier.value, event.at, event.project, event.unit_id, event.source)
    return (*key, event.model, event.success, event.weight)


def rating_values(rating: Rating) -> Values:
    """In the order of `RATING`."""
    unit = (rating.project, rating.unit_type, rating.unit_id)
    return (*unit, rating.word, rating.tier.value, rating.pattern, rating.model, rating.at)


def record_of(row: Row) -> Record:
    """From ``id, source``, `ATTEMPT`, `OUTCOME`, `USE`."""
    return Record(id=row[0], source=row[1], attempt=_attempt(row[2:25]), outcome=_outcome(row[25:40]), so_far=_so_far(row[40:]))


def account_of(row: Row) -> Record:
    """From `ACCOUNT`."""
    attempt_id, source, project, pattern, started, unit_type, unit_id, ceiling, downgraded, cause, *ended = row
    finished, failure, cost_usd, ceiling_cost_usd, cache_loss_usd = ended
    attempt = Attempt(
        project=project,
        unit_type=unit_type,
        unit_id=unit_id,
        ceiling=ceiling,
        downgraded=bool(downgraded),
        pattern=pattern,
        started=started,
        cause=cause,
    )
    outcome = None
    if finished is not None:
        outcome = Outcome(
            failure=failure,
            cost_usd=cost_usd,
            ceiling_cost_usd=ceiling_cost_usd,
            cache_loss_usd=cache_loss_usd,
            finished=finished,
        )
    return Record(id=attempt_id, source=source, attempt=attempt, outcome=outcome)


def billed_of(row: Row) -> Record:
    """From `BILLED`."""
    attempt_id, source, project, unit_type, unit_id, tier, model, ceiling, downgraded, agent, *rest = row
    started, reserved_usd, cause, finished, failure, verified, *tokens = rest[:10]
    cost_usd, cost_source, ceiling_cost_usd, cache_loss_usd = rest[10:]
    attempt = Attempt(
        project=project,
        unit_type=unit_type,
        unit_id=unit_id,
        tier=_TIERS[tier],
        model=model,
        ceiling=ceiling,
        downgraded=bool(downgraded),
        agent=agent,
        started=started,
        reserved_usd=reserved_usd,
        cause=cause,
    )
    outcome = None
    if finished is not None:
        outcome = Outcome(
            failure=failure,
            verified=None if verified is None else bool(verified),
            tokens=None if tokens[0] is None else tokens_of(tokens),
            cost_usd=cost_usd,
            cost_source=cost_source,
            ceiling_cost_usd=ceiling_cost_usd,
            cache_loss_usd=cache_loss_usd,
            finished=finished,
        )
    return Record(id=attempt_id, source=source, attempt=attempt, outcome=outcome)


def use_of(row: Row) -> Use:
    """From the four token counts, requests and US dollars of what ended."""
    return Use(tokens=tokens_of(row), requests=row[4] or 0, cost_usd=row[5])


def rating_of(row: Row) -> Rating:
    """From `RATING`."""
    project, unit_type, unit_id, word, tier, pattern, model, at = row
    return Rating(
        project=project, unit_type=unit_type, unit_id=unit_id, word=word, tier=Tier(tier), pattern=pattern, model=model, at=at
    )


def forgotten_values(forgotten: Forgotten) -> Values:
    """In the order of `FORGOTTEN`."""
    return (forgotten.pattern, forgotten.project, forgotten.at)


def forgotten_of(row: Row) -> Forgotten:
    """From `FORGOTTEN`."""
    pattern, project, at = row
    return Forgotten(pattern=pattern, project=project, at=at)


def line_of(key: str, row: Row) -> Line:
    """From `LINE`."""
    attempts, failed, unverified, downgraded, unpriced, usd, ceiling_usd, comparable_usd, *tokens = row
    return Line(
        key=key,
        attempts=attempts,
        failed=failed,
        unverified=unverified,
        downgraded=downgraded,
        unpriced=unpriced,
        usd=usd,
        ceiling_usd=ceiling_usd,
        comparable_usd=comparable_usd,
        tokens=tokens_of(tokens),
    )


def event_of(row: Row) -> Evidence:
    """From `EVIDENCE`."""
    pattern, tier, at, project, unit_id, source, model, success, weight = row
    return Evidence(
        at=at,
        pattern=pattern,
        tier=Tier(tier),
        model=model,
        success=bool(success),
        weight=weight,
        source=source,
        project=project,
        unit_id=unit_id,
    )


def tokens_of(row: Row) -> Tokens:
    """From ``input, output, cache_read, cache_write``."""
    return Tokens(input=row[0], output=row[1], cache_read=row[2], cache_write=row[3])


def _attempt(row: Row) -> Attempt:
    project, unit_type, unit_id, title, tier, model, ceiling, downgraded, reason, decision, pattern, agent, *rest = row
    started, reserved_usd, *expected, key, run, number, cause, person = rest
    return Attempt(
        project=project,
        unit_type=unit_type,
        unit_id=unit_id,
        title=title,
        tier=Tier(tier) if tier else None,
        model=model,
        ceiling=ceiling,
        downgraded=bool(downgraded),
        reason=reason,
        decision=decision,
        pattern=pattern,
        agent=agent,
        started=started,
        reserved_usd=reserved_usd,
        expected=tokens_of(expected),
        key=key,
        run=run,
        number=number,
        cause=cause,
        person=person,
    )


def _so_far(row: Row) -> Use:
    *tokens, requests, cost_usd, ended, cache_loss_usd = row
    return Use(tokens=tokens_of(tokens), requests=requests, cost_usd=cost_usd, ended=bool(ended), cache_loss_usd=cache_loss_usd)


def _outcome(row: Row) -> Outcome | None:
    finished, failure, message, verified, *tokens, cost_usd, cost_source, ceiling_cost_usd = row[:11]
    requests, evidence, kept, cache_loss_usd = row[11:]
    if finished is None:
        return None
    return Outcome(
        failure=failure,
        message=message,
        verified=None if verified is None else bool(verified),
        tokens=None if tokens[0] is None else tokens_of(tokens),
        cost_usd=cost_usd,
        cost_source=cost_source,
        ceiling_cost_usd=ceiling_cost_usd,
        cache_loss_usd=cache_loss_usd,
        requests=requests,
        finished=finished,
        evidence=msgspec.json.decode(evidence, type=tuple[str, ...]) if evidence else (),
        kept=kept,
    )
