"""What most commands start from: a plan, its preferences, the catalogue and the ledger, found from a path."""

from pathlib import Path

import msgspec

from stepdown.catalog import Catalog
from stepdown.cli.arguments import directory
from stepdown.cli.screen import complain
from stepdown.ledger import Ledger
from stepdown.ledger.imports import import_project
from stepdown.plans import GsdPlan
from stepdown.preferences import ModelChoice, PhaseSkips, Preferences, load_preferences
from stepdown.routing import Router


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
        complain(warning)
    return preferences, catalog


def open_workspace(path: Path, *, assume: Path | None = None, ceiling: str = "") -> Workspace:
    """The project at `path`: its directory, or its ``.gsd``.

    Raises:
        PlanError: there is no plan there.
        PreferencesError: its preferences are wrong.
    """
    plan = GsdPlan.open(directory(path))
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
