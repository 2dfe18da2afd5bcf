"""How the commands print: tables as wide as the terminal, uncut where the output goes into a file or a pipe; JSON."""

import os
import shutil
import sys
from collections.abc import Sequence

import click
import msgspec

from stepdown.report.tables import Column, styled, table, use_color
from stepdown.units import Tier

TIER_STYLES = {Tier.LIGHT: "green", Tier.STANDARD: "cyan", Tier.HEAVY: "yellow"}


def width() -> int | None:
    """Cells of the terminal; None where there is none, so that nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


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


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    for line in table(columns, rows, width=width(), color=color()):
        click.echo(painted(line))


def print_json(value: object) -> None:
    """Print JSON, indented; what is not finite becomes null."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
