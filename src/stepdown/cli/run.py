"""``stepdown run``: a plan's pending units, one after another, each on its model."""

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import click

from stepdown.agents import AGENTS, open_agent
from stepdown.agents.port import Agent, Step
from stepdown.cli.arguments import TREE
from stepdown.cli.receipts import reason, shown
from stepdown.cli.screen import complain, say
from stepdown.cli.workspace import Workspace, import_past, open_workspace
from stepdown.decision import Decision
from stepdown.dispatch.loop import Dispatcher, Done, run_plan, selected
from stepdown.errors import AgentError
from stepdown.ledger import Ledger, open_ledger
from stepdown.plans.source import pending
from stepdown.report.money import dollars
from stepdown.units import Unit


@click.command("run", short_help="Run a plan's pending units, each on its model.")
@click.argument("path", type=TREE, default=".")
@click.option("--agent", "agent_name", default="claude", show_default=True, metavar="|".join(AGENTS), help="Who does the work.")
@click.option("--only", metavar="ID", default="", help="Just the unit with this id.")
@click.option("--max-units", type=click.IntRange(min=1), help="At most so many units.")
@click.option("--dry-run", is_flag=True, help="Say what would run; start nothing.")
@click.option("--assume", type=TREE, metavar="FILE", help="Preferences to use instead of the project's own.")
@click.option("--steps", is_flag=True, help="Show every step of the agent.")
def command(
    *, path: Path, agent_name: str, only: str, max_units: int | None, dry_run: bool, assume: Path | None, steps: bool
) -> None:
    """Run the pending units of the plan at PATH in order, each on the model decided for it. Stops at the first that fails."""
    workspace = open_workspace(path, assume=assume)
    agent = open_agent(agent_name, workspace.preferences)
    if dry_run:
        with open_ledger(create=False) as ledger:
            _dry_run(Dispatcher(workspace.router, agent, ledger, workspace.plan), only, max_units)
        return
    missing = agent.check()
    if missing:
        raise AgentError(missing)
    selected(pending(workspace.plan.units()), only)  # a mistyped id is said before anything is written
    with open_ledger() as ledger:
        for note in import_past(ledger, workspace):
            complain(note)
        try:
            failed = asyncio.run(_run(workspace, agent, ledger, only, max_units, steps=steps))
        except (asyncio.CancelledError, BrokenPipeError) as error:
            # Another signal than ctrl-C, or nobody reads what we print: stopped before everything was done all the same.
            raise KeyboardInterrupt from error
    if failed:
        raise SystemExit(1)


async def _run(workspace: Workspace, agent: Agent, ledger: Ledger, only: str, max_units: int | None, *, steps: bool) -> bool:
    """Run, print, sum up; whether a unit failed."""
    dispatcher = Dispatcher(workspace.router, agent, ledger, workspace.plan, prompts=prompt_directories(workspace.root))
    _end_like_ctrl_c()
    screen = Screen(len(pending(workspace.plan.units())), steps=steps)
    async with AsyncExitStack() as stack:
        if isinstance(agent, AbstractAsyncContextManager):
            await stack.enter_async_context(agent)
        results = [done async for done in run_plan(dispatcher, only=only, max_units=max_units, watcher=screen)]
    say(*summary(results))
    return any(done.outcome.failure for done in results)


def _end_like_ctrl_c() -> None:
    """A closed terminal or a `kill` stops the agent and settles its attempt, as ctrl-C does (asyncio sees to that one)."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if task is not None and signal.getsignal(number) is signal.SIG_DFL:  # with nohup it is ignored, and stays so
            loop.add_signal_handler(number, task.cancel)


def prompt_directories(root: Path) -> tuple[Path, ...]:
    """Where a user's own prompt templates are looked for, the strongest first."""
    home = Path(os.environ.get("STEPDOWN_HOME") or Path.home() / ".stepdown")
    return (root / ".gsd" / "stepdown" / "prompts", home / "prompts")


def _dry_run(dispatcher: Dispatcher, only: str, max_units: int | None) -> None:
    waiting = selected(pending(dispatcher.plan.units()), only)[:max_units]
    for unit in waiting:
        say(*heading(unit, dispatcher.decide(unit)))
    say(f"{len(waiting)} units would run; nothing was started.")


def heading(unit: Unit, decision: Decision, position: str = "") -> tuple[str, str]:
    """The two lines that open a unit on the screen: badge, model, unit; and why."""
    model = decision.model or "the agent's own model"
    head = f"{position}{shown(decision).tier.badge} {model}  {unit.type} {unit.id}".rstrip()
    return f"{head}: {unit.title}" if unit.title else head, f"{' ' * len(position)}    {reason(decision)}"


class Screen:
    """Plain lines, as things happen."""

    def __init__(self, total: int, *, steps: bool) -> None:
        self._total = total
        self._number = 0
        self._steps = steps

    def starts(self, unit: Unit, decision: Decision) -> None:
        """Say which unit runs, on what, why."""
        self._number += 1
        self._total = max(self._total, self._number)
        say(*heading(unit, decision, f"{self._number:>3}  "))

    def step(self, unit: Unit, step: Step) -> None:  # noqa: ARG002  (the port's signature)
        """Show a step, where asked for."""
        if self._steps:
            say(f"         {'!' if step.error else '·'} {step.kind} {step.name} {step.detail}".rstrip())

    def ends(self, done: Done) -> None:
        """Say how it went and what it cost."""
        outcome = done.outcome
        tokens = "unknown" if outcome.tokens is None else f"{outcome.tokens.total:,}"
        how = "done" if outcome.failure is None else f"FAILED ({outcome.failure}): {outcome.message};"
        cost = f"{dollars(outcome.cost_usd)}"
        if done.decision.downgraded:
            cost += f" (at the ceiling {dollars(outcome.ceiling_cost_usd, estimated=True)})"
        note = f"; not written: {', '.join(done.missing)}" if done.missing and outcome.failure is None else ""
        say(f"         {how} in {done.seconds:.1f} s, {done.steps} steps, {tokens} tokens, {cost}{note}")


def summary(results: list[Done]) -> list[str]:
    """What was spent and what the ceiling would have cost."""
    if not results:
        return ["Nothing is pending."]
    failed = [done for done in results if done.outcome.failure]
    spent = [done.outcome.cost_usd for done in results if done.outcome.cost_usd is not None]
    compared = [
        (done.outcome.cost_usd, done.outcome.ceiling_cost_usd)
        for done in results
        if done.outcome.cost_usd is not None and done.outcome.ceiling_cost_usd is not None
    ]
    down = sum(done.decision.downgraded for done in results)
    lines = ["", f"{len(results) - len(failed)} units done, {down} of them on less than their ceiling."]
    unpriced = len(results) - len(spent)
    lines.append(f"Spent {dollars(sum(spent))}" + (f", and {unpriced} units of unknown cost." if unpriced else "."))
    if compared:
        cost, ceiling = sum(cost for cost, _ in compared), sum(ceiling for _, ceiling in compared)
        share = f", {1 - cost / ceiling:.0%} less" if ceiling > 0 else ""
        lines.append(
            f"At the ceiling's prices the same tokens would have cost {dollars(ceiling, estimated=True)}{share} (estimated)."
        )
    lines += [f"Failed: {done.unit.type} {done.unit.id}: {done.outcome.message}" for done in failed]
    return lines
