"""Units with their attempts: the newest, read page by page, which costs as much among a million as among a hundred; and all."""
# ruff: noqa: S608 - the only names put into SQL are this package's own column lists; every value is bound

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Final

import msgspec

from stepdown.ledger.connection import Connection, streamed
from stepdown.ledger.records import Attempt, Outcome, Record
from stepdown.ledger.rows import ATTEMPT, BILLED, OUTCOME, USE, billed_of, record_of
from stepdown.ledger.rules import clean

SHOWN: Final = 20
"""Attempts of one unit that are read; of more, the newest."""

_WITHOUT_RECEIPT: Final = ATTEMPT.replace(" decision,", " '',")
_ATTEMPTS: Final = (
    f"SELECT id, source, {_WITHOUT_RECEIPT}, {OUTCOME}, {USE} FROM attempts INDEXED BY attempts_by_unit "
    "WHERE project = ? AND unit_id = ? AND unit_type = ? {also} ORDER BY started DESC, id DESC LIMIT {limit}"
)
_SHOWN: Final = _ATTEMPTS.format(also="", limit=SHOWN)
_FAILURE: Final = _ATTEMPTS.format(also="AND failure IS NOT NULL", limit=1)
# Of each unit its newest attempt, found by going back in time and leaving out those that have a newer one.
_NEWEST: Final = (
    "SELECT unit_type, unit_id FROM attempts AS one INDEXED BY {index} WHERE project = ?1 {also} "
    "AND (started < ?2 OR (started = ?2 AND id < ?3)) AND NOT EXISTS ("
    "SELECT 1 FROM attempts AS later INDEXED BY attempts_by_unit "
    "WHERE later.project = ?1 AND later.unit_id = one.unit_id AND later.started >= one.started "
    "AND later.unit_type = one.unit_type {later} AND (later.started > one.started OR later.id > one.id)"
    ") ORDER BY started DESC, id DESC LIMIT ?4"
)
_ALL: Final = _NEWEST.format(index="attempts_by_project", also="", later="")
_FAILED: Final = _NEWEST.format(index="attempts_failed", also="AND failure IS NOT NULL", later="AND later.failure IS NOT NULL")
_NAMED: Final = (
    "SELECT DISTINCT unit_type, unit_id FROM attempts INDEXED BY attempts_by_unit "
    "WHERE project = ? AND unit_id >= ? AND unit_id < ? {also} ORDER BY unit_id, unit_type LIMIT ?"
)
# Whoever asks for all gets them sorted by SQLite, which takes to the disk what memory has no room for.
_EVERY: Final = f"SELECT {BILLED} FROM attempts {{where}} ORDER BY project, unit_type, unit_id, started, id"
_LAST: Final = (1e18, 2**62)
"""Later than every attempt."""


def newest(
    connection: Connection,
    project: str,
    *,
    limit: int,
    before: tuple[float, int] | None,
    id_starts: str,
    failed: bool,
) -> list[tuple[Record, ...]]:
    """See `Ledger.units`."""
    name, count = clean(project), max(0, limit)
    if id_starts:
        start = clean(id_starts)
        query = _NAMED.format(also="AND failure IS NOT NULL" if failed else "")
        found = connection.execute(query, (name, start, _after(start), count)).fetchall()
        return [_attempts(connection, (name, unit_id, unit_type), failed=failed) for unit_type, unit_id in found]
    query = _FAILED if failed else _ALL
    found = connection.execute(query, (name, *(before or _LAST), count)).fetchall()
    return [_attempts(connection, (name, unit_id, unit_type), failed=failed) for unit_type, unit_id in found]


def of_records(
    records: Sequence[Record], *, limit: int, before: tuple[float, int] | None, id_starts: str, failed: bool
) -> list[tuple[Record, ...]]:
    """The same of a project's records, the newest first."""
    units: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        units.setdefault((record.attempt.unit_id, record.attempt.unit_type), []).append(record)
    wanted = [(key, unit) for key, unit in units.items() if _matches(unit, failed=failed)]
    if id_starts:
        start = clean(id_starts)
        wanted = sorted(((key, unit) for key, unit in wanted if start <= key[0] < _after(start)), key=lambda one: one[0])
    else:
        wanted = [(key, unit) for key, unit in wanted if place(unit, failed=failed) < (before or _LAST)]
        wanted.sort(key=lambda one: place(one[1], failed=failed), reverse=True)
    return [tuple(map(_bare, reversed(_shown(unit, failed=failed)))) for _, unit in wanted[: max(0, limit)]]


def every(connection: Connection, project: str | None) -> Iterator[tuple[Record, ...]]:
    """See `Ledger.every_unit`."""
    # In the order of the index on (project, started) the table is read much as it was written.
    where = "NOT INDEXED" if project is None else "INDEXED BY attempts_by_project WHERE project = ?"
    values = () if project is None else (clean(project),)
    with closing(streamed(connection, _EVERY.format(where=where), values)) as rows:
        yield from _unit_by_unit(map(billed_of, rows))


def every_of_records(records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    """The same of records."""
    return _unit_by_unit(map(_billed, sorted(records, key=lambda one: (*_unit(one), one.attempt.started, one.id))))


def place(unit: Sequence[Record], *, failed: bool = False) -> tuple[float, int]:
    """Where a unit stands in the order of `Ledger.units`, of which the next page is asked for."""
    return max((record.attempt.started, record.id) for record in unit if not failed or _has_failed(record))


def _unit_by_unit(records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    return (tuple(unit) for _, unit in groupby(records, _unit))


def _unit(record: Record) -> tuple[str, str, str]:
    attempt = record.attempt
    return attempt.project, attempt.unit_type, attempt.unit_id


def _billed(record: Record) -> Record:
    made, ended = record.attempt, record.outcome
    attempt = Attempt(
        project=made.project,
        unit_type=made.unit_type,
        unit_id=made.unit_id,
        tier=made.tier,
        model=made.model,
        ceiling=made.ceiling,
        downgraded=made.downgraded,
        agent=made.agent,
        started=made.started,
        reserved_usd=made.reserved_usd,
        cause=made.cause,
    )
    outcome = ended and Outcome(
        failure=ended.failure,
        verified=ended.verified,
        tokens=ended.tokens,
        cost_usd=ended.cost_usd,
        cost_source=ended.cost_source,
        ceiling_cost_usd=ended.ceiling_cost_usd,
        cache_loss_usd=ended.cache_loss_usd,
        finished=ended.finished,
    )
    return Record(id=record.id, source=record.source, attempt=attempt, outcome=outcome)


def _matches(unit: Sequence[Record], *, failed: bool) -> bool:
    return not failed or any(map(_has_failed, unit))


def _has_failed(record: Record) -> bool:
    return record.outcome is not None and record.outcome.failure is not None


def _bare(record: Record) -> Record:
    return msgspec.structs.replace(record, attempt=msgspec.structs.replace(record.attempt, decision=""))


def _attempts(connection: Connection, unit: tuple[str, str, str], *, failed: bool) -> tuple[Record, ...]:
    found = [record_of(row) for row in connection.execute(_SHOWN, unit)]
    if failed and not any(map(_has_failed, found)):
        found += (record_of(row) for row in connection.execute(_FAILURE, unit))
    return tuple(reversed(found))


def _shown(unit: Sequence[Record], *, failed: bool) -> Sequence[Record]:
    """Of a unit's attempts, the newest first, those that are read: with the failure it is asked for, however long ago."""
    found = unit[:SHOWN]
    if failed and not any(map(_has_failed, found)):
        return [*found, next(filter(_has_failed, unit))]
    return found


def _after(start: str) -> str:
    """What comes after every text that begins so."""
    return start + "\U0010ffff"
