"""The bill: what was spent on what, how that is known, and what routing saved."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Outcome, Record
from stepdown.money import count, dollars, share
from stepdown.report.tables import Column, clip, one_line, styled, table, text_width
from stepdown.savings import Savings, runs, savings, stepped_up, succeeded
from stepdown.units import Tokens

_MEASURED: Final = "measured"
_ESTIMATED: Final = "estimated"
_UNKNOWN: Final = "unknown"
_UNITS, _ATTEMPTS, _TOKENS, _SHARE = 1, 2, 4, 6
"""Columns of the bill that a narrow terminal can do without."""
_NAME_CELLS: Final = 16
"""Terminal cells that the first column of the bill needs to say something."""


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """Money and how it is known.

    Attributes:
        usd: US dollars of what is known; None where nothing is.
        provenance: ``measured`` (as agent or provider reported it), ``estimated`` (some of it is tokens times list price, or
            it is a counterfactual) or ``unknown``.
        unknown: how many attempts (of a counterfactual: runs) are not in `usd`, because their cost is unknown.
    """

    usd: float | None = 0.0
    provenance: str = _MEASURED
    unknown: int = 0

    def __str__(self) -> str:
        return dollars(self.usd, estimated=self.provenance == _ESTIMATED)


class SpendingLine(msgspec.Struct, frozen=True, kw_only=True):
    """Finished attempts that share a tier, a unit type, a model or a project.

    Attributes:
        key: what they share; ``unknown`` where the ledger does not know it.
        units: how many units they belong to. One that stepped up stands in the lines of two tiers.
        attempts: how many.
        failed: how many of them failed.
        unverified: how many successes nothing checked.
        downgraded: how many ran on less than the ceiling.
        tokens: of the attempts whose use is known.
        spent: what they cost.
    """

    key: str
    units: int
    attempts: int
    failed: int
    unverified: int
    downgraded: int
    tokens: Tokens
    spent: Amount


class SpendingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent, on what, and what routing saved. All times are seconds since the epoch.

    Attributes:
        project: whose; "" is all projects.
        first: when the first attempt started; None where there is none.
        last: when the last one started or ended.
        units: units that were attempted, running ones too.
        running: attempts that have not ended, or whose process died.
        reserved_usd: what is set aside for those.
        total: all finished attempts.
        failures: attempts that failed, by kind (SPEC 8), the most frequent first.
        stepped_up: how often a unit was given to a stronger model after a quality failure.
        rescued: how often that unit then succeeded.
        counterfactual: what the ceiling would have cost for the runs of `savings`.
        tiers: per tier, dearest first.
        types: per unit type, dearest first.
        models: per model, dearest first.
        projects: per project, dearest first; empty in the report of one project.
        sources: attempts per origin: ``run``, ``gsd``.
        savings: what routing saved, and why.
    """

    project: str
    first: float | None
    last: float | None
    units: int
    running: int
    reserved_usd: float
    total: SpendingLine
    failures: dict[str, int]
    stepped_up: int
    rescued: int
    counterfactual: Amount
    tiers: tuple[SpendingLine, ...]
    types: tuple[SpendingLine, ...]
    models: tuple[SpendingLine, ...]
    projects: tuple[SpendingLine, ...]
    sources: dict[str, int]
    savings: Savings

    def as_json(self) -> dict[str, Any]:
        """The report as JSON's own types; `Savings.net_usd` and its provenance are spelled out."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        document["savings"] |= {"net_usd": self.savings.net_usd, "provenance": _ESTIMATED}
        return document


def spending_report(
    ledger: Ledger,
    project: str | None = None,
    *,
    since: float = 0.0,
    learned: Mapping[tuple[str, str], float] | None = None,
) -> SpendingReport:
    """The bill for one project, or for all.

    Args:
        ledger: what to read.
        project: the plan's `PlanSource.project`; None is all.
        since: only attempts that started at or after this, in seconds since the epoch.
        learned: see `stepdown.savings.savings`.
    """
    records = [record for record in ledger.records(project) if record.attempt.started >= since]
    finished = [(record, record.outcome) for record in records if record.outcome is not None]
    running = [record for record in records if record.outcome is None]
    saved = savings(records, learned=learned)
    stepped = [run for run in runs(records) if stepped_up(run)]
    return SpendingReport(
        project=project or "",
        first=min((record.attempt.started for record in records), default=None),
        last=max((record.outcome.finished if record.outcome else record.attempt.started for record in records), default=None),
        units=_units(records),
        running=len(running),
        reserved_usd=sum(record.attempt.reserved_usd for record in running),
        total=_line("total", finished),
        failures=dict(Counter(outcome.failure for _, outcome in finished if outcome.failure is not None).most_common()),
        stepped_up=len(stepped),
        rescued=sum(map(succeeded, stepped)),
        counterfactual=Amount(
            usd=saved.counterfactual_usd if saved.runs or not saved.unknown else None,
            provenance=_ESTIMATED if saved.runs or not saved.unknown else _UNKNOWN,
            unknown=saved.unknown,
        ),
        tiers=_lines(finished, lambda record: str(record.attempt.tier or "")),
        types=_lines(finished, lambda record: record.attempt.unit_type),
        models=_lines(finished, lambda record: record.attempt.model),
        projects=_lines(finished, lambda record: record.attempt.project) if project is None else (),
        sources=dict(sorted(Counter(record.source for record in records).items())),
        savings=saved,
    )


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


def _line(key: str, finished: Sequence[tuple[Record, Outcome]]) -> SpendingLine:
    outcomes = [outcome for _, outcome in finished]
    return SpendingLine(
        key=key or _UNKNOWN,
        units=_units(record for record, _ in finished),
        attempts=len(finished),
        failed=sum(outcome.failure is not None for outcome in outcomes),
        unverified=sum(outcome.failure is None and outcome.verified is None for outcome in outcomes),
        downgraded=sum(record.attempt.downgraded for record, _ in finished),
        tokens=sum((outcome.tokens for outcome in outcomes if outcome.tokens is not None), Tokens()),
        spent=_spent(outcomes),
    )


def _units(records: Iterable[Record]) -> int:
    return len({(record.attempt.project, record.attempt.unit_type, record.attempt.unit_id) for record in records})


def _spent(outcomes: Sequence[Outcome]) -> Amount:
    known = [outcome.cost_usd for outcome in outcomes if outcome.cost_usd is not None]
    if outcomes and not known:
        return Amount(usd=None, provenance=_UNKNOWN, unknown=len(outcomes))
    measured = all(outcome.cost_source == "reported" for outcome in outcomes if outcome.cost_usd is not None)
    return Amount(usd=sum(known), provenance=_MEASURED if measured else _ESTIMATED, unknown=len(outcomes) - len(known))


def _lines(finished: Sequence[tuple[Record, Outcome]], key: Callable[[Record], str]) -> tuple[SpendingLine, ...]:
    groups: defaultdict[str, list[tuple[Record, Outcome]]] = defaultdict(list)
    for record, outcome in finished:
        groups[key(record)].append((record, outcome))
    lines = [_line(name, members) for name, members in groups.items()]
    return tuple(sorted(lines, key=lambda line: (-(line.spent.usd or 0.0), -line.tokens.total, line.key)))


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
        if not lines or all(line.key == _UNKNOWN for line in lines):
            continue
        shown = lines if len(lines) <= rows else lines[: rows - 1]
        cells.append([title, *[""] * 7])
        cells.extend(_cells(line, report.total, f"  {line.key}") for line in shown)
        if len(shown) < len(lines):
            cells.append(_cells(_rest(lines[len(shown) :]), report.total, f"  {len(lines) - len(shown)} more"))
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


def _rest(lines: Sequence[SpendingLine]) -> SpendingLine:
    """Several lines as one."""
    known = [line.spent.usd for line in lines if line.spent.usd is not None]
    sources = {line.spent.provenance for line in lines if line.spent.usd is not None}
    return SpendingLine(
        key="",
        units=sum(line.units for line in lines),
        attempts=sum(line.attempts for line in lines),
        failed=sum(line.failed for line in lines),
        unverified=sum(line.unverified for line in lines),
        downgraded=sum(line.downgraded for line in lines),
        tokens=sum((line.tokens for line in lines), Tokens()),
        spent=Amount(
            usd=sum(known) if known else None,
            provenance=_UNKNOWN if not known else _ESTIMATED if _ESTIMATED in sources else _MEASURED,
            unknown=sum(line.spent.unknown for line in lines),
        ),
    )


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
    rows = [["Spent", str(report.total.spent), _EXPLAINED[report.total.spent.provenance]]]
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


_EXPLAINED: Final = {
    _MEASURED: "measured: as agent or provider reported it",
    _ESTIMATED: "estimated: in part tokens at list price",
    _UNKNOWN: "no attempt has a known cost",
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
