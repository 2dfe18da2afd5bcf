"""``stepdown rate``: the user's word on a finished unit, and what follows from it."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.screen import say
from stepdown.ledger import open_ledger
from stepdown.ledger.records import Record
from stepdown.ledger.rules import RATINGS
from stepdown.preferences import load_preferences
from stepdown.rating import rate
from stepdown.recorded import attempts_at, is_open, last_finished
from stepdown.routing import Router


@click.command("rate", short_help="Say that a unit's model was over, under or ok.")
@click.argument("word", metavar="over|under|ok", type=click.Choice(RATINGS))
@click.argument("unit", metavar="[UNIT]", nargs=-1)
@click.option("--project", type=TREE, default=".", help="Whose unit; default: here.")
def command(*, word: str, unit: tuple[str, ...], project: Path) -> None:
    """Rate the model of a finished unit: it was more than the work needed (over), too weak for it (under), or right (ok).

    UNIT is an id, or a type and an id; without it, the last one. A unit has one rating: the last one counts.
    """
    name = project_at(project)
    preferences = load_preferences(Path(name))
    with open_ledger(create=False) as ledger:
        attempts = attempts_at(ledger, name, " ".join(unit)) if unit else last_finished(ledger, name)
        if is_open(attempts[-1]) and (said := _by_gateway(name, word, attempts)):
            say(*said)
            return
        # Without models in the preferences these are a gateway's units, whose requests named the ceiling.
        following = rate(ledger, Router(preferences), attempts, word, time.time(), named=not preferences.models)
    say(*following)
    if not preferences.dynamic_routing.enabled:
        say("Routing is off, so nothing follows from it yet (dynamic_routing.enabled).")


def _by_gateway(project: str, word: str, attempts: Sequence[Record]) -> list[str]:
    """What the gateway says that still has the unit open, waiting for more of it: rating a unit ends it. None runs: nothing."""
    from stepdown.gateway.found import ask, running  # noqa: PLC0415  (a socket, for the few units that need it)

    unit = f"{attempts[-1].attempt.unit_type} {attempts[-1].attempt.unit_id}"
    for gateway in running():
        said = ask(gateway, "POST", "/v1/stepdown/rate", {"word": word, "unit": unit, "project": project})
        return [str(line) for line in said["said"]]
    return []
