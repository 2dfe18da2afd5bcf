"""The bill for a terminal: one screen of text."""

import textwrap
from datetime import UTC, datetime
from typing import Final

from stepdown.money import count, dollars, share
from stepdown.report.spending import ESTIMATED, MEASURED, UNKNOWN, SpendingLine, SpendingReport, together
from stepdown.report.tables import Column, clip, one_line, styled, table, text_width
from stepdown.savings import Savings

_UNITS, _ATTEMPTS, _TOKENS, _SHARE = 1, 2, 4, 6
"""Columns of the bill that a narrow terminal can do without."""
_NAME_CELLS: Final = 16
"""Terminal cells that the first column of the bill needs to say something."""


def savings_sentence(saved: Savings) -> str:
    """``Dynamic routing saved ~$1.84 (9 units downgraded)``, or what is true instead."""
    if not saved.downgraded and not saved.cache_usd:
        return "Dynamic routing changed nothing (0 units downgraded)"
    units = f"({_counted(saved.downgraded, 'unit')} downgraded)"
    if not saved.runs:
        return f"What dynamic routing saved is unknown {units}"
    amount = dollars(abs(saved.net_usd), estimated=True)
    left_out = f"; {_counted(saved.unknown, 'unit')} of unknown cost not compared" if saved.unknown else ""
    if saved.net_usd < 0:
        return f"Dynamic routing cost {amount} more than the ceiling would have {units}{left_out}"
    return f"Dynamic routing saved {amount} {units}{left_out}"


def render_text(report: SpendingReport, width: int = 80, color: bool = False, *, rows: int = 6) -> str:
    """The report as text that fits one screen; ends without a newline.

    Args:
        report: what to show.
        width: cells of the terminal.
        color: whether to use colour; `stepdown.report.tables.use_color` knows.
        rows: how many lines each group shows at most; the rest is summed up in one.
    """
    heading = clip(_heading(report), width)
    if not report.total.attempts and not report.running:
        return heading
    parts = [
        [styled(heading, "bold" if color else "")],
        _bill(report, width, rows, color=color) if report.total.attempts else [],
        _summary(report, width, color=color),
        [line for note in _notes(report) for line in textwrap.wrap(f"Note: {note}", width)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _heading(report: SpendingReport) -> str:
    name = one_line(report.project.rstrip("/").rpartition("/")[2]) if report.project else "all projects"
    if report.first is None or report.last is None:
        return f"Spending of {name or report.project}: nothing recorded yet"
    first, last = _date(report.first), _date(report.last)
    period = first if first == last else f"{first} to {last}"
    imported = sum(number for source, number in report.sources.items() if source != "run")
    origin = f", {imported} of them imported" if imported and "run" in report.sources else ", imported" if imported else ""
    number = sum(report.sources.values())
    work = _counted(number, "attempt") + (f" at {_counted(report.units, 'unit')}" if report.units < number else "")
    return f"Spending of {name or report.project}, {period}: {work}{origin}"


def _bill(report: SpendingReport, width: int, rows: int, *, color: bool) -> list[str]:
    """One table for all groups, so that the columns of one stand under those of the other."""
    groups = [("Project", report.projects), ("Model", report.models), ("Unit type", report.types), ("Tier", report.tiers)]
    cells: list[list[str]] = []
    for title, lines in groups:
        # A group of which nothing is known says nothing: GSD's older files record no tier.
        if not lines or all(line.key == UNKNOWN for line in lines):
            continue
        shown = lines if len(lines) <= rows else lines[: rows - 1]
        cells.append([title, *[""] * 7])
        cells.extend(_cells(line, report.total, f"  {line.key}") for line in shown)
        if len(shown) < len(lines):
            cells.append(_cells(together(lines[len(shown) :]), report.total, f"  {len(lines) - len(shown)} more"))
    cells.append(_cells(report.total, report.total, "Total"))
    columns = [
        Column(shrinks=True),
        Column(title="units", right=True),
        Column(title="attempts", right=True),
        Column(title="failed", right=True, style="red"),
        Column(title="tokens", right=True),
        Column(title="spent", right=True, style="bold"),
        Column(title="share", right=True, style="dim"),
        Column(title="no price", right=True, style="yellow"),
    ]
    # Columns with nothing to say in any line are left out, and what a narrow terminal has no room for goes the same way.
    widths = [max(text_width(row[i]) for row in [[column.title for column in columns], *cells]) for i in range(len(columns))]
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in cells)]
    if all(row[_UNITS] == row[_ATTEMPTS] for row in cells):
        used.remove(_UNITS)
    for dispensable, name in ((_UNITS, widths[0]), (_SHARE, _NAME_CELLS), (_TOKENS, _NAME_CELLS), (_ATTEMPTS, _NAME_CELLS)):
        if name + sum(2 + widths[i] for i in used[1:]) > width:
            used = [i for i in used if i != dispensable]
    return table([columns[i] for i in used], [[row[i] for i in used] for row in cells], width=width, color=color)


def _cells(line: SpendingLine, total: SpendingLine, name: str) -> list[str]:
    return [
        name,
        str(line.units),
        str(line.attempts),
        str(line.failed or ""),
        count(line.tokens.total),
        str(line.spent),
        share(line.spent.usd or 0.0, total.spent.usd or 0.0) if line is not total and line.spent.usd is not None else "",
        str(line.spent.unknown or ""),
    ]


def _summary(report: SpendingReport, width: int, *, color: bool) -> list[str]:
    saved = report.savings
    rows = [["Spent", str(report.total.spent), EXPLAINED[report.total.spent.provenance]]]
    if report.running:
        rows.append(
            ["Reserved", dollars(report.reserved_usd, estimated=True), f"for {_counted(report.running, 'attempt')} not ended"]
        )
    if (saved.downgraded or saved.cache_usd) and saved.runs:
        rows += [
            ["At the ceiling", str(report.counterfactual), f"what {_counted(saved.runs, 'unit')} would have cost on it"],
            ["Saved by cheaper models", dollars(saved.cheaper_usd, estimated=True), "at the same or the ceiling's own use"],
            [
                "Lost to failed attempts",
                dollars(saved.failed_usd, estimated=True),
                "by models below the ceiling" if saved.failed_usd else "none",
            ],
            [
                "Lost to cache",
                dollars(saved.cache_usd, estimated=True),
                "caches written anew after a change of model" if saved.cache_usd else "none measured",
            ],
        ]
    if report.failures:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in report.failures.items())
        rows.append(["Failed attempts", f"{report.total.failed:,}", kinds])
    if report.stepped_up:
        rows.append(["Stepped up", f"{report.stepped_up:,}", f"{report.rescued:,} of them then succeeded"])
    columns = [Column(), Column(right=True, style="bold"), Column(shrinks=True, style="dim")]
    lines = table(columns, rows, width=width, color=color)
    if "run" in report.sources:
        style = "yellow" if saved.net_usd < 0 else "green" if saved.downgraded and saved.runs else ""
        lines += [styled(line, style if color else "") for line in textwrap.wrap(savings_sentence(saved), width)]
    return lines


EXPLAINED: Final = {
    MEASURED: "measured: as agent or provider reported it",
    ESTIMATED: "estimated: in part tokens at list price",
    UNKNOWN: "no attempt has a known cost",
}


def _notes(report: SpendingReport) -> list[str]:
    total = report.total
    notes = []
    if total.spent.unknown and total.spent.usd is not None:
        notes.append(f"{_counted(total.spent.unknown, 'attempt')} of unknown cost not included")
    if total.unverified:
        notes.append(
            f"nothing checked the work of {_counted(total.unverified, 'attempt')}, so whether it succeeded is not known"
        )
    return notes


def _date(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y}"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
