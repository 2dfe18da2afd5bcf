"""What is kept of people and of what administrators did, each inside a transaction that the caller holds."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stepdown.ledger.connection import Connection
from stepdown.ledger.records import Act, Allowance, Key, Person
from stepdown.ledger.rules import clean

_KEY: Final = "name, digest, page, settings, created, expires, revoked, seen"
_PUT: Final = (
    "INSERT INTO people (name, digest, page, settings, created, expires, revoked, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, page = excluded.page, settings = excluded.settings, "
    "created = excluded.created, expires = excluded.expires, revoked = excluded.revoked, seen = excluded.seen"
)
_ALL: Final = 2**62
"""More rows than there are."""


class _Settings(msgspec.Struct, omit_defaults=True):
    """What of a person is kept as JSON."""

    role: str = "member"
    projects: tuple[str, ...] = ()
    budgets: tuple[Allowance, ...] = ()
    ceiling: str = ""
    mode: str = ""
    models: tuple[str, ...] = ()


def put(connection: Connection, key: Key) -> None:
    """See `Ledger.put_key`."""
    person = key.person
    settings = _Settings(**{name: getattr(person, name) for name in _Settings.__struct_fields__})
    said = clean(msgspec.json.encode(settings).decode())
    times = (person.created, person.expires, person.revoked, person.seen)
    connection.execute(_PUT, (clean(person.name), key.digest, key.page, said, *times))


def every(connection: Connection) -> list[Key]:
    """See `Ledger.keys`."""
    return [_key(row) for row in connection.execute(f"SELECT {_KEY} FROM people ORDER BY name").fetchall()]  # noqa: S608  (columns of ours)


def saw(connection: Connection, name: str, at: float) -> None:
    """See `Ledger.saw`."""
    connection.execute("UPDATE people SET seen = ?1 WHERE name = ?2 AND (seen IS NULL OR seen < ?1)", (at, clean(name)))


def note(connection: Connection, act: Act) -> None:
    """See `Ledger.note_act`."""
    said = (act.at, clean(act.who), clean(act.act), clean(act.what))
    connection.execute("INSERT INTO acts (at, who, act, what) VALUES (?, ?, ?, ?)", said)


def acts(connection: Connection, limit: int | None, before: int | None) -> Sequence[Act]:
    """See `Ledger.acts`."""
    query = "SELECT id, at, who, act, what FROM acts WHERE id < ? ORDER BY id DESC LIMIT ?"
    rows = connection.execute(query, (_ALL if before is None else before, _ALL if limit is None else max(0, limit)))
    return [Act(id=number, at=at, who=who, act=act, what=what) for number, at, who, act, what in rows]


def _key(row: Sequence[object]) -> Key:
    name, digest, page, settings, created, expires, revoked, seen = row
    said = msgspec.json.decode(str(settings), type=_Settings)
    kept = {field: getattr(said, field) for field in _Settings.__struct_fields__}
    times = {"created": created, "expires": expires, "revoked": revoked, "seen": seen}
    return Key(person=msgspec.convert({"name": name, **kept, **times}, Person), digest=str(digest), page=str(page))
