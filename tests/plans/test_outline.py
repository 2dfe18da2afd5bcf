"""The spellings that language models write plans in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.plans.entry import Letter, id_key, ids_in
from stepdown.plans.outline import outline


@pytest.mark.parametrize(
    ("line", "name", "title", "done"),
    [
        ("- [x] **T01: Add the door** `est:45m`", "T01", "Add the door", True),
        ("- [X] **T01: Add the door**", "T01", "Add the door", True),
        ("* [ ] **T01: Add the door**", "T01", "Add the door", False),
        ("1. [ ] T01: Add the door", "T01", "Add the door", False),
        ("- [ ] T01 Add the door", "T01", "Add the door", False),
        ("- [ ] **T01** \u2014 Add the door `est:1h`", "T01", "Add the door", False),
        ("- [ ] **T01:** Add the door (est: 1h)", "T01", "Add the door", False),
        ("- [ ] __T01: Add the door__", "T01", "Add the door", False),
        ("- [ ] `T01`: Add the door", "T01", "Add the door", False),
        ("- [ ] [T01] Add the door", "T01", "Add the door", False),
        ("- [] **T01: Add the door**", "T01", "Add the door", False),
        ("- [~] **T01: Add the door**", "T01", "Add the door", False),
        ("  - [ ] **T01.2: Add the door**", "T01.2", "Add the door", False),
        ("- [ ] **T1: Add the door**", "T1", "Add the door", False),
        ("- [ ] **S02-T01: Add the door**", "T01", "Add the door", False),
        ("- [ ] **M001/S02/T01: Add the door**", "T01", "Add the door", False),
        ("- [ ] **T01\uff1a\u52a0\u4e00\u6247\u95e8** `est:1h`", "T01", "\u52a0\u4e00\u6247\u95e8", False),
        ("- [ ] **\u4efb\u52a1 T01: Add the door**", "T01", "Add the door", False),
        ("### T01: Add the door", "T01", "Add the door", False),
        ("### T01 -- Add the door `est:1h`", "T01", "Add the door", False),
        ("#### **T01**: Add the door \u2705", "T01", "Add the door", True),
        ("### \u2705 T01: Add the door", "T01", "Add the door", True),
        ("### [x] T01: Add the door", "T01", "Add the door", True),
        ("### T01: Add the door (Complete)", "T01", "Add the door", True),
        ("### Task 1: Add the door", "T01", "Add the door", False),
        ("### 1. T01: Add the door", "T01", "Add the door", False),
        ("| T01 | Add the door | 1h | \u2705 |", "T01", "Add the door", True),
        ("| T01 \u2014 Add the door | 1h | pending |", "T01", "Add the door", False),
        ("- **T01: Add the door**", "T01", "Add the door", False),
        ("- T01: Add the door", "T01", "Add the door", False),
        ("**T01.** Add the door", "T01", "Add the door", False),
    ],
)
def test_a_task_in_every_spelling(line: str, name: str, title: str, done: bool) -> None:
    for end in ("\n", "\r\n"):
        text = end.join(["# S01: House", "", "## Tasks", "", line, "", "## Files Likely Touched", "", "- `door.py`", ""])
        for prefix in ("", "\ufeff"):
            (entry,) = outline(prefix + text, "T").entries
            assert (entry.id, entry.title, entry.done) == (name, title, done)


@pytest.mark.parametrize(
    "text",
    [
        "## Tasks\n\n- [ ] build it\n",
        "## Tasks\n\n### T01-PLAN.md\n",
        "## Tasks\n\nT01 is where we begin.\n",
        "## Must-Haves\n\n- [ ] T01 passes its tests\n- [ ] **Fast: under a second**\n- [ ] the T02 report exists\n",
        "## Verification\n\n| Check | Task |\n|---|---|\n| ok | T01 |\n",
    ],
)
def test_what_is_no_task(text: str) -> None:
    assert outline(text, "T").entries == ()


def test_must_haves_beside_tasks_stay_must_haves() -> None:
    text = "## Tasks\n- [ ] **T01: One**\n## Must-Haves\n- [ ] T01 is green\n- [ ] T07: still works\n- [ ] **Speed: fast**\n"
    assert [entry.id for entry in outline(text, "T").entries] == ["T01"]


def test_tasks_interleaved_with_the_details_of_others_are_found() -> None:
    text = (
        "## Tasks\n- [ ] **T01: One**\n## Steps\n1. go\n## Must-Haves\n- [ ] **T02: Two**\n## Files Likely Touched\n- `a.py`\n"
    )
    one, two = outline(text, "T").entries
    assert (one.id, two.id) == ("T01", "T02")
    assert "1. go" in one.body
    assert "a.py" not in two.body


def test_boxes_win_over_headings_that_tell_more_of_the_same_task() -> None:
    text = "## Tasks\n- [x] **T01: One** `est:1h`\n- [ ] **T02: Two**\n## Approach\n"
    text += "### T01: One\nIn `door.py`.\n### T02: Two\nThen.\n"
    one, two = outline(text, "T").entries
    assert (one.done, one.estimate, one.body) == (True, "1h", "In `door.py`.")
    assert (two.done, two.body) == (False, "Then.")


def test_examples_are_not_tasks_unless_the_plan_stands_in_a_fence() -> None:
    plan = "## Tasks\n- [ ] **T01: One**\n"
    comment = "<!--\n  - [ ] **T08: Title** `est:30m`\n-->\n"
    assert [entry.id for entry in outline(plan + "```\n- [ ] **T09: example**\n```\n" + comment, "T").entries] == ["T01"]
    assert [entry.id for entry in outline(f"```markdown\n{plan}```\n", "T").entries] == ["T01"]
    assert [entry.id for entry in outline("```\nnever closed\n" + plan, "T").entries] == ["T01"]
    assert [entry.id for entry in outline("<!-- never closed\n" + plan, "T").entries] == ["T01"]


def test_a_task_listed_twice_counts_once_and_says_so() -> None:
    plan = outline("## Tasks\n- [ ] **T01: One**\n- [x] **T1: Other**\n", "T")
    assert [(entry.id, entry.title, entry.done) for entry in plan.entries] == [("T01", "One", False)]
    assert plan.notes == ("T01 is listed twice; the first counts",)


def test_a_task_says_its_estimate_dependencies_and_lines() -> None:
    text = "## Tasks\n- [ ] **T03: Three** `est:1h30m` `depends:[T01,T02]`\n  - Files: `a.py`\n  - Verify: `true`\n"
    text += "- [ ] **T04: Four**\n  - Depends on: T03\n"
    three, four = outline(text, "T").entries
    assert (three.estimate, three.depends) == ("1h30m", ("T01", "T02"))
    assert three.body.splitlines() == ["  - Files: `a.py`", "  - Verify: `true`"]
    assert four.depends == ("T03",)


def test_a_roadmap_of_boxes() -> None:
    text = (
        "# M001: House\n\n## Slices\n\n- [x] **S01: Door** `risk:low` `depends:[]`\n  > After this: a door.\n"
        "- [ ] **S02: Roof** `risk:high` `depends:[S01]`\n- [ ] **S05: Garden** `depends:[S01-S04]`\n\n"
        "## Horizontal Checklist\n\n- [ ] Every R### re-read\n\n## Boundary Map\n\n### S01 \u2192 S02\n\n### S07\n"
    )
    plan = outline(text, "S")
    assert plan.title == "M001: House"
    assert [(entry.id, entry.title, entry.done, entry.risk, entry.depends) for entry in plan.entries] == [
        ("S01", "Door", True, "low", ()),
        ("S02", "Roof", False, "high", ("S01",)),
        ("S05", "Garden", False, "", ("S01", "S02", "S03", "S04")),
    ]


@pytest.mark.parametrize("heading", ["## Slices", "## Slice Overview", "## Plan"])
def test_a_roadmap_in_a_table(heading: str) -> None:
    text = (
        f"# M004\n\n{heading}\n\n| Slice | Title | Risk | Depends | Status |\n|---|---|---|---|---|\n"
        "| S01 | First | Low | None | Done |\n| S02 | Second | High | S01 | Pending |\n"
        "| **S03** | Third | Medium | S01, S02 | [x] |\n"
    )
    assert [(entry.id, entry.title, entry.done, entry.risk, entry.depends) for entry in outline(text, "S").entries] == [
        ("S01", "First", True, "low", ()),
        ("S02", "Second", False, "high", ("S01",)),
        ("S03", "Third", True, "medium", ("S01", "S02")),
    ]


def test_a_roadmap_in_prose() -> None:
    text = (
        "# M010\n\n## S01: \u2713 First\nSome.\n\n### 2. Slice S02 \u2014 Second\n**Depends on:** S01\n**Risk:** high\n\n"
        "## **S03: Third**\n\n## \u2713 [S04] Fourth\n\n## S05 Fifth (Complete)\n\n### S01 \u2192 S02\nProduces\n"
    )
    assert [(entry.id, entry.title, entry.done, entry.risk, entry.depends) for entry in outline(text, "S").entries] == [
        ("S01", "First", True, "", ()),
        ("S02", "Second", False, "high", ("S01",)),
        ("S03", "Third", False, "", ()),
        ("S04", "Fourth", True, "", ()),
        ("S05", "Fifth", True, "", ()),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("none", ()),
        ("S01, S03", ("S01", "S03")),
        ("S01-S03", ("S01", "S02", "S03")),
        ("S01..S03, S05", ("S01", "S02", "S03", "S05")),
        ("S01-03", ("S01", "S02", "S03")),
        ("S04-S01", ("S04", "S01")),
        ("S1-S999999", ("S1", "S999999")),
        ("s01 and S1", ("S01",)),
    ],
)
def test_dependencies(text: str, expected: tuple[str, ...]) -> None:
    assert ids_in(text, "S") == expected


_LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["## Tasks", "## Slices", "## Must-Haves", "```", "<!--", "-->", "|---|---|", "---", "\r", "\x0c"]),
        st.builds(
            "{}{}{}{}{}".format,
            st.sampled_from(["- [ ] ", "- [x] ", "* [", "### ", "| ", "- ", "", "1. [ ]"]),
            st.sampled_from(["**", "", "`", "[", "\u2705 "]),
            st.sampled_from(["T01", "S01", "T1.2", "Task 3", "T", "S02-S09", "t01a"]),
            st.sampled_from([": ", "** \u2014 ", " | ", ":** ", "-", ""]),
            st.text(max_size=20),
        ),
    ),
    max_size=12,
)


@given(lines=_LINES, end=st.sampled_from(["\n", "\r\n", "\r"]), letter=st.sampled_from(["S", "T"]))
def test_any_text_has_an_outline_with_each_id_once_and_marks_inside_brackets(
    lines: list[str], end: str, letter: Letter
) -> None:
    text = end.join(lines)
    entries = outline(text, letter).entries
    assert len({id_key(entry.id) for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.title.isprintable()
        if entry.mark is not None:
            start, stop = entry.mark
            assert text[start - 1] == "["
            assert text[stop] == "]"
            assert stop - start <= 1
