"""The command line: one module per command, imported when that command runs.

Exit codes: 0 done; 1 a unit failed; 2 a call or preferences that cannot be understood; 3 no readable plan; 4 the ledger
cannot be used; 5 the agent cannot be used; 6 a budget is used up; 7 a provider does not answer; 8 the work tree cannot be
snapshotted or put back; 9 another run is at work on the plan; 10 the gateway cannot be started or does not answer; 130 stopped
with ctrl-C. `exec` ends as the program it started did.
"""

import importlib
import io
import os
import sys
from typing import Final, NoReturn

import click

from stepdown.errors import StepdownError

COMMANDS: Final = {
    "audit": "What your agents' own logs say you spent, and what routing would have saved. Changes nothing.",
    "plan": "List a plan's units with the model each would run on, and why. Spends nothing.",
    "decide": "Decide one unit: the receipt, what was considered, and what would flip it.",
    "run": "Run a plan's pending units, each on its model.",
    "serve": "Start the gateway: any agent's requests, recorded and, if you say so, routed.",
    "exec": "Start an agent behind the gateway: stepdown exec -- claude.",
    "connect": "Point an agent's own configuration at the gateway, and back.",
    "mode": "What a running gateway may change: observe, delegated or full.",
    "pin": "Everything that passes the gateway on one model or tier, for a while.",
    "tail": "What passes the gateway, as it happens.",
    "status": "Budgets, what is running, what was spent lately.",
    "statusline": "One line for Claude Code's status line; connect claude installs it.",
    "report": "What was spent, by tier, type and model, and what routing saved.",
    "simulate": "What the past would have cost under another policy, other models or other prices.",
    "why": "A unit's whole story: signals, decision, attempts, evidence, costs.",
    "rate": "Say that a unit's model was over, under or ok.",
    "learned": "What was learned, from which evidence, and what it changes now.",
    "reset": "Forget what was learned, of one pattern or of all.",
    "models": "The models there are: tier, window, price, and which may take part.",
    "preferences": "The effective preferences and where each value comes from.",
    "ledger": "Look after the ledger itself: migrate it, or copy it into another one.",
    "migrate": "Bring the ledger's schema up to date; the same as ledger migrate.",
    "token": "Who may use the gateways: tokens with projects, roles and budgets of their own.",
    "trail": "What administrators did, the newest first.",
    "doctor": "Look for what is missing or wrong, and name the fix.",
    "practice": "Start the practice provider: a real server on loopback, no key, nothing spent.",
}


HIDDEN: Final = frozenset({"claude-rate"})
"""Commands that other programs call, and nobody else."""

_MODULES: Final = {"exec": "exec_", "claude-rate": "claude_rate"}
"""Where a command's module cannot be called like the command."""


class _Commands(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's signature)
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        command = importlib.import_module(f"stepdown.cli.{_MODULES.get(cmd_name, cmd_name)}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  (click's signature)
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and args[0] not in HIDDEN and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415  (only for a mistyped command)

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read our output has closed it (`| head`) and has what it wanted; click would call that a failure. What
            # is still in the buffer goes nowhere, or Python would complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stepdown", message="stepdown %(version)s")
def stepdown() -> None:
    """Runs every unit of coding-agent work on the cheapest model that can do it, never on a dearer one than you chose."""


def main() -> None:
    """The `stepdown` program: runs a command, says in one line what went wrong, exits with a code of the table above."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal has no code for becomes "?"; it is no reason to stop.
            stream.reconfigure(errors="replace")
    try:
        # Not click's own ending: it would exit with 1 on ctrl-C, and take three lines for a wrong call.
        code = stepdown(prog_name="stepdown", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except StepdownError as error:
        _complain(str(error), error.exit_code)
    except click.ClickException as error:
        _complain(_usage(error), error.exit_code)
    except OSError as error:
        # What no command has words of its own for: a full disk, a directory that vanished.
        _complain(f"{error.filename or 'reading or writing failed'}: {error.strerror or error}", 1)
    except (click.Abort, KeyboardInterrupt):
        _complain("stopped", 130)


def _usage(error: click.ClickException) -> str:
    """A wrong call in one line, with where to look; the help where there was no call at all."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help(), err=True)
        return ""
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "stepdown"
    return f"{' '.join(error.format_message().split()).removesuffix('.')} (`{where} --help` shows how it is called)"


def _complain(message: str, code: int) -> NoReturn:
    from stepdown.cli.screen import complain  # noqa: PLC0415  (only where something went wrong)

    complain(message)
    sys.exit(code)
