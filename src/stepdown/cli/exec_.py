"""``stepdown exec``: a program behind the gateway, by the environment of that one process. Nothing of the user's is changed."""

import os
import shutil
import socket
from pathlib import Path

import click
import msgspec

from stepdown.cli.arguments import TREE, directory
from stepdown.cli.foreground import end_like, run
from stepdown.cli.gateways import chosen, nearest
from stepdown.cli.screen import complain
from stepdown.cli.there import there_at
from stepdown.cli.trust import TRUST, insist
from stepdown.clients import client_of
from stepdown.errors import GatewayError
from stepdown.gateway.background import ensure
from stepdown.gateway.found import TOKEN, Found, find, left_word
from stepdown.preferences import Preferences, load_preferences


@click.command(
    "exec",
    short_help="Start an agent behind the gateway.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--project", type=TREE, default=".", help="What its requests are counted for; default: here.")
@click.option("--port", type=click.IntRange(1, 65535), help="The gateway at this port; default: the project's.")
@TRUST
@click.argument("command", metavar="-- PROGRAM [ARGUMENTS]", nargs=-1, required=True, type=click.UNPROCESSED)
def command(*, project: Path, port: int | None, trust: bool, command: tuple[str, ...]) -> None:
    """Start PROGRAM so that its requests go through the gateway of this project, which is started if none runs.

    It is the program as ever: its terminal, its signals, its exit code. Known are claude, codex, opencode, qwen, aider and pi;
    others find the gateway if they read ANTHROPIC_BASE_URL or OPENAI_BASE_URL. A gateway that was started for it ends ten
    minutes after the last program that needed it; what it says is in ~/.stepdown/gateways.
    """
    root = directory(project).resolve()
    program = shutil.which(command[0])
    if program is None:
        complain(f"{command[0]}: there is no such program")
        raise SystemExit(127)  # as a shell says it
    preferences = load_preferences(root)
    gateway = _gateway(root, port, preferences, trust=trust)
    counted_for = str(root) if port is not None else gateway.project
    token = os.environ.get(TOKEN, "") if gateway.closed else ""
    if gateway.closed and not token:
        raise GatewayError(f"the gateway at {gateway.url} wants a token: set yours in {TOKEN}")
    there = there_at(gateway.url, preferences, project=counted_for, token=token)
    start = client_of(command[0]).start(there, command[1:], os.environ, root)
    for note in start.notes:
        complain(note)
    try:
        # A gateway in the background stays for as long as somebody is connected. The program may be silent for hours.
        with socket.create_connection((gateway.host, gateway.port), timeout=5):
            status = run(program, [command[0], *start.arguments], {**os.environ, **start.environment})
    except ConnectionError as problem:
        raise GatewayError(f"the gateway at {gateway.url} has just ended: try again") from problem
    except OSError as problem:
        complain(f"{command[0]} does not start: {problem.strerror or problem}")
        raise SystemExit(126) from problem
    end_like(status)


def _gateway(root: Path, port: int | None, preferences: Preferences, *, trust: bool) -> Found:
    """The one that was named, else that of the project or of a directory above it, else a new one."""
    if port is not None:
        return chosen(port)
    open_ones = [one for one in left_word() if not one.closed or os.environ.get(TOKEN)]
    known = nearest(open_ones, root)
    there = find(known.host, known.port) if known else None
    if there is None:
        insist(preferences, root, trust=trust)  # the gateway that is started has no terminal to ask on
        there, known = ensure(str(root)), None
    # One that wants a token does not tell everybody whose requests it counts.
    return msgspec.structs.replace(there, project=str(root) if known is None else known.project)
