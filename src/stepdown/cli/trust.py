"""Asking the user about what a project's own file may not decide alone; of `run`, `serve` and `exec`."""

import sys
from pathlib import Path

import click

from stepdown.cli.screen import say
from stepdown.errors import PreferencesError
from stepdown.ledger.open import home
from stepdown.preferences import Preferences
from stepdown.preferences.reading import one_line
from stepdown.trust import Agreed, Claim, claims

TRUST = click.option(
    "--trust",
    is_flag=True,
    envvar="STEPDOWN_TRUST",
    help="Agree to what the project's own files ask for: other addresses, keys, an agent's command.",
)


def insist(preferences: Preferences, project: Path, *, agent: str = "", trust: bool = False, asks: bool = True) -> None:
    """Go on only with what the user has agreed to: before, by `trust`, or now, where there is a terminal to ask on.

    Args:
        preferences: the effective ones.
        project: their directory.
        agent: the agent that will be started; "" is none.
        trust: whether the user agrees to all of it.
        asks: whether to ask.

    Raises:
        PreferencesError: the user has not agreed; a line for each.
    """
    agreed = Agreed(home() / "agreed")
    missing = agreed.missing(claims(preferences, project, agent))
    if not missing:
        return
    if trust or (asks and sys.stdin.isatty() and _agrees(missing)):
        agreed.add(missing)
        return
    raise PreferencesError(
        "\n".join(f"{_line(claim)}; a project may not say so without your word: --trust" for claim in missing)
    )


def _agrees(asked: tuple[Claim, ...]) -> bool:
    say("This project's own files ask for what only you can allow:", *(f"    {_line(claim)}" for claim in asked))
    try:
        return click.confirm("Allow it, now and later?", default=False)
    except click.Abort:
        click.echo(err=True)
        raise


def _line(claim: Claim) -> str:
    return f"{claim.where}: {one_line(claim.text)}"
