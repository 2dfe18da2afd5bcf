"""Which units a tree has, which are done, and what each is told."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stepdown.errors import PlanError
from stepdown.plans import GsdPlan, pending
from stepdown.preferences.schema import PhaseSkips
from stepdown.units import Unit

PlanOf = Callable[[Mapping[str, str | bytes]], GsdPlan]
Write = Callable[[Mapping[str, str | bytes]], Path]

M1, S1 = "milestones/M001", "milestones/M001/slices/S01"
ROADMAP = "# M001: House\n\n## Slices\n\n- [ ] **S01: Door** `risk:high` `depends:[]`\n- [ ] **S02: Roof** `depends:[S01]`\n"
TASKS = "# S01: Door\n\n## Tasks\n\n- [{}] **T01: Frame** `est:45m`\n  - Files: `frame.py`\n- [{}] **T02: Leaf**\n"


def open_(plan: GsdPlan) -> list[tuple[str, str]]:
    return [(unit.type, unit.id) for unit in pending(plan.units())]


def done(plan: GsdPlan) -> list[tuple[str, str]]:
    return [(unit.type, unit.id) for unit in plan.units() if unit.done]


def unit_of(plan: GsdPlan, kind: str, name: str) -> Unit:
    return next(unit for unit in plan.units() if (unit.type, unit.id) == (kind, name))


def test_a_milestone_is_walked_from_its_context_to_its_summary(write: Write) -> None:
    project = write({f"{M1}/M001-CONTEXT.md": "# M001: House\n"})
    plan = GsdPlan.open(project)
    assert open_(plan) == [("research-milestone", "M001"), ("plan-milestone", "M001")]
    assert unit_of(plan, "plan-milestone", "M001").title == "House"

    write({f"{M1}/M001-RESEARCH.md": "Wood.\n", f"{M1}/M001-ROADMAP.md": ROADMAP})
    assert open_(plan) == [("research-slice", "M001/S01"), ("plan-slice", "M001/S01")]
    assert done(plan) == [("research-milestone", "M001"), ("plan-milestone", "M001")]

    write({f"{S1}/S01-RESEARCH.md": "Oak.\n" * 3, f"{S1}/S01-PLAN.md": TASKS.format(" ", " ")})
    assert open_(plan) == [("execute-task", "M001/S01/T01"), ("execute-task", "M001/S01/T02")]

    write({f"{S1}/S01-PLAN.md": TASKS.format("x", " ")})
    assert open_(plan) == [("execute-task", "M001/S01/T02")]

    write({f"{S1}/S01-PLAN.md": TASKS.format("x", "x"), f"{S1}/S01-UAT.md": "# Knock\n"})
    assert open_(plan) == [("complete-slice", "M001/S01"), ("run-uat", "M001/S01")]

    write({f"{S1}/S01-SUMMARY.md": "A door.\n"})
    assert open_(plan) == [("run-uat", "M001/S01"), ("research-slice", "M001/S02"), ("plan-slice", "M001/S02")]

    write({f"{S1}/S01-UAT-RESULT.md": "PASS\n", f"{M1}/M001-ROADMAP.md": ROADMAP.replace("- [ ]", "- [x]")})
    assert open_(plan) == [("validate-milestone", "M001"), ("complete-milestone", "M001")]

    write({f"{M1}/M001-VALIDATION.md": "Good.\n"})
    assert open_(plan) == [("complete-milestone", "M001")]

    write({f"{M1}/M001-SUMMARY.md": "A house.\n"})
    assert open_(plan) == []
    assert done(plan) == [
        ("research-milestone", "M001"),
        ("plan-milestone", "M001"),
        ("research-slice", "M001/S01"),
        ("plan-slice", "M001/S01"),
        ("execute-task", "M001/S01/T01"),
        ("execute-task", "M001/S01/T02"),
        ("complete-slice", "M001/S01"),
        ("run-uat", "M001/S01"),
        ("validate-milestone", "M001"),
        ("complete-milestone", "M001"),
    ]


def test_phases_that_are_skipped_have_no_units(write: Write) -> None:
    project = write({f"{M1}/M001-CONTEXT.md": "x", "milestones/M002/M002-ROADMAP.md": ROADMAP})
    assert open_(GsdPlan.open(project, phases=PhaseSkips(skip_research=True))) == [
        ("plan-milestone", "M001"),
        ("plan-slice", "M002/S01"),
    ]
    assert open_(GsdPlan.open(project, phases=PhaseSkips(skip_slice_research=True))) == [
        ("research-milestone", "M001"),
        ("plan-milestone", "M001"),
        ("plan-slice", "M002/S01"),
    ]
    write({f"{M1}/M001-ROADMAP.md": ROADMAP.replace("[ ]", "[x]"), "milestones/M002/M002-SUMMARY.md": "x"})
    assert open_(GsdPlan.open(project, phases=PhaseSkips(skip_milestone_validation=True))) == [("complete-milestone", "M001")]


def test_a_task_that_failed_for_good_is_replanned(write: Write) -> None:
    project = write({f"{M1}/M001-ROADMAP.md": ROADMAP, f"{S1}/S01-PLAN.md": TASKS.format(" ", " ")})
    plan = GsdPlan.open(project, failed=frozenset({"M001/S01/T01"}))
    assert open_(plan) == [("replan-slice", "M001/S01"), ("execute-task", "M001/S01/T02")]
    both = GsdPlan.open(project, failed=frozenset({"M001/S01/T01", "M001/S01/T02"}))
    assert open_(both) == [("replan-slice", "M001/S01")]


def test_a_slice_that_waits_lists_its_known_tasks_only_and_says_so(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP + "- [ ] **S03: Garden** `depends:[S02]`\n",
            f"{S1}/S01-PLAN.md": TASKS.format("x", " "),
            f"{M1}/slices/S02/S02-PLAN.md": TASKS.format(" ", "x"),
            f"{M1}/slices/S02/S02-UAT.md": "x",
        }
    )
    assert open_(plan) == [("execute-task", "M001/S01/T02")]
    assert [unit.id for unit in plan.units() if not unit.done] == ["M001/S01/T02", "M001/S02/T01"]
    assert unit_of(plan, "execute-task", "M001/S02/T01").waits == ("S01",)
    assert unit_of(plan, "execute-task", "M001/S01/T02").waits == ()


def test_a_plan_without_tasks_is_still_to_be_written(plan_of: PlanOf) -> None:
    empty = "# S01\n\n## Tasks\n\nTo be written.\n"
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{S1}/S01-PLAN.md": empty,
            f"{S1}/S01-RESEARCH.md": "x",
            f"{M1}/slices/S02/S02-PLAN.md": "",
        }
    )
    assert open_(plan) == [("plan-slice", "M001/S01")]
    assert "S01-PLAN.md lists no tasks" in unit_of(plan, "plan-slice", "M001/S01").plan.notes
    assert done(plan) == [("plan-milestone", "M001"), ("research-slice", "M001/S01")]


def test_slices_run_behind_what_they_depend_on(plan_of: PlanOf) -> None:
    roadmap = "## Slices\n- [ ] **S01: A** `depends:[S03]`\n- [ ] **S02: B**\n- [ ] **S03: C** `depends:[S09, S02]`\n"
    slices = {f"{M1}/slices/S0{n}/S0{n}-PLAN.md": "## Tasks\n- [ ] **T01: One**\n" for n in (1, 2, 3)}
    plan = plan_of({f"{M1}/M001-ROADMAP.md": roadmap, **slices})
    assert open_(plan) == [("execute-task", "M001/S02/T01")]
    assert [(unit.id, unit.waits) for unit in plan.units() if unit.type == "execute-task"] == [
        ("M001/S02/T01", ()),
        ("M001/S03/T01", ("S02",)),
        ("M001/S01/T01", ("S03",)),
    ]
    notes = unit_of(plan, "execute-task", "M001/S03/T01").plan.notes
    assert "it depends on S09, which the plan does not have; taken as done" in notes


@pytest.mark.parametrize("circle", [("S02", "S01", ""), ("S01", "", ""), ("S02", "S03", "S01"), ("S03", "S03", "S02")])
def test_circles_are_noted_and_never_stop_the_plan(plan_of: PlanOf, circle: tuple[str, ...]) -> None:
    lines = [f"- [ ] **S0{n}: Slice** `depends:[{need}]`\n" for n, need in enumerate(circle, 1)]
    plan = plan_of({f"{M1}/M001-ROADMAP.md": "## Slices\n" + "".join(lines)})
    first = pending(plan.units())
    assert first
    assert any("circle" in note for unit in first for note in unit.plan.notes)


def test_what_a_finished_milestone_never_had_is_not_asked_for(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{M1}/M001-SUMMARY.md": "Done.",
            f"{S1}/S01-PLAN.md": TASKS.format(" ", " "),
            f"{S1}/S01-UAT.md": "x",
            "milestones/M002/M002-ROADMAP.md": ROADMAP.replace("[ ]", "[x]"),
            "milestones/M002/slices/S01/S01-PLAN.md": TASKS.format(" ", "x"),
            "milestones/M002/slices/S01/S01-SUMMARY.md": "Done.",
        }
    )
    assert open_(plan) == [("validate-milestone", "M002"), ("complete-milestone", "M002")]
    assert len([unit for unit in plan.units() if unit.type == "execute-task"]) == 4


def test_an_unticked_task_of_a_ticked_slice_without_summary_is_open(plan_of: PlanOf) -> None:
    plan = plan_of({f"{M1}/M001-ROADMAP.md": ROADMAP.replace("[ ]", "[x]"), f"{S1}/S01-PLAN.md": TASKS.format("x", " ")})
    assert open_(plan) == [("execute-task", "M001/S01/T02")]


def test_tasks_without_a_box_are_done_by_their_summary(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{S1}/S01-PLAN.md": "## Tasks\n### T01: One\n### T02: Two\n",
            f"{S1}/tasks/T01-SUMMARY.md": "Done.",
            f"{S1}/tasks/T03-EXTRA-PLAN.md": "# T03: Three\n",
        }
    )
    assert open_(plan) == [("execute-task", "M001/S01/T02"), ("execute-task", "M001/S01/T03")]
    assert unit_of(plan, "execute-task", "M001/S01/T03").title == "Three"


@pytest.mark.parametrize(
    "files",
    [
        {"milestones/M001/slices/S01/S01-PLAN.md": "", "milestones/M001/slices/S01/tasks/T01-PLAN.md": "text"},
        {
            "milestones/M001-HOUSE/slices/S01-DOOR/S01-PLAN.md": "",
            "milestones/M001-HOUSE/slices/S01-DOOR/tasks/T01-FRAME-PLAN.md": "text",
        },
        {"milestones/M001/S01/plan.md": "", "milestones/M001/S01/T01-PLAN.md": "text"},
        {"milestones/M001/S01-PLAN.md": "", "milestones/M001/tasks/T01-PLAN.md": "text"},
        {"milestones/M001/plans/S01-PLAN.md": "", "milestones/M001/tasks/S01-T01-PLAN.md": "text"},
        {"M001/slices/S01/PLAN.md": "", "M001/slices/S01/tasks/T01/PLAN.md": "text"},
        {"slices/S01/S01-PLAN.md": "", "slices/S01/tasks/T01.md": "text"},
        {"milestones/M001/plan.md": "", "milestones/M001/tasks/T01-PLAN.md": "text"},
        {
            "milestones/M001/slices/.gsd/milestones/M001/slices/S01/S01-PLAN.md": "",
            "milestones/M001/slices/S01/tasks/T01-PLAN.md": "text",
        },
        {"milestones/m001/slices/s01/s01-plan.md": "", "milestones/m001/slices/s01/tasks/t01-plan.md": "text"},
    ],
)
def test_layouts(plan_of: PlanOf, files: dict[str, str]) -> None:
    plan = plan_of({name: content or TASKS.format(" ", " ") for name, content in files.items()})
    tasks = [unit for unit in plan.units() if unit.type == "execute-task"]
    assert [unit.id.upper() for unit in tasks] == ["M001/S01/T01", "M001/S01/T02"]
    assert tasks[0].plan.task == "text"
    plan.mark_done(tasks[0])
    assert [unit.done for unit in plan.units() if unit.type == "execute-task"] == [True, False]


def test_milestones_with_a_suffix_keep_it_and_run_in_the_users_order(plan_of: PlanOf) -> None:
    files: dict[str, str | bytes] = {
        f"milestones/{name}/{name}-ROADMAP.md": ROADMAP
        for name in ("M001-ab12cd", "M002", "M010-zz9zz9", "M003-OLD", "M003-NEW")
    }
    files["milestones/M002/M002-PARKED.md"] = "later"
    files["QUEUE-ORDER.json"] = '{"order": ["M010-zz9zz9"]}'
    plan = plan_of(files)
    ids = list(dict.fromkeys(unit.id.split("/")[0] for unit in plan.units()))
    assert ids == ["M010-zz9zz9", "M001-ab12cd", "M003", "M003-OLD", "M002"]
    parked = unit_of(plan, "plan-slice", "M002/S01")
    assert "this milestone is parked" in parked.plan.notes
    assert parked.waits == ("unparking",)
    assert not any(unit_id.startswith("M002") for _, unit_id in open_(plan))
    assert plan.outputs(unit_of(plan, "plan-slice", "M001-ab12cd/S01")) == (
        ".gsd/milestones/M001-ab12cd/slices/S01/S01-PLAN.md",
    )


def test_a_task_carries_what_its_plan_says(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{S1}/S01-PLAN.md": TASKS.format(" ", " "),
            f"{S1}/S01-RESEARCH.md": "Oak.\n" * 7,
            f"{S1}/tasks/T02-PLAN.md": "---\ndepends_on:\n  - T01\n---\n# T02: Leaf\n",
        }
    )
    text = unit_of(plan, "execute-task", "M001/S01/T01").plan
    assert (text.entry, text.estimate, text.risk, text.depends) == ("  - Files: `frame.py`", "45m", "high", ())
    assert (text.slice_tasks, text.research_lines, text.task) == (2, 7, "")
    assert text.notes == ("the task has no plan file of its own",)
    assert unit_of(plan, "execute-task", "M001/S01/T02").plan.depends == ("T01",)
    assert unit_of(plan, "execute-task", "M001/S01/T02").plan.notes == ()


def test_documents_are_those_a_unit_builds_on(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{M1}/M001-CONTEXT.md": "Why.",
            f"{S1}/S01-PLAN.md": TASKS.format("x", "x"),
            f"{S1}/S01-SUMMARY.md": "A door.",
            f"{S1}/S01-UAT.md": "Knock.",
            f"{S1}/tasks/T01-SUMMARY.md": "A frame.",
            f"{S1}/tasks/T02-PLAN.md": "# T02: Leaf",
        }
    )
    assert dict(plan.documents(Unit("execute-task", "M001/S01/T02"))) == {
        "slice_plan": TASKS.format("x", "x").strip(),
        "task_plan": "# T02: Leaf",
        "summaries": "A frame.",
    }
    assert dict(plan.documents(Unit("plan-slice", "M001/S02"))) == {
        "roadmap": ROADMAP.strip(),
        "context": "Why.",
        "summaries": "A door.",
    }
    assert plan.documents(Unit("run-uat", "M001/S01"))["uat"] == "Knock."
    assert list(plan.documents(Unit("complete-milestone", "M001"))) == ["roadmap", "context", "summaries"]
    assert plan.documents(Unit("execute-task", "M009/S01/T02")) == {}


def test_outputs_are_where_the_tree_keeps_such_files(plan_of: PlanOf) -> None:
    plan = plan_of({f"{M1}/M001-ROADMAP.md": ROADMAP, f"{M1}/slices/S01-DOOR/T01-PLAN.md": "x"})
    for kind, name, expected in [
        ("plan-milestone", "M001", "M001-ROADMAP.md"),
        ("research-slice", "M001/S02", "slices/S02/S02-RESEARCH.md"),
        ("complete-slice", "M001/S01", "slices/S01-DOOR/S01-SUMMARY.md"),
        ("execute-task", "M001/S01/T01", "slices/S01-DOOR/T01-SUMMARY.md"),
        ("execute-task", "M001/S02/T01", "slices/S02/tasks/T01-SUMMARY.md"),
        ("run-uat", "M001/S01", "slices/S01-DOOR/S01-UAT-RESULT.md"),
        ("complete-milestone", "M001", "M001-SUMMARY.md"),
    ]:
        assert plan.outputs(Unit(kind, name)) == (f".gsd/{M1}/{expected}",)
    assert plan.outputs(Unit("hook/review", "M001/S01/T01")) == ()
    assert plan.outputs(Unit("execute-task", "../../T01")) == ()


def test_outputs_of_two_slices_in_one_directory_do_not_meet(plan_of: PlanOf) -> None:
    tasks = TASKS.format(" ", " ")
    plan = plan_of({f"{M1}/plans/S01-PLAN.md": tasks, f"{M1}/plans/S02-PLAN.md": tasks, f"{M1}/tasks/S01-T01-PLAN.md": "x"})
    outputs = {unit.id: plan.outputs(unit)[0] for unit in plan.units() if unit.type == "execute-task"}
    assert outputs == {
        "M001/S01/T01": f".gsd/{M1}/tasks/S01-T01-SUMMARY.md",
        "M001/S01/T02": f".gsd/{M1}/slices/S01/tasks/T02-SUMMARY.md",
        "M001/S02/T01": f".gsd/{M1}/slices/S02/tasks/T01-SUMMARY.md",
        "M001/S02/T02": f".gsd/{M1}/slices/S02/tasks/T02-SUMMARY.md",
    }


def test_units_are_ticked_where_they_have_a_box(plan_of: PlanOf) -> None:
    plan = plan_of({f"{M1}/M001-ROADMAP.md": ROADMAP, f"{S1}/S01-PLAN.md": TASKS.format(" ", " ")})
    for unit in pending(plan.units()):
        plan.mark_done(unit)
        plan.mark_done(unit)
    assert open_(plan) == [("complete-slice", "M001/S01")]
    plan.mark_done(Unit("complete-slice", "M001/S01"))
    assert "- [x] **S01: Door**" in Path(plan.root, M1, "M001-ROADMAP.md").read_text()
    plan.mark_done(Unit("plan-slice", "M001/S01"))
    with pytest.raises(PlanError, match="cannot tick M001/S01/T09"):
        plan.mark_done(Unit("execute-task", "M001/S01/T09"))


def test_a_heading_is_left_as_it_is(plan_of: PlanOf) -> None:
    text = "## Tasks\n### T01: One\n"
    plan = plan_of({f"{S1}/S01-PLAN.md": text})
    plan.mark_done(Unit("execute-task", "M001/S01/T01"))
    assert Path(plan.root, S1, "S01-PLAN.md").read_text() == text


def test_opening_takes_the_project_or_its_plan(write: Write) -> None:
    project = write({f"{M1}/M001-ROADMAP.md": ROADMAP})
    assert GsdPlan.open(project).project == str(project.resolve())
    assert GsdPlan.open(project / ".gsd").project == str(project.resolve())


def test_opening_what_is_no_plan_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "bare").mkdir()
    (tmp_path / "empty" / ".gsd" / "milestones").mkdir(parents=True)
    (tmp_path / "first" / ".planning").mkdir(parents=True)
    for name, words in [
        ("file", "is not a directory"),
        ("missing", "does not exist"),
        ("bare", "has no .gsd directory"),
        ("empty", "has no milestones"),
        ("first", "migrate"),
    ]:
        with pytest.raises(PlanError, match=words) as caught:
            GsdPlan.open(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_broken_files_become_notes(write: Write, tmp_path: Path) -> None:
    outside = tmp_path / "secret.md"
    outside.write_text("secret")
    project = write(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{S1}/S01-PLAN.md": TASKS.format(" ", " ") + "- [ ] **T03: C**\n- [ ] **T04: D**\n- [ ] **T05: E**\n",
            f"{S1}/tasks/T01-PLAN.md": b"\x00\x01\x02" * 100,
            f"{S1}/tasks/T02-PLAN.md": b"# T02: L\xff\xfeaf\n" + b"x" * 10_000_000,
            f"{S1}/tasks/T03-PLAN.md": "",
            f"{S1}/tasks/T04-PLAN.md/inner.md": "x",
        }
    )
    tasks = project / ".gsd" / S1 / "tasks"
    (tasks / "T05-PLAN.md").symlink_to(outside)
    (tasks / "loop").symlink_to(tasks)
    (tasks / "T06-PLAN.md").symlink_to(tasks / "T06-PLAN.md")
    os.mkfifo(tasks / "T07-PLAN.md")
    units = {unit.id[-3:]: unit.plan for unit in GsdPlan.open(project).units() if unit.type == "execute-task"}
    assert list(units) == ["T01", "T02", "T03", "T04", "T05"]
    assert "T01-PLAN.md is not text" in units["T01"].notes
    assert "T02-PLAN.md is longer than 2 MB; the rest was not read" in units["T02"].notes
    assert len(units["T02"].task) <= 2_000_000
    assert "T03-PLAN.md is empty" in units["T03"].notes
    assert any("is a directory, not a file" in note for note in units["T04"].notes)
    assert any("T05-PLAN.md is a link out of the plan's tree" in note for note in units["T05"].notes)
    assert "secret" not in units["T05"].task


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_files_become_notes(write: Write) -> None:
    project = write({f"{S1}/S01-PLAN.md": TASKS.format(" ", " "), f"{S1}/tasks/T01-PLAN.md": "x"})
    (project / ".gsd" / S1 / "tasks" / "T01-PLAN.md").chmod(0)
    plan = GsdPlan.open(project)
    assert "T01-PLAN.md cannot be read: Permission denied" in unit_of(plan, "execute-task", "M001/S01/T01").plan.notes
    (project / ".gsd" / S1).chmod(0)
    try:
        assert any("cannot be read" in note for unit in plan.units() for note in unit.plan.notes)
    finally:
        (project / ".gsd" / S1).chmod(0o755)


def test_a_copy_of_the_tree_inside_itself_adds_only_what_is_missing(plan_of: PlanOf) -> None:
    inner = f"{M1}/slices/.gsd/{M1}/slices"
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP,
            f"{S1}/S01-PLAN.md": "## Tasks\n- [x] **T01: Frame**\n",
            f"{inner}/S01/S01-PLAN.md": TASKS.format(" ", " "),
            f"{inner}/S02/S02-PLAN.md": TASKS.format("x", "x"),
            "worktrees/M001/.gsd/milestones/M001/slices/S01/S01-PLAN.md": "## Tasks\n- [ ] **T09: Elsewhere**\n",
        }
    )
    assert [(unit.id, unit.done) for unit in plan.units() if unit.type == "execute-task"] == [
        ("M001/S01/T01", True),
        ("M001/S01/T02", False),
        ("M001/S02/T01", True),
        ("M001/S02/T02", True),
    ]
