"""One ledger's contents into another: every row as it is, with the same numbers, counted and added up on both sides."""
# ruff: noqa: S608 - the only names put into SQL are this module's own tables and the columns they have

from collections.abc import Mapping
from contextlib import closing
from typing import Final

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger.connection import Connection, streamed
from stepdown.ledger.sql import SqlLedger

TABLES: Final = {
    "attempts": "input + output + cache_read + cache_write",
    "sums": "usd",
    "usage": "input + output + cache_read + cache_write",
    "accounts": "usd",
    "evidence": "weight",
    "forgotten": "at",
    "ratings": "at",
    "consents": "at",
    "said": "at",
    "blocks": "until",
    "plan_meters": "used",
    "conversations": "at",
    "spending": "usd",
    "people": "created",
    "acts": "at",
}
"""Every table but `gateways` and `holds`, nobody's in a copy: in the order of copying, with what is summed of each."""
_COUNTING: Final = ("forgotten", "ratings", "acts")
"""Tables whose rows the database numbers itself."""
_AT_ONCE: Final = 1_000
"""Rows that are said together."""
_MONEY: Final = "total(cost_usd), total(ceiling_cost_usd), total(so_far_usd)"


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What was copied.

    Attributes:
        rows: how many of each table.
        tokens: of all finished attempts.
        usd: US dollars of all finished attempts whose cost is known.
    """

    rows: Mapping[str, int]
    tokens: int
    usd: float


def copy(source: SqlLedger, target: SqlLedger) -> Copied:
    """Copy everything, in one transaction: all of it arrives, or nothing.

    Raises:
        LedgerError: `target` is not empty, is not the same schema, or does not add up to the same in the end.
    """
    with source.reading() as given, target.writing() as taken:
        for table in TABLES:
            (number,) = taken.execute(f"SELECT count(*) FROM {table}").fetchone()
            if number:
                raise LedgerError(f"the ledger to copy to is not empty ({number} rows in {table}): name a new one")
        for table in TABLES:
            _copy_table(given, taken, table)
        for table in _COUNTING:
            target.count_on(taken, table)
        before, after = _sums(given), _sums(taken)
        for table, said in before.items():
            if not _equal(said, after[table]):
                raise LedgerError(f"the copy does not add up ({table}: {said} became {after[table]}): nothing was copied")
        _, usd, *_ = before["money"]
        return Copied(
            rows={table: int(before[table][0]) for table in TABLES}, tokens=int(before["attempts"][1]), usd=float(usd)
        )


def _copy_table(given: Connection, taken: Connection, table: str) -> None:
    columns = _columns(given, table)
    theirs = _columns(taken, table)
    if set(columns) != set(theirs):
        odd = ", ".join(sorted(set(columns) ^ set(theirs)))
        raise LedgerError(f"the two ledgers are of different schemas ({table}: {odd}): run stepdown migrate on both")
    names = ", ".join(columns)
    insert = f"INSERT INTO {table} ({names}) VALUES (?{', ?' * (len(columns) - 1)})"
    with closing(streamed(given, f"SELECT {names} FROM {table}")) as rows:
        waiting = []
        for row in rows:
            waiting.append(tuple(row))
            if len(waiting) == _AT_ONCE:
                taken.executemany(insert, waiting)
                waiting.clear()
        if waiting:
            taken.executemany(insert, waiting)


def _columns(connection: Connection, table: str) -> list[str]:
    with closing(connection.execute(f"SELECT * FROM {table} LIMIT 0")) as cursor:
        return [column[0] for column in cursor.description or ()]


def _sums(connection: Connection) -> dict[str, tuple[float, ...]]:
    said = {
        table: tuple(connection.execute(f"SELECT count(*), coalesce(sum({amount}), 0) FROM {table}").fetchone())
        for table, amount in TABLES.items()
    }
    said["money"] = (0.0, *connection.execute(f"SELECT {_MONEY} FROM attempts").fetchone())
    return said


def _equal(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Sums of floating-point numbers depend on their order in the last digits; counts, and whole numbers, do not."""
    return all(abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b)) for a, b in zip(one, other, strict=True))
