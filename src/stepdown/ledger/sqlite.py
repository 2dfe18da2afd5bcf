"""The ledger on disk: SQLite in WAL, written by several processes at once, every call committed before it returns."""
# ruff: noqa: S608 - the only names put into SQL are this package's own column lists; every value is bound

import contextlib
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from stepdown.errors import LedgerError
from stepdown.ledger.database import Database, roll_back
from stepdown.ledger.port import (
    Attempt,
    Block,
    Evidence,
    Expectation,
    Line,
    Outcome,
    PlanMeter,
    Record,
    Spent,
)
from stepdown.ledger.rows import (
    ATTEMPT,
    EVIDENCE,
    LINE,
    OUTCOME,
    attempt_values,
    event_of,
    evidence_values,
    line_of,
    outcome_values,
    record_of,
    tokens_of,
)
from stepdown.ledger.rules import (
    LAST_SECOND,
    SECONDS_PER_DAY,
    accepted_attempt,
    accepted_block,
    accepted_evidence,
    accepted_import,
    accepted_meter,
    accepted_outcome,
    check_group,
    clean,
    evidence_order,
)

_BEGIN: Final = f"INSERT INTO attempts ({ATTEMPT}, source) VALUES (?{', ?' * 18}) ON CONFLICT DO NOTHING"
_SETTLE: Final = f"UPDATE attempts SET ({OUTCOME}) = (?{', ?' * 11}) WHERE id = ? AND finished IS NULL"
_RECORDS: Final = f"SELECT id, source, {ATTEMPT}, {OUTCOME} FROM attempts"
_SPENT_WHOLE_DAYS: Final = (
    "SELECT total(usd), sum(input + output + cache_read + cache_write), sum(requests), sum(unpriced), sum(attempts) FROM sums "
    f"WHERE grouped_by = 'day' AND key >= date(? * {SECONDS_PER_DAY}, 'unixepoch')"
)
_SPENT_FINISHED: Final = (
    "SELECT total(cost_usd), sum(input + output + cache_read + cache_write), sum(requests), sum(cost_usd IS NULL), count(*) "
    "FROM attempts WHERE finished IS NOT NULL AND started >= ? AND started < ?"
)
# Without being told, SQLite reads the project's whole past in search of the few attempts that run.
_SPENT_RUNNING: Final = (
    "SELECT total(reserved_usd), 0, 0, 0, count(*) FROM attempts INDEXED BY attempts_running "
    "WHERE finished IS NULL AND started >= ?"
)


class SqliteLedger:
    """A `Ledger` in a file. Safe to share between threads; each process opens its own."""

    def __init__(self, path: Path, *, busy_seconds: float = 5.0) -> None:
        """Open `path`, or create it.

        Args:
            path: the file; directories above it are made.
            busy_seconds: how long a call waits for another process that is writing.

        Raises:
            LedgerError: it cannot be used.
        """
        self._database = Database(path, busy_seconds=busy_seconds)
        self._closed = False
        # One connection serves all threads of this process, one call at a time.
        self._lock = threading.RLock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def begin(self, attempt: Attempt) -> int:
        """See `Ledger.begin`."""
        accepted = accepted_attempt(attempt)
        with self._writing() as connection:
            return _insert(connection, accepted, "run")

    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        """See `Ledger.settle`."""
        accepted = accepted_outcome(outcome)
        with self._writing() as connection:
            if _settle(connection, attempt_id, accepted):
                return
            known = connection.execute("SELECT 1 FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
            if known:
                raise LedgerError(f"attempt {attempt_id} has ended already")
            raise LedgerError(f"there is no attempt {attempt_id} in the ledger")

    def records(self, project: str | None = None, *, limit: int | None = None) -> Sequence[Record]:
        """See `Ledger.records`."""
        where, values = _of_project(project, "WHERE")
        most = -1 if limit is None else max(0, limit)
        with self._reading() as connection:
            rows = connection.execute(f"{_RECORDS} {where} ORDER BY started DESC, id DESC LIMIT ?", (*values, most))
            return [record_of(row) for row in rows]

    def spent(self, project: str | None = None, *, since: float = 0.0) -> Spent:
        """See `Ledger.spent`."""
        # Whole days come from the sums, only the day in which the span begins is read attempt by attempt.
        start = min(max(since, 0.0), LAST_SECOND + 1.0)
        first_day = -int(-start // SECONDS_PER_DAY)
        also, values = _of_project(project, "AND")
        with self._reading() as connection:
            parts = [
                connection.execute(f"{_SPENT_WHOLE_DAYS} {also}", (first_day, *values)).fetchone(),
                connection.execute(f"{_SPENT_FINISHED} {also}", (start, first_day * SECONDS_PER_DAY, *values)).fetchone(),
                connection.execute(f"{_SPENT_RUNNING} {also}", (start, *values)).fetchone(),
            ]
        usd, tokens, requests, unpriced, attempts = (sum(part or 0 for part in column) for column in zip(*parts, strict=True))
        return Spent(usd=usd, tokens=tokens, requests=requests, unpriced=unpriced, attempts=attempts)

    def breakdown(self, by: str, project: str | None = None) -> Sequence[Line]:
        """See `Ledger.breakdown`."""
        check_group(by)
        also, values = _of_project(project, "AND")
        # Every way of grouping holds every attempt, so any of them can be added up by project.
        way, key = ("tier", "project") if by == "project" else (by, "key")
        query = f"SELECT {key}, {LINE} FROM sums WHERE grouped_by = ? {also} GROUP BY {key}"
        with self._reading() as connection:
            lines = [line_of(row[0], row[1:]) for row in connection.execute(query, (way, *values))]
        return sorted(lines, key=lambda line: (-line.usd, line.key))

    def expectations(self) -> Mapping[tuple[str, str], Expectation]:
        """See `Ledger.expectations`."""
        query = "SELECT unit_type, model, units, input, output, cache_read, cache_write, requests, counted FROM usage"
        with self._reading() as connection:
            rows = connection.execute(query).fetchall()
        return {
            (unit_type, model): Expectation(
                tokens=tokens_of(used).scaled(1 / units), requests=requests / counted if counted else None, units=units
            )
            for unit_type, model, units, *used, requests, counted in rows
        }

    def add_evidence(self, events: Sequence[Evidence]) -> None:
        """See `Ledger.add_evidence`."""
        rows = [evidence_values(accepted_evidence(event)) for event in events]
        query = f"INSERT INTO evidence ({EVIDENCE}) VALUES (?{', ?' * 8}) ON CONFLICT DO NOTHING"
        with self._writing() as connection:
            connection.executemany(query, rows)

    def evidence(self, *, limit: int = 50) -> Mapping[str, Sequence[Evidence]]:
        """See `Ledger.evidence`."""
        patterns: defaultdict[str, list[Evidence]] = defaultdict(list)
        newest = (
            f"SELECT {EVIDENCE} FROM evidence "
            "WHERE pattern = ? AND tier = ? ORDER BY at DESC, project DESC, unit_id DESC, source DESC LIMIT ?"
        )
        with self._reading() as connection:
            for pattern, tier in connection.execute("SELECT DISTINCT pattern, tier FROM evidence").fetchall():
                rows = connection.execute(newest, (pattern, tier, max(0, limit)))
                patterns[pattern].extend(event_of(row) for row in rows)
        return {pattern: tuple(sorted(events, key=evidence_order)) for pattern, events in patterns.items() if events}

    def block(self, block: Block) -> None:
        """See `Ledger.block`."""
        accepted = accepted_block(block)
        with self._writing() as connection:
            connection.execute("REPLACE INTO blocks VALUES (?, ?, ?)", (accepted.model, accepted.reason, accepted.until))

    def blocks(self, now: float) -> Sequence[Block]:
        """See `Ledger.blocks`."""
        query = "SELECT model, reason, until FROM blocks WHERE until > ? ORDER BY model"
        with self._reading() as connection:
            return [
                Block(model=model, reason=reason, until=until) for model, reason, until in connection.execute(query, (now,))
            ]

    def unblock(self, model: str | None = None) -> int:
        """See `Ledger.unblock`."""
        with self._writing() as connection:
            if model is None:
                return connection.execute("DELETE FROM blocks").rowcount
            return connection.execute("DELETE FROM blocks WHERE model = ?", (clean(model),)).rowcount

    def set_plan_meter(self, meter: PlanMeter) -> None:
        """See `Ledger.set_plan_meter`."""
        accepted = accepted_meter(meter)
        query = (
            "INSERT INTO plan_meters VALUES (?, ?, ?, ?, ?) ON CONFLICT (provider, time_window) "
            "DO UPDATE SET used = excluded.used, resets = excluded.resets, at = excluded.at WHERE excluded.at >= at"
        )
        with self._writing() as connection:
            connection.execute(query, (accepted.provider, accepted.window, accepted.used, accepted.resets, accepted.at))

    def plan_meters(self) -> Sequence[PlanMeter]:
        """See `Ledger.plan_meters`."""
        query = "SELECT provider, time_window, used, resets, at FROM plan_meters ORDER BY provider, time_window"
        with self._reading() as connection:
            return [
                PlanMeter(provider=provider, window=window, used=used, resets=resets, at=at)
                for provider, window, used, resets, at in connection.execute(query)
            ]

    def import_records(self, project: str, source: str, records: Sequence[tuple[Attempt, Outcome]]) -> int:
        """See `Ledger.import_records`."""
        new = 0
        accepted = accepted_import(project, source, records)
        with self._writing() as connection:
            for attempt, outcome in accepted:
                attempt_id = _insert(connection, attempt, source)
                if attempt_id:
                    _settle(connection, attempt_id, outcome)
                    new += 1
        return new

    def close(self) -> None:
        """See `Ledger.close`; a second call does nothing."""
        with self._lock, self._database.explained():
            self._closed = True
            self._database.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """All queries inside see one state, whatever other processes write meanwhile."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All statements inside are committed together, or none is."""
        self._database.refuse_if_read_only()
        # IMMEDIATE: wait for the other writer now, while nothing was read yet that could be out of date afterwards.
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self._database.connection
        with self._lock, self._database.explained():
            if self._closed:
                raise LedgerError(f"the ledger {self.path} is closed")
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                roll_back(connection)
                raise


def _of_project(project: str | None, word: str) -> tuple[str, tuple[str, ...]]:
    """The condition that leaves one project's rows, and its values."""
    return ("", ()) if project is None else (f"{word} project = ?", (clean(project),))


def _insert(connection: sqlite3.Connection, attempt: Attempt, source: str) -> int:
    """The new attempt's id; 0 where it was imported before."""
    cursor = connection.execute(_BEGIN, (*attempt_values(attempt), source))
    return (cursor.lastrowid or 0) if cursor.rowcount else 0


def _settle(connection: sqlite3.Connection, attempt_id: int, outcome: Outcome) -> bool:
    """Whether there was such an attempt, still running."""
    return connection.execute(_SETTLE, (*outcome_values(outcome), attempt_id)).rowcount == 1
