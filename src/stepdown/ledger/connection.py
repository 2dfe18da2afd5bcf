"""What the ledger's questions are asked of: SQLite's own connection, or one to PostgreSQL that understands the same words.

The SQL is what both understand. Values stand as ``?``, or as ``?1`` where one is used twice. ``total`` is a sum that is 0.0
over nothing; PostgreSQL is given it by our schema. ``INDEXED BY`` is for SQLite, and nothing to PostgreSQL.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

Row = Sequence[Any]

_TOGETHER: Final = 50
"""Questions that are asked at once."""


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


def together(connection: Connection, questions: Sequence[tuple[str, Sequence[object]]]) -> list[list[Row]]:
    """What each of the questions is answered, in as few round trips as can be.

    They ask for the same columns, each for a bounded number of rows.
    """
    answers: list[list[Row]] = [[] for _ in questions]
    for start in range(0, len(questions), _TOGETHER):
        part = questions[start : start + _TOGETHER]
        query = " UNION ALL ".join(
            f"SELECT {number} AS part, q{number}.* FROM ({text}) AS q{number}"  # noqa: S608 - questions of this package
            for number, (text, _) in enumerate(part)
        )
        values = [value for _, said in part for value in said]
        for number, *row in connection.execute(query, values).fetchall():
            answers[start + number].append(row)
    return answers
