"""``stepdown ledger``: where it is, its schema brought up to date, and all of it copied into another one."""

import sys

import click
import msgspec

from stepdown.cli.screen import print_json, say
from stepdown.cli.trail import leave_word
from stepdown.errors import LedgerError, UsageError
from stepdown.ledger import ledger_location, open_ledger
from stepdown.ledger.open import shown_location
from stepdown.money import count, dollars


@click.group("ledger", short_help="Where the ledger is; migrate it, or copy it into another one.")
def command() -> None:
    """Look after the ledger itself. Its address is STEPDOWN_LEDGER: a path, sqlite:PATH or postgresql://USER@HOST/DATABASE."""


@command.command("migrate", short_help="Bring its schema up to date.")
def migrate() -> None:
    """Bring the ledger's schema up to date, as every command does that opens it; two at once wait for each other."""
    with open_ledger() as ledger:
        spent = ledger.spent()
    say(f"{shown_location(ledger_location())}: up to date, {spent.attempts:,} attempts")


@command.command("copy", short_help="Copy everything into another ledger.")
@click.option("--from", "source", metavar="ADDRESS", default="", help="What is copied; default: your ledger.")
@click.option("--to", "target", metavar="ADDRESS", required=True, help="An empty ledger, or none yet.")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def copy(*, source: str, target: str, json_: bool) -> None:
    """Copy everything into another ledger, in one transaction, and compare counts and sums of both before it counts.

    Stop what writes to the old one first: what is written meanwhile stays there alone.
    """
    from stepdown.ledger.copy import copy as copied  # noqa: PLC0415  (the databases, for this command alone)
    from stepdown.ledger.sql import SqlLedger  # noqa: PLC0415  (the same)

    where = source or ledger_location()
    if where == target:
        raise UsageError("the ledger cannot be copied into itself: name another one after --to")
    with open_ledger(where, create=False) as given, open_ledger(target) as taken:
        if not isinstance(given, SqlLedger):
            raise LedgerError(f"there is no ledger at {shown_location(where)}")
        if not isinstance(taken, SqlLedger):
            raise UsageError("--to names no file and no database: what is only remembered cannot be copied to")
        done = copied(given, taken)
        leave_word(taken, "ledger copied", f"from {shown_location(where)}")
    if json_:
        print_json(msgspec.to_builtins(done))
        return
    rows = ", ".join(f"{number:,} {table.replace('_', ' ')}" for table, number in done.rows.items() if number)
    say(
        f"{shown_location(where)} -> {shown_location(target)}",
        f"  copied    {rows or 'nothing: it was empty'}",
        f"  compared  every count and sum, {count(done.tokens)} tokens and {dollars(done.usd)} among them: the same in both",
        "  next      give every gateway and run the new address, in STEPDOWN_LEDGER",
    )
    sys.stdout.flush()
