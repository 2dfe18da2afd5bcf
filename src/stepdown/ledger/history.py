"""A project's ``.gsd/routing-history.json``: what GSD has counted, and a portable snapshot of what stepdown learned there.

GSD keeps running totals of successes and failures per pattern and tier. stepdown adds its own to them, so that GSD goes on with
what was learned. The dated events behind them stand beside the totals, under a key that GSD leaves alone. So the two can be
told apart, and no event enters a ledger twice, however often the file is read or copied. The ledger is the truth; of the file
it takes what it does not know yet.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger.gsd_json import LARGEST_COUNT, SOURCE, VERSION, is_count, moment, read_document, word
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Evidence, Rating
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import TIERS, Tier
from stepdown.whole import write_whole

FILE: Final = "routing-history.json"
"""The file's name in a project's ``.gsd``."""

_KEY: Final = "stepdown"
"""Where stepdown's own part stands. GSD writes back what it has read, keys that it does not know included."""
_WINDOW: Final = DEFAULT_POLICY.evidence_window
_RATING_COUNTS: Final = 2
"""What GSD adds to its totals for one rating, whatever the user has set here."""
_RATINGS_KEPT: Final = 200
"""How many entries of ``feedback`` GSD keeps, the newest."""
_EVENT_SECONDS: Final = 0.001
"""Distance between two events made from one count: enough to tell them apart as floating-point seconds since the epoch."""
_ROUNDING_SECONDS: Final = 1.0
"""The file's date is cut to whole milliseconds; an event may be that much younger, and nothing else may be."""

_Cell = tuple[str, Tier]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a ``routing-history.json`` says, as events without a project.

    Attributes:
        counted: one event per success or failure that GSD has counted, dated at the ``updatedAt`` of GSD's file.
        dated: the events that a stepdown has put there, as it saw them.
        skipped: counts and events left out because they make no sense.
        ratings: entries of ``feedback``; they are in the counts already, so they make no events of their own.
    """

    counted: tuple[Evidence, ...] = ()
    dated: tuple[Evidence, ...] = ()
    skipped: int = 0
    ratings: int = 0


class Tally(msgspec.Struct, frozen=True):
    """Successes and failures of a pattern at a tier, by their names in the file."""

    success: int = 0
    fail: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.success + self.fail

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.success + other.success, self.fail + other.fail)

    def beyond(self, other: "Tally") -> "Tally":
        """What is in this one and not in `other`; GSD scales its totals, so it may be less than what was once added."""
        more = max(0, self.total - other.total)
        fail = min(more, max(0, self.fail - other.fail))
        return Tally(more - fail, fail)


class _Dated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event as it stands in the file."""

    at: float
    pattern: str
    tier: Tier
    success: bool
    source: Literal["outcome", "rating"]
    unit: str = ""
    model: str = ""


_NOTHING: Final = Tally()


def read_routing_history(path: Path) -> History:
    """What a project's ``routing-history.json`` says.

    Counts know no order, so successes and failures are spread evenly. More than `Policy.evidence_window` of a pattern and tier
    would never be looked at; they are brought down to that many at the same ratio. A unit with a tag is counted for its type as
    well, by GSD's custom; here it becomes one event, of the tag.

    Raises:
        FileNotFoundError: there is no such file.
        LedgerError: it is not such a file; one line says why.
    """
    document = read_document(path)
    patterns, feedback = _patterns(document, path), document.get("feedback")
    updated = moment(document.get("updatedAt"))
    if updated is None:
        raise LedgerError(f"{path}: 'updatedAt' is not a date; the file is left alone")
    told, odd = _told(patterns)
    dated, odd_dated = _dated(document, updated)
    theirs = _theirs(told, dated, document)
    # The date that GSD's counts had when they were first read: a copy of the file makes the same events of them.
    at = moment(_own(document).get("counted")) or updated
    counted = [event for cell in theirs for event in _spread(cell, _untagged(cell, theirs), at)]
    return History(
        counted=tuple(counted),
        dated=tuple(dated),
        skipped=odd + odd_dated,
        ratings=len(feedback) if isinstance(feedback, list) else 0,
    )


def take_over(ledger: Ledger, project: str, history: History) -> int:
    """Add to the ledger what it does not know yet; how many events that were.

    GSD's counts are read on first use only: they are running totals, in which new events cannot be told from old ones. What has
    been forgotten is known.
    """
    if not (history.counted or history.dated):
        return 0
    everything = ledger.evidence(limit=LARGEST_COUNT, with_forgotten=True).values()
    known = {_identity(event) for events in everything for event in events}
    first_use = not any(event.source == SOURCE and event.project == project for events in everything for event in events)
    rated = {(rating.pattern, rating.unit_id) for rating in ledger.ratings(project)}
    new = [
        event
        for event in (*(history.counted if first_use else ()), *history.dated)
        if _identity(event) not in known and not (event.source == "rating" and (event.pattern, event.unit_id) in rated)
    ]
    ledger.add_evidence([msgspec.structs.replace(event, project=project) for event in new])
    return len(new)


def write_routing_history(ledger: Ledger, gsd_dir: Path, project: str, *, since: float, now: float) -> bool:
    """Write what counts as evidence in the project into its ``routing-history.json``; whether that was done.

    Nothing is written where there is no such directory, or where nothing has become evidence since `since`. What GSD put into
    the file stays in it, and so does every key that neither of the two knows.

    Args:
        ledger: where the evidence is.
        gsd_dir: the project's ``.gsd`` directory.
        project: the plan's `PlanSource.project`.
        since: seconds since the epoch.
        now: likewise.

    Raises:
        LedgerError: the ledger cannot be read, or the file is something else or cannot be written; it is as it was then.
    """
    events = _learned(ledger, project, now)
    if not gsd_dir.is_dir() or not any(event.at >= since for event in events):
        return False
    path = gsd_dir / FILE
    try:
        document = read_document(path)
    except FileNotFoundError:
        document = {"version": VERSION, "patterns": {}}
    _replace(path, _snapshot(document, _patterns(document, path), events, ledger.ratings(project), now))
    return True


def _snapshot(
    document: Mapping[str, Any], patterns: Mapping[str, Any], events: Sequence[Evidence], ratings: Sequence[Rating], now: float
) -> bytes:
    """The file's new content."""
    before, _ = _dated(document, moment(document.get("updatedAt")) or now)
    theirs = _theirs(_told(patterns)[0], before, document)
    ours = _tallied(events)
    written: dict[str, Any] = dict(patterns)
    for name in dict.fromkeys(name for name, _ in (*theirs, *ours)):
        entry = written.get(name)
        entry = dict(entry) if isinstance(entry, dict) else {}
        for tier in TIERS:  # GSD expects all three
            cell = name, tier
            tally = theirs.get(cell, _NOTHING) + ours.get(cell, _NOTHING)
            old = entry.get(tier.value)
            entry[tier.value] = {**(old if isinstance(old, dict) else {}), **msgspec.structs.asdict(tally)}
        written[name] = entry
    kept: defaultdict[str, dict[str, Tally]] = defaultdict(dict)
    for (name, tier), tally in theirs.items():
        if tally.total:
            kept[name][tier.value] = tally
    counted = next(filter(moment, (_own(document).get("counted"), document.get("updatedAt"))), _date(now))
    changed = {
        **document,
        "patterns": written,
        "feedback": _feedback(document.get("feedback"), ratings),
        "updatedAt": _date(now),
        _KEY: {"counted": counted, "gsd": kept, "events": [_as_dated(event) for event in events]},
    }
    return msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n"


def _learned(ledger: Ledger, project: str, now: float) -> list[Evidence]:
    """What was seen or rated in the project until now and counts, of each pattern and tier as many as the window holds."""
    learned: list[Evidence] = []
    for events in ledger.evidence(limit=LARGEST_COUNT).values():
        for tier in TIERS:
            own = [event for event in events if event.project == project and event.tier is tier and event.source != SOURCE]
            learned.extend([event for event in own if event.at <= now][-_WINDOW:])
    return learned


def _patterns(document: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    patterns = document.get("patterns")
    if not isinstance(patterns, dict):
        raise LedgerError(f"{path}: 'patterns' is not a mapping; the file is left alone")
    return patterns


def _told(patterns: Mapping[str, Any]) -> tuple[dict[_Cell, Tally], int]:
    """The totals of the file, and how many of them make no sense."""
    told: dict[_Cell, Tally] = {}
    skipped = 0
    for name, tiers in patterns.items():
        if not word(name) or not isinstance(tiers, dict):
            skipped += 1
            continue
        if tiers and not any(tier.value in tiers for tier in TIERS):
            skipped += 1  # counts without a tier say nothing about one
        for tier in TIERS:
            tally = _tally(tiers.get(tier.value, {}))
            if tally is None:
                skipped += 1
            else:
                told[name, tier] = tally
    return told, skipped


def _tally(value: object) -> Tally | None:
    if not isinstance(value, dict):
        return None
    success, fail = value.get("success", 0), value.get("fail", 0)
    return Tally(int(success), int(fail)) if is_count(success) and is_count(fail) else None


def _dated(document: Mapping[str, Any], updated: float) -> tuple[list[Evidence], int]:
    """The events that stand in the file, and how many of them make no sense."""
    entries = _own(document).get("events")
    events: list[Evidence] = []
    for entry in entries if isinstance(entries, list) else []:
        with contextlib.suppress(msgspec.ValidationError):
            said = msgspec.convert(entry, _Dated)
            names = said.pattern and (said.pattern + said.unit + said.model).isprintable()
            if names and 0 <= said.at <= updated + _ROUNDING_SECONDS:
                events.append(_as_evidence(said))
    return events, (len(entries) if isinstance(entries, list) else 0) - len(events)


def _own(document: Mapping[str, Any]) -> Mapping[str, Any]:
    own = document.get(_KEY)
    return own if isinstance(own, dict) else {}


def _as_evidence(said: _Dated) -> Evidence:
    return Evidence(
        at=said.at,
        pattern=said.pattern,
        tier=said.tier,
        model=said.model,
        success=said.success,
        weight=DEFAULT_POLICY.rating_weight if said.source == "rating" else 1.0,
        source=said.source,
        unit_id=said.unit,
    )


def _as_dated(event: Evidence) -> _Dated:
    return _Dated(
        at=event.at,
        pattern=event.pattern,
        tier=event.tier,
        success=event.success,
        source="rating" if event.source == "rating" else "outcome",
        unit=event.unit_id,
        model=event.model,
    )


def _tallied(events: Iterable[Evidence]) -> dict[_Cell, Tally]:
    """Events as GSD counts them: one with a tag for its type as well."""
    tallies: defaultdict[_Cell, Tally] = defaultdict(Tally)
    for event in events:
        times = _RATING_COUNTS if event.source == "rating" else 1
        one = Tally(success=times) if event.success else Tally(fail=times)
        for name in dict.fromkeys((event.pattern, event.pattern.partition(":")[0])):
            tallies[name, event.tier] += one
    return tallies


def _theirs(told: Mapping[_Cell, Tally], dated: Iterable[Evidence], document: Mapping[str, Any]) -> dict[_Cell, Tally]:
    """What GSD itself has counted: the totals less stepdown's events, and never less than it was when the file was written.

    GSD brings its totals down to a window of 50 whenever it counts. What of stepdown's is lost then is not GSD's loss.
    """
    ours = _tallied(dated)
    noted = _own(document).get("gsd")
    before, _ = _told(noted) if isinstance(noted, dict) else ({}, 0)
    theirs: dict[_Cell, Tally] = {}
    for cell, tally in told.items():
        then, mine = before.get(cell, _NOTHING), ours.get(cell, _NOTHING)
        now = then if tally == then + mine else tally.beyond(mine)
        theirs[cell] = then if now.total < then.total else now
    return theirs


def _untagged(cell: _Cell, theirs: Mapping[_Cell, Tally]) -> Tally:
    """What a unit type has been counted for beyond its tags."""
    name, tier = cell
    tags = (tally for (other, at), tally in theirs.items() if at is tier and other.startswith(f"{name}:"))
    return theirs[cell].beyond(sum(tags, _NOTHING))


def _spread(cell: _Cell, tally: Tally, newest: float) -> Iterator[Evidence]:
    name, tier = cell
    kept = min(tally.total, _WINDOW)
    failures = round(tally.fail * kept / tally.total) if tally.total else 0
    for index in range(kept):
        # One failure each time the running share of failures passes a whole number: they lie evenly among the successes.
        failed = (index + 1) * failures // kept > index * failures // kept
        at = max(0.0, newest - (kept - 1 - index) * _EVENT_SECONDS)
        yield Evidence(at=at, pattern=name, tier=tier, success=not failed, source=SOURCE)


def _identity(event: Evidence) -> tuple[object, ...]:
    """What makes an event the same one, whichever directory its project stood in when it was recorded."""
    return event.pattern, event.tier, event.at, event.unit_id, event.source


def _feedback(entries: object, ratings: Iterable[Rating]) -> list[object]:
    """GSD's list of ratings with ours in it, the oldest first."""
    kept = list(entries) if isinstance(entries, list) else []
    known = {
        tuple(word(entry.get(name)) for name in ("unitType", "unitId", "timestamp"))
        for entry in kept
        if isinstance(entry, dict)
    }
    for rating in sorted(ratings, key=lambda rating: rating.at):
        date = _date(rating.at)
        if (rating.unit_type, rating.unit_id, date) not in known:
            unit = {"unitType": rating.unit_type, "unitId": rating.unit_id}
            kept.append({**unit, "tier": rating.tier.value, "rating": rating.word, "timestamp": date})
    return kept[-_RATINGS_KEPT:]


def _date(at: float) -> str:
    """As JavaScript writes it: ``2026-03-22T10:00:00.123Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _replace(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror or error}; it is as it was") from error
