"""A plan that lives in memory: the plain twin of `GsdPlan`, for tests and for plans that come from somewhere else."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from stepdown.errors import PlanError
from stepdown.units import Unit


class MemoryPlan:
    """Units as given, in the order given.

    >>> plan = MemoryPlan([Unit("execute-task", "M001/S01/T01")], documents={"M001/S01/T01": {"task_plan": "Fix the typo."}})
    >>> plan.mark_done(next(plan.units()))
    >>> [unit.done for unit in plan.units()]
    [True]
    """

    def __init__(
        self,
        units: Iterable[Unit],
        *,
        documents: Mapping[str, Mapping[str, str]] | None = None,
        outputs: Mapping[str, tuple[str, ...]] | None = None,
        project: str = "memory",
    ) -> None:
        """`documents` and `outputs` are by unit id."""
        self.project = project
        self._units = list(units)
        self._documents = documents or {}
        self._outputs = outputs or {}

    def units(self) -> Iterator[Unit]:
        """The units as they stand now."""
        return iter(tuple(self._units))

    def documents(self, unit: Unit) -> Mapping[str, str]:
        """The texts given for the unit's id."""
        return self._documents.get(unit.id, {})

    def outputs(self, unit: Unit) -> tuple[str, ...]:
        """The files given for the unit's id."""
        return self._outputs.get(unit.id, ())

    def beside(self, unit: Unit, name: str) -> Path:
        """In the project, with the unit's id in front."""
        return Path(self.project, f"{unit.id.replace('/', '-')}-{name}")

    def mark_done(self, unit: Unit) -> None:
        """Note that the unit of this type and id is done.

        Raises:
            PlanError: the plan has no such unit.
        """
        for number, one in enumerate(self._units):
            if (one.type, one.id) == (unit.type, unit.id):
                self._units[number] = msgspec.structs.replace(one, done=True)
                return
        raise PlanError(f"the plan has no unit {unit.type} {unit.id}")
