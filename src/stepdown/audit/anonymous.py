"""An audit that can be shown to others: numbers, and the names that are everybody's. Pure but for reading the catalogue.

Names are replaced, not left out, so that what belongs together still does: ``project 1`` is the same in every table.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from stepdown import asks
from stepdown.audit.records import Audit, Day, Line, Place, Projection, TopUnit, Trouble
from stepdown.catalog import Catalog
from stepdown.units import KNOWN_TYPES

PUBLIC_TYPES: Final = frozenset(
    {
        *KNOWN_TYPES,
        *("discuss-milestone", "discuss-slice"),
        *(asks.TITLE, asks.COMMIT, asks.COMPACTION, asks.MEMORY),
        *("subagent/Explore", "subagent/Plan", "subagent/general-purpose", "subagent/statusline-setup"),
        *("subagent/explore", "subagent/general", "subagent/review", "subagent/any", "hook/review", "hook/topic"),
    }
)
"""Kinds of units that come with the agents or with stepdown. Any other was named by its user, perhaps after what it is for."""

_SHORTEST: Final = 3
"""A name of fewer characters says nothing, and stands in too many words to be looked for in sentences."""
_CUT: Final = "…"
_PATH: Final = re.compile(r"[(\[{<'\"`“«=]*(?:~[^\s$\d]*[\\/]|[A-Za-z]:[\\/]|[\\/]\S|\.{1,2}[\\/])")
"""How a word begins that is a path."""
_LIKE_PATH: Final = re.compile(r"['“«]|\S*(?:[\\/\"`]|=')")
"""The same, where no other use of slashes and quotation marks is expected."""
_PLAIN: Final = re.compile(r"(?:input/output|read/write|and/or|'[\w+-]+')[.,:;]?", re.IGNORECASE)
"""What is no path all the same: the first stands in an operating system's messages, the last is a word of a log."""
_NOBODYS: Final = frozenset({"", "unknown"})
"""What stands for no name."""


def anonymous(audit: Audit, catalog: Catalog | None = None) -> Audit:
    """The audit without the names of projects, paths, units, and of models and kinds of sub-agents that are its user's own.

    Args:
        audit: what was found.
        catalog: whose models are no secret; None is the catalogue that ships with stepdown. One with a user's own entries
            would give their names away.

    Raises:
        CatalogError: the shipped catalogue is broken.
    """
    if audit.anonymous:
        return audit
    names = _Names(audit, catalog or Catalog.load())
    return msgspec.structs.replace(
        audit,
        anonymous=True,
        project=names.project(audit.project),
        places=tuple(_place(place, names) for place in audit.places),
        days=tuple(_day(day, names) for day in audit.days),
        models=_lines(audit.models, names.model),
        projects=_lines(audit.projects, names.project),
        types=_lines(audit.types, names.type),
        top=tuple(_top(unit, names) for unit in audit.top),
        routing=tuple(_projection(projection, names) for projection in audit.routing),
        checks=tuple(msgspec.structs.replace(check, notes=tuple(map(names.sentence, check.notes))) for check in audit.checks),
        troubles=_troubles(audit.troubles, names),
        unknown_models=_lines(audit.unknown_models, names.model),
        assumptions=tuple(map(names.sentence, audit.assumptions)),
    )


class _Names:
    """What each name becomes. Numbers go by money, the dearest first, then by where a name first appears."""

    def __init__(self, audit: Audit, catalog: Catalog) -> None:
        self._projects = _numbered("project", _projects(audit))
        self._models = _numbered("model", (name for name in _models(audit) if catalog.resolve(name) is None))
        kinds = _numbered("kind", (name for name in _types(audit) if name not in PUBLIC_TYPES))
        self._types = {name: _family(name) + kind for name, kind in kinds.items()}
        secrets = {**self._types, **self._models, **self._projects}
        secrets |= {path: _CUT for place in audit.places if (path := place.path)}
        secrets |= {unit.id: _CUT for unit in audit.top}
        # The longest first: a project's directory lies in another's.
        self._secrets = {name: secrets[name] for name in sorted(secrets, key=len, reverse=True) if len(name) >= _SHORTEST}
        self._pattern = re.compile("|".join(map(re.escape, self._secrets)) or r"(?!)")

    def project(self, name: str) -> str:
        return self._projects.get(name, name)

    def model(self, name: str) -> str:
        return self._models.get(name, name)

    def type(self, name: str) -> str:
        return self._types.get(name, name)

    def sentence(self, text: str) -> str:
        """A sentence of ours without names; it ends where a path begins, as nobody knows where a path ends."""
        return _until(self._without(text), lambda word: _PATH.match(word) is not None)

    def foreign(self, text: str) -> str:
        """Words that may be an operating system's or a log's: they end where anything begins that looks like a path."""
        return _until(self._without(text), lambda word: _LIKE_PATH.match(word) is not None and not _PLAIN.fullmatch(word))

    def _without(self, text: str) -> str:
        return self._pattern.sub(lambda match: self._secrets[match[0]], text)


def _numbered(word: str, names: Iterable[str]) -> dict[str, str]:
    """``project 1``, ``project 2`` ... in the order in which the names come first; no name stays none."""
    own = [name for name in dict.fromkeys(names) if name not in _NOBODYS]
    return {name: f"{word} {number}" for number, name in enumerate(own, start=1)}


def _family(unit_type: str) -> str:
    """What routing goes by and is no secret: ``subagent/``, ``hook/``, ``discuss-``."""
    return next((family for family in ("subagent/", "hook/", "discuss-") if unit_type.startswith(family)), "")


def _by_money(lines: Iterable[Line]) -> Iterator[str]:
    return (line.key for line in sorted(lines, key=lambda line: -line.usd))


def _projects(audit: Audit) -> Iterator[str]:
    yield from _by_money(audit.projects)
    yield from (unit.project for unit in audit.top)
    yield audit.project


def _models(audit: Audit) -> Iterator[str]:
    yield from _by_money(audit.models)
    yield from (line.key for line in audit.unknown_models)
    yield from (line.key for day in audit.days for line in day.models)
    yield from (name for unit in audit.top for name in (unit.model, unit.routed))
    yield from (name for projection in audit.routing for move in projection.moves for name in (move.before, move.after))


def _types(audit: Audit) -> Iterator[str]:
    yield from _by_money(audit.types)
    yield from (unit.type for unit in audit.top)
    yield from (move.type for projection in audit.routing for move in projection.moves)


def _lines(lines: tuple[Line, ...], named: Callable[[str], str]) -> tuple[Line, ...]:
    return tuple(msgspec.structs.replace(line, key=named(line.key)) for line in lines)


def _place(place: Place, names: _Names) -> Place:
    return msgspec.structs.replace(place, path="", error=names.foreign(place.error))


def _day(day: Day, names: _Names) -> Day:
    return msgspec.structs.replace(day, models=_lines(day.models, names.model))


def _top(unit: TopUnit, names: _Names) -> TopUnit:
    return msgspec.structs.replace(
        unit,
        project=names.project(unit.project),
        id="",
        type=names.type(unit.type),
        model=names.model(unit.model),
        routed=names.model(unit.routed),
    )


def _projection(projection: Projection, names: _Names) -> Projection:
    moves = tuple(
        msgspec.structs.replace(
            move, type=names.type(move.type), before=names.model(move.before), after=names.model(move.after)
        )
        for move in projection.moves
    )
    kept = tuple(msgspec.structs.replace(kept, why=names.sentence(kept.why)) for kept in projection.kept)
    return msgspec.structs.replace(projection, moves=moves, kept=kept)


def _troubles(troubles: Iterable[Trouble], names: _Names) -> tuple[Trouble, ...]:
    """What differed only in a name is one kind now."""
    counts: dict[str, int] = {}
    for trouble in troubles:
        what = names.foreign(trouble.what)
        counts[what] = counts.get(what, 0) + trouble.count
    return tuple(Trouble(what=what, count=counts[what]) for what in sorted(counts, key=lambda what: -counts[what]))


def _until(text: str, ends: Callable[[str], bool]) -> str:
    """The words before the first that ends them, and ``…`` in place of the rest."""
    for word in re.finditer(r"\S+", text):
        if ends(word[0]):
            return f"{text[: word.start()]}{_CUT}"
    return text
