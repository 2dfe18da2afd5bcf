"""Units that real projects have finished, with what the plan said of them and what they used."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bench.calibration import signals_of
from bench.expectations import Row, read_rows
from stepdown.catalog import Catalog
from stepdown.expectations import default
from stepdown.ledger.imports import read_metrics
from stepdown.ledger.records import Expectation
from stepdown.plans.gsd import GsdPlan
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import PlanText, Tokens, Unit

_UNITS = ("project", "unit_type", "unit_id", "model", "input", "output", "cache_read", "cache_write", "cost_usd", "requests")
_FEATURES = ("project", "unit_id", "plan_chars", "files", "steps", "estimated_steps", "estimated_files")
_KINDS = ("input", "output", "cache_read", "cache_write")
_LARGEST_WINDOW = 1_050_000
"""Tokens: no model of these units holds a longer prompt."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """One unit as it was done.

    Attributes:
        project: whose it is.
        unit: the unit, with what its plan said where that is known.
        model: what it ran on, as recorded.
        tokens: what it used.
        requests: requests to the provider; 0 is unknown, or was counted wrongly.
        paid_usd: US dollars as recorded; 0 is unknown (a subscription, a local model).
        planned: whether its plan, or features of it, could be read.
    """

    project: str
    unit: Unit
    model: str
    tokens: Tokens
    requests: float = 0.0
    paid_usd: float = 0.0
    planned: bool = False

    @property
    def mean_prompt(self) -> float:
        """Tokens of its average prompt; by what units of its type ask where its requests were not counted."""
        if self.requests > 0:
            return self.tokens.prompt / self.requests
        usual = default(self.unit.type)
        return min(self.tokens.prompt, usual.tokens.prompt / (usual.requests or 1.0))


def read_recorded(directory: Path) -> list[Finished]:
    """The units of ``outcomes/gsd_units.csv``; a task's signals are those of ``outcomes/gsd_execute_task_features.csv``.

    Raises:
        SystemExit: a file, a column or a number is missing; one line says which.
    """
    outcomes = directory / "outcomes"
    units = _checked(outcomes / "gsd_units.csv", _UNITS)
    features = _checked(outcomes / "gsd_execute_task_features.csv", _FEATURES)
    # A task that was dispatched again has a row for each time; its plan, and so its features, are the same in all of them.
    plans = {(row["project"], row["unit_id"]): _plan(row) for row in features}
    path = outcomes / "gsd_units.csv"
    return _believed([_finished(row, number, plans.get(_task(row)), path) for number, row in enumerate(units, 2)])


def read_trees(directory: Path) -> list[Finished]:
    """The units that each ``gsd/*/.gsd/metrics.json`` records, with the texts of the plan tree beside it.

    A unit that the tree no longer lists goes by its type. A slice is planned before its tasks are known, so their number is
    taken out of what the plan says.
    """
    found = []
    for root in sorted(directory.glob("gsd/*/.gsd")):
        planned = {(unit.type, unit.id): unit for unit in GsdPlan.open(root).units()}
        for attempt, outcome in read_metrics(root / "metrics.json").records:
            key = attempt.unit_type, attempt.unit_id
            unit = planned.get(key, Unit(*key))
            if unit.type == "plan-slice":
                unit = msgspec.structs.replace(unit, plan=msgspec.structs.replace(unit.plan, slice_tasks=None))
            found.append(
                Finished(
                    project=root.parent.name,
                    unit=unit,
                    model=attempt.model,
                    tokens=outcome.tokens or Tokens(),
                    requests=outcome.requests or 0,
                    paid_usd=outcome.cost_usd or 0.0,
                    planned=key in planned,
                )
            )
    return found


def used(units: Iterable[Finished], catalog: Catalog) -> dict[tuple[str, str], Expectation]:
    """What a ledger of these units would have learned: mean tokens and requests per unit type and provider-qualified model."""
    groups: dict[tuple[str, str], list[Finished]] = {}
    for one in units:
        if one.tokens.total > 0:
            groups.setdefault((one.unit.type, recorded_ref(one, catalog)), []).append(one)
    return {key: _mean(members) for key, members in groups.items()}


def recorded_ref(one: Finished, catalog: Catalog) -> str:
    """The provider-qualified model a unit ran on; as recorded where the catalogue does not know it."""
    model = catalog.resolve(one.model)
    return one.model if model is None else f"{model.provider}/{model.bare_id}"


def _mean(members: Sequence[Finished]) -> Expectation:
    total = sum((one.tokens for one in members), Tokens())
    counted = [one.requests for one in members if one.requests > 0]
    return Expectation(
        tokens=total.scaled(1 / len(members)),
        requests=sum(counted) / len(counted) if counted else None,
        units=len(members),
    )


def _believed(units: Sequence[Finished]) -> list[Finished]:
    """The same without the request counts of projects in which an average prompt is longer than any window.

    There an agent with sessions of its own did the units, and each session was counted as one request.
    """
    wrong = {one.project for one in units if one.mean_prompt > _LARGEST_WINDOW}
    return [msgspec.structs.replace(one, requests=0.0) if one.project in wrong else one for one in units]


def _checked(path: Path, columns: Sequence[str]) -> list[Row]:
    rows = read_rows(path)
    missing = [name for name in columns if rows and name not in rows[0]]
    if missing or not rows:
        raise SystemExit(
            f"{path}: {'no column ' + ', '.join(missing) if missing else 'no rows'}; expected {', '.join(columns)}"
        )
    return rows


def _task(row: Row) -> tuple[str, str]:
    """A key of the features; one that is in none of them for a unit that is no task."""
    return (row["project"], row["unit_id"]) if row["unit_type"] in {"execute-task", "reactive-execute"} else ("", "")


def _plan(row: Row) -> PlanText:
    """A task plan that says what the features say, so that they go the way of every plan."""
    signals = signals_of(row, DEFAULT_POLICY)
    lines = [] if signals.steps is None else [f"estimated_steps: {signals.steps}"]
    lines += [] if signals.files is None else [f"estimated_files: {signals.files}"]
    return PlanText(task="\n".join(("---", *lines, "---", "")))


def _finished(row: Row, line: int, plan: PlanText | None, path: Path) -> Finished:
    try:
        counts = {kind: int(float(row[kind] or 0)) for kind in _KINDS}
        requests, paid = float(row["requests"] or 0), float(row["cost_usd"] or 0)
    except ValueError as error:
        raise SystemExit(f"{path}, line {line}: {error}") from error
    return Finished(
        project=row["project"],
        unit=Unit(row["unit_type"], row["unit_id"], plan=plan or PlanText()),
        model=row["model"],
        tokens=Tokens(**counts),
        requests=requests,
        paid_usd=paid,
        planned=plan is not None,
    )
