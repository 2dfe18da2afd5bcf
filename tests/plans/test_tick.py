"""One box, one character, nothing else."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.errors import PlanError
from stepdown.plans.outline import outline
from stepdown.plans.tick import tick


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_one_character_changes(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "S01-PLAN.md"
    before = end.join(
        ["# S01: \ud1a4 \u2014 \u2705", "## Tasks", "- [x] **T01: \uac00\uc774\ub4dc**", "- [ ] **T02: \u00e9**", ""]
    ).encode(encoding)
    path.write_bytes(before)
    path.chmod(0o640)
    tick(path, "T", "T02")
    after = path.read_bytes()
    assert len(after) == len(before)
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [(0x20, 0x78)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]
    tick(path, "T", "T02")
    assert path.read_bytes() == after


def test_old_line_ends_stay_even_mixed_with_others(tmp_path: Path) -> None:
    path = tmp_path / "S01-PLAN.md"
    before = b"# S01\r\r## Tasks\r- [x] **T01: A**\r- [ ] **T02: B**\r- [ ] **T03: C**\r\n- [ ] **T04: D**\n"
    path.write_bytes(before)
    tick(path, "T", "T03")
    assert path.read_bytes() == before.replace(b"- [ ] **T03", b"- [x] **T03")


def test_a_task_is_ticked_by_its_position_where_it_has_no_id(tmp_path: Path) -> None:
    path = tmp_path / "S01-PLAN.md"
    before = "## Must-Haves\n- [ ] fast\n## Tasks\n- [ ] Write \u00e9\n  - [ ] step\n- [ ] Test\n".encode()
    path.write_bytes(before)
    tick(path, "T", "T02")
    assert path.read_bytes() == before.replace(b"- [ ] Test", b"- [x] Test")


_JUNK = st.binary(max_size=60).filter(
    lambda raw: not raw.startswith((b"\xff\xfe", b"\xfe\xff")) and b"`" not in raw and b"~" not in raw
)


@given(head=_JUNK, tail=_JUNK, boxes=st.lists(st.sampled_from(["x", " "]), min_size=1, max_size=5), data=st.data())
def test_bytes_that_are_no_text_survive(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes, boxes: list[str], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"tick-{os.getpid()}.md"
    lines = "".join(f"- [{box}] **T{number:02d}: Task**\n" for number, box in enumerate(boxes, 1)).encode()
    before = head + b"\n## Tasks\n" + lines + tail
    path.write_bytes(before)
    entries = outline(before.decode(errors="replace"), "T").entries
    chosen = data.draw(st.sampled_from(entries))
    tick(path, "T", chosen.id)
    after = path.read_bytes()
    assert {entry.id for entry in outline(after.decode(errors="replace"), "T").entries if entry.done} == {
        entry.id for entry in entries if entry.done
    } | {chosen.id}
    assert sum(a != b for a, b in zip(before, after, strict=True)) == (0 if chosen.done else 1)


def test_what_cannot_be_ticked_says_why(tmp_path: Path) -> None:
    path = tmp_path / "S01-PLAN.md"
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        tick(path, "T", "T01")
    path.write_text("## Tasks\n### T02: Two\n")
    for name in ("T01", "T02"):
        with pytest.raises(PlanError, match=f"cannot tick {name}: its box is no longer in"):
            tick(path, "T", name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes every file")
def test_a_read_only_plan_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "S01-PLAN.md"
    path.write_text("## Tasks\n- [ ] **T01: One**\n")
    path.chmod(0o444)
    with pytest.raises(PlanError, match=r"cannot write .*Permission denied; nothing was changed"):
        tick(path, "T", "T01")
    assert "[ ]" in path.read_text()
