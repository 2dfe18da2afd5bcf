"""Evidence: what was learned, what the user said of it, what no longer counts. Inside the caller's transaction."""
# ruff: noqa: S608 - the only names put into SQL are this package's own column lists; every value is bound

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import Final

from stepdown.ledger.connection import Connection, streamed, together
from stepdown.ledger.records import Evidence, Rating
from stepdown.ledger.rows import (
    EVIDENCE,
    FORGOTTEN,
    RATING,
    event_of,
    evidence_values,
    forgotten_of,
    forgotten_values,
    rating_of,
)
from stepdown.ledger.rules import Forgotten, clean, counting, newest_evidence, rating_event
from stepdown.units import TIERS, Tier

_ADD: Final = f"INSERT INTO evidence ({EVIDENCE}) VALUES (?{', ?' * 8}) ON CONFLICT DO NOTHING"
# The next name is looked up in the index, for as long as there is one: DISTINCT would read every event.
_PATTERNS: Final = (
    "WITH RECURSIVE names (name) AS (SELECT min(pattern) FROM evidence UNION ALL "
    "SELECT (SELECT min(pattern) FROM evidence WHERE pattern > name) FROM names WHERE name IS NOT NULL) "
    "SELECT name FROM names WHERE name IS NOT NULL"
)
_ALL: Final = 2**62
"""More events than there are."""
_PROJECTS_SKIPPED: Final = 100
"""Projects whose forgotten events SQLite passes over; it refuses too long a condition, and `counting` sees to the others."""


def add(connection: Connection, events: Iterable[Evidence]) -> None:
    """See `Ledger.add_evidence`."""
    connection.executemany(_ADD, map(evidence_values, events))


def newest(
    connection: Connection, *, limit: int, rating_weight: float, with_forgotten: bool
) -> Mapping[str, Sequence[Evidence]]:
    """See `Ledger.evidence`."""
    forgotten = [] if with_forgotten else forgotten_marks(connection)
    names = [name for (name,) in connection.execute(_PATTERNS).fetchall()]
    covering = {name: [one for one in forgotten if one.covers_pattern(name)] for name in names}
    wanted = [(name, tier) for name in names for tier in TIERS]
    asked = [_newest_first(name, tier, covering[name], max(0, limit)) for name, tier in wanted]
    events: list[Evidence] = []
    for (name, tier), rows in zip(wanted, together(connection, asked), strict=True):
        counted = list(counting(map(event_of, rows), covering[name]))
        if len(counted) < len(rows) == limit:  # more projects have forgotten it than a question can name
            with closing(streamed(connection, *_newest_first(name, tier, covering[name], _ALL))) as every:
                counted = list(islice(counting(map(event_of, every), covering[name]), limit))
        events.extend(counted)
    return newest_evidence(events, ratings(connection), forgotten, limit=limit, rating_weight=rating_weight)


def forget(connection: Connection, said: Forgotten) -> int:
    """See `Ledger.forget`."""
    rated = (rating_event(rating, 1.0) for rating in ratings(connection))
    marks = forgotten_marks(connection)
    with closing(streamed(connection, f"SELECT {EVIDENCE} FROM evidence WHERE at <= ?", (said.at,))) as rows:
        covered = sum(said.covers(event) for event in counting(chain(map(event_of, rows), rated), marks))
    connection.execute(f"INSERT INTO forgotten ({FORGOTTEN}) VALUES (?, ?, ?)", forgotten_values(said))
    return covered


def ratings(connection: Connection, where: str = "", values: Sequence[object] = ()) -> list[Rating]:
    """The ratings that hold, the newest first."""
    query = f"SELECT {RATING} FROM ratings_that_hold {where} ORDER BY id DESC"
    return [rating_of(row) for row in connection.execute(query, values)]


def rating(connection: Connection, project: str, unit_type: str, unit_id: str) -> Rating | None:
    """See `Ledger.rating`."""
    query = f"SELECT {RATING} FROM ratings WHERE project = ? AND unit_type = ? AND unit_id = ? ORDER BY id DESC LIMIT 1"
    row = connection.execute(query, (clean(project), clean(unit_type), clean(unit_id))).fetchone()
    return None if row is None else rating_of(row)


def _newest_first(pattern: str, tier: Tier, forgotten: Sequence[Forgotten], limit: int) -> tuple[str, list[object]]:
    """Asks for events of a pattern at a tier without most of what is forgotten; the index skips what all projects forgot."""
    everywhere = max((one.at for one in forgotten if one.project is None), default=-1.0)
    where, values = "", list[object]([pattern, tier.value, everywhere])
    for one in [one for one in forgotten if one.project is not None and one.at > everywhere][:_PROJECTS_SKIPPED]:
        where += " AND NOT (project = ? AND at <= ?)"
        values += [one.project, one.at]
    order = "at DESC, project DESC, unit_id DESC, source DESC"
    query = f"SELECT {EVIDENCE} FROM evidence WHERE pattern = ? AND tier = ? AND at > ?{where} ORDER BY {order} LIMIT ?"
    return query, [*values, limit]


def forgotten_marks(connection: Connection) -> list[Forgotten]:
    """What no longer counts, each pattern and project once."""
    query = "SELECT pattern, project, max(at) FROM forgotten GROUP BY pattern, project"
    return [forgotten_of(row) for row in connection.execute(query)]
