"""What every ledger agrees on: which values it accepts, and how it names groups. Pure.

A ledger keeps what cannot be had again, so odd text is kept readable instead of refused, while a number that would poison
every later sum is refused at the door.
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger.port import Attempt, Block, Evidence, Outcome, PlanMeter
from stepdown.units import Tokens

GROUPS: Final = ("tier", "type", "model", "agent", "project", "day")
"""What `Ledger.breakdown` groups by."""

SECONDS_PER_DAY: Final = 86_400
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
    "pattern",
    "agent",
)


def clean(text: str) -> str:
    r"""The text as a database can hold it: a lone surrogate (a file name that is not UTF-8) becomes ``\udc80``, spelled out."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def day_of(started: float) -> int:
    """Days since the epoch, UTC."""
    return int(started) // SECONDS_PER_DAY  # whole seconds first, as the SQL does: no rounding up at midnight


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
    _check_time("started", attempt.started)
    _check_money("reserved_usd", attempt.reserved_usd)
    _check_tokens("expected", attempt.expected)
    changed = {name: clean(text) for name in _ATTEMPT_TEXTS if not (text := getattr(attempt, name)).isascii()}
    return msgspec.structs.replace(attempt, **changed) if changed else attempt


def accepted_outcome(outcome: Outcome) -> Outcome:
    """The outcome as a ledger keeps it.

    Raises:
        LedgerError: a time, an amount or a count that no outcome can have.
    """
    _check_time("finished", outcome.finished)
    if outcome.cost_usd is not None:
        _check_money("cost_usd", outcome.cost_usd)
    if outcome.ceiling_cost_usd is not None:
        _check_money("ceiling_cost_usd", outcome.ceiling_cost_usd)
    if outcome.tokens is not None:
        _check_tokens("tokens", outcome.tokens)
    if outcome.requests is not None:
        _check_count("requests", outcome.requests)
    return msgspec.structs.replace(
        outcome,
        message=clean(outcome.message),
        failure=None if outcome.failure is None else clean(outcome.failure),
        cost_source=clean(outcome.cost_source),
    )


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
    _check_time("at", event.at)
    _check_money("weight", event.weight)
    return msgspec.structs.replace(
        event,
        pattern=clean(event.pattern),
        model=clean(event.model),
        source=clean(event.source),
        project=clean(event.project),
        unit_id=clean(event.unit_id),
    )


def accepted_block(block: Block) -> Block:
    """The block as a ledger keeps it; `LedgerError` for an impossible time."""
    _check_time("until", block.until)
    return msgspec.structs.replace(block, model=clean(block.model), reason=clean(block.reason))


def accepted_meter(meter: PlanMeter) -> PlanMeter:
    """The meter as a ledger keeps it; `LedgerError` for an impossible time or fraction."""
    _check_time("at", meter.at)
    _check_money("used", meter.used)
    if meter.resets is not None:
        _check_time("resets", meter.resets)
    return msgspec.structs.replace(meter, provider=clean(meter.provider), window=clean(meter.window))


def _check_time(name: str, seconds: float) -> None:
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
