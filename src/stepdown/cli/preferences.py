"""``stepdown preferences``: the effective values and where each comes from."""

from pathlib import Path

import click

from stepdown.cli.arguments import TREE, directory
from stepdown.cli.screen import print_json, print_table, say
from stepdown.cli.workspace import read_preferences
from stepdown.preferences.describe import describe
from stepdown.report.tables import Column


@click.command("preferences", short_help="The effective preferences and their origins.")
@click.argument("path", type=TREE, default=".")
@click.option("--assume", type=TREE, metavar="FILE", help="Preferences to use instead of the project's own.")
@click.option("--set", "only_set", is_flag=True, help="Only what is set somewhere; no defaults.")
@click.option("--json", "json_", is_flag=True, help="A JSON list.")
def command(*, path: Path, assume: Path | None, only_set: bool, json_: bool) -> None:
    """Show every preference that is in force at PATH, where it was set, and what is wrong."""
    preferences, _ = read_preferences(directory(path), assume)
    rows = [row for row in describe(preferences) if not only_set or row.origin != "default"]
    if json_:
        print_json(rows)
        return
    columns = [Column(title="preference"), Column(title="value", shrinks=True), Column(title="from")]
    print_table(columns, [(row.key, row.value, row.origin) for row in rows])
    read = ", ".join(preferences.files) or "no file: everything is a default"
    say("", f"Read: {read}. {len(preferences.warnings)} warning{'s' * (len(preferences.warnings) != 1)}.")
