"""What holds for any tree, whatever its files hold."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepdown.plans import GsdPlan, pending
from stepdown.units import Unit

_NAMES = [
    "milestones/M001/M001-ROADMAP.md",
    "milestones/M001/M001-CONTEXT.md",
    "milestones/M001/M001-SUMMARY.md",
    "milestones/M001/slices/S01/S01-PLAN.md",
    "milestones/M001/slices/S01/S01-RESEARCH.md",
    "milestones/M001/slices/S01/S01-UAT.md",
    "milestones/M001/slices/S01/S01-SUMMARY.md",
    "milestones/M001/slices/S01/tasks/T01-PLAN.md",
    "milestones/M001/slices/S02/S02-PLAN.md",
    "milestones/M001/slices/.gsd/milestones/M001/slices/S01/S01-PLAN.md",
    "milestones/M002-ab12cd/plan.md",
    "milestones/S03/T01-PLAN.md",
    "tasks/T04-PLAN.md",
    "QUEUE-ORDER.json",
]
_PLAN_LINES = st.lists(
    st.sampled_from(
        [
            "## Slices",
            "## Tasks",
            "- [ ] **S01: One** `depends:[S02]`",
            "- [x] **S02: Two** `depends:[S01-S03]`",
            "- [ ] **T01: One** `est:1h`",
            "- [x] **T02: Two**",
            "### T03: Three",
            "- \u23f3 **T04-slug: Four**",
            "- [ ] **[T05-1](tasks/T05-1-PLAN.md): Five**",
            "- [ ] Write the parser",
            "| [S02](slices/S02/S02-PLAN.md) | Two |",
            "### S03: Slice",
            "| S04 | Row | high | done |",
            "---",
            "depends_on: [T02]",
            "```",
            '{"order": ["M002", 3]}',
        ]
    ),
    max_size=8,
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines).encode()))
_FILES = st.dictionaries(st.sampled_from(_NAMES), st.one_of(_PLAN_LINES, st.binary(max_size=80)), min_size=1)


def _project(base: Path, files: dict[str, bytes]) -> GsdPlan:
    root = base / "any" / ".gsd"
    shutil.rmtree(root, ignore_errors=True)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    root.mkdir(parents=True, exist_ok=True)
    return GsdPlan(root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=150)
@given(files=_FILES)
def test_any_tree_reads_and_every_unit_can_be_asked_about_and_ticked(tmp_path: Path, files: dict[str, bytes]) -> None:
    plan = _project(tmp_path, files)
    units = list(plan.units())
    assert units == list(plan.units())
    assert len({(unit.type, unit.id) for unit in units}) == len(units)
    for unit in units:
        assert all(plan.documents(unit).values())
        (output,) = plan.outputs(unit)
        assert output.startswith(".gsd/")
        assert not output.startswith("..")
    for unit in pending(units)[:6]:
        before = {name: Path(plan.root, name).read_bytes() for name in files}
        plan.mark_done(unit)
        changed = {name for name, content in before.items() if Path(plan.root, name).read_bytes() != content}
        assert len(changed) <= 1
        for name in changed:
            after = Path(plan.root, name).read_bytes()
            assert [a != b for a, b in zip(before[name], after, strict=True)].count(True) == 1
            assert _done(plan, unit)


def _done(plan: GsdPlan, unit: Unit) -> bool:
    if unit.type == "complete-slice":  # its box is the roadmap's; the unit itself is done by its summary
        return True
    return any(one.done for one in plan.units() if (one.type, one.id) == (unit.type, unit.id))


def test_a_tree_of_many_slices_in_circles_is_read_in_reasonable_time(tmp_path: Path) -> None:
    lines = "".join(f"- [ ] **S{n}: Slice** `depends:[S{n ^ 1}, S{n + 1}]`\n" for n in range(3000))
    plan = _project(tmp_path, {"milestones/M001/M001-ROADMAP.md": b"## Slices\n" + lines.encode()})
    assert len(pending(plan.units())) >= 2


@pytest.mark.parametrize(
    "line", ["- [ ] **T01: " + "\u2705 " * 900_000, "**" * 900_000, "|" * 1_900_000, "```a\n" * 400_000, "<!--\n" * 300_000]
)
def test_two_megabytes_of_one_thing_are_read(tmp_path: Path, line: str) -> None:
    plan = _project(tmp_path, {"milestones/M001/slices/S01/S01-PLAN.md": line.encode()[:1_999_000]})
    assert list(plan.units())
