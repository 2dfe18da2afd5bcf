"""``stepdown plan``: every unit of a plan with the model it would run on. Spends nothing, writes nothing."""

import re
import time
from pathlib import Path

import click
import msgspec

from stepdown.agents import AGENTS, open_agent
from stepdown.agents.claude_settings import configured_model
from stepdown.cli.arguments import TREE
from stepdown.cli.receipts import as_json, reason
from stepdown.cli.screen import print_json, print_table, say
from stepdown.cli.workspace import Workspace, open_workspace
from stepdown.context import build_context
from stepdown.decision import Context, Decision
from stepdown.dispatch import hooks
from stepdown.ledger import open_ledger
from stepdown.money import dollars
from stepdown.report.tables import Column
from stepdown.units import Unit


@click.command("plan", short_help="List a plan's units with the model each would run on.")
@click.argument("path", type=TREE, default=".")
@click.option("--all", "everything", is_flag=True, help="Finished units too.")
@click.option("--json", "json_", is_flag=True, help="A JSON list, one object a unit.")
@click.option("--assume", type=TREE, metavar="FILE", help="Preferences to use instead of the project's own.")
@click.option("--ceiling", metavar="MODEL", default="", help="Assume this model is set for every phase.")
@click.option("--agent", "agent_name", metavar="|".join(AGENTS), default="", help="Only models that this agent can reach.")
def command(*, path: Path, everything: bool, json_: bool, assume: Path | None, ceiling: str, agent_name: str) -> None:
    """List every pending unit of the plan at PATH with the model it would run on, and why. Spends nothing."""
    workspace = open_workspace(path, assume=assume, ceiling=ceiling)
    with open_ledger(create=False) as ledger:
        context = build_context(
            ledger,
            workspace.preferences,
            project=workspace.plan.project,
            now=time.time(),
            catalog=workspace.catalog,
            providers=open_agent(agent_name, workspace.preferences).providers() if agent_name else None,
            agent_model=configured_model(workspace.root),
        )
    units = list(workspace.plan.units())
    listed = [(unit, _decide(workspace, unit, context)) for unit in units if everything or not (unit.done or unit.waits)]
    if json_:
        rows = [as_json(unit, decision) for unit, decision in listed]
        print_json(rows)
        return
    if not units:
        say(f"{workspace.root}: the plan has no units yet")
    elif not listed:
        say(f"{workspace.root.name}: all {len(units)} units are done; --all lists them")
    else:
        _print(workspace, listed, everything=everything)
    waiting = [] if everything else [unit for unit in units if unit.waits and not unit.done]
    if waiting:
        say(f"{len(waiting)} more wait for other slices, or are parked; --all lists them.")


def _print(workspace: Workspace, listed: list[tuple[Unit, Decision]], *, everything: bool) -> None:
    rows = [_row(unit, decision) for unit, decision in listed]
    columns = [
        Column(),
        Column(title="unit"),
        Column(title="title", shrinks=True),
        Column(title="model"),
        Column(title="cost", right=True),
        Column(title="ceiling", right=True),
        Column(title="why", shrinks=True),
    ]
    print_table(columns, rows)
    say("", *_summary(workspace, listed, everything=everything))


def _decide(workspace: Workspace, unit: Unit, context: Context) -> Decision:
    """What `run` would decide, pre-dispatch hooks included; a unit that a hook skips says so and costs nothing."""
    change = hooks.of_plan(unit, workspace.preferences.pre_dispatch_hooks, workspace.plan)
    decision = workspace.router.decide(change.unit, msgspec.structs.replace(context, hook_model=change.model))
    if change.action == "skip":
        return msgspec.structs.replace(decision, refused=f"skipped by the hook {change.fired[-1]}")
    return decision


_ASIDE = re.compile(r" \([^()]*\)|; that is the tier of \S+, the ceiling")
"""What a table is too narrow for, and the receipt says: the rule behind a reason, and what the column `ceiling` shows."""


def _row(unit: Unit, decision: Decision) -> tuple[str, ...]:
    seen = decision.shown
    why = _ASIDE.sub("", decision.refused or reason(decision).removeprefix("off: "))
    return (
        ("✓ " if unit.done else "") + seen.tier.badge,
        f"{unit.type} {unit.id}",
        unit.title,
        seen.model or "-",
        dollars(seen.expected_cost, estimated=True),
        dollars(seen.ceiling_cost, estimated=True) if seen.downgraded else "=",
        f"waits for {', '.join(unit.waits)}; {why}" if unit.waits else why,
    )


def _summary(workspace: Workspace, listed: list[tuple[Unit, Decision]], *, everything: bool) -> list[str]:
    """What it comes to, and what to do next."""
    decisions = [decision.shown for _, decision in listed]
    down = sum(decision.downgraded for decision in decisions)
    known = [d for d in decisions if d.expected_cost is not None and d.ceiling_cost is not None]
    cost = sum(d.expected_cost or 0.0 for d in known)
    ceiling = sum(d.ceiling_cost or 0.0 for d in known)
    what = "units" if everything else "pending units"
    lines = [f"{len(listed)} {what}, {down} of them on less than their ceiling."]
    if known:
        saved = f" instead of {dollars(ceiling, estimated=True)}, {1 - cost / ceiling:.0%} less" if cost < ceiling else ""
        lines[0] += f" Expected {dollars(cost, estimated=True)}{saved} (estimated)."
    if len(known) < len(listed):
        lines.append(f"{len(listed) - len(known)} units have no known cost and are not in that sum.")
    if any(decision.unchanged == "no ceiling" for decision in decisions):
        lines.append("No model is set for some phases: set `models` in .gsd/PREFERENCES.md, or look with --ceiling MODEL.")
    elif not workspace.preferences.dynamic_routing.enabled:
        lines.append("Routing is off, so this is what it would choose. Turn it on: dynamic_routing: {enabled: true}.")
    return lines
