"""What is asked about attempts, each inside a transaction that the caller holds."""
# ruff: noqa: S608 - the only names put into SQL are this package's own column lists; every value is bound

from collections.abc import Sequence
from contextlib import closing
from typing import Final

from stepdown.ledger import holds
from stepdown.ledger.connection import Connection, Row, streamed, together
from stepdown.ledger.port import NotRunningError
from stepdown.ledger.records import Attempt, Cap, Outcome, Record, Scope, Spent, Use
from stepdown.ledger.rows import (
    ACCOUNT,
    ATTEMPT,
    OUTCOME,
    USE,
    account_of,
    attempt_values,
    outcome_values,
    record_of,
    use_of,
    use_values,
)
from stepdown.ledger.rules import (
    LAST_SECOND,
    SECONDS_PER_DAY,
    check_cap,
    clean,
    day_key,
    is_pattern_of,
    measured,
    newest_of_units,
)

_BEGIN: Final = f"INSERT INTO attempts ({ATTEMPT}, source) VALUES (?{', ?' * 23}) ON CONFLICT DO NOTHING RETURNING id"
_IMPORTED: Final = (
    "SELECT 1 FROM attempts "
    "WHERE source = ? AND project = ? AND unit_type = ? AND unit_id = ? AND started = ? AND source <> 'run'"
)
_SETTLE: Final = f"UPDATE attempts SET ({OUTCOME}) = (?{', ?' * 14}) WHERE id = ? AND finished IS NULL"
_NOTE_USE: Final = f"UPDATE attempts SET ({USE}) = (?{', ?' * 7}) WHERE id = ? AND finished IS NULL"
_RECORDS: Final = f"SELECT id, source, {ATTEMPT}, {OUTCOME}, {USE} FROM attempts"
_RECENT_USE: Final = (
    "SELECT input, output, cache_read, cache_write, requests, cost_usd FROM attempts "
    "WHERE pattern = ? AND failure IS NULL AND input IS NOT NULL ORDER BY started DESC, id DESC LIMIT ?"
)
# The next name is looked up in the index, for as long as there is one: DISTINCT would read every attempt of the project.
_PATTERNS: Final = (
    "WITH RECURSIVE names (name) AS (SELECT min(pattern) FROM attempts WHERE project = ?1 UNION ALL "
    "SELECT (SELECT min(pattern) FROM attempts WHERE project = ?1 AND pattern > name) FROM names WHERE name IS NOT NULL) "
    "SELECT name FROM names WHERE name IS NOT NULL"
)
_ACCOUNTS: Final = (
    f"SELECT {ACCOUNT} FROM attempts INDEXED BY attempts_accounts "
    "WHERE project = ? AND pattern = ? ORDER BY started DESC, id DESC"
)
_SPENT_DAYS: Final = (
    "SELECT total(usd), sum(tokens), sum(requests), sum(unpriced), sum(attempts) FROM spending WHERE day {days}"
)
_SPENT_FINISHED: Final = (
    "SELECT total(cost_usd), sum(input + output + cache_read + cache_write), sum(requests), "
    "count(*) - count(cost_usd), count(*) FROM attempts WHERE finished IS NOT NULL AND started >= ? AND started < ?"
)
# Without being told, SQLite reads the project's whole past in search of the few attempts that run.
_SPENT_RUNNING: Final = (
    "SELECT total(CASE WHEN so_far_usd > reserved_usd THEN so_far_usd ELSE reserved_usd END), "
    "sum(so_far_input + so_far_output + so_far_cache_read + so_far_cache_write), sum(so_far_requests), 0, count(*) "
    "FROM attempts INDEXED BY attempts_running WHERE finished IS NULL AND started >= ?"
)

_ALL: Final = 2**62
"""More rows than there are."""


def insert(connection: Connection, attempt: Attempt, source: str) -> int:
    """The new attempt's id; 0 where it was imported before."""
    if source != "run":  # asked before it is said: PostgreSQL counts on with every try, also one that finds it there
        key = (source, attempt.project, attempt.unit_type, attempt.unit_id, attempt.started)
        if connection.execute(_IMPORTED, key).fetchone():
            return 0
    row = connection.execute(_BEGIN, (*attempt_values(attempt), source)).fetchone()
    return 0 if row is None else int(row[0])


def settle(connection: Connection, attempt_id: int, outcome: Outcome) -> None:
    """End an attempt that runs; see `Ledger.settle`."""
    _change_running(connection, _SETTLE, attempt_id, outcome_values(outcome))


def note_use(connection: Connection, attempt_id: int, use: Use) -> None:
    """See `Ledger.note_use`."""
    _change_running(connection, _NOTE_USE, attempt_id, use_values(use))


def check_caps(connection: Connection, attempt: Attempt, caps: Sequence[Cap]) -> None:
    """Raises `BudgetError` where the attempt does not fit; holds as long as the transaction lets nobody else write."""
    for cap in caps:
        held = holds.amount(connection, cap)
        running = measured(_running(connection, cap.scope, cap.since), cap.measure)
        check_cap(cap, measured(spent(connection, cap.scope, cap.since), cap.measure) + held, running + held, attempt)


def spent(connection: Connection, scope: Scope, since: float) -> Spent:
    """See `Ledger.spent`: whole days come from their sums, only the day in which the span begins is read attempt by attempt."""
    also, values = of_scope(scope)
    if since <= 0:
        return _sum(
            connection.execute(f"{_SPENT_DAYS.format(days='= ?')}{also}", ("", *values)).fetchone(),
            _running_row(connection, scope, 0.0),
        )
    start = min(since, LAST_SECOND + 1.0)
    first_day = -int(-start // SECONDS_PER_DAY)
    return _sum(
        connection.execute(f"{_SPENT_DAYS.format(days='>= ?')}{also}", (day_key(first_day), *values)).fetchone(),
        connection.execute(f"{_SPENT_FINISHED}{also}", (start, first_day * SECONDS_PER_DAY, *values)).fetchone(),
        _running_row(connection, scope, start),
    )


def _running(connection: Connection, scope: Scope, since: float) -> Spent:
    """What attempts have reserved, or used, that run."""
    return _sum(_running_row(connection, scope, since))


def _running_row(connection: Connection, scope: Scope, since: float) -> Row:
    also, values = of_scope(scope)
    row: Row = connection.execute(f"{_SPENT_RUNNING}{also}", (since, *values)).fetchone()
    return row


def _sum(*parts: Row) -> Spent:
    usd, tokens, requests, unpriced, attempts = (sum(part or 0 for part in column) for column in zip(*parts, strict=True))
    return Spent(usd=usd, tokens=tokens, requests=requests, unpriced=unpriced, attempts=attempts)


def newest(connection: Connection, project: str | None, limit: int | None) -> list[Record]:
    """See `Ledger.records`."""
    where, values = of_project(project, "WHERE")
    query = f"{_RECORDS} {where} ORDER BY started DESC, id DESC LIMIT ?"
    return _read(connection, query, (*values, _ALL if limit is None else max(0, limit)))


def unfinished(connection: Connection, project: str | None) -> list[Record]:
    """See `Ledger.unfinished`."""
    also, values = of_project(project, "AND")
    return _read(
        connection, f"{_RECORDS} INDEXED BY attempts_running WHERE finished IS NULL {also} ORDER BY started, id", values
    )


def of_unit(connection: Connection, project: str, unit_id: str) -> list[Record]:
    """See `Ledger.of_unit`."""
    query = f"{_RECORDS} WHERE project = ? AND unit_id = ? ORDER BY started, id"
    return _read(connection, query, (clean(project), clean(unit_id)))


def recent_use(connection: Connection, pattern: str, limit: int) -> list[Use]:
    """See `Ledger.recent_use`."""
    return [use_of(row) for row in connection.execute(_RECENT_USE, (clean(pattern), max(0, limit)))]


def newest_of_patterns(connection: Connection, project: str, unit_type: str, units: int) -> list[Record]:
    """See `Ledger.newest_of_patterns`: rows are fetched only until there are enough."""
    names = [name for (name,) in connection.execute(_PATTERNS, (clean(project),)).fetchall() if is_pattern_of(name, unit_type)]
    enough = max(0, units) * 3 // 2 + 1  # nearly always: most units have one attempt
    records: list[Record] = []
    asked = [(f"{_ACCOUNTS} LIMIT ?", (clean(project), name, enough)) for name in names]
    for name, rows in zip(names, together(connection, asked), strict=True):
        found = list(newest_of_units(map(account_of, rows), units))
        if len(found) == enough:
            with closing(streamed(connection, _ACCOUNTS, (clean(project), name))) as every:
                found = list(newest_of_units(map(account_of, every), units))
        records.extend(found)
    return records


def of_project(project: str | None, word: str) -> tuple[str, tuple[str, ...]]:
    """The condition that leaves one project's rows, and its values."""
    return ("", ()) if project is None else (f"{word} project = ?", (clean(project),))


def of_scope(scope: Scope) -> tuple[str, tuple[str, ...]]:
    """The conditions that leave a scope's rows, and their values."""
    said = [(name, clean(value)) for name in ("project", "person", "model") if (value := getattr(scope, name)) is not None]
    return "".join(f" AND {name} = ?" for name, _ in said), tuple(value for _, value in said)


def _read(connection: Connection, query: str, values: tuple[object, ...]) -> list[Record]:
    return [record_of(row) for row in connection.execute(query, values)]


def _change_running(connection: Connection, update: str, attempt_id: int, values: tuple[object, ...]) -> None:
    if connection.execute(update, (*values, attempt_id)).rowcount:
        return
    if connection.execute("SELECT 1 FROM attempts WHERE id = ?", (attempt_id,)).fetchone():
        raise NotRunningError(f"attempt {attempt_id} has ended already")
    raise NotRunningError(f"there is no attempt {attempt_id} in the ledger")
