"""Finished attempts added up per day and kind of work: what a page over a million of them reads instead of them."""
# ruff: noqa: S608 - the only names put into SQL are this module's own column lists; every value is bound

from collections.abc import Iterable, Sequence
from typing import Any, Final

from stepdown.ledger.connection import Connection
from stepdown.ledger.records import Account, Record
from stepdown.ledger.rules import clean, day_key, day_name, day_of
from stepdown.units import Tier

_SUMS: Final = (
    "attempts, failed, moved, stepped_up, rescued, unpriced, usd, unknown, compared, compared_usd, ceiling_usd, failed_usd, "
    "cache_usd, tokens, cached"
)
"""The columns of the table ``accounts`` that are added up, as `Account` calls them."""
_MONEY: Final = frozenset({"usd", "compared_usd", "ceiling_usd", "failed_usd", "cache_usd"})
_STEPS_UP: Final = frozenset({"step up", "configured"})

Key = tuple[str, str, str, str]
"""Day, pattern, tier, ceiling."""


def read(connection: Connection, project: str | None, since: float, *, daily: bool) -> list[Account]:
    """See `Ledger.accounts`."""
    keys = "day, '' AS pattern, tier, '' AS ceiling" if daily else "'' AS day, pattern, tier, ceiling"
    sums = ", ".join(f"{'total' if name in _MONEY else 'sum'}({name})" for name in _SUMS.split(", "))
    # The lines of the day '' are of all days together.
    where: list[str]
    values: list[object]
    where, values = ([], []) if project is None else (["project = ?"], [clean(project)])
    if since > 0:
        where.append("day >= ?")
        values.append(day_key(day_of(since)))
    else:
        where.append("day > ''" if daily else "day = ''")
    query = f"SELECT {keys}, {sums} FROM accounts WHERE {' AND '.join(where)} GROUP BY 1, 2, 3, 4"
    return sorted((_account(row[:4], row[4:]) for row in connection.execute(query, values)), key=order)


def of_records(records: Iterable[Record], since: float, *, daily: bool) -> list[Account]:
    """The same of records, one by one."""
    first = day_of(since)
    sums: dict[Key, list[float]] = {}
    for record in records:
        line = _line_of(record)
        if line is not None and day_of(record.attempt.started) >= first:
            key = _key(record, daily=daily)
            sums[key] = [one + other for one, other in zip(sums[key], line, strict=True)] if key in sums else list(line)
    return sorted((_account(key, line) for key, line in sums.items()), key=order)


def projects(connection: Connection) -> list[str]:
    """See `Ledger.projects`."""
    # Of each project the last day alone is looked up, however many days it has.
    query = (
        "WITH RECURSIVE one(project) AS (SELECT min(project) FROM accounts UNION ALL "
        "SELECT (SELECT min(project) FROM accounts WHERE project > one.project) FROM one WHERE one.project IS NOT NULL) "
        "SELECT project, (SELECT max(day) FROM accounts WHERE project = one.project) FROM one WHERE project IS NOT NULL"
    )
    return _newest_first(connection.execute(query))


def projects_of(records: Iterable[Record]) -> list[str]:
    """The same of records."""
    last: dict[str, str] = {}
    for record in records:
        if record.outcome is not None:
            project, day = record.attempt.project, day_name(day_of(record.attempt.started))
            last[project] = max(day, last.get(project, ""))
    return _newest_first(last.items())


def _newest_first(days: Iterable[tuple[str, str]]) -> list[str]:
    by_name = sorted(days)
    return [project for project, _ in sorted(by_name, key=lambda item: item[1], reverse=True)]


def order(account: Account) -> tuple[str, ...]:
    """By day, then by what is added up."""
    return (account.day, account.pattern, str(account.tier or ""), account.ceiling)


def _account(key: Sequence[str], sums: Sequence[float]) -> Account:
    day, pattern, tier, ceiling = key
    counted: dict[str, Any] = {
        name: float(amount) if name in _MONEY else int(amount) for name, amount in zip(_SUMS.split(", "), sums, strict=True)
    }
    return Account(day=day, pattern=pattern, tier=Tier(tier) if tier else None, ceiling=ceiling, **counted)


def _key(record: Record, *, daily: bool) -> Key:
    attempt = record.attempt
    if daily:
        return (day_name(day_of(attempt.started)), "", str(attempt.tier or ""), "")
    return ("", attempt.pattern or attempt.unit_type, str(attempt.tier or ""), attempt.ceiling)


def _line_of(record: Record) -> tuple[float, ...] | None:
    """One attempt in the order of `_SUMS`, as the view ``attempt_accounts`` has it; None while it runs."""
    attempt, outcome = record.attempt, record.outcome
    if outcome is None:
        return None
    done, cost, ceiling = outcome.failure is None, outcome.cost_usd, outcome.ceiling_cost_usd
    below, up = attempt.downgraded, attempt.cause in _STEPS_UP
    loss = min(cost or 0.0, outcome.cache_loss_usd)
    work = (cost or 0.0) - loss
    used = outcome.tokens
    return (
        *(1, not done, below and attempt.cause == "first", up, up and done, cost is None, cost or 0.0),
        below and (cost is None or (done and ceiling is None)),
        below and done and cost is not None and (ceiling or 0.0) > 0,
        work if below and done and ceiling is not None else 0.0,
        (ceiling or 0.0) if below and done and cost is not None else 0.0,
        work if below and not done else 0.0,
        loss,
        *((0, 0) if used is None else (used.total, used.cache_read)),
    )
