"""How a run under way looks: the plan around the unit that runs, its attempt, and what is still to go. Pure."""

from typing import Final

import msgspec

from stepdown.agents.port import Step
from stepdown.cli.screen import TIER_STYLES
from stepdown.money import count, dollars
from stepdown.report.tables import Column, clip, one_line, styled, table, text_width
from stepdown.units import Tier

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FEWEST_LINES, _MOST_LINES = 8, 22
"""Between these it takes half of the terminal's height. Made narrower, a terminal wraps what it shows, and what no longer fits
then scrolls by, where nobody can wipe it."""
_WIDEST: Final = 120
"""Likewise."""
_LONGEST_BAR: Final = 40
_ROOM_FOR_MODELS: Final = 76
"""Columns from which a row has its model, and a shorter title."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of the plan.

    Attributes:
        name: its type and id.
        title: its title.
        state: ``done``, ``failed``, ``skipped``, ``running`` or ``ahead``.
        tier: the tier it ran at, or would; None where it did not run in this run.
        model: likewise.
        amount: what it cost, is expected to cost, or how long it has been running.
    """

    name: str
    title: str = ""
    state: str = "ahead"
    tier: Tier | None = None
    model: str = ""
    amount: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt under way.

    Attributes:
        name: its unit's type and id.
        tier: the tier it runs at.
        model: what it runs on.
        cause: why there is this attempt, where it is not the unit's first.
        why: the decision's reason.
        seconds: how long it has been running.
        steps: how many steps the agent has taken.
        last: the last of them.
        tokens: how many were used so far.
        cost: US dollars so far; None is unknown.
        checking: whether the agent is done and its work is being verified.
    """

    name: str
    tier: Tier
    model: str
    cause: str = ""
    why: str = ""
    seconds: float = 0.0
    steps: int = 0
    last: tuple[Step, ...] = ()
    tokens: int = 0
    cost: float | None = 0.0
    checking: bool = False


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment.

    Attributes:
        rows: the plan's units, in order.
        running: the attempt under way; None between two.
        seconds: how long the run has been going.
        seconds_to_go: how long it will, estimated; None is unknown.
        spent: US dollars so far, of all attempts.
        unpriced: attempts of unknown cost, which are not in `spent`.
        cost_to_go: US dollars still to be spent, estimated; None is unknown.
        saved: US dollars less than at the ceiling's prices, estimated; None where nothing can be compared yet.
        to_rate: the unit that a key would rate now; "" where nobody listens.
        turn: counts the drawings.
    """

    rows: tuple[Row, ...] = ()
    running: Running | None = None
    seconds: float = 0.0
    seconds_to_go: float | None = None
    spent: float = 0.0
    unpriced: int = 0
    cost_to_go: float | None = None
    saved: float | None = None
    to_rate: str = ""
    turn: int = 0


def draw(board: Board, columns: int, rows: int, *, color: bool) -> list[str]:
    """The board's lines for a terminal of that size: fewer than its rows, each shorter than its columns.

    Where there is little room the steps go first, then the table, then the attempt; the progress stays.
    """
    # The last column stays free: many terminals wrap a line that fills it, one cell late.
    width, room = min(columns - 1, _WIDEST), max(1, min(rows - 1, max(_FEWEST_LINES, rows // 2), _MOST_LINES))
    foot = _foot(board, width, color=color)[:room]
    room -= len(foot)
    attempt = _attempt(board.running, board.turn, max(0, min(5, room // 2 - 2)), color=color)[:room]
    room -= len(attempt)
    lines = _plan(board, room - 1, width, color=color) if room > 3 else []
    blank = [""] if lines else []
    return [clip(line, width) for line in (*lines, *blank, *attempt, *foot)]


def _plan(board: Board, room: int, width: int, *, color: bool) -> list[str]:
    """As much of the plan as there is room for, around what runs, or what comes next."""
    rows = board.rows
    at = next((number for number, row in enumerate(rows) if row.state == "running"), None)
    if at is None:
        at = next((number for number, row in enumerate(rows) if row.state == "ahead"), len(rows))
    first = max(0, min(at - room // 3, len(rows) - room))
    shown = rows[first : first + room]
    model = Column(spare=0 if width >= _ROOM_FOR_MODELS else 1)
    columns = (Column(), Column(), Column(shrinks=True), model, Column(right=True))
    lines = table(columns, [_cells(row, board.turn) for row in shown], width=width)
    return [_painted(line, row, color=color) for line, row in zip(lines, shown, strict=True)]


def _cells(row: Row, turn: int) -> tuple[str, ...]:
    mark = {"done": "✓", "failed": "✗", "skipped": "-", "running": _SPINNER[turn % len(_SPINNER)], "ahead": " "}[row.state]
    badge = "" if row.tier is None else row.tier.badge
    return f"{mark} {badge}", row.name, row.title, row.model, row.amount


def _painted(line: str, row: Row, *, color: bool) -> str:
    """A row in the colours of its tier and its state."""
    if not color:
        return line
    style = {"running": "bold", "failed": "red"}.get(row.state, "dim")
    head, badge, tail = line.partition(row.tier.badge) if row.tier is not None else (line, "", "")
    return styled(head, style) + (_badge(row.tier, color=True) if badge and row.tier is not None else "") + styled(tail, style)


def _attempt(running: Running | None, turn: int, steps: int, *, color: bool) -> list[str]:
    """The attempt: what runs, why, what it did last, what it used."""
    if running is None:
        return []
    spin = _SPINNER[turn % len(_SPINNER)]
    cause = f"  {running.cause}" if running.cause else ""
    head = f"{spin} {_badge(running.tier, color=color)} {one_line(running.model)}  {one_line(running.name)}"
    used = f"{_many(running.steps, 'step')}, {count(running.tokens)} tokens, {dollars(running.cost)}"
    checked = "; its work is being verified" if running.checking else ""
    return [
        f"{head}{styled(cause, 'yellow') if color else cause}  {clock(running.seconds)}",
        f"    {one_line(running.why)}",
        *(_step(step, color=color) for step in running.last[-steps:] if steps),
        f"    {used}{checked}",
    ]


def _step(step: Step, *, color: bool) -> str:
    line = one_line(f"    {'!' if step.error else '·'} {' '.join(filter(None, (step.kind, step.name, step.detail)))}")
    return styled(line, "red" if step.error else "dim") if color else line


def _foot(board: Board, width: int, *, color: bool) -> list[str]:
    """How far it is, what it cost, what can be said about the unit before."""
    done = sum(row.state in {"done", "skipped"} for row in board.rows)
    said = f"  {done} of {_many(len(board.rows), 'unit')}, {clock(board.seconds)}, {_time_to_go(board.seconds_to_go)}"
    size = max(5, min(_LONGEST_BAR, width - text_width(said)))
    full = round(size * done / len(board.rows)) if board.rows else 0
    money = [
        f"spent {dollars(board.spent)}" + (f" and {_many(board.unpriced, 'attempt')} of unknown cost" * bool(board.unpriced))
    ]
    money.append("cost to go unknown" if board.cost_to_go is None else f"{dollars(board.cost_to_go, estimated=True)} to go")
    if board.saved is not None:
        money.append(f"saved {dollars(board.saved, estimated=True)}")
    bar = (styled("━" * full, "green"), styled("─" * (size - full), "dim")) if color else ("━" * full, "─" * (size - full))
    lines = ["".join((*bar, said)), ", ".join(money)]
    if board.to_rate:
        lines.append(f"[o] over  [u] under  [k] ok: {one_line(board.to_rate)}")
    return lines


def _time_to_go(seconds: float | None) -> str:
    if seconds is None:
        return "time to go unknown"
    return f"~{roughly(seconds)} to go" if seconds >= 1 else "longer than expected"


def _badge(tier: Tier, *, color: bool) -> str:
    return styled(tier.badge, TIER_STYLES[tier]) if color else tier.badge


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def clock(seconds: float) -> str:
    """``0:42``, ``12:05``, ``1:04:10``."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def roughly(seconds: float) -> str:
    """``40s``, ``6m``, ``1h 20m``: as exact as a guess may look."""
    if seconds < 60:
        return f"{max(1, round(seconds))}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"
