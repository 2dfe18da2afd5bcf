"""How the commands print: tables as wide as the terminal, uncut where the output goes into a file or a pipe; JSON.

Titles, ids and messages come from files that anyone may have written. Nothing of them drives the terminal.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence

import click
import msgspec

from stepdown.report.tables import Column, one_line, styled, table, use_color
from stepdown.units import Tier

_NOT_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON need not escape and a terminal obeys all the same: C1 controls, line separators, changes of direction."""

TIER_STYLES = {Tier.LIGHT: "green", Tier.STANDARD: "cyan", Tier.HEAVY: "yellow"}


def width() -> int | None:
    """Cells of the terminal, or what ``COLUMNS`` says; None without either, so that nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def color() -> bool:
    """Whether to colour."""
    return use_color(sys.stdout, os.environ)


def painted(line: str) -> str:
    """The line with its first badge in the tier's colour, on a terminal."""
    if color():
        for tier, style in TIER_STYLES.items():
            head, found, tail = line.partition(tier.badge)
            if found and len(head) < _BADGE_WITHIN:
                return head + styled(found, style) + tail
    return line


_BADGE_WITHIN = 16
"""A badge stands at the beginning of a line; the same letters further on are somebody's text."""


def say(*lines: str) -> None:
    """Print lines, each with its first badge coloured, none with a control character in it."""
    for line in lines:
        click.echo(painted(one_line(line)))


def complain(text: str) -> None:
    """Print what is wrong on standard error, a line per problem."""
    for line in filter(None, text.split("\n")):
        click.echo(f"stepdown: {one_line(line)}", err=True)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    for line in table(columns, rows, width=width(), color=color()):
        click.echo(painted(line))


def print_json(value: object) -> None:
    """Print JSON, indented, in UTF-8 whatever the terminal's encoding is; what is not finite becomes null."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # a path that is no UTF-8, from the command line
        import json  # noqa: PLC0415  (only for such a path)

        text = json.dumps(msgspec.to_builtins(value), indent=2)
    click.echo(_NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode())
