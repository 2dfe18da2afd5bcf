"""``stepdown trail``: what administrators did, the newest first. Nothing removes it."""

import time

import click
import msgspec

from stepdown.cli.screen import print_json, print_table, say
from stepdown.ledger import Ledger, open_ledger
from stepdown.report.tables import Column
from stepdown.team.keep import note


@click.command("trail", short_help="What administrators did.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest.")
@click.option("--json", "json_", is_flag=True, help="A JSON list.")
def command(*, limit: int, json_: bool) -> None:
    """Show what administrators did: tokens made and revoked, modes, pins, blocks lifted, learning forgotten.

    It says who by the name of their token; by user and machine where it was said at a command line that needs none; and "-"
    where it was said to a gateway that needs none.
    """
    with open_ledger(create=False) as ledger:
        acts = ledger.acts(limit=limit)
    if json_:
        print_json([msgspec.to_builtins(act) for act in acts])
    elif not acts:
        say("Nothing has been done yet.")
    else:
        rows = [(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at)), one.who, one.act, one.what) for one in acts]
        print_table([Column(title=title) for title in ("when", "who", "did", "what")], rows)


def at_the_machine() -> str:
    """Who is at the command line: ``ana@workstation``. No token's name has an ``@``."""
    import getpass  # noqa: PLC0415  (for the few commands that leave their name)
    import socket  # noqa: PLC0415  (the same)

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def leave_word(ledger: Ledger, act: str, what: str) -> None:
    """Record what the user of a command did."""
    note(ledger, at_the_machine(), act, what, time.time())
