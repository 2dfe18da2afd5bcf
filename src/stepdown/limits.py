"""Which budgets a piece of work is under: a project's, a person's, the team's, a model's, and those of a token. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from stepdown.budget import window_start
from stepdown.catalog import Model
from stepdown.ledger.records import Cap, Measure, Person, Scope
from stepdown.preferences.schema import Budget, Preferences, Window

CEILING: Final = "budget_ceiling"
"""What `Preferences.budget_ceiling` is called."""

Resolve = Callable[[str], Model | None]
"""From a model's name to the model; `Catalog.resolve`."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, and whose work counts towards it.

    Attributes:
        name: for the screen: ``week budget``, ``ana's day budget``.
        measure: what is counted.
        limit: in US dollars, tokens or requests.
        window: after how long the count starts anew.
        scope: whose work, on what model.
        hard: whether it refuses work when it is full.
    """

    name: str
    measure: Measure
    limit: float
    window: Window
    scope: Scope
    hard: bool

    def cap(self, now: float) -> Cap:
        """As a reservation has to fit into it."""
        since = window_start(self.window, now)
        return Cap(name=self.name, limit=self.limit, since=since, measure=self.measure, scope=self.scope)


def limits(preferences: Preferences, project: str, person: Person | None, resolve: Resolve) -> tuple[Limit, ...]:
    """All of them but a subscription's own, which is no budget of ours.

    Args:
        preferences: ``budget_ceiling`` and ``budgets``.
        project: whose work is asked about.
        person: whose token it came with; None is nobody's, which a budget per person takes for one person.
        resolve: a budget of a model that this does not know is left out; the preferences warn of it.
    """
    hard = preferences.budget_enforcement != "warn"
    return (*_preferred(preferences, project, person, resolve, hard=hard), *own(person, hard=hard))


def own(person: Person | None, *, hard: bool = True) -> Iterator[Limit]:
    """The budgets that a token was given."""
    for one in () if person is None else person.budgets:
        scope = Scope(person=person.name)  # type: ignore[union-attr]  # (it has budgets)
        name = _name(one.window, one.unit, f"{scope.person}'s own ")
        yield Limit(name=name, measure=one.unit, limit=one.limit, window=one.window, scope=scope, hard=hard)


def _preferred(
    preferences: Preferences, project: str, person: Person | None, resolve: Resolve, *, hard: bool
) -> Iterator[Limit]:
    if preferences.budget_ceiling is not None:
        yield Limit(
            name=CEILING,
            measure="usd",
            limit=preferences.budget_ceiling,
            window="project",
            scope=Scope(project=project),
            hard=hard,
        )
    for budget in preferences.budgets:
        model = resolve(budget.model) if budget.model else None
        if budget.unit == "plan" or (budget.model and model is None):
            continue
        scope, whose = _whose(budget, project, "" if person is None else person.name)
        if model is not None:
            scope = msgspec.structs.replace(scope, model=model.ref)
        name = _name(budget.window, budget.unit, whose) + (f" of {model.id}" if model is not None else "")
        yield Limit(name=name, measure=budget.unit, limit=budget.limit, window=budget.window, scope=scope, hard=hard)


def _whose(budget: Budget, project: str, person: str) -> tuple[Scope, str]:
    if budget.per == "team":
        return Scope(), "the team's "
    if budget.per == "person":
        return Scope(person=person), f"{person}'s " if person else "everybody's without a token: "
    return Scope(project=project), ""


def _name(window: Window, measure: Measure, whose: str) -> str:
    return f"{whose}{'' if window == 'project' else window + ' '}budget{'' if measure == 'usd' else f' ({measure})'}"
