"""What a project did before stepdown: GSD's ``metrics.json`` and ``routing-history.json``, read once into the ledger."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeGuard, TypeVar

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger.port import Attempt, Evidence, Ledger, Outcome
from stepdown.ledger.rules import LAST_SECOND
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import TIERS, Tier, Tokens

SOURCE: Final = "gsd"
"""What the ledger calls records and evidence from here."""

_VERSION: Final = 1
_MOST_BYTES: Final = 64 * 1024 * 1024
"""A project of 50,000 units has a file of about 50 MB; anything beyond is not one of these files."""
_LARGEST_COUNT: Final = 2**53
_EVENT_SECONDS: Final = 0.001
"""Distance between two events made from one count: enough to tell them apart as floating-point seconds since the epoch."""


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


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a ``routing-history.json`` says.

    Attributes:
        evidence: one event per counted success or failure, all dated at the file's ``updatedAt``.
        skipped: counts left out because they make no sense.
        ratings: ratings in the file; GSD has added each of them to the counts, so they make no events of their own.
    """

    evidence: tuple[Evidence, ...] = ()
    skipped: int = 0
    ratings: int = 0


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
    """Read a project's past into the ledger. Calling it again adds only what is new.

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
    history = _read_or_note(read_routing_history, gsd_dir / "routing-history.json", empty=History(), notes=notes)
    units = ledger.import_records(project, SOURCE, metrics.records) if metrics.records else 0
    events = 0
    # Read on first use only: the counts are running totals, and stepdown itself writes this file as a snapshot of the ledger.
    if history.evidence and not _has_history(ledger, project):
        ledger.add_evidence([msgspec.structs.replace(event, project=project) for event in history.evidence])
        events = len(history.evidence)
    if metrics.skipped:
        notes.append(f"metrics.json: {_counted(metrics.skipped, 'unit')} left out, incomplete or impossible")
    if units and metrics.unpriced:
        notes.append(f"metrics.json: the cost of {_counted(metrics.unpriced, 'unit')} is unknown")
    if history.skipped:
        notes.append(f"routing-history.json: {_counted(history.skipped, 'count')} left out, impossible")
    return ImportResult(units=units, evidence=events, skipped=metrics.skipped + history.skipped, notes=tuple(notes))


def read_metrics(path: Path, *, resolve: Callable[[str], str] = str) -> Metrics:
    """The units that a project's ``metrics.json`` records, as attempts without a project.

    Raises:
        FileNotFoundError: there is no such file.
        LedgerError: it is not such a file; one line says why.
    """
    units = _document(path).get("units")
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


def read_routing_history(path: Path) -> History:
    """The outcomes that a project's ``routing-history.json`` counts, as dated events without a project.

    Counts know no order, so successes and failures are spread evenly. More than `Policy.evidence_window` of a pattern and tier
    would never be looked at; they are brought down to that many at the same ratio.

    Raises:
        FileNotFoundError: there is no such file.
        LedgerError: it is not such a file; one line says why.
    """
    document = _document(path)
    patterns, feedback = document.get("patterns"), document.get("feedback", [])
    if not isinstance(patterns, dict):
        raise LedgerError(f"{path}: 'patterns' is not a mapping; the file is left alone")
    updated = _moment(document.get("updatedAt"))
    if updated is None:
        raise LedgerError(f"{path}: 'updatedAt' is not a date; the file is left alone")
    events: list[Evidence] = []
    skipped = 0
    for pattern, tiers in patterns.items():
        if not _word(pattern) or not isinstance(tiers, dict):
            skipped += 1
            continue
        for tier in TIERS:
            counts = _success_and_fail(tiers.get(tier.value, {}))
            if counts is None:
                skipped += 1
            else:
                events.extend(_events(pattern, tier, *counts, updated))
    return History(evidence=tuple(events), skipped=skipped, ratings=len(feedback) if isinstance(feedback, list) else 0)


def _read_or_note(read: Callable[[Path], _Read], path: Path, *, empty: _Read, notes: list[str]) -> _Read:
    """What the file says; `empty` where there is none, or where it is unreadable and a note says why."""
    try:
        return read(path)
    except FileNotFoundError:
        return empty
    except LedgerError as error:
        notes.append(str(error))
        return empty


def _document(path: Path) -> dict[str, Any]:
    """The file's JSON object."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise LedgerError(f"{path} is larger than {_MOST_BYTES >> 20} MB; it is left alone")
    try:
        document = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LedgerError(f"{path} is not valid JSON ({reason}); it is left alone") from error
    if not isinstance(document, dict):
        raise LedgerError(f"{path} does not hold a JSON object; it is left alone")
    if document.get("version") != _VERSION:
        raise LedgerError(f"{path} has version {document.get('version')!r}, this stepdown reads {_VERSION}; it is left alone")
    return document


def _unit(unit: Mapping[str, Any], resolve: Callable[[str], str]) -> tuple[Attempt, Outcome] | None:
    """One unit; None where something in it is missing or impossible."""
    unit_type, unit_id, model = _word(unit.get("type")), _word(unit.get("id")), _word(unit.get("model"))
    started, finished = _milliseconds(unit.get("startedAt")), _milliseconds(unit.get("finishedAt"))
    tokens, cost = _tokens(unit.get("tokens")), unit.get("cost")
    if not (unit_type and unit_id and model) or started is None or finished is None or finished < started or tokens is None:
        return None
    if cost is not None and not _is_amount(cost):
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
        if _is_count(count):
            return int(count)
    return None


def _tokens(value: object) -> Tokens | None:
    if not isinstance(value, dict):
        return None
    kinds = [int(kind) for name in ("input", "output", "cacheRead", "cacheWrite") if _is_count(kind := value.get(name))]
    if len(kinds) < 4:
        return None
    return Tokens(input=kinds[0], output=kinds[1], cache_read=kinds[2], cache_write=kinds[3])


def _word(value: object) -> str:
    """A name of one printable line; "" for anything else."""
    return value if isinstance(value, str) and value.isprintable() else ""


def _milliseconds(value: Any) -> float | None:
    """Milliseconds since the epoch, as seconds."""
    return value / 1000 if _is_amount(value) and 0 < value / 1000 <= LAST_SECOND else None


def _moment(value: object) -> float | None:
    """An ISO date, as seconds since the epoch."""
    # Before Python 3.13 fromisoformat takes no more than six digits of a second.
    text = re.sub(r"(\.\d{6})\d+", r"\1", value) if isinstance(value, str) else ""
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LAST_SECOND else None


def _is_amount(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


def _is_count(value: object) -> TypeGuard[float]:
    return _is_amount(value) and value <= _LARGEST_COUNT and value == int(value)


def _success_and_fail(value: object) -> tuple[int, int] | None:
    if not isinstance(value, dict):
        return None
    success, fail = value.get("success", 0), value.get("fail", 0)
    return (int(success), int(fail)) if _is_count(success) and _is_count(fail) else None


def _events(pattern: str, tier: Tier, success: int, fail: int, updated: float) -> Iterator[Evidence]:
    total = success + fail
    kept = min(total, DEFAULT_POLICY.evidence_window)
    failures = round(fail * kept / total) if total else 0
    for index in range(kept):
        # One failure each time the running share of failures passes a whole number: they lie evenly among the successes.
        failed = (index + 1) * failures // kept > index * failures // kept
        yield Evidence(
            at=max(0.0, updated - (kept - 1 - index) * _EVENT_SECONDS),
            pattern=pattern,
            tier=tier,
            success=not failed,
            source=SOURCE,
        )


def _has_history(ledger: Ledger, project: str) -> bool:
    return any(
        event.source == SOURCE and event.project == project
        for events in ledger.evidence(limit=_LARGEST_COUNT).values()
        for event in events
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
