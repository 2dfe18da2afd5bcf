"""A unit of the ledger, found by the name that a user gives it."""

from collections.abc import Sequence

from stepdown.errors import UsageError
from stepdown.ledger import Ledger, Record
from stepdown.ledger.port import GATEWAY

_LOOKED_AT = 500
"""Attempts among which the last unit, or the nearest name, is looked for."""
_STOPPED = ("cancelled", "budget")


def attempts_at(ledger: Ledger, project: str, name: str) -> Sequence[Record]:
    """Every attempt of the one unit that is called `name`, the oldest first.

    Args:
        ledger: where to look.
        project: whose units.
        name: an id, or ``type id``. An id that a unit shares with the hooks that followed it is the unit's.

    Raises:
        UsageError: no unit, or several, are called so.
    """
    found = list(ledger.of_unit(project, name))
    if not found:
        unit_type, _, unit_id = name.partition(" ")
        found = [record for record in ledger.of_unit(project, unit_id.strip()) if record.attempt.unit_type == unit_type]
    types = list(dict.fromkeys(record.attempt.unit_type for record in found))
    meant = [unit_type for unit_type in types if not unit_type.startswith("hook/")] or types
    if not meant:
        raise UsageError(_unknown(ledger, project, name))
    if len(meant) > 1:
        full = [f"{unit_type} {found[0].attempt.unit_id}" for unit_type in meant]
        raise UsageError(f"'{name}' is the id of several units: write {', '.join(full[:-1])} or {full[-1]}")
    return [record for record in found if record.attempt.unit_type == meant[0]]


def last_finished(ledger: Ledger, project: str) -> Sequence[Record]:
    """Every attempt of the unit that was finished last, the oldest first.

    One that a gateway has open counts as well: it waits for more, and the user's word is what ends it. A hook or a sub-agent is
    nobody's last unit.

    Raises:
        UsageError: there is none.
    """
    ran = [record for record in ledger.records(project, limit=_LOOKED_AT) if record.source == "run"]
    ended = [
        record
        for record in ran
        if (is_finished(record) or is_open(record)) and not record.attempt.unit_type.startswith(("hook/", "subagent/"))
    ]
    if not ended:
        raise UsageError(f"no finished unit of {project} is in the ledger; `stepdown run` and `stepdown serve` make them")
    last = max(ended, key=lambda record: (_when(record), record.id)).attempt
    return [record for record in ledger.of_unit(project, last.unit_id) if record.attempt.unit_type == last.unit_type]


def _when(record: Record) -> float:
    return record.outcome.finished if record.outcome else record.attempt.started


def is_open(record: Record) -> bool:
    """Whether a gateway has it open, for all that its unit may still ask."""
    return record.outcome is None and record.attempt.agent == GATEWAY


def is_finished(record: Record) -> bool:
    """Whether the attempt came to its own end, good or bad: it does not run any more and was not stopped."""
    return record.outcome is not None and record.outcome.failure not in _STOPPED


def unknown_project(project: str) -> str:
    """What is said of a project that nothing is known of."""
    return f"nothing of {project} is in the ledger; `stepdown run` makes records, `stepdown report` reads a project's past"


def _unknown(ledger: Ledger, project: str, name: str) -> str:
    import difflib  # noqa: PLC0415  (only for a mistyped name)

    known = [record.attempt for record in ledger.records(project, limit=_LOOKED_AT)]
    if not known:
        return unknown_project(project)
    names = dict.fromkeys(name for one in known for name in (one.unit_id, f"{one.unit_type} {one.unit_id}"))
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; the last one is {known[0].unit_type} {known[0].unit_id}"
    return f"no unit called '{name}' is in the ledger for {project}{hint}"
