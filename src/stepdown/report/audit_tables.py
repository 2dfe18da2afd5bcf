"""The tables of an audit on the screen: what was spent on what, plans' windows, agents' own counts."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stepdown.audit.records import Audit, Check, Line, Window
from stepdown.audit.windows import spared, typical_limit
from stepdown.money import count, dollars, share
from stepdown.report.periods import Offsets, local
from stepdown.report.tables import Column, clip, one_line, table
from stepdown.units import Tokens

_UNKNOWN: Final = "unknown"
_NAME_CELLS: Final = 24
"""What a name may take inside a sentence."""
_WINDOWS: Final = {"5h": "5 hours", "": "unknown"}


def bill(audit: Audit, width: int, rows: int, *, color: bool) -> list[str]:
    """One table for all groups, so that the columns of one stand under those of the other."""
    groups = list(_groups(audit))
    cells: list[list[str]] = []
    for number, (title, names, lines) in enumerate(groups):
        shown = lines if len(lines) <= rows or lines is audit.work else lines[: rows - 1]
        if number:
            cells.append([title, *[""] * len(_COLUMNS)])
        cells.extend(_cells(line, audit.total, f"  {names.get(line.key, line.key) or _UNKNOWN}") for line in shown)
        if len(shown) < len(lines):
            cells.append(_cells(_rest(lines[len(shown) :]), audit.total, f"  {len(lines) - len(shown):,} more"))
    if not cells:
        return []
    # The first group's title stands in the line of headings. Columns with nothing to say in any line are left out.
    columns = [Column(title=groups[0][0], shrinks=True), *_COLUMNS]
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in cells)]
    return table([columns[i] for i in used], [[row[i] for i in used] for row in cells], width=width, color=color)


_COLUMNS: Final = (
    Column(title="units", right=True, spare=3),
    Column(title="share", right=True, spare=2, style="dim"),
    Column(title="requests", right=True, spare=5),
    Column(title="tokens", right=True, spare=4),
    Column(title="spent", right=True, style="bold"),
    Column(title="share", right=True, spare=1, style="dim"),
    Column(title="no price", right=True, style="yellow"),
)


def _groups(audit: Audit) -> Iterator[tuple[str, Mapping[str, str], tuple[Line, ...]]]:
    """Title, what keys are called, and lines. Of agents and projects, that which tells more apart."""
    if audit.models:
        yield "Model", {}, _dearest(audit.models)
    if len(audit.agents) > 1:
        yield "Agent", agent_titles(audit), _dearest(audit.agents)
    elif audit.projects:
        yield "Project", _short([line.key for line in audit.projects]), _dearest(audit.projects)
    if audit.work:
        yield "How hard the work was", {}, audit.work


def _dearest(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: (-line.usd, -line.tokens.total, line.key)))


def _rest(lines: Sequence[Line]) -> Line:
    """Several lines as one. Their units are not added up: one unit may have run on several models."""
    return Line(
        key="",
        requests=sum(line.requests for line in lines),
        tokens=sum((line.tokens for line in lines), Tokens()),
        usd=sum(line.usd for line in lines),
        unknown=sum(line.unknown for line in lines),
    )


def _cells(line: Line, total: Line, name: str) -> list[str]:
    usd = known_usd(line)
    return [
        name,
        f"{line.units:,}" if line.units else "",
        share(line.units, total.units) if line.units else "",
        f"{line.requests:,}",
        count(line.tokens.total),
        about(usd),
        share(usd, total.usd) if usd is not None else "",
        f"{line.unknown:,}" if line.unknown else "",
    ]


def window_table(audit: Audit, width: int, listed: int, *, color: bool) -> list[str]:
    """Plans' windows by agent and kind, at most `listed` of them; no line where there are none.

    Of one project there are none, and one line says why.
    """
    if audit.project and not audit.windows:
        return [clip("Windows of plans are of all projects together: shown without --project.", width)]
    groups: dict[tuple[str, str], list[Window]] = {}
    for window in audit.windows:
        groups.setdefault((window.agent, window.window), []).append(window)
    titles = agent_titles(audit)
    rows = [
        [f"  {titles.get(agent, agent)}, {_WINDOWS.get(kind, kind)}", *_fullness(windows, audit.offsets)]
        for (agent, kind), windows in groups.items()
    ]
    columns = [
        Column(title="Windows of plans", shrinks=True),
        Column(title="number", right=True, spare=4),
        Column(title="ran full", right=True, style="bold"),
        Column(title="last on", right=True, spare=3),
        Column(title="with routing", right=True, spare=1),
        Column(title="most used", right=True, spare=2),
    ]
    return table(columns, few(rows, listed), width=width, color=color) if rows else []


def _fullness(windows: Sequence[Window], zone: Offsets) -> list[str]:
    """How many there were, how many ran full, when last, how many of those routing would have left full, the highest use."""
    used = [window.used for window in windows if window.used is not None]
    most = share(max(used), 1.0) if used else _UNKNOWN
    moments = [window.full for window in windows if window.full is not None]
    if not moments:
        return [f"{len(windows):,}", "0" if used else "none seen", "", "", most]
    kind = windows[0].agent, windows[0].window
    full, less = spared(windows, *kind)
    left = f"~{full - less:,}" if typical_limit(windows, *kind) is not None else _UNKNOWN
    last = date_of(max(moments), zone)
    return [f"{len(windows):,}", f"{full:,}", short_date(last) if last else _UNKNOWN, left, most]


def check_table(audit: Audit, width: int, listed: int, *, color: bool) -> list[str]:
    """What agents counted themselves beside what was counted here, at most `listed` of them; no line where there are none."""
    titles = agent_titles(audit)
    rows = [
        [
            f"  {titles.get(check.agent, check.agent)}",
            f"{check.sessions:,}",
            f"{check.differing:,}" if check.differing else "none",
            count(check.theirs.total),
            count(check.ours.total) + _apart(check.ours.total, check.theirs.total),
            *_priced(check),
        ]
        for check in audit.checks
    ]
    columns = [
        Column(title="Agents' counts", shrinks=True),
        Column(title="sessions", right=True, spare=3),
        Column(title="differ", right=True, spare=1),
        Column(title="tokens", right=True, spare=2),
        Column(title="here", right=True, spare=2),
        Column(title="dollars", right=True),
        Column(title="here", right=True, style="bold"),
    ]
    return table(columns, few(rows, listed), width=width, color=color) if rows else []


def unlogged(audit: Audit) -> Iterator[str]:
    """What agents counted for models that no log has a request of, a sentence each that fits one line of most screens."""
    titles = agent_titles(audit)
    for check in audit.checks:
        if check.unlogged.total:
            usd = check.unlogged_usd
            counted = f"{count(check.unlogged.total)} tokens" if usd is None else dollars(usd)
            agent = clip(one_line(titles.get(check.agent, check.agent)), _NAME_CELLS)
            yield f"{agent} counted {counted} for models in no log: titles, lost sub-agent logs"


def _priced(check: Check) -> list[str]:
    ours = about(check.ours_usd)
    if check.theirs_usd is None:
        return ["none", ours]
    return [dollars(check.theirs_usd), ours + (_apart(check.ours_usd, check.theirs_usd) if check.ours_usd is not None else "")]


def _apart(ours: float, theirs: float) -> str:
    """How far our number is from theirs, where that shows: `` +0.3 %``."""
    percent = 100 * (ours - theirs) / theirs if theirs else 0.0
    return f" {percent:+.1f} %" if abs(percent) >= 0.05 else ""


def few(rows: Sequence[list[str]], most: int) -> list[list[str]]:
    """At most so many rows; the last says how many are left out."""
    if len(rows) <= most:
        return list(rows)
    return [*rows[: most - 1], [f"  {len(rows) - most + 1:,} more", *[""] * (len(rows[0]) - 1)]]


def agent_titles(audit: Audit) -> dict[str, str]:
    """What people call each agent."""
    return {place.agent: place.title or place.agent for place in audit.places}


def known_usd(line: Line) -> float | None:
    """What a line cost; None where no request of it has a known price."""
    return None if line.requests and line.unknown >= line.requests else line.usd


def about(usd: float | None) -> str:
    """Dollars as an estimate, which everything in an audit is."""
    return dollars(usd, estimated=True)


def _short(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each directory, and as many parts before it as tell it from the others."""
    names = {path: path for path in paths}
    for parts in range(8, 0, -1):
        ends = {path: tail(path, parts) for path in paths}
        bearers = Counter(ends.values())
        names.update({path: end for path, end in ends.items() if bearers[end] == 1})
    return names


def tail(path: str, parts: int) -> str:
    """The last parts of a directory: ``src/shop``."""
    return "/".join([part for part in re.split(r"[/\\]", path) if part][-parts:]) or path


def short_date(day: dt.date) -> str:
    """``3 Nov``."""
    return f"{day.day} {day:%b}"


def date_of(seconds: float | None, zone: Offsets) -> dt.date | None:
    """The day of a time since the epoch, in a zone as `Audit.offsets` has it; None without one."""
    if seconds is None:
        return None
    try:
        return local(seconds, zone).date()
    except (ValueError, OverflowError, OSError):  # a clock that was far off
        return None
