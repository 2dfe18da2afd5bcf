"""What most commands start from: a plan, its preferences, the catalogue and the ledger, found from a path."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from stepdown.catalog import Catalog
from stepdown.errors import PlanError
from stepdown.ledger import Ledger, open_ledger
from stepdown.ledger.imports import import_project
from stepdown.plans import GsdPlan
from stepdown.preferences import ModelChoice, PhaseSkips, Preferences, load_preferences
from stepdown.routing import Router

TREE = click.Path(path_type=Path)


class Workspace:
    """A project, opened."""

    def __init__(self, plan: GsdPlan, preferences: Preferences, catalog: Catalog) -> None:
        self.plan = plan
        self.preferences = preferences
        self.catalog = catalog
        self.router = Router(preferences, catalog)

    @property
    def root(self) -> Path:
        """The project's directory."""
        return Path(self.plan.project)


def read_preferences(root: Path, assume: Path | None = None, ceiling: str = "") -> tuple[Preferences, Catalog]:
    """The effective preferences of a project and the catalogue with the user's own models in it; warnings go to stderr."""
    shipped = Catalog.load()
    preferences = load_preferences(root, assume=assume, catalog=shipped)
    catalog = Catalog.load(preferences.catalog) if preferences.catalog else shipped
    if ceiling:
        preferences = msgspec.structs.replace(preferences, models={"default": ModelChoice(ceiling)})
    for warning in preferences.warnings:
        click.echo(f"stepdown: {warning}", err=True)
    return preferences, catalog


def open_workspace(path: Path, *, assume: Path | None = None, ceiling: str = "") -> Workspace:
    """The project at `path`: its directory, or its ``.gsd``.

    Raises:
        PlanError: there is no plan there.
        PreferencesError: its preferences are wrong.
    """
    if not path.exists():
        raise PlanError(f"{path}: there is no such directory")
    plan = GsdPlan.open(path)
    preferences, catalog = read_preferences(Path(plan.project), assume, ceiling)
    if preferences.phases != PhaseSkips():
        plan = GsdPlan.open(path, phases=preferences.phases)
    return Workspace(plan, preferences, catalog)


def import_past(ledger: Ledger, workspace: Workspace) -> tuple[str, ...]:
    """Read what GSD recorded of the project's past into the ledger, each unit once; what could not be read, a line each."""

    def reference(name: str) -> str:
        model = workspace.catalog.resolve(name)
        return name if model is None else model.ref

    return import_project(ledger, workspace.plan.root, workspace.plan.project, reference).notes


@contextmanager
def ledger_for_reading() -> Iterator[Ledger]:
    """The user's ledger, without making one where there is none."""
    with open_ledger(create=False) as ledger:
        yield ledger
