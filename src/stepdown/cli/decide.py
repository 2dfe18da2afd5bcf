"""``stepdown decide``: the receipt of one unit, without a plan or from one."""

import time
from pathlib import Path

import click
import msgspec

from stepdown.agents.claude_settings import configured_model
from stepdown.cli.arguments import TREE, directory
from stepdown.cli.receipts import as_json, candidate_json, receipt
from stepdown.cli.screen import complain, print_json, say
from stepdown.cli.workspace import read_preferences
from stepdown.context import build_context
from stepdown.decision import Context, Meter, Retry
from stepdown.errors import PlanError, UsageError
from stepdown.explain import flips
from stepdown.ledger import open_ledger
from stepdown.plans import GsdPlan
from stepdown.routing import Router
from stepdown.units import PlanText, Tier, Unit

_LARGEST_PLAN = 10_000_000
"""Bytes of a plan file that are read; what follows decides nothing."""


@click.command("decide", short_help="Decide one unit: the receipt.")
@click.argument("unit_type", metavar="TYPE")
@click.option("--id", "unit_id", metavar="ID", default="", help="The unit's id. With a plan at --project, its unit of that id.")
@click.option("--plan", "plan_file", type=TREE, metavar="FILE", help="The task's plan file.")
@click.option("--title", default="", help="What the unit is called, where no plan says so.")
@click.option("--project", type=TREE, default=".", help="Whose preferences and plan apply; default: here.")
@click.option("--assume", type=TREE, metavar="FILE", help="Preferences to use instead of the project's own.")
@click.option("--ceiling", metavar="MODEL", default="", help="Assume this model is set for every phase.")
@click.option("--budget-used", type=float, metavar="FRACTION", help="As if this fraction of a budget were used: 0.8.")
@click.option("--retry-of", type=click.Choice([tier.value for tier in Tier]), help="As if an attempt at this tier had failed.")
@click.option("--pin", metavar="MODEL|TIER", default="", help="As if this were pinned.")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(
    *,
    unit_type: str,
    unit_id: str,
    plan_file: Path | None,
    title: str,
    project: Path,
    assume: Path | None,
    ceiling: str,
    budget_used: float | None,
    retry_of: str | None,
    pin: str,
    json_: bool,
) -> None:
    """Decide one unit of TYPE (execute-task, plan-slice, hook/review, ...): which model, why, and what would flip it."""
    if budget_used is not None and not 0 <= budget_used < float("inf"):
        raise UsageError(f"--budget-used: a fraction of 0 or more is meant (0.8 is 80 %), not {budget_used}")
    if not unit_type:
        raise UsageError("TYPE is empty: name a unit type, such as execute-task")
    unit = _unit(unit_type, unit_id, title, plan_file, directory(project))
    preferences, catalog = read_preferences(project, assume, ceiling)
    router = Router(preferences, catalog)
    with open_ledger(create=False) as ledger:
        context = build_context(
            ledger,
            preferences,
            project=str(project.resolve()),
            now=time.time(),
            catalog=catalog,
            unit_type=unit.type,
            agent_model=configured_model(project),
        )
    context = _as_if(context, budget_used, retry_of, pin)
    decision = router.decide(unit, context)
    turns = flips(router, unit, context)
    if json_:
        considered = [candidate_json(candidate) for candidate in decision.shown.candidates]
        answer = {**as_json(unit, decision), "candidates": considered, "flips": list(turns)}
        print_json(answer)
    else:
        say(*receipt(unit, decision, turns))


def _unit(unit_type: str, unit_id: str, title: str, plan_file: Path | None, project: Path) -> Unit:
    """The unit meant: from a plan file, from the project's plan, or just its type."""
    if plan_file is not None:
        try:
            with plan_file.open("rb") as file:
                text = file.read(_LARGEST_PLAN).decode("utf-8", errors="replace")
        except OSError as error:
            raise PlanError(f"{plan_file}: {error.strerror or error}") from error
        return Unit(unit_type, unit_id, title, plan=PlanText(task=text))
    if unit_id and (project / ".gsd").is_dir():
        for unit in GsdPlan.open(project).units():
            if unit.type == unit_type and unit.id == unit_id:
                return unit
        complain(f"the plan has no {unit_type} {unit_id}: it is decided by its type alone")
    return Unit(unit_type, unit_id, title)


def _as_if(context: Context, budget_used: float | None, retry_of: str | None, pin: str) -> Context:
    """The world as the options want it."""
    if budget_used is not None:
        meter = Meter(name="--budget-used", used=budget_used, detail=f"{budget_used:.0%}", provenance="assumed")
        context = msgspec.structs.replace(context, meters=(meter,))
    if retry_of is not None:
        context = msgspec.structs.replace(context, retry=Retry(tier=Tier(retry_of)))
    return msgspec.structs.replace(context, pin=pin) if pin else context
