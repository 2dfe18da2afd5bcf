"""What is asked about conversations, each inside a transaction that the caller holds."""

from collections.abc import Sequence
from typing import Final

from stepdown.ledger.connection import Connection
from stepdown.ledger.records import Conversation
from stepdown.ledger.rules import CONVERSATION_SECONDS, CONVERSATIONS

_PUT: Final = (
    "INSERT INTO conversations (project, id, at, state) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (project, id) DO UPDATE SET at = excluded.at, state = excluded.state"
)
_OLDEST: Final = (
    "DELETE FROM conversations WHERE (project, id) IN (SELECT project, id FROM conversations ORDER BY at, project, id LIMIT ?)"
)


def put(connection: Connection, states: Sequence[Conversation]) -> None:
    """See `Ledger.remember`; there is at least one, and of each conversation one."""
    connection.executemany(_PUT, ((one.project, one.id, one.at, one.state) for one in states))
    forget(connection, max(one.at for one in states) - CONVERSATION_SECONDS)
    (count,) = connection.execute("SELECT count(*) FROM conversations").fetchone()
    if count > CONVERSATIONS:
        connection.execute(_OLDEST, (count - CONVERSATIONS,))


def since(connection: Connection, moment: float) -> list[Conversation]:
    """See `Ledger.conversations`."""
    query = "SELECT project, id, at, state FROM conversations WHERE at >= ? ORDER BY at, project, id"
    return [
        Conversation(project=project, id=name, at=at, state=state)
        for project, name, at, state in connection.execute(query, (moment,))
    ]


def one(connection: Connection, project: str, name: str) -> Conversation | None:
    """See `Ledger.conversation`."""
    query = "SELECT at, state FROM conversations WHERE project = ? AND id = ?"
    row = connection.execute(query, (project, name)).fetchone()
    return None if row is None else Conversation(project=project, id=name, at=row[0], state=row[1])


def forget(connection: Connection, before: float) -> int:
    """See `Ledger.forget_conversations`."""
    return connection.execute("DELETE FROM conversations WHERE at < ?", (before,)).rowcount
