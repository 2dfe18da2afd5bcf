"""The example that ships is a plan worth a demonstration, from its first unit to its last."""

import shutil
from collections import Counter
from pathlib import Path

import msgspec

from stepdown.plans import GsdPlan, pending
from stepdown.units import Unit

EXAMPLE = Path(__file__).parents[2] / "examples" / "todo-api"
WRITTEN = {
    "ROADMAP": "# M002\n\n## Slices\n\n- [ ] **S01: Due days** `risk:low` `depends:[]`\n",
    "PLAN": "# Plan\n\n## Tasks\n\n- [ ] **T01: One** `est:20m`\n- [ ] **T02: Two** `est:20m`\n",
}


def do(plan: GsdPlan, unit: Unit) -> None:
    """What an agent and the runner do with a unit, as far as the plan sees it."""
    for name in plan.outputs(unit):
        path = Path(plan.project, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WRITTEN.get(path.stem.rpartition("-")[2], "Done.\n"))
    plan.mark_done(unit)


def test_it_shows_light_standard_and_heavy_work() -> None:
    units = list(GsdPlan.open(EXAMPLE).units())
    assert all(unit.title for unit in units)
    assert [note for unit in pending(units) for note in unit.plan.notes] == []
    assert len(pending(units)) >= 12
    assert len({unit.type for unit in pending(units)}) >= 7
    tasks = [unit for unit in pending(units) if unit.type == "execute-task"]
    assert len(tasks) >= 6
    assert all(task.plan.estimate and "## Expected Output" in task.plan.task and "Verify:" in task.plan.entry for task in tasks)
    assert "high" in {unit.plan.risk for unit in units}


def test_it_can_be_run_to_its_end(tmp_path: Path) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "todo-api")
    plan = GsdPlan.open(project)
    ran: list[tuple[str, str]] = []
    while left := pending(plan.units()):
        unit = left[0]
        assert (unit.type, unit.id) not in ran
        assert not unit.waits
        ran.append((unit.type, unit.id))
        do(plan, unit)
    kinds = Counter(kind for kind, _ in ran)
    assert len(ran) >= 14
    assert len(kinds) >= 7
    assert kinds["execute-task"] >= 8
    assert ran[:2] == [("validate-milestone", "M001"), ("complete-milestone", "M001")]
    assert ran[-1] == ("complete-milestone", "M002")
    assert {(unit.type, unit.id) for unit in plan.units()} >= set(ran)
    assert msgspec.json.encode(list(plan.units()))
