"""What Claude Code's ``/rate`` runs: a hook that rates the session's last unit and answers in the place of a model.

`stepdown connect claude` installs it. Claude Code asks it before the command's text would go to a model; what it says is shown,
and nothing is sent.
"""

import sys
from typing import Any, Final

import click
import msgspec

from stepdown import statusfile
from stepdown.cli.gateways import START
from stepdown.errors import GatewayError, StepdownError, UsageError
from stepdown.gateway.found import ask, running
from stepdown.ledger.open import home
from stepdown.ledger.rules import RATINGS

_LARGEST: Final = 1024 * 1024
"""Bytes of standard input; Claude Code says about five hundred, and what its user typed."""
_PATIENCE: Final = 10.0
"""Seconds that a gateway may take: a rating is written to the disk."""


class _Said(msgspec.Struct):
    """What Claude Code (2.1) says to a ``UserPromptExpansion`` hook; only what is of use here."""

    session_id: str
    command_name: str
    command_args: str = ""
    command_source: str = ""
    cwd: str = ""


@click.command("claude-rate", hidden=True)
def command() -> None:
    """Answer Claude Code's /rate: its JSON on standard input, the answer on standard output."""
    try:
        said = msgspec.json.decode(sys.stdin.buffer.read(_LARGEST), type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UsageError("Claude Code's /rate calls this; `stepdown rate` rates a unit by hand") from problem
    if said.command_name != "rate" or said.command_source not in {"", "userSettings"}:
        return  # a project's own command of that name: not ours to answer
    try:
        shown = _rated(said)
    except StepdownError as problem:
        shown = f"stepdown: {problem}"
    click.echo(msgspec.json.encode(_blocking(shown)))


def _rated(said: _Said) -> str:
    """What follows from the rating, as the gateway says it.

    Raises:
        StepdownError: it was not taken; one line says why.
    """
    word = said.command_args.strip().lower()
    if word not in RATINGS:
        what = f"'{word}' is no rating" if word else "how was the last unit's model?"
        raise UsageError(f"{what}: /rate over (more than the work needed), /rate under (too weak) or /rate ok")
    gateways = running()
    if not gateways:
        raise GatewayError(f"no gateway is running: {START}")
    status = statusfile.find(str(home()), said.cwd, said.session_id) if said.cwd else None
    # The session's own first, whose word counts where none of them has seen it.
    gateways.sort(key=lambda one: status is None or one.url != status.url)
    problems = []
    for gateway in gateways:
        try:
            found = ask(gateway, "POST", "/v1/stepdown/rate", {"word": word, "session": said.session_id}, patience=_PATIENCE)
        except GatewayError as problem:
            problems.append(problem)
        else:
            return "\n".join(map(str, found["said"]))
    raise problems[0]


def _blocking(shown: str) -> dict[str, Any]:
    """Show this, send nothing, and do not repeat what was typed."""
    own = {"hookEventName": "UserPromptExpansion", "suppressOriginalPrompt": True}
    return {"decision": "block", "reason": shown, "hookSpecificOutput": own}
