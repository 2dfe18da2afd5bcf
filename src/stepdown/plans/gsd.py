"""A ``.gsd`` tree as a `PlanSource`: which units it has, what each needs, where a finished one is ticked."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from stepdown.errors import PlanError
from stepdown.plans.entry import id_key
from stepdown.plans.milestone import Milestone, Slice, Task, front_matter, read_milestones
from stepdown.plans.tick import tick
from stepdown.plans.tree import NOWHERE, Place, Tree, read_text, walk
from stepdown.preferences.schema import PhaseSkips
from stepdown.units import PlanText, Unit

_OUTPUTS: Final = {
    "research-milestone": "RESEARCH",
    "plan-milestone": "ROADMAP",
    "research-slice": "RESEARCH",
    "plan-slice": "PLAN",
    "refine-slice": "PLAN",
    "replan-slice": "PLAN",
    "execute-task": "SUMMARY",
    "complete-slice": "SUMMARY",
    "run-uat": "UAT-RESULT",
    "validate-milestone": "VALIDATION",
    "complete-milestone": "SUMMARY",
}
_ID: Final = re.compile(r"[MST][\w-][\w.-]*(?:/[MST][\w-][\w.-]*){0,2}", re.IGNORECASE)
_NO_SKIPS: Final = PhaseSkips()


class GsdPlan:
    """The plan in a ``.gsd`` directory, in any of the layouts that real projects have.

    Reading never raises for what a file holds; what was odd stands in the notes of the units it concerns.

    Attributes:
        root: the ``.gsd`` directory.
        project: the resolved directory that holds it, as a string.
    """

    def __init__(self, root: Path, *, phases: PhaseSkips = _NO_SKIPS, failed: frozenset[str] = frozenset()) -> None:
        """See `open`, which also finds the directory.

        Args:
            root: the ``.gsd`` directory itself.
            phases: which units the user leaves out.
            failed: ids of tasks that failed for good; their slices are replanned.
        """
        self.project = str(root.parent.resolve())
        self.root = Path(self.project) / root.name
        self._phases = phases
        self._failed = failed

    @classmethod
    def open(cls, path: Path, *, phases: PhaseSkips = _NO_SKIPS, failed: frozenset[str] = frozenset()) -> Self:
        """The plan of a project directory, or of a ``.gsd`` directory given directly.

        Raises:
            PlanError: there is no such directory, or no plan in it.
        """
        try:
            root = _gsd_directory(path)
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {error.strerror}") from error
        plan = cls(root, phases=phases, failed=failed)
        tree = walk(plan.root)
        if not tree.children(NOWHERE):
            notes = tree.notes.get(NOWHERE, [])
            why = f" ({notes[0]})" if notes else ""
            raise PlanError(f"{plan.root} has no milestones{why}; expected files like milestones/M001/M001-ROADMAP.md")
        return plan

    def units(self) -> Iterator[Unit]:
        """Every unit of the plan in order, read afresh; see `stepdown.plans.source.PlanSource`.

        A slice that waits for another lists only its tasks, and they say what they wait for; its other units appear when
        they can run. The units of a parked milestone wait too. Finished slices and milestones list what was done, and
        nothing that was left out.
        """
        tree = walk(self.root)
        for milestone in read_milestones(tree, _queue(self.root)):
            for unit in self._milestone_units(tree, milestone):
                parked = milestone.parked and not unit.done
                yield msgspec.structs.replace(unit, waits=("unparking",)) if parked else unit

    def documents(self, unit: Unit) -> Mapping[str, str]:
        """The plan's texts for a unit, stable ones first.

        Besides the names of the port there are ``uat`` for `run-uat` and ``validation`` for `complete-milestone`.
        ``summaries`` joins the summaries of what the unit builds on: earlier tasks for a task, the slices it depends on for
        a slice, all slices for the milestone.
        """
        tree = walk(self.root)
        milestone, slice_, task = self._find(tree, unit.id)
        texts: dict[str, str] = {}
        for name, path in _paths(tree, unit.type, milestone, slice_, task):
            text = read_text(path)[0].strip()
            if text:
                texts[name] = f"{texts[name]}\n\n{text}" if name in texts else text
        return texts

    def outputs(self, unit: Unit) -> tuple[str, ...]:
        """The plan's file that a unit has to write, relative to the project: its roadmap, plan, summary or result."""
        kind = _OUTPUTS.get(unit.type)
        if kind is None or not _ID.fullmatch(unit.id):
            return ()
        tree = walk(self.root)
        place, names = _place(unit.id), unit.id.split("/")
        path = tree.path(place, kind)
        if path is None:
            beside = tree.path(place, "PLAN")
            shared = place[2] and beside is not None and Path(beside).name.upper().startswith(names[1].upper())
            name = f"{'-'.join(names[1:] if shared else names[-1:])}-{kind}.md"  # ``S01-T01-SUMMARY.md`` beside its like
            path = str(Path(_home(tree, place, names), name))
        return (Path(os.path.relpath(path, self.project)).as_posix(),)

    def beside(self, unit: Unit, name: str) -> Path:
        """A task's file stands in ``tasks/`` with the task's id in front, a slice's and a milestone's in their directory."""
        parts = unit.id.split("/")
        kind = ("complete-milestone", "complete-slice", "execute-task")[min(len(parts), 3) - 1]
        (summary,) = self.outputs(Unit(kind, unit.id)) or (f"{self.root.name}/SUMMARY.md",)
        return Path(self.project, summary).parent / (f"{parts[2]}-{name}" if len(parts) > 2 else name)

    def mark_done(self, unit: Unit) -> None:
        """Tick a task in its slice plan, or on `complete-slice` the slice in its roadmap. Other units have no box.

        Entries without a box (headings, table rows) are left as they are: their summary says that they are done.

        Raises:
            PlanError: the file cannot be written, or the box is no longer there.
        """
        if unit.type == "execute-task":
            _, _, task = self._find(walk(self.root), unit.id)
            if task is None:
                raise PlanError(f"cannot tick {unit.id}: the plan in {self.root} no longer has it")
            if task.entry is not None and task.entry.mark is not None:
                tick(Path(task.source), "T", task.id)
        elif unit.type == "complete-slice":
            milestone, slice_, _ = self._find(walk(self.root), unit.id)
            if milestone is None or slice_ is None:
                raise PlanError(f"cannot tick {unit.id}: the plan in {self.root} no longer has it")
            if slice_.boxed:
                tick(Path(milestone.roadmap), "S", slice_.id)

    def _find(self, tree: Tree, unit_id: str) -> tuple[Milestone | None, Slice | None, Task | None]:
        place = _place(unit_id)
        milestone = next(iter(read_milestones(tree, only=place[0])), None)
        slice_ = next((one for one in milestone.slices if one.place[1] == place[1]), None) if milestone else None
        task = next((one for one in slice_.tasks if one.place[2] == place[2]), None) if slice_ else None
        return milestone, slice_, task

    def _milestone_units(self, tree: Tree, milestone: Milestone) -> Iterator[Unit]:
        place, open_ = milestone.place, not milestone.finished

        def unit(kind: str, *, done: bool) -> Unit:
            return Unit(type=kind, id=milestone.id, title=milestone.title, done=done, plan=PlanText(notes=milestone.notes))

        described = any(tree.has(place, kind) for kind in ("CONTEXT", "RESEARCH", "ROADMAP"))
        unplanned = open_ and described and not milestone.slices
        if tree.has(place, "RESEARCH"):
            yield unit("research-milestone", done=True)
        elif unplanned and not self._phases.skip_research:
            yield unit("research-milestone", done=False)
        if unplanned or tree.has(place, "ROADMAP"):
            yield unit("plan-milestone", done=not unplanned)
        validated = tree.has(place, "VALIDATION")
        for slice_ in milestone.slices:
            yield from self._slice_units(tree, milestone, slice_, closed=milestone.finished or validated)
        complete = open_ and bool(milestone.slices) and all(slice_.done for slice_ in milestone.slices)
        if validated or (complete and not self._phases.skip_milestone_validation):
            yield unit("validate-milestone", done=validated)
        if milestone.finished or complete:
            yield unit("complete-milestone", done=milestone.finished)

    def _slice_units(self, tree: Tree, milestone: Milestone, slice_: Slice, *, closed: bool) -> Iterator[Unit]:
        place, tasks = slice_.place, slice_.tasks
        runnable = not slice_.done and not slice_.waits
        notes = (*milestone.notes, *slice_.notes)
        text = PlanText(
            risk=slice_.risk,
            depends=slice_.depends,
            slice_tasks=len(tasks) if tasks or tree.has(place, "PLAN") else None,
            research_lines=slice_.research_lines,
            notes=notes,
        )

        def unit(kind: str, *, done: bool) -> Unit:
            return Unit(type=kind, id=f"{milestone.id}/{slice_.id}", title=slice_.title, done=done, plan=text)

        researched = tree.has(place, "RESEARCH")
        unplanned = runnable and slice_.listed and not tasks
        if researched or (unplanned and not self._phases.skip_research and not self._phases.skip_slice_research):
            yield unit("research-slice", done=researched)
        planned = tree.has(place, "PLAN") and (bool(tasks) or slice_.done)
        if planned or unplanned:
            yield unit("plan-slice", done=planned)
        replanned = False
        for task in tasks:
            one = _task_unit(milestone, slice_, task, text)
            if one.done or one.id not in self._failed:
                yield one
            elif not replanned:
                replanned = True
                yield unit("replan-slice", done=False)
        summarised = tree.has(place, "SUMMARY")
        closing = runnable and slice_.whole and bool(tasks) and all(task.done for task in tasks)
        if summarised or closing:
            yield unit("complete-slice", done=summarised)
        if tree.has(place, "UAT"):
            result = _uat_result(tree, place)
            if result or closed or slice_.done or closing:
                yield unit("run-uat", done=result or closed)


def _gsd_directory(path: Path) -> Path:
    if not path.is_dir():
        reason = "is not a directory" if path.exists() else "does not exist"
        raise PlanError(f"{path} {reason}; give a project that has a .gsd directory")
    root = path.absolute()
    if (root / ".gsd").is_dir():
        return root / ".gsd"
    if root.name == ".gsd" or (root / "milestones").is_dir():
        return root
    if (root / ".planning").is_dir() or root.name == ".planning":
        raise PlanError(f"{path} has a .planning tree of the first GSD; migrate it to .gsd with GSD's own /gsd migrate")
    raise PlanError(f"{path} has no .gsd directory; give a project with a plan")


def _task_unit(milestone: Milestone, slice_: Slice, task: Task, text: PlanText) -> Unit:
    entry = task.entry
    return Unit(
        type="execute-task",
        id=f"{milestone.id}/{slice_.id}/{task.id}",
        title=task.title,
        done=task.done,
        waits=() if task.done else slice_.waits,
        plan=msgspec.structs.replace(
            text,
            task=task.text,
            entry=entry.body if entry else "",
            estimate=entry.estimate if entry else "",
            depends=task.depends,
            notes=(*text.notes, *task.notes),
        ),
    )


def _place(unit_id: str) -> Place:
    keys = [id_key(part) for part in unit_id.split("/")]
    return (keys[0], keys[1] if len(keys) > 1 else "", keys[2] if len(keys) > 2 else "")


def _home(tree: Tree, place: Place, names: list[str]) -> str:
    """The directory a place's files belong in: where it has some already, else where GSD would put them."""
    own = tree.directories.get(place)
    if own is None:
        own = next((str(Path(paths[0]).parent) for (where, _), paths in tree.files.items() if where == place), None)
    if own is not None:
        return own
    if place[2]:  # not beside a plan that shares its directory with other slices
        slice_ = (place[0], place[1], "")
        own = tree.directories.get(slice_) or str(Path(_home(tree, (place[0], "", ""), names[:1]), "slices", names[1]))
        return str(Path(own, "tasks"))
    if place[1]:
        return str(Path(_home(tree, (place[0], "", ""), names[:1]), "slices", names[1]))
    return str(tree.root / "milestones" / names[0])


def _uat_result(tree: Tree, place: Place) -> bool:
    """Whether a slice's acceptance test was run: a result file, or a verdict in the front matter of what stands for one."""
    if tree.has(place, "UAT-RESULT"):
        return True
    for kind, key in (("UAT", "verdict:"), ("ASSESSMENT", "uatType:")):
        path = tree.path(place, kind)
        if path is not None and any(line.startswith(key) for line in front_matter(read_text(path)[0]).splitlines()):
            return True
    return False


def _paths(
    tree: Tree, kind: str, milestone: Milestone | None, slice_: Slice | None, task: Task | None
) -> Iterator[tuple[str, str]]:
    """Names and files of the documents for a unit, stable ones first."""
    if milestone is None:
        return
    about, per_slice, per_task = milestone.place, slice_.place if slice_ else NOWHERE, task.place if task else NOWHERE
    wanted: list[tuple[str, Place, str]] = []
    if task is None:
        wanted = [("roadmap", about, "ROADMAP"), ("context", about, "CONTEXT")]
    if slice_ is None:
        wanted += [("research", about, "RESEARCH"), *(("summaries", one.place, "SUMMARY") for one in milestone.slices)]
        wanted += [("validation", about, "VALIDATION")] if kind == "complete-milestone" else []
    else:
        wanted += [("research", per_slice, "RESEARCH"), ("slice_plan", per_slice, "PLAN"), ("task_plan", per_task, "PLAN")]
        wanted += [("summaries", place, "SUMMARY") for place in _before(kind, milestone, slice_, task)]
        wanted += [("uat", per_slice, "UAT")] if kind == "run-uat" else []
    for name, place, file in wanted:
        path = tree.path(place, file) if place != NOWHERE else None
        if path is not None:
            yield name, path


def _before(kind: str, milestone: Milestone, slice_: Slice, task: Task | None) -> list[Place]:
    """What a slice's unit builds on: the slices it depends on; for a task, earlier tasks; for closing, all of its tasks."""
    if kind in {"complete-slice", "run-uat"}:
        return [one.place for one in slice_.tasks]
    needed = {id_key(name) for name in slice_.depends}
    places = [one.place for one in milestone.slices if one.place[1] in needed]
    if task is not None:
        places += [one.place for one in slice_.tasks[: slice_.tasks.index(task)]]
    return places


def _queue(root: Path) -> tuple[str, ...]:
    """The user's own order of milestones (``QUEUE-ORDER.json``), empty where there is none that can be read."""

    class Queue(msgspec.Struct):
        order: tuple[str, ...] = ()

    text = read_text(str(root / "QUEUE-ORDER.json"))[0]
    try:
        return msgspec.json.decode(text, type=Queue).order if text else ()
    except (msgspec.DecodeError, RecursionError):
        return ()
