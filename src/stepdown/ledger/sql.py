"""A `Ledger` in tables, whoever keeps them: what is asked and said in SQL that SQLite and PostgreSQL both understand."""
# ruff: noqa: S608 - the only names put into SQL are this package's own column lists; every value is bound

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Self

import msgspec

from stepdown.ledger import accounts, attempts, conversations, evidence, holds, people, units
from stepdown.ledger.connection import Connection
from stepdown.ledger.records import (
    Account,
    Act,
    Attempt,
    Block,
    Cap,
    Conversation,
    Evidence,
    Expectation,
    Hold,
    Key,
    Line,
    Outcome,
    PlanMeter,
    Rating,
    Record,
    Scope,
    Spent,
    Use,
)
from stepdown.ledger.rows import (
    LINE,
    RATING,
    line_of,
    rating_values,
    tokens_of,
)
from stepdown.ledger.rules import (
    accepted_attempt,
    accepted_block,
    accepted_conversations,
    accepted_evidence,
    accepted_forgotten,
    accepted_import,
    accepted_meter,
    accepted_outcome,
    accepted_rating,
    accepted_use,
    check_group,
    check_time,
    clean,
    free_of,
    granted,
    measured,
)

_BLOCK: Final = (
    "INSERT INTO blocks VALUES (?, ?, ?) ON CONFLICT (model) DO UPDATE SET reason = excluded.reason, until = excluded.until"
)


class SqlLedger(abc.ABC):
    """All of a `Ledger` but its transactions."""

    @abc.abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction: all queries inside see one state, whatever other processes write meanwhile."""

    @abc.abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction: all statements inside are committed, or none is; nobody else writes meanwhile."""

    @abc.abstractmethod
    def batch(self) -> AbstractContextManager[None]:
        """See `Ledger.batch`."""

    @abc.abstractmethod
    def one_state(self) -> AbstractContextManager[None]:
        """See `Ledger.one_state`."""

    @abc.abstractmethod
    def stamp(self) -> int:
        """See `Ledger.stamp`."""

    @abc.abstractmethod
    def count_on(self, connection: Connection, table: str) -> None:
        """Have the next row of a table numbered after those that were put into it with their numbers."""

    @abc.abstractmethod
    def close(self) -> None:
        """See `Ledger.close`; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def begin(self, attempt: Attempt, *, caps: Sequence[Cap] = ()) -> int:
        """See `Ledger.begin`."""
        accepted = accepted_attempt(attempt)
        with self.writing() as connection:
            attempts.check_caps(connection, accepted, caps)
            return attempts.insert(connection, accepted, "run")

    def note_use(self, attempt_id: int, use: Use) -> None:
        """See `Ledger.note_use`."""
        accepted = accepted_use(use)
        with self.writing() as connection:
            attempts.note_use(connection, attempt_id, accepted)

    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        """See `Ledger.settle`."""
        accepted = accepted_outcome(outcome)
        with self.writing() as connection:
            attempts.settle(connection, attempt_id, accepted)

    def records(self, project: str | None = None, *, limit: int | None = None) -> Sequence[Record]:
        """See `Ledger.records`."""
        with self.reading() as connection:
            return attempts.newest(connection, project, limit)

    def unfinished(self, project: str | None = None) -> Sequence[Record]:
        """See `Ledger.unfinished`."""
        with self.reading() as connection:
            return attempts.unfinished(connection, project)

    def of_unit(self, project: str, unit_id: str) -> Sequence[Record]:
        """See `Ledger.of_unit`."""
        with self.reading() as connection:
            return attempts.of_unit(connection, project, unit_id)

    def recent_use(self, pattern: str, *, limit: int = 200) -> Sequence[Use]:
        """See `Ledger.recent_use`."""
        with self.reading() as connection:
            return attempts.recent_use(connection, pattern, limit)

    def newest_of_patterns(self, project: str, *, unit_type: str = "", units: int = 50) -> Sequence[Record]:
        """See `Ledger.newest_of_patterns`."""
        with self.reading() as connection:
            records = attempts.newest_of_patterns(connection, project, unit_type, units)
            forgotten = evidence.forgotten_marks(connection)
        return [record for record in records if not any(one.covers_attempt(record.attempt) for one in forgotten)]

    def spent(
        self, project: str | None = None, *, since: float = 0.0, person: str | None = None, model: str | None = None
    ) -> Spent:
        """See `Ledger.spent`."""
        with self.reading() as connection:
            return attempts.spent(connection, Scope(project=project, person=person, model=model), since)

    def set_aside(self, holder: str, more: Sequence[Hold], caps: Sequence[Cap]) -> Sequence[float]:
        """See `Ledger.set_aside`."""
        with self.writing() as connection:
            return [self._set_aside(connection, holder, one, caps) for one in more]

    def _set_aside(self, connection: Connection, holder: str, more: Hold, caps: Sequence[Cap]) -> float:
        of = [cap for cap in caps if (cap.scope, cap.measure) == (more.scope, more.measure)]
        own, held = holds.amounts(connection, holder, more)
        left = [free_of(cap, measured(attempts.spent(connection, cap.scope, cap.since), cap.measure), held) for cap in of]
        amount = granted(more, left, held - own)
        if amount > 0:
            holds.put(connection, holder, [msgspec.structs.replace(more, amount=own + amount)])
        return amount

    def hold(self, holder: str, holds_: Sequence[Hold]) -> None:
        """See `Ledger.hold`."""
        with self.writing() as connection:
            holds.put(connection, holder, holds_)

    def there(self, gateway: str) -> None:
        """See `Ledger.there`."""
        with self.writing() as connection:
            holds.there(connection, clean(gateway))

    def gateways(self) -> frozenset[str]:
        """See `Ledger.gateways`."""
        with self.reading() as connection:
            return holds.gateways(connection)

    def now(self) -> float:
        """See `Ledger.now`."""
        with self.reading() as connection:
            (now,) = connection.execute("SELECT now FROM ledger_clock").fetchone()
            return float(now)

    def put_key(self, key: Key) -> None:
        """See `Ledger.put_key`."""
        with self.writing() as connection:
            people.put(connection, key)

    def keys(self) -> Sequence[Key]:
        """See `Ledger.keys`."""
        with self.reading() as connection:
            return people.every(connection)

    def saw(self, name: str, at: float) -> None:
        """See `Ledger.saw`."""
        check_time("at", at)
        with self.writing() as connection:
            people.saw(connection, name, at)

    def note_act(self, act: Act) -> None:
        """See `Ledger.note_act`."""
        check_time("at", act.at)
        with self.writing() as connection:
            people.note(connection, act)

    def acts(self, *, limit: int | None = None, before: int | None = None) -> Sequence[Act]:
        """See `Ledger.acts`."""
        with self.reading() as connection:
            return people.acts(connection, limit, before)

    def breakdown(self, by: str, project: str | None = None) -> Sequence[Line]:
        """See `Ledger.breakdown`."""
        check_group(by)
        also, values = attempts.of_project(project, "AND")
        # Every way of grouping holds every attempt, so any of them can be added up by project.
        way, key = ("tier", "project") if by == "project" else (by, "key")
        query = f"SELECT {key}, {LINE} FROM sums WHERE grouped_by = ? {also} GROUP BY {key}"
        with self.reading() as connection:
            lines = [line_of(row[0], row[1:]) for row in connection.execute(query, (way, *values))]
        return sorted(lines, key=lambda line: (-line.usd, line.key))

    def accounts(self, project: str | None = None, *, since: float = 0.0, daily: bool = False) -> Sequence[Account]:
        """See `Ledger.accounts`."""
        with self.reading() as connection:
            return accounts.read(connection, project, since, daily=daily)

    def projects(self) -> Sequence[str]:
        """See `Ledger.projects`."""
        with self.reading() as connection:
            return accounts.projects(connection)

    def units(
        self,
        project: str,
        *,
        limit: int = 50,
        before: tuple[float, int] | None = None,
        id_starts: str = "",
        failed: bool = False,
    ) -> Sequence[Sequence[Record]]:
        """See `Ledger.units`."""
        with self.reading() as connection:
            return units.newest(connection, project, limit=limit, before=before, id_starts=id_starts, failed=failed)

    def every_unit(self, project: str | None = None) -> Iterator[Sequence[Record]]:
        """See `Ledger.every_unit`."""
        with self.reading() as connection:
            yield from units.every(connection, project)

    def expectations(self) -> Mapping[tuple[str, str], Expectation]:
        """See `Ledger.expectations`."""
        query = "SELECT unit_type, model, units, input, output, cache_read, cache_write, requests, counted FROM usage"
        with self.reading() as connection:
            rows = connection.execute(query).fetchall()
        return {
            (unit_type, model): Expectation(
                tokens=tokens_of(used).scaled(1 / units), requests=requests / counted if counted else None, units=units
            )
            for unit_type, model, units, *used, requests, counted in rows
        }

    def add_evidence(self, events: Sequence[Evidence]) -> None:
        """See `Ledger.add_evidence`."""
        accepted = [accepted_evidence(event) for event in events]
        with self.writing() as connection:
            evidence.add(connection, accepted)

    def evidence(
        self, *, limit: int = 50, rating_weight: float = 2.0, with_forgotten: bool = False
    ) -> Mapping[str, Sequence[Evidence]]:
        """See `Ledger.evidence`."""
        with self.reading() as connection:
            return evidence.newest(connection, limit=limit, rating_weight=rating_weight, with_forgotten=with_forgotten)

    def forget(self, pattern: str | None, at: float, *, project: str | None = None) -> int:
        """See `Ledger.forget`."""
        said = accepted_forgotten(pattern, project, at)
        with self.writing() as connection:
            return evidence.forget(connection, said)

    def rate(self, rating: Rating) -> None:
        """See `Ledger.rate`."""
        values = rating_values(accepted_rating(rating))
        with self.writing() as connection:
            connection.execute(f"INSERT INTO ratings ({RATING}) VALUES (?{', ?' * 7})", values)

    def ratings(self, project: str | None = None) -> Sequence[Rating]:
        """See `Ledger.ratings`."""
        where, values = attempts.of_project(project, "WHERE")
        with self.reading() as connection:
            return evidence.ratings(connection, where, values)

    def rating(self, project: str, unit_type: str, unit_id: str) -> Rating | None:
        """See `Ledger.rating`."""
        with self.reading() as connection:
            return evidence.rating(connection, project, unit_type, unit_id)

    def consent(self, project: str, what: str, at: float) -> None:
        """See `Ledger.consent`."""
        check_time("at", at)
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO consents VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (clean(project), clean(what), at)
            )

    def consents(self, project: str) -> frozenset[str]:
        """See `Ledger.consents`."""
        with self.reading() as connection:
            rows = connection.execute("SELECT what FROM consents WHERE project = ?", (clean(project),))
            return frozenset(what for (what,) in rows)

    def first_time(self, key: str, at: float) -> bool:
        """See `Ledger.first_time`."""
        check_time("at", at)
        with self.writing() as connection:
            return connection.execute("INSERT INTO said VALUES (?, ?) ON CONFLICT DO NOTHING", (clean(key), at)).rowcount == 1

    def block(self, block: Block) -> None:
        """See `Ledger.block`."""
        accepted = accepted_block(block)
        with self.writing() as connection:
            connection.execute(_BLOCK, (accepted.model, accepted.reason, accepted.until))

    def blocks(self, now: float) -> Sequence[Block]:
        """See `Ledger.blocks`."""
        query = "SELECT model, reason, until FROM blocks WHERE until > ? ORDER BY model"
        with self.reading() as connection:
            return [
                Block(model=model, reason=reason, until=until) for model, reason, until in connection.execute(query, (now,))
            ]

    def unblock(self, model: str | None = None) -> int:
        """See `Ledger.unblock`."""
        with self.writing() as connection:
            if model is None:
                return connection.execute("DELETE FROM blocks").rowcount
            return connection.execute("DELETE FROM blocks WHERE model = ?", (clean(model),)).rowcount

    def set_plan_meter(self, meter: PlanMeter) -> None:
        """See `Ledger.set_plan_meter`."""
        accepted = accepted_meter(meter)
        query = (
            "INSERT INTO plan_meters VALUES (?, ?, ?, ?, ?) ON CONFLICT (provider, time_window) "
            "DO UPDATE SET used = excluded.used, resets = excluded.resets, at = excluded.at WHERE excluded.at >= plan_meters.at"
        )
        with self.writing() as connection:
            connection.execute(query, (accepted.provider, accepted.window, accepted.used, accepted.resets, accepted.at))

    def plan_meters(self) -> Sequence[PlanMeter]:
        """See `Ledger.plan_meters`."""
        query = "SELECT provider, time_window, used, resets, at FROM plan_meters ORDER BY provider, time_window"
        with self.reading() as connection:
            return [
                PlanMeter(provider=provider, window=window, used=used, resets=resets, at=at)
                for provider, window, used, resets, at in connection.execute(query)
            ]

    def remember(self, states: Iterable[Conversation]) -> None:
        """See `Ledger.remember`."""
        accepted = accepted_conversations(states)
        if accepted:
            with self.writing() as connection:
                conversations.put(connection, list(accepted.values()))

    def conversations(self, since: float) -> Sequence[Conversation]:
        """See `Ledger.conversations`."""
        with self.reading() as connection:
            return conversations.since(connection, since)

    def conversation(self, project: str, name: str) -> Conversation | None:
        """See `Ledger.conversation`."""
        with self.reading() as connection:
            return conversations.one(connection, clean(project), clean(name))

    def forget_conversations(self, before: float) -> int:
        """See `Ledger.forget_conversations`."""
        with self.writing() as connection:
            return conversations.forget(connection, before)

    def import_records(self, project: str, source: str, records: Sequence[tuple[Attempt, Outcome]]) -> int:
        """See `Ledger.import_records`."""
        new = 0
        accepted = accepted_import(project, source, records)
        with self.writing() as connection:
            for attempt, outcome in accepted:
                attempt_id = attempts.insert(connection, attempt, source)
                if attempt_id:
                    attempts.settle(connection, attempt_id, outcome)
                    new += 1
        return new
