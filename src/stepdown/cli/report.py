"""``stepdown report``: what was spent, on what, and what routing saved."""

import time
from pathlib import Path
from typing import Final

import click

from stepdown.agents.claude_settings import configured_model
from stepdown.catalog import Catalog
from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.bulk import uncollected, write_page
from stepdown.cli.reset import reset_due
from stepdown.cli.screen import color, complain, print_json, width
from stepdown.cli.workspace import Workspace, import_past, open_workspace, read_preferences
from stepdown.errors import LedgerError, PlanError, UsageError
from stepdown.ledger import Ledger, open_ledger
from stepdown.policy import DEFAULT_POLICY
from stepdown.report.spending import SpendingReport, spending_report
from stepdown.report.spending_text import render_text
from stepdown.routing import Router
from stepdown.savings import learned_costs

_PAGE: Final = "stepdown-report.html"


@click.command("report", short_help="What was spent, and what routing saved.")
@click.argument("path", type=TREE, default=".")
@click.option("--everything", is_flag=True, help="All projects of the ledger, not just the one at PATH.")
@click.option(
    "--html",
    type=TREE,
    metavar="[FILE]",
    is_flag=False,
    flag_value=_PAGE,
    help=f"Also write a page that needs nothing else, to keep or to share; default: {_PAGE}.",
)
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(*, path: Path, everything: bool, html: Path | None, json_: bool) -> None:
    """Show what the units of the project at PATH cost. What GSD recorded of its past (`.gsd/metrics.json`) is read in first."""
    if html is not None and html.is_dir():
        raise UsageError(f"--html {html}: that is a directory; name a file, and the project before it: report {html} --html")
    workspace = None if everything else _workspace(path)
    project = None if everything else project_at(path)
    with open_ledger(create=workspace is not None) as ledger, uncollected():
        notes = () if workspace is None else _past(ledger, workspace)
        report = spending_report(ledger, project, learned=_learned(ledger, workspace))
        if html is not None:
            write_page(html, _page(ledger, workspace, report))
    for note in notes:
        complain(note)
    if json_:
        print_json(report.as_json())
        return
    click.echo(render_text(report, width=width() or 100, color=color()))
    if html is not None:
        click.echo(f"\nThe page is in {html}")


def _page(ledger: Ledger, workspace: Workspace | None, report: SpendingReport) -> str:
    """The page of the project, or of all."""
    from stepdown.report.ledger_page import LedgerPage, render_page  # noqa: PLC0415 - what draws is only needed for a page
    from stepdown.report.outlook import outlook  # noqa: PLC0415 - likewise

    now, project = time.time(), report.project
    stands = None
    if project:
        router = Router(*read_preferences(Path(project))) if workspace is None else workspace.router
        due = reset_due(ledger, router.preferences, project)
        stands = outlook(ledger, router, project, now, agent_model=configured_model(Path(project)), due=due)
    page = LedgerPage(
        report=report,
        made=now,
        ratings=ledger.ratings(project or None),
        blocked=ledger.blocks(now),
        plans=ledger.plan_meters(),
        outlook=stands,
    )
    return render_page(page)


def _workspace(path: Path) -> Workspace | None:
    """The plan at `path`; None where there is none, but the ledger knows the project, as it knows a gateway's."""
    try:
        return open_workspace(path)
    except PlanError:
        with open_ledger(create=False) as ledger:
            if ledger.records(project_at(path), limit=1):
                return None
        raise


def _learned(ledger: Ledger, workspace: Workspace | None) -> dict[tuple[str, str], float]:
    """What the ceilings are known to need, in US dollars; models of a project's own only where it is that project's report."""
    catalog = Catalog.load() if workspace is None else workspace.catalog
    policy = DEFAULT_POLICY if workspace is None else workspace.preferences.policy
    return learned_costs(ledger.expectations(), catalog.resolve, policy.expectation_minimum)


def _past(ledger: Ledger, workspace: Workspace) -> tuple[str, ...]:
    """Read the past in, as far as the ledger can be written: what stands in it already is worth showing without."""
    try:
        return import_past(ledger, workspace)
    except LedgerError as error:
        return (f"the project's past was not read in: {error}",)
