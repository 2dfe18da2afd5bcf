"""``stepdown run``: a plan's pending units, one after another, each verified, each stepped up once if it fails."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click

from stepdown.agents import AGENTS, open_agent
from stepdown.agents.claude_settings import may_write
from stepdown.agents.port import Agent
from stepdown.alerts import Alert
from stepdown.cli.arguments import TREE
from stepdown.cli.keys import RatingKeys
from stepdown.cli.progress import Screen, heading, summary
from stepdown.cli.reset import reset_if_due
from stepdown.cli.screen import complain, say
from stepdown.cli.terminal import can_redraw
from stepdown.cli.trust import TRUST, insist
from stepdown.cli.workspace import Workspace, import_past, open_workspace
from stepdown.dispatch.checks import checks_of, needs_consent
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.forecast import Forecast
from stepdown.dispatch.lock import only_run
from stepdown.dispatch.loop import run_plan, selected
from stepdown.dispatch.resume import settle_left_behind
from stepdown.dispatch.trial import Several, Watcher
from stepdown.dispatch.verify import program_finder
from stepdown.errors import AgentError, LedgerError
from stepdown.ledger import Ledger, open_ledger
from stepdown.ledger.history import write_routing_history
from stepdown.ledger.open import home
from stepdown.plans.source import pending
from stepdown.telemetry import watched
from stepdown.units import Unit

_CONSENT = "verification commands"

_MAY_NOT_WRITE: Final = (
    "nothing lets Claude Code write files here, and it cannot ask: most units will fail; "
    "say what it may do unasked, for example agents: {claude: {permission_mode: acceptEdits}}"
)


class Look(NamedTuple):
    """How the run is shown: every step, plain lines, a page."""

    steps: bool
    plain: bool
    page: bool


@click.command("run", short_help="Run a plan's pending units, each on its model.")
@click.argument("path", type=TREE, default=".")
@click.option("--agent", "agent_name", default="claude", show_default=True, metavar="|".join(AGENTS), help="Who does the work.")
@click.option("--only", metavar="ID", default="", help="Just the unit with this id.")
@click.option("--max-units", type=click.IntRange(min=1), help="At most so many units.")
@click.option("--dry-run", is_flag=True, help="Say what would run; start nothing.")
@click.option("--yes", is_flag=True, help="Run the commands that the plan names for verification, without asking; and --trust.")
@TRUST
@click.option("--assume", type=TREE, metavar="FILE", help="Preferences to use instead of the project's own.")
@click.option("--steps", is_flag=True, help="Show every step of the agent.")
@click.option("--page", is_flag=True, help="Show the run on a page for the browser, too.")
@click.option("--plain", is_flag=True, help="Plain lines, nothing redrawn in place; without a terminal it is so anyway.")
def command(
    *,
    path: Path,
    agent_name: str,
    only: str,
    max_units: int | None,
    dry_run: bool,
    yes: bool,
    trust: bool,
    assume: Path | None,
    steps: bool,
    plain: bool,
    page: bool,
) -> None:
    """Run the pending units of the plan at PATH in order, each on the model decided for it.

    What a unit did is verified; when it failed, the work tree is put back and it runs once more, a tier higher. Stopped with
    ctrl-C, or killed, it goes on where it was when it is called again. It stops at the first unit that fails for good.
    """
    workspace = open_workspace(path, assume=assume)
    agent = open_agent(agent_name, workspace.preferences)
    if dry_run:
        with open_ledger(create=False) as ledger:
            _dry_run(Dispatcher(workspace.router, agent, ledger, workspace.plan), only, max_units)
        return
    if assume is None:  # a file that the user names is the user's word
        insist(workspace.preferences, workspace.root, agent=agent_name, trust=trust or yes)
    missing = agent.check()
    if missing:
        raise AgentError(missing)
    if agent_name == "claude" and not may_write(workspace.root, workspace.preferences.agents.get("claude")):
        complain(_MAY_NOT_WRITE)
    waiting = selected(pending(workspace.plan.units()), only)  # a mistyped id is said before anything is written
    with only_run(workspace.plan.project, home() / "locks"), open_ledger() as ledger:
        for note in import_past(ledger, workspace):
            complain(note)
        started = time.time()
        say(*reset_if_due(ledger, workspace.preferences, workspace.plan.project, started))
        allowed = _commands_allowed(workspace, ledger, waiting, yes=yes)
        try:
            look = Look(steps=steps, plain=plain, page=page)
            failed = asyncio.run(_run(workspace, agent, ledger, only, max_units, allowed=allowed, look=look))
        except (asyncio.CancelledError, BrokenPipeError) as error:
            # Another signal than ctrl-C, or nobody reads what we print: stopped before everything was done all the same.
            raise KeyboardInterrupt from error
        finally:
            _keep_history(workspace, ledger, started)
    if failed:
        raise SystemExit(1)


def _keep_history(workspace: Workspace, ledger: Ledger, started: float) -> None:
    """Write what the run taught into the project's routing history; where that fails, the run is over all the same."""
    try:
        write_routing_history(ledger, workspace.plan.root, workspace.plan.project, since=started, now=time.time())
    except LedgerError as error:
        complain(str(error))


async def _run(
    workspace: Workspace,
    agent: Agent,
    ledger: Ledger,
    only: str,
    max_units: int | None,
    *,
    allowed: bool,
    look: Look,
) -> bool:
    """Run, print, sum up; whether a unit failed."""
    prompts = prompt_directories(workspace.root)
    dispatcher = Dispatcher(workspace.router, agent, ledger, workspace.plan, prompts=prompts, commands_allowed=allowed)
    _end_like_ctrl_c()
    # A second ctrl-C closes the loop before the agent's end is noticed. That is what was asked for, and no warning is due.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    async with AsyncExitStack() as stack:
        if isinstance(agent, AbstractAsyncContextManager):
            await stack.enter_async_context(agent)
        say(*await settle_left_behind(dispatcher))
        if dispatcher.tree.note:
            say(f"Note: {dispatcher.tree.note}.")
        page = [await _page(stack, workspace, agent, ledger)] if look.page else []
        keys = stack.enter_context(RatingKeys(ledger, workspace.plan.project))
        alerted = await _told_of_alerts(stack, workspace.preferences.alerts.webhook_env)
        screen = stack.enter_context(_screen(Forecast(dispatcher, only=only, max_units=max_units), keys, look))

        @contextlib.contextmanager
        def aside() -> Iterator[None]:
            with keys.paused(), screen.paused():
                yield

        def go_on(why: str) -> bool:
            with aside():
                return _go_on(why)

        _stop_like_others(aside)
        watcher = stack.enter_context(watched(Several(screen, *page), agent.name, workspace.router.catalog))
        running = run_plan(dispatcher, only=only, max_units=max_units, watcher=watcher, go_on=go_on, alerted=alerted)
        results = []
        async for done in running:
            screen.done(done)
            results.append(done)
    say(*summary(results))
    return any(done.failed and not done.unit.is_hook for done in results)


def _screen(forecast: Forecast, keys: RatingKeys, look: Look) -> Screen:
    """What shows the run: redrawn in place where there is a terminal for that, else plain lines."""
    if look.plain or not can_redraw(sys.stdout):
        return Screen(steps=look.steps, offer=keys.offer)
    from stepdown.cli.live import LiveScreen  # noqa: PLC0415  (only where it is seen)

    return LiveScreen(forecast, keys, steps=look.steps)


async def _page(stack: AsyncExitStack, workspace: Workspace, agent: Agent, ledger: Ledger) -> Watcher:
    """Show the run on a page as well, and say where."""
    from stepdown.cli.run_page import RunHost, shown  # noqa: PLC0415  (a web server, only where it is asked for)

    host = RunHost(workspace, agent.name, ledger)
    say(f"The page of this run: {await stack.enter_async_context(shown(host))}", "")
    return host


async def _told_of_alerts(stack: AsyncExitStack, variable: str) -> Callable[[Alert], None]:
    """Who else is told of alerts: the address in that variable; "" is nobody."""
    if not variable:
        return lambda _: None
    from stepdown.upstream.http import HttpUpstream  # noqa: PLC0415  (a client, only where somebody is told)
    from stepdown.webhook import Webhook  # noqa: PLC0415  (the same)

    upstream = HttpUpstream()
    stack.push_async_callback(upstream.close)
    webhook = Webhook(upstream, os.environ)
    stack.push_async_callback(webhook.close)
    return partial(webhook.tell, variable)


def _go_on(why: str) -> bool:
    """Ask whether to run over a full budget; without a terminal nobody is there to say yes."""
    if not sys.stdin.isatty():
        return False
    return _ask(f"{why}. Go on over budget until this run ends?")


def _ask(question: str) -> bool:
    """Ask; no is what an empty answer means. Stopped at the question, the question's line is ended."""
    try:
        return click.confirm(question, default=False)
    except click.Abort:
        click.echo(err=True)
        raise


def _commands_allowed(workspace: Workspace, ledger: Ledger, waiting: list[Unit], *, yes: bool) -> bool:
    """Whether commands that a plan or a project's file names may run: said before, said now, or asked once per project."""
    preferences, project = workspace.preferences, workspace.plan.project
    trusted = preferences.trust_plan_commands and preferences.origins.get("trust_plan_commands", "~").startswith("~")
    if yes or trusted or _CONSENT in ledger.consents(project):
        return True
    is_program = program_finder(os.environ)
    checks = [check for unit in waiting for check in checks_of(unit, preferences, is_program=is_program)]
    named = dict.fromkeys(needs_consent(checks))
    if not named:
        return False
    say(f"The plan names {len(named)} commands that verify its work:", *(f"    {text}" for text in list(named)[:_SHOWN]))
    if len(named) > _SHOWN:
        say(f"    ... and {len(named) - _SHOWN} more")
    if preferences.trust_plan_commands:
        say("(trust_plan_commands counts in your own preferences, ~/.gsd/PREFERENCES.md; a project cannot vouch for itself.)")
    if not sys.stdin.isatty():
        say("They will not run without your word: --yes. What only they could check will be unverified.", "")
        return False
    if _ask("Run them in this project, now and later?"):
        ledger.consent(project, _CONSENT, time.time())
        return True
    return False


_SHOWN = 12


def _end_like_ctrl_c() -> None:
    """A closed terminal or a `kill` stops the agent and settles its attempt, as ctrl-C does (asyncio sees to that one)."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if task is not None and signal.getsignal(number) is signal.SIG_DFL:  # with nohup it is ignored, and stays so
            loop.add_signal_handler(number, task.cancel)


def _stop_like_others(aside: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    """With ctrl-Z the shell finds its terminal as it gave it to us, and `fg` goes on."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGTSTP)
        with aside():
            os.kill(os.getpid(), signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, stop)

    if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        loop.add_signal_handler(signal.SIGTSTP, stop)


def prompt_directories(root: Path) -> tuple[Path, ...]:
    """Where a user's own prompt templates are looked for, the strongest first."""
    return (root / ".gsd" / "stepdown" / "prompts", home() / "prompts")


def _dry_run(dispatcher: Dispatcher, only: str, max_units: int | None) -> None:
    waiting = selected(pending(dispatcher.plan.units()), only)[:max_units]
    for unit in waiting:
        say(*heading(unit, dispatcher.decide(unit)))
    say(f"{len(waiting)} units would run; nothing was started.")
