"""Real projects' plans, where the data folder is at hand: every task is found, counted here another way."""

import os
import re
from pathlib import Path

import pytest

from stepdown.plans import GsdPlan, pending

DATA = Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).parents[3] / "shared" / "data")
TREES = ("juniper", "rokket", "seomachine", "whalecode")

pytestmark = pytest.mark.skipif(
    not (DATA / "gsd").is_dir(), reason="no data folder; set STEPDOWN_DATA to the one with gsd/ in it"
)


def counted(project: Path) -> set[str]:
    """Tasks by the lines of slice plans and by the files in ``tasks/``, per slice."""
    found = set()
    for path in project.rglob("*.md"):
        ids = re.findall(r"/(M\d+)/.*/(S\d+)/", str(path))
        if not ids:
            continue
        milestone, slice_ = ids[-1]
        if re.fullmatch(r"S\d+-PLAN\.md", path.name):
            for task in re.findall(r"^\s*[-*] \[[ xX]\] \*{0,2}(T\d+)|^#{2,4} (T\d+)\b", path.read_text(), re.MULTILINE):
                found.add(f"{milestone}/{slice_}/{task[0] or task[1]}")
        elif re.fullmatch(r"T\d+-PLAN\.md", path.name):
            found.add(f"{milestone}/{slice_}/{path.name[:-8]}")
    return found


@pytest.mark.parametrize("name", TREES)
def test_every_task_is_found_once(name: str) -> None:
    project = DATA / "gsd" / name
    units = list(GsdPlan.open(project).units())
    tasks = [unit.id for unit in units if unit.type == "execute-task"]
    expected = counted(project)
    assert len(expected) > 5
    assert expected <= set(tasks)
    assert len(tasks) == len(set(tasks))
    assert all(unit.title for unit in units if unit.id in expected)
    for extra in set(tasks) - expected:  # only a summary is left of it
        milestone, slice_, task = extra.split("/")
        assert list(project.rglob(f"{milestone}/slices/{slice_}/tasks/{task}-SUMMARY.md"))


@pytest.mark.parametrize(
    ("name", "open_types"),
    [
        ("juniper", []),
        ("whalecode", []),
        ("seomachine", ["validate-milestone", "complete-milestone"]),
        ("rokket", ["complete-slice"] * 4),
    ],
)
def test_what_is_finished_stays_finished(name: str, open_types: list[str]) -> None:
    plan = GsdPlan.open(DATA / "gsd" / name)
    assert [unit.type for unit in pending(plan.units())] == open_types
