"""What a project did before stepdown: GSD's ``metrics.json`` and ``routing-history.json``, read once into the ledger."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger.gsd_json import SOURCE, is_amount, is_count, read_document, word
from stepdown.ledger.history import FILE, History, read_routing_history, take_over
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Attempt, Outcome
from stepdown.ledger.rules import LAST_SECOND
from stepdown.units import TIERS, Tokens

_Read = TypeVar("_Read")


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a ``metrics.json`` says.

    Attributes:
        records: one attempt per unit; GSD records finished units only, and whether they were right it does not say.
        skipped: units left out because something in them is missing or impossible.
        unpriced: units kept whose cost is unknown.
    """

    records: tuple[tuple[Attempt, Outcome], ...] = ()
    skipped: int = 0
    unpriced: int = 0


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did.

    Attributes:
        units: attempts that are new in the ledger.
        evidence: events read from the routing history.
        skipped: units and counts that were left out.
        notes: one sentence each, for the screen.
    """

    units: int = 0
    evidence: int = 0
    skipped: int = 0
    notes: tuple[str, ...] = ()


def import_project(ledger: Ledger, gsd_dir: Path, project: str, resolve: Callable[[str], str] = str) -> ImportResult:
    """Read a project's past into the ledger. Calling it again adds only what is new (`take_over` says what of a history is).

    A file that cannot be read becomes a note: it must not keep anyone from the report on everything else.

    Args:
        ledger: where to.
        gsd_dir: the project's ``.gsd`` directory.
        project: the plan's `PlanSource.project`.
        resolve: gives a model's provider-qualified name, or the name as it is where the model is unknown.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    notes: list[str] = []
    metrics = _read_or_note(
        lambda path: read_metrics(path, resolve=resolve), gsd_dir / "metrics.json", empty=Metrics(), notes=notes
    )
    history = _read_or_note(read_routing_history, gsd_dir / FILE, empty=History(), notes=notes)
    units = ledger.import_records(project, SOURCE, metrics.records) if metrics.records else 0
    events = take_over(ledger, project, history)
    if metrics.skipped:
        notes.append(f"metrics.json: {_counted(metrics.skipped, 'unit')} left out, incomplete or impossible")
    if units and metrics.unpriced:
        notes.append(f"metrics.json: the cost of {_counted(metrics.unpriced, 'unit')} is unknown")
    if history.skipped:
        notes.append(f"{FILE}: {_counted(history.skipped, 'count')} left out, impossible or without a tier")
    return ImportResult(units=units, evidence=events, skipped=metrics.skipped + history.skipped, notes=tuple(notes))


def read_metrics(path: Path, *, resolve: Callable[[str], str] = str) -> Metrics:
    """The units that a project's ``metrics.json`` records, as attempts without a project.

    Raises:
        FileNotFoundError: there is no such file.
        LedgerError: it is not such a file; one line says why.
    """
    units = read_document(path).get("units")
    if not isinstance(units, list):
        raise LedgerError(f"{path}: 'units' is not a list; the file is left alone")
    records: list[tuple[Attempt, Outcome]] = []
    for unit in units:
        record = _unit(unit, resolve) if isinstance(unit, dict) else None
        if record is not None:
            records.append(record)
    return Metrics(
        records=tuple(records),
        skipped=len(units) - len(records),
        unpriced=sum(outcome.cost_usd is None for _, outcome in records),
    )


def _read_or_note(read: Callable[[Path], _Read], path: Path, *, empty: _Read, notes: list[str]) -> _Read:
    """What the file says; `empty` where there is none, or where it is unreadable and a note says why."""
    try:
        return read(path)
    except FileNotFoundError:
        return empty
    except LedgerError as error:
        notes.append(str(error))
        return empty


def _unit(unit: Mapping[str, Any], resolve: Callable[[str], str]) -> tuple[Attempt, Outcome] | None:
    """One unit; None where something in it is missing or impossible."""
    unit_type, unit_id, model = word(unit.get("type")), word(unit.get("id")), word(unit.get("model"))
    started, finished = _milliseconds(unit.get("startedAt")), _milliseconds(unit.get("finishedAt"))
    tokens, cost = _tokens(unit.get("tokens")), unit.get("cost")
    if not (unit_type and unit_id and model) or started is None or finished is None or finished < started or tokens is None:
        return None
    if cost is not None and not is_amount(cost):
        return None
    # Nothing used and nothing paid is a unit whose session GSD could not read; nothing paid for real work is a subscription or
    # a local model, whose price is not zero but unknown.
    known = bool(cost)
    message = "" if known else "cost unknown: a subscription or a local model" if tokens.total else "use unknown"
    attempt = Attempt(
        project="",
        unit_type=unit_type,
        unit_id=unit_id,
        tier=next((known_tier for known_tier in TIERS if known_tier.value == unit.get("tier")), None),
        model=resolve(model),
        downgraded=unit.get("modelDowngraded") is True,
        reason="imported from metrics.json",
        pattern=unit_type,
        agent=SOURCE,
        started=started,
    )
    outcome = Outcome(
        message=message,
        tokens=tokens if tokens.total else None,
        cost_usd=float(cost) if known and cost is not None else None,
        cost_source="reported" if known else "unknown",
        requests=_requests(unit) if tokens.total else None,
        finished=finished,
    )
    return attempt, outcome


def _requests(unit: Mapping[str, Any]) -> int | None:
    # Older files have no apiRequests; where both are, they are equal (one answer of the assistant is one request).
    for name in ("apiRequests", "assistantMessages"):
        count = unit.get(name)
        if is_count(count):
            return int(count)
    return None


def _tokens(value: object) -> Tokens | None:
    if not isinstance(value, dict):
        return None
    kinds = [int(kind) for name in ("input", "output", "cacheRead", "cacheWrite") if is_count(kind := value.get(name))]
    if len(kinds) < 4:
        return None
    return Tokens(input=kinds[0], output=kinds[1], cache_read=kinds[2], cache_write=kinds[3])


def _milliseconds(value: Any) -> float | None:
    """Milliseconds since the epoch, as seconds."""
    return value / 1000 if is_amount(value) and 0 < value / 1000 <= LAST_SECOND else None


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
