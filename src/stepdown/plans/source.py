"""The `PlanSource` port: where units come from, and where it is noted that one is done."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from stepdown.units import Unit


class PlanSource(Protocol):
    """A plan: units in the order they are to run.

    Reading never raises for what a file contains: a malformed or missing file becomes a note on the unit it concerns.
    """

    project: str
    """What the ledger calls this project: the resolved path of the directory the work happens in."""

    def units(self) -> Iterator[Unit]:
        """Every unit of the plan, finished ones too, in order (SPEC 2), read afresh from the source.

        Only what is known now is listed: the tasks of a slice without a plan appear after its `plan-slice` ran. A unit that
        has to wait for another slice says so in `Unit.waits`; `pending` leaves it out.
        """
        ...

    def documents(self, unit: Unit) -> Mapping[str, str]:
        """The plan's texts that an agent needs for `unit`, by name, stable ones first.

        Names: ``roadmap``, ``context``, ``research``, ``slice_plan``, ``task_plan``, ``summaries`` (of what it depends on).
        """
        ...

    def outputs(self, unit: Unit) -> tuple[str, ...]:
        """The plan's own files that `unit` has to write, relative to the project: ``.gsd/milestones/.../S01-SUMMARY.md``.

        For a task this is its summary; the files of its ``## Expected Output`` are signals, not plan files.
        """
        ...

    def beside(self, unit: Unit, name: str) -> Path:
        """Where a file called `name` of this unit's own belongs: what hooks write and look for (GSD's places)."""
        ...

    def mark_done(self, unit: Unit) -> None:
        """Tick the unit's box where it has one (a task in its slice plan, a slice in its roadmap); else nothing.

        Raises:
            PlanError: the file cannot be written, or the box is no longer there.
        """
        ...


def pending(units: Iterable[Unit]) -> list[Unit]:
    """The units that are not done and can run now, in order."""
    return [unit for unit in units if not unit.done and not unit.waits]
