"""``stepdown audit``: what local logs say was spent, and what routing would have saved. Reads, and sends nothing."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec

from stepdown.audit.compose import compose
from stepdown.audit.history import History, gather
from stepdown.audit.price import Prices
from stepdown.audit.projection import Projector
from stepdown.audit.records import Audit, Place, Trouble
from stepdown.catalog import Catalog
from stepdown.cli.arguments import TREE
from stepdown.cli.bulk import Progress, moment, uncollected, write_page
from stepdown.cli.screen import color, complain, print_json, width
from stepdown.errors import UsageError
from stepdown.ledger.open import home
from stepdown.preferences import Preferences, load_preferences
from stepdown.report.audit_text import render_text
from stepdown.report.periods import Offsets, ahead, offsets, offsets_name
from stepdown.routing import Router
from stepdown.sessions.index import FILE, Index
from stepdown.sessions.read import Collected, collect
from stepdown.sessions.records import Log
from stepdown.sessions.sources import NEXT_TO_PROJECTS, SOURCES

_BAR: Final = 24
_ASTRAY: Final = 86_400.0
"""Seconds that a clock may be ahead of this one; what is dated later is no date."""
_WIDTH: Final = 100
"""Cells of the summary where the output is no terminal."""
_AROUND: Final = 8 * 86_400
"""Seconds. A plan's window begins and ends up to a week before and after what was asked in it."""
_EPOCH: Final = date(1970, 1, 1)


@click.command("audit", short_help="What your agents' own logs say you spent, and what routing would have saved.")
@click.option("--since", metavar="WHEN", default="", help="Only what was used since then: 2026-03-01, or 12h, 30d, 8w ago.")
@click.option("--project", metavar="NAME", default="", help="Only one project: its directory, or that one's name.")
@click.option("--html", type=TREE, metavar="FILE", help="Also write a page that needs nothing else, to keep or to share.")
@click.option("--anonymous", "hides", is_flag=True, help="Leave out names of projects and paths.")
@click.option("--sample", is_flag=True, help="An invented history, to see what an audit looks like.")
@click.option("--json", "json_", is_flag=True, help="A JSON object, with everything the page shows.")
def command(*, since: str, project: str, html: Path | None, hides: bool, sample: bool, json_: bool) -> None:
    """What Claude Code, Codex, OpenCode, pi and GSD have logged on this machine: spending per day, model, project and kind of
    work, and what routing would have saved on it.

    Reads their logs and nothing else. Sends nothing, and changes nothing but an index of its own that makes the next time fast.
    """
    started = time.monotonic()
    start = moment(since, time.time(), local=True)
    asked = str(Path(project).resolve()) if "/" in project or project in {".", ".."} else project
    with uncollected():
        if sample:
            from tempfile import TemporaryDirectory  # noqa: PLC0415 - only where it is asked for

            from stepdown.audit.sample import write  # noqa: PLC0415 - likewise

            with TemporaryDirectory(prefix="stepdown-sample-") as folder:
                environ = write(Path(folder))
                found = _settled(
                    _audit(Preferences(), environ, [], Index(None), start, asked, sample=True, hides=hides), Path(folder)
                )
        else:
            shipped = Catalog.load()
            preferences = load_preferences(Path.cwd(), catalog=shipped)
            for warning in dict.fromkeys(preferences.warnings):
                complain(warning)
            with Index(home() / FILE) as index:
                found = _audit(preferences, os.environ, [Path.cwd()], index, start, asked, hides=hides)
    day = datetime.fromtimestamp(start).astimezone().date().isoformat() if since else ""
    took = 0.0 if sample else time.monotonic() - started  # how fast an invented history is made is nobody's question
    found = msgspec.structs.replace(found, since=day, project=asked, seconds=took)
    if project and found.first is None:
        raise UsageError(f"--project {project}: no log speaks of a project of that name or directory")
    if hides:
        from stepdown.audit.anonymous import anonymous  # noqa: PLC0415 - likewise

        found = anonymous(found)
    if html is not None:
        from stepdown.report.audit_page import render_page  # noqa: PLC0415 - Jinja is only needed for a page

        write_page(html, render_page(found))
    if json_:
        print_json(_as_json(found))
        return
    click.echo(render_text(found, width() or _WIDTH, color()))
    if html is not None:
        click.echo(f"\nThe page is in {html}")


def _audit(
    preferences: Preferences,
    environ: Mapping[str, str],
    projects: Sequence[Path],
    index: Index,
    start: float,
    project: str,
    *,
    sample: bool = False,
    hides: bool = False,
) -> Audit:
    """Read, put together, follow under routing."""
    progress = _Reading()
    collected = _collected(environ, projects, index, start, progress)
    progress.done("putting it together")
    router = Router(_switched_on(preferences))
    prices = Prices(router.catalog)
    now = time.time()
    history = gather(collected.logs, prices, since=start, until=now + _ASTRAY, project=project)
    zone, ahead_of_utc = _zone(history)
    follows = Projector(router, prices, history)
    made = compose(history, prices, follows, router.policy, _day_of(ahead_of_utc), whole=not project)
    progress.done("")
    troubles = [*made.troubles]
    if collected.unreadable:
        why = ", ".join(sorted({reason for _, reason in collected.unreadable})[:3])
        troubles.append(Trouble(what=f"logs that could not be read ({why})", count=len(collected.unreadable)))
    if index.problem:
        complain(f"what was read cannot be remembered for the next time: {index.problem}")
    return msgspec.structs.replace(
        made,
        made=now,
        zone=zone,
        offsets=ahead_of_utc,
        sample=sample,
        assumptions=(*made.assumptions, _routed_as(preferences, hides=hides)),
        places=tuple(_places(collected)),
        troubles=tuple(troubles),
    )


def _collected(
    environ: Mapping[str, str], projects: Sequence[Path], index: Index, start: float, progress: "_Reading"
) -> Collected:
    """All agents; those that log beside a project after the others, which say what projects there are."""
    first = collect(SOURCES, environ, projects=projects, index=index, since=start, progress=progress)
    known = {turn.project for logs in first.logs.values() for log in logs for turn in log.turns if turn.project}
    beside = [*projects, *(Path(one) for one in sorted(known))]
    second = collect(NEXT_TO_PROJECTS, environ, projects=beside, index=index, since=start, progress=progress)
    logs: dict[str, list[Log]] = {**first.logs, **second.logs}
    return Collected(
        logs,
        (*first.found, *second.found),
        first.read_bytes + second.read_bytes,
        (*first.unreadable, *second.unreadable),
    )


def _routed_as(preferences: Preferences, *, hides: bool) -> str:
    """Whose preferences decided."""
    if not preferences.files:
        return "No preferences were found where this was run, so that routing takes the cheapest model of each tier."
    files = ", ".join(preferences.files)
    return f"All projects are routed by the preferences that hold where this was run{'' if hides else f' ({files})'}."


def _places(collected: Collected) -> list[Place]:
    return [
        Place(
            agent=one.source.name,
            title=one.source.title,
            path=str(one.path),
            there=one.there,
            files=one.files,
            bytes=one.bytes,
            error=one.error,
        )
        for one in collected.found
        if one.there or one.source not in NEXT_TO_PROJECTS
    ]


def _settled(found: Audit, folder: Path) -> Audit:
    """The sample as if it had been in somebody's home, and not in a directory that is gone."""
    return msgspec.json.decode(msgspec.json.encode(found).replace(str(folder).encode(), b"~"), type=Audit)


def _switched_on(preferences: Preferences) -> Preferences:
    """The user's preferences with routing on: an audit asks what it would have done."""
    routing = msgspec.structs.replace(preferences.dynamic_routing, enabled=True)
    return msgspec.structs.replace(preferences, dynamic_routing=routing)


def _as_json(found: Audit) -> dict[str, object]:
    document: dict[str, object] = msgspec.to_builtins(found)
    document["routing"] = [{**msgspec.to_builtins(one), "net_usd": one.net_usd} for one in found.routing]
    return document


class _Reading:
    """A bar over what has to be read, where that takes long enough to be seen."""

    def __init__(self) -> None:
        self._show = Progress()
        self._started = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        took = time.monotonic() - self._started
        share = done / total if total else 1.0
        left = f", {took / share - took:.0f} s to go" if share > 0.02 and took > 0.5 else ""
        bar = "█" * round(_BAR * share)
        self._show(f"reading logs {bar:░<{_BAR}} {share:4.0%} of {total / 1e6:,.0f} MB{left}")

    def done(self, text: str) -> None:
        """Show `text` instead."""
        self._show(text)


def _zone(history: History) -> tuple[str, Offsets]:
    """The machine's time zone as the C library has it, over the time of a history: its name, and how far it is ahead of UTC.

    `TZ` has forms that are no names, and names that this machine's library or Python's own data do not know. What is shown is
    always the library's time; a name is only given where it means the same.
    """
    now = time.time()
    first = min((one.requests[0].at for one in history.units), default=now)
    start, end = max(first - _AROUND, 0.0), now + _AROUND
    found = offsets(lambda at: time.localtime(at).tm_gmtoff, start, end)
    name = os.environ.get("TZ", str(Path("/etc/localtime").resolve())).lstrip(":")
    name = name.partition("/zoneinfo/")[2] or name
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # all that a name that is none may lead to
        return offsets_name(found), found

    def named(at: float) -> int:
        shift = datetime.fromtimestamp(at, zone).utcoffset()
        return int(shift.total_seconds()) if shift is not None else 0

    return name if offsets(named, start, end) == found else offsets_name(found), found


def _day_of(zone: Offsets) -> Callable[[float], str]:
    """The ISO date of a time."""
    iso = cache(lambda number: (_EPOCH + timedelta(days=number)).isoformat())
    return lambda at: iso(int((at + ahead(at, zone)) // 86_400))
