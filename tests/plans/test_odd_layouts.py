"""Spellings, line ends and sizes that must not lose a task: a lost one would complete its slice too early."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stepdown.plans import GsdPlan, pending
from stepdown.units import Unit

PlanOf = Callable[[Mapping[str, str | bytes]], GsdPlan]

M1, S1 = "milestones/M001", "milestones/M001/slices/S01"
ROADMAP = "# M001: House\n\n## Slices\n\n- [ ] **S01: Door**\n- [ ] **S02: Roof** `depends:[S01]`\n"
TASKS = "# S01: Door\n\n## Tasks\n\n- [{}] **T01: Frame**\n- [{}] **T02: Leaf**\n"


def open_(plan: GsdPlan) -> list[tuple[str, str]]:
    return [(unit.type, unit.id) for unit in pending(plan.units())]


def done(plan: GsdPlan) -> list[tuple[str, str]]:
    return [(unit.type, unit.id) for unit in plan.units() if unit.done]


def unit_of(plan: GsdPlan, kind: str, name: str) -> Unit:
    return next(unit for unit in plan.units() if (unit.type, unit.id) == (kind, name))


def test_linked_tables_list_slices_and_tasks_in_their_order(plan_of: PlanOf) -> None:
    roadmap = "# M001\n\n## Slices\n\n| Slice | Title | Depends |\n|---|---|---|\n"
    roadmap += "| [S02](slices/S02/S02-PLAN.md) | Roof | |\n| [S01](slices/S01/S01-PLAN.md) | Door | [S02](x) |\n"
    tasks = "# S01\n\n## Tasks\n\n| Task | Title |\n|---|---|\n"
    tasks += "| [T02](tasks/T02-PLAN.md) | Leaf |\n| [T01](tasks/T01-PLAN.md) | Frame |\n"
    plan = plan_of({f"{M1}/M001-ROADMAP.md": roadmap, f"{S1}/S01-PLAN.md": tasks, f"{M1}/slices/S02/S02-PLAN.md": tasks})
    assert [(unit.id, unit.title, unit.waits) for unit in plan.units() if unit.type == "execute-task"] == [
        ("M001/S02/T02", "Leaf", ()),
        ("M001/S02/T01", "Frame", ()),
        ("M001/S01/T02", "Leaf", ("S02",)),
        ("M001/S01/T01", "Frame", ("S02",)),
    ]


def test_a_plan_cut_at_the_bound_is_never_all_ticked(plan_of: PlanOf) -> None:
    tasks = TASKS.format("x", "x") + "x" * 2_000_000 + "\n- [ ] **T03: Hinge**\n"
    plan = plan_of({f"{M1}/M001-ROADMAP.md": ROADMAP.replace("[ ]", "[x]", 1), f"{S1}/S01-PLAN.md": tasks})
    assert open_(plan) == []
    notes = unit_of(plan, "execute-task", "M001/S01/T01").plan.notes
    assert "S01-PLAN.md is longer than 2 MB; the rest was not read" in notes
    assert "the slice may have more tasks than were read; it is not completed before its plan can be read" in notes


def test_a_plan_that_is_no_text_is_never_all_ticked(plan_of: PlanOf) -> None:
    plan = plan_of({f"{S1}/S01-PLAN.md": b"\0", f"{S1}/tasks/T01-PLAN.md": "x", f"{S1}/tasks/T01-SUMMARY.md": "x"})
    assert open_(plan) == []
    assert done(plan) == [("plan-slice", "M001/S01"), ("execute-task", "M001/S01/T01")]


@pytest.mark.parametrize("line", ["- \u23f3 **T02: B**", "- [ ] \U0001f527 **T02: B**", "- [ ] **T02-slug: B**"])
def test_an_open_task_in_an_odd_spelling_keeps_its_slice_open(plan_of: PlanOf, line: str) -> None:
    plan = plan_of({f"{M1}/M001-ROADMAP.md": ROADMAP, f"{S1}/S01-PLAN.md": f"## Tasks\n- [x] **T01: A**\n{line}\n"})
    assert open_(plan) == [("execute-task", "M001/S01/T02")]


def test_a_task_with_a_number_of_its_own_has_files_of_its_own(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{S1}/S01-PLAN.md": "## Tasks\n### T05: E\n### T05-1: F\n",
            f"{S1}/tasks/T05-1-PLAN.md": "# T05-1: F\n",
            f"{S1}/tasks/T05-3-tiers-PLAN.md": "# T05: E\n",
        }
    )
    unit = unit_of(plan, "execute-task", "M001/S01/T05-1")
    assert (unit.title, unit.plan.task) == ("F", "# T05-1: F\n")
    assert plan.outputs(unit) == (f".gsd/{S1}/tasks/T05-1-SUMMARY.md",)
    Path(plan.project, plan.outputs(unit)[0]).write_text("Done.")
    assert open_(plan) == [("execute-task", "M001/S01/T05")]


def test_tasks_without_ids_are_run_and_ticked_in_order(plan_of: PlanOf) -> None:
    text = "# S01: Door\n\n## Tasks\n\n- [ ] Write the parser\n- [ ] Test it\n\n## Must-Haves\n\n- [ ] fast\n"
    plan = plan_of({f"{M1}/M001-ROADMAP.md": ROADMAP, f"{S1}/S01-PLAN.md": text})
    first, second = pending(plan.units())
    assert [(unit.id, unit.title) for unit in (first, second)] == [
        ("M001/S01/T01", "Write the parser"),
        ("M001/S01/T02", "Test it"),
    ]
    plan.mark_done(second)
    assert Path(plan.root, S1, "S01-PLAN.md").read_text() == text.replace("[ ] Test", "[x] Test")
    assert [unit.id for unit in pending(plan.units())] == ["M001/S01/T01"]


def test_a_milestones_one_plan_with_boxes_below_its_slices_is_its_roadmap(plan_of: PlanOf) -> None:
    plan = plan_of({f"{M1}/plan.md": "# M001\n## S01: Door\n### Tasks\n- [ ] saw\n## S02: Roof\n"})
    assert open_(plan)[-1] == ("plan-slice", "M001/S02")


def test_old_line_ends_are_read_everywhere(plan_of: PlanOf) -> None:
    plan = plan_of(
        {
            f"{M1}/M001-ROADMAP.md": ROADMAP.replace("\n", "\r"),
            f"{S1}/S01-PLAN.md": TASKS.format("x", " ").replace("\n", "\r") + "\n",
            f"{S1}/tasks/T02-PLAN.md": "---\rdepends_on:\r  - T01\r---\r# T02: Leaf\r",
        }
    )
    ((kind, name),) = open_(plan)
    unit = unit_of(plan, kind, name)
    assert (unit.id, unit.plan.depends) == ("M001/S01/T02", ("T01",))
    plan.mark_done(unit)
    assert Path(plan.root, S1, "S01-PLAN.md").read_bytes() == (TASKS.format("x", "x").replace("\n", "\r") + "\n").encode()
