"""``stepdown learned``: what counts as evidence, per pattern and tier, and what it changes now."""

import time
from pathlib import Path

import click

from stepdown.agents.claude_settings import configured_model
from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.reset import reset_due
from stepdown.cli.screen import print_json, print_table, say
from stepdown.cli.workspace import read_preferences
from stepdown.context import build_context
from stepdown.ledger import open_ledger
from stepdown.ledger.rules import day_name, day_of
from stepdown.policy import Policy
from stepdown.report.learned import Cell, Learned, follows, gather
from stepdown.report.tables import Column
from stepdown.routing import Router

_ROWS = 20
"""Rows of the table that fit a screen with what follows from them; ``--json`` has them all."""


@click.command("learned", short_help="What was learned, and what it changes now.")
@click.option("--project", type=TREE, default=".", help="Whose preferences decide what follows; default: here.")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(*, project: Path, json_: bool) -> None:
    """Show what counts as evidence in all your projects, per pattern and tier, and what it changes for the next units."""
    name = project_at(project)
    preferences, catalog = read_preferences(Path(name))
    with open_ledger(create=False) as ledger:
        context = build_context(ledger, preferences, project=name, now=time.time(), agent_model=configured_model(Path(name)))
        learned = gather(Router(preferences, catalog), context, ledger.ratings(), due=reset_due(ledger, preferences, name))
    if json_:
        print_json(learned)
    else:
        show(learned, preferences.policy)


def show(learned: Learned, policy: Policy) -> None:
    """Print it."""
    if learned.reset_due:
        say("dynamic_routing_reset is set: the next `stepdown run` forgets what was learned so far.", "")
    if not learned.evidence:
        say(
            "Nothing is learned yet. What counts as evidence:",
            "  - a first attempt that was verified, whether it passed or failed (`stepdown run`)",
            "  - a rating of yours (`stepdown rate over|under|ok`)",
            "  - what GSD has counted in a project's .gsd/routing-history.json (read by `stepdown run` and `stepdown report`)",
        )
    else:
        _show_evidence(learned, policy)
        say("", *follows(learned, policy))
    for title, lines in (
        ("Stood down", [f"{pattern}: {reason}" for pattern, reason in learned.stood_down.items()]),
        ("Ratings that contradict each other (all of them count)", learned.contradictions),
    ):
        if lines:
            say("", title, *(f"  {line}" for line in lines))
    if learned.evidence and learned.routing == "off":
        say("", "Routing is off, so none of this decides anything yet (dynamic_routing.enabled).")


def _show_evidence(learned: Learned, policy: Policy) -> None:
    rows = [_row(name, cell) for name, cells in learned.evidence.items() for cell in cells]
    columns = [
        Column(),
        Column(title="pattern", shrinks=True),
        Column(title="events", right=True),
        Column(title="from", shrinks=True),
        Column(title="failed", right=True),
        Column(title=f"{policy.evidence_confidence:.0%} interval", right=True),
        Column(title="newest"),
    ]
    print_table(columns, rows[:_ROWS])
    if len(rows) > _ROWS:
        say(f"... and {len(rows) - _ROWS} more, which were learned earlier; --json has them all.")


def _row(pattern: str, cell: Cell) -> tuple[str, ...]:
    low, high = cell.interval
    sources = {"outcome": cell.outcomes, "rating": cell.ratings, "imported": cell.imported}
    return (
        cell.tier.badge,
        pattern,
        str(cell.events),
        ", ".join(_counted(count, source) for source, count in sources.items() if count),
        f"{cell.failed:.0%}",
        f"{low:.0%} to {high:.0%}",
        day_name(day_of(cell.newest)),
    )


def _counted(count: int, source: str) -> str:
    return f"{count} {source}{'' if count == 1 or source == 'imported' else 's'}"
