"""Reports as tables of Markdown that also read well on a terminal, and as JSON."""

from collections.abc import Mapping, Sequence

import msgspec

from bench.routing.bootstrap import Interval, interval
from bench.routing.replay import MEANING, SIMPLE, Report, Score

HEADER = (
    "policy",
    "solved %",
    "$ a task",
    "$ a solved task",
    "saving %",
    "points against heavy",
    "started L/S/H %",
    "steps up",
)

ASSUMED = """\
95 % intervals in brackets: tasks drawn again, paired, {draws:,} times. One recorded run stands for an attempt (of several, each
seed draws one). "points against heavy" is the solved rate less that of always-heavy; "$ a solved task" has the failures in it;
"steps up" are attempts after the first, per task. The verifier flags by a seeded draw, the same for all policies; what it costs
is not counted. A flagged attempt on heavy ends the task, and the last answer counts. An attempt's cost is spread evenly over
its requests. What is learned is learned from the tasks before, in {seeds} orders."""


def lines(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first row is its head, the first column is text, the others are aligned to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [("-" * width) if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(rows[0]), f"| {' | '.join(rule)} |", *(line(row) for row in rows[1:])])


def title(report: Report) -> str:
    """The three models and what a task costs on each."""
    costs = zip(report.field.models, report.mean_costs, strict=True)
    return " → ".join(f"{model} (${cost:.3f} a task)" for model, cost in costs)


def about(report: Report) -> str:
    """What the table is over, and what was left out of it."""
    field = report.field
    parts = [f"{report.tasks} tasks of {', '.join(field.datasets)}, {report.verifier}"]
    if field.lacking:
        parts.append(f"{field.lacking} tasks left out that not all three models were run on")
    if field.unpriced:
        parts.append(f"{field.unpriced} rows of these files left out that have no cost")
    if field.textless:
        parts.append(f"{field.textless} tasks without a text")
    return "; ".join(parts) + "."


def table(report: Report) -> str:
    """One report."""
    return lines([HEADER, *(_row(score) for score in report.policies)])


def _row(score: Score) -> tuple[str, ...]:
    per_solved = score.cost_per_solved
    return (
        score.policy,
        f"{score.solved_rate * 100:.1f} {_span(score.interval, 100)}",
        f"{score.cost_usd:.3f}",
        "-" if per_solved is None else f"{per_solved:.3f} {_span(score.intervals['cost_per_solved'], 1, 3)}",
        f"{score.saving * 100:.0f} {_span(score.intervals['saving'], 100, 0)}",
        f"{score.difference * 100:+.1f} {_span(score.intervals['difference'], 100)}",
        "/".join(f"{share * 100:.0f}" for share in score.share.values()),
        f"{score.escalations:.2f}",
    )


def _span(ends: Interval | None, scale: float, digits: int = 1) -> str:
    return "" if ends is None else f"[{ends[0] * scale:.{digits}f}, {ends[1] * scale:.{digits}f}]"


def means(reports: Sequence[Report]) -> dict[str, tuple[float, Interval, float, Interval]]:
    """Per policy, saving and difference averaged over reports of one verifier, each with its interval.

    Reports over equally many tasks drew the same ones, so that triples which share their tasks stay paired.
    """
    found = {}
    for policy in MEANING:
        savings, differences = (
            [
                sum(each) / len(reports)
                for each in zip(*(getattr(report.drawn[policy], name) for report in reports), strict=True)
            ]
            for name in ("saving", "difference")
        )
        found[policy] = savings[0], interval(savings), differences[0], interval(differences)
    return found


def mean_table(reports: Sequence[Report]) -> str:
    """Saving and difference averaged over triples, and the worst of each."""
    rows = [("policy", "saving %", "points against heavy", "least saving %", "most points lost")]
    for policy, (saving, savings, difference, differences) in means(reports).items():
        scores = [report.of(policy) for report in reports]
        rows.append(
            (
                policy,
                f"{saving * 100:.0f} {_span(savings, 100, 0)}",
                f"{difference * 100:+.1f} {_span(differences, 100)}",
                f"{min(score.saving for score in scores) * 100:.0f}",
                f"{min(score.difference for score in scores) * 100:+.1f}",
            )
        )
    return lines(rows)


def beaten(report: Report, policy: str = "default") -> list[str]:
    """The simple policies that are both cheaper and better than `policy`; what cannot be told apart is neither."""
    own = report.of(policy)
    return [
        name
        for name in SIMPLE
        if (bar := report.of(name)).cost_usd < own.cost_usd * (1 - 1e-9) and bar.solved_rate > own.solved_rate + 1e-9
    ]


def as_json(report: Report) -> str:
    """The report for programs; ``policies`` as in the table, with ``interval`` that of ``solved_rate``."""
    found: Mapping[str, object] = {
        "data": report.field.datasets,
        "models": dict(zip(("light", "standard", "heavy"), report.field.models, strict=True)),
        "tasks": report.tasks,
        "left_out": {"tasks_without_all_three": report.field.lacking, "rows_without_cost": report.field.unpriced},
        "verifier": {"recall": report.verifier.recall, "false_alarms": report.verifier.false_alarms},
        "seeds": report.seeds,
        "policies": report.policies,
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
