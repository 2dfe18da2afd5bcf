"""What the ledger's questions are asked of: SQLite's own connection, or one to PostgreSQL that understands the same words.

The SQL is what both understand. Values stand as ``?``, or as ``?1`` where one is used twice. ``total`` is a sum that is 0.0
over nothing; PostgreSQL is given it by our schema. ``INDEXED BY`` is for SQLite, and nothing to PostgreSQL.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

Row = Sequence[Any]


class Cursor(Protocol):
    """An answer."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    @property
    def description(self) -> Any:
        """The columns, each by its name first."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None:
        """Read no further."""
        ...


class Connection(Protocol):
    """One connection, in a transaction that its caller holds."""

    def execute(self, query: str, values: Sequence[object] = (), /) -> Cursor:
        """Ask."""
        ...

    def executemany(self, query: str, values: Iterable[Sequence[object]], /) -> Cursor:
        """Say the same of many."""
        ...


def streamed(connection: Connection, query: str, values: Sequence[object] = ()) -> Cursor:
    """An answer that may be long, and is read row by row; whoever stops early closes it."""
    stream = getattr(connection, "stream", connection.execute)
    answer: Cursor = stream(query, values)
    return answer
