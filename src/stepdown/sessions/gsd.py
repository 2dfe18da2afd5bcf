"""GSD's records: a project's ``.gsd/metrics.json`` and ``.gsd/activity``, and the sessions in GSD's own directory.

GSD is built on pi and keeps its sessions as pi does. After each unit it also writes the session's entries to ``activity/``
(``001-execute-task-M001-S01-T01.jsonl``), which it tidies away after a while, and the unit's sums to ``metrics.json``, which
stays. The same answer can so be told three times. Copies of an entry are known by what it says
(`stepdown.sessions.pi_entries`). A unit of ``metrics.json`` is left out where ``activity`` or a session has an answer to it
from between its start and its end; of those that remain only sums are known, one for the unit and its last model, and they
are counted as such.

Source: GSD 2 (gsd-build/gsd-2), ``metrics.ts``, ``activity-log.ts``, ``project-sessions.ts``, ``app-paths.ts``; projects with a
``metrics.json`` of 2026.
"""

import contextlib
import errno
import os
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stepdown.errors import LedgerError
from stepdown.ledger.imports import Metrics, read_metrics
from stepdown.ledger.records import Attempt, Outcome
from stepdown.sessions.opened import POLICY, Answer, Asked, Opened, Tally
from stepdown.sessions.pi import session_files, tilde
from stepdown.sessions.pi_entries import Entries, Setting
from stepdown.sessions.records import Log
from stepdown.sessions.source import home_of
from stepdown.signals import Signals, introspect

METRICS: Final = "metrics.json"
ONLY_SUMS: Final = "units of which only sums are known"
UNUSED: Final = "units whose use the log does not say"
INCOMPLETE: Final = "units of metrics.json that are incomplete or impossible"
UNREADABLE: Final = "activity files that cannot be read"
NOT_METRICS: Final = "metrics.json that are no such files"

_ACTIVITY: Final = re.compile(r"\d+-(?P<type>[a-z]+(?:-[a-z]+)*)-(?P<id>[A-Z][\w.-]*)")
_PARTS: Final = re.compile(r"(?P<M>M\d+(?:-[a-z0-9]{6})?)(?:-(?P<S>S\d+[\w.]*))?(?:-(?P<T>T\d+[\w.]*))?")
_WORKTREE: Final = re.compile(r"[/\\]\.gsd[/\\]worktrees[/\\].*")

Unit = tuple[str, str]
"""A type and an id."""


class Gsd:
    """The log of GSD.

    Attributes:
        sessions: where GSD keeps sessions, as `places` found it last: a unit that a session tells of is not counted from
            ``metrics.json`` again.
    """

    name = "gsd"
    title = "GSD"
    version = 1

    def __init__(self) -> None:
        self.sessions: tuple[Path, ...] = ()

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:
        """``sessions`` in ``GSD_HOME`` (else ``~/.gsd``) and in its ``agent``; the ``.gsd`` of each project."""
        home = home_of(environ)
        own = environ.get("GSD_HOME")
        root = tilde(own, home) if own else home / ".gsd"
        agent = environ.get("GSD_CODING_AGENT_DIR")
        self.sessions = (root / "sessions", (tilde(agent, home) if agent else root / "agent") / "sessions")
        return [*self.sessions, *dict.fromkeys(project / ".gsd" for project in projects)]

    def files(self, place: Path) -> Iterable[Path]:
        """Sessions; of a project its ``metrics.json``, which stands for ``activity`` as well and may be missing beside it."""
        if place.name == "sessions":
            return session_files(place)
        metrics = place / METRICS
        return [metrics] if metrics.exists() or _activity(metrics) else []

    def stamp(self, file: Path) -> tuple[int, int]:
        """Of a session; of ``metrics.json``, the activity and the sessions of that project together."""
        parts = [file, *_activity(file), *self._of_project(file)] if file.name == METRICS else [file]
        stats: list[os.stat_result] = []
        for part in parts:
            with contextlib.suppress(FileNotFoundError):  # GSD tidies up, and may be doing it
                stats.append(part.stat())
        if not stats:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
        return sum(there.st_size for there in stats), max(there.st_mtime_ns for there in stats)

    def read(self, file: Path) -> Log:
        """One session, or all that a project keeps."""
        entries = Entries()
        if file.name != METRICS:
            entries.read(file, Setting(file.stem))
            for turn in entries.tally.turns:
                turn.project = _WORKTREE.sub("", turn.project)
            return entries.tally.log()
        project = str(file.parent.parent.resolve())
        plan = _Plan(file.parent)
        for path in _activity(file):
            unit = _unit_of(path)
            setting = Setting(f"{project}#{path.stem}", project, Asked(*unit, "plan", plan.signals(unit)) if unit else None)
            try:
                entries.read(path, setting)
            except FileNotFoundError:
                continue  # tidied away since it was listed
            except OSError:
                entries.tally.troubles[UNREADABLE] += 1
        metrics = self._metrics(file, entries.tally)
        _add_sums(entries.tally, metrics, project, plan, self._answers(file, metrics, entries))
        return entries.tally.log()

    def _metrics(self, file: Path, tally: Tally) -> Metrics:
        try:
            metrics = read_metrics(file)
        except FileNotFoundError:
            return Metrics()
        except LedgerError as error:
            if not tally.requests:
                raise OSError(str(error)) from error
            tally.troubles[NOT_METRICS] += 1
            return Metrics()
        if metrics.skipped:
            tally.troubles[INCOMPLETE] += metrics.skipped
        return metrics

    def _answers(self, file: Path, metrics: Metrics, entries: Entries) -> "_Answers":
        """When units of this project were answered, as its activity and those of its sessions say that may tell of one."""
        answers = _Answers()
        answers.add(entries.tally)
        missing = [(attempt, outcome) for attempt, outcome in metrics.records if not answers.cover(attempt, outcome)]
        for path in self._of_project(file) if missing else ():
            with contextlib.suppress(OSError):  # it is named where it is read for itself
                changed = path.stat().st_mtime
                if any(attempt.started <= changed for attempt, _ in missing):
                    session = Entries()
                    session.read(path, Setting(path.stem))
                    answers.add(session.tally)
        return answers

    def _of_project(self, metrics: Path) -> Iterator[Path]:
        """GSD's sessions of a project and of its worktrees, by the directory's name."""
        project = _folded(str(metrics.parent.parent.resolve()))
        names = (f"--{project}--", f"--{project}-.gsd-worktrees-")
        for place in self.sessions:
            with contextlib.suppress(OSError):  # it is named where sessions are listed
                for folder in sorted(place.iterdir()):
                    if folder.name.startswith(names):
                        yield from sorted(folder.glob("*.jsonl"))


class _Answers:
    """When units were answered, seconds since the epoch."""

    def __init__(self) -> None:
        self._times: defaultdict[Unit, list[float]] = defaultdict(list)

    def add(self, tally: Tally) -> None:
        """What was read of one more log."""
        for request in tally.requests:
            turn = tally.turns[request.turn]
            if turn.origin == "plan":
                # A dispatch that names no unit (a validation, a hook) can be told from others by its time alone.
                self._times[(turn.type, turn.id.replace("/", "-")) if turn.id else ("", "")].append(request.at)
        for times in self._times.values():
            times.sort()

    def cover(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Whether there is an answer of this unit."""
        for unit in ((attempt.unit_type, attempt.unit_id.replace("/", "-")), ("", "")):
            times = self._times.get(unit, [])
            first = bisect_left(times, attempt.started)
            if first < len(times) and times[first] <= outcome.finished:
                return True
        return False


class _Plan:
    """What a project's plan says of its units, read when the first is asked for. It is the plan of today."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._units: dict[Unit, Signals] | None = None

    def signals(self, unit: Unit) -> Signals | None:
        """None where the plan does not know the unit."""
        if self._units is None:
            from stepdown.plans import GsdPlan  # noqa: PLC0415 - takes a while, and only where a plan is read

            found = GsdPlan(self._root).units()
            self._units = {(one.type, one.id): introspect(one, POLICY) for one in found}
        return self._units.get(unit)


def _add_sums(tally: Tally, metrics: Metrics, project: str, plan: _Plan, answers: _Answers) -> None:
    """The units of which no answer is known by itself."""
    for attempt, outcome in metrics.records:
        if answers.cover(attempt, outcome):
            continue
        unit = (attempt.unit_type, attempt.unit_id)
        name = f"{project}#{attempt.unit_type}/{attempt.unit_id}@{attempt.started}"
        number = tally.begin(
            Opened(
                conversation=name,
                session=name,
                project=project,
                type=attempt.unit_type,
                id=attempt.unit_id,
                at=attempt.started,
                origin="plan",
                signals=plan.signals(unit),
            )
        )
        if outcome.tokens is None:
            tally.troubles[UNUSED] += 1
            continue
        tally.troubles[ONLY_SUMS] += 1
        answer = Answer(
            at=outcome.finished,
            key=name,
            model=attempt.model,
            provider="",
            tokens=outcome.tokens,
            usd=outcome.cost_usd,
            count=outcome.requests or 0,
        )
        tally.add(number, answer)


def _activity(metrics: Path) -> list[Path]:
    """The activity beside it, in the order in which it was written: ``999-...`` is before ``1000-...``.

    Raises:
        OSError: it is there but cannot be listed.
    """
    try:
        found = [path for path in (metrics.parent / "activity").iterdir() if path.suffix == ".jsonl"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda path: (len(path.name.split("-")[0]), path.name))


def _unit_of(path: Path) -> Unit | None:
    """The unit in the name of an activity file: its id's parts were joined by dashes."""
    found = _ACTIVITY.fullmatch(path.stem)
    if found is None:
        return None
    parts = _PARTS.fullmatch(found["id"])
    return found["type"], "/".join(part for part in parts.groups() if part) if parts else found["id"]


def _folded(directory: str) -> str:
    """A directory as GSD names its sessions' directory after it."""
    return re.sub(r"[/\\:]", "-", directory.lstrip("/\\"))
