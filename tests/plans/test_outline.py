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
        ("| [T01](tasks/T01-PLAN.md) | Add the door |", "T01", "Add the door", False),
        ("| **[T01](tasks/T01-PLAN.md)** | Add the door | \u2705 |", "T01", "Add the door", True),
        ("| [T01: Add the door](tasks/T01-PLAN.md) | 1h |", "T01", "Add the door", False),
        ("| [x] T01 | Add the door |", "T01", "Add the door", True),
        ("| \u2705 T01 | Add the door |", "T01", "Add the door", True),
        ("| T01-hinges | Add the door |", "T01", "Add the door", False),
        ("- [ ] **[T01](tasks/T01-PLAN.md): Add the door**", "T01", "Add the door", False),
        ("- [x] [T01: Add the door](tasks/T01-PLAN.md)", "T01", "Add the door", True),
        ("- [ ] [T01][plan] Add the door", "T01", "Add the door", False),
        ("### [T01](tasks/T01-PLAN.md): Add the door", "T01", "Add the door", False),
        ("- [ ] **T01-install-deps: Add the door**", "T01", "Add the door", False),
        ("- [ ] **T01-s3-upload: Add the door**", "T01", "Add the door", False),
        ("- [ ] **T01-2fa**: Add the door", "T01", "Add the door", False),
        ("- [ ] T01_add_the_door", "T01", "add the door", False),
        ("- [ ] **T05-1: Add the door**", "T05-1", "Add the door", False),
        ("| T05-1 | Add the door |", "T05-1", "Add the door", False),
        ("- [ ] \U0001f527 **T01: Add the door**", "T01", "Add the door", False),
        ("- \u23f3 **T01: Add the door**", "T01", "Add the door", False),
        ("- \u2705 **T01: Add the door**", "T01", "Add the door", True),
        ("- **\U0001f6a7 T01: Add the door**", "T01", "Add the door", False),
        ("- **\u23f3** **T01: Add the door**", "T01", "Add the door", False),
        ("- \u26a0\ufe0f T01: Add the door", "T01", "Add the door", False),
        ("- \u274c [x] T01: Add the door", "T01", "Add the door", True),
        ("- 1\ufe0f\u20e3 **T01: Add the door**", "T01", "Add the door", False),
        ("- :hourglass: **T01: Add the door**", "T01", "Add the door", False),
        ("- :white_check_mark: **T01: Add the door**", "T01", "Add the door", True),
        ("- ?? T01: Add the door", "T01", "Add the door", False),
        ("- [\u2714\ufe0f] **T01: Add the door**", "T01", "Add the door", True),
        ("- [  ] **T01: Add the door**", "T01", "Add the door", False),
        ("- [ x ] **T01: Add the door**", "T01", "Add the door", True),
    ],
)
def test_a_task_in_every_spelling(line: str, name: str, title: str, done: bool) -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["# S01: House", "", "## Tasks", "", line, "", "## Files Likely Touched", "", "- `door.py`", ""])
        for prefix in ("", "\ufeff"):
            (entry,) = outline(prefix + text, "T").entries
            assert (entry.id, entry.title, entry.done) == (name, title, done)


@pytest.mark.parametrize(
    "text",
    [
        "## Plan\n\n- [ ] build it\n",
        "## Tasks\n\n### T01-PLAN.md\n",
        "## Tasks\n\nT01 is where we begin.\n",
        "## Must-Haves\n\n- [ ] T01 passes its tests\n- [ ] **Fast: under a second**\n- [ ] the T02 report exists\n",
        "## Verification\n\n| Check | Task |\n|---|---|\n| ok | T01 |\n",
    ],
)
def test_what_is_no_task(text: str) -> None:
    assert outline(text, "T").entries == ()


@pytest.mark.parametrize(
    "line",
    [
        "- \u23f3 **T02: B**",
        "- \u23f3 T02: B",
        "- \U0001f527 **[T02](tasks/T02-PLAN.md): B**",
        "- **T02: B**",
        "\u2b1c **T02** \u2014 B",
        "- ? T02: B",
    ],
)
def test_a_task_without_a_box_among_boxes_is_not_lost(line: str) -> None:
    one, two = outline(f"## Tasks\n- [x] **T01: A**\n{line}\n", "T").entries
    assert (one.id, two.id, two.title, two.done) == ("T01", "T02", "B", False)


def test_a_sign_says_how_far_its_own_task_is_and_a_box_says_it_better() -> None:
    text = "## Tasks\n- \u23f3 **T01: A**\n- \u2705 **T02: B**\n- [ ] **T03: C**\n\n"
    text += "## Progress\n- \u2705 T01: A\n- \u2705 **T03: C**\n"
    assert [(entry.id, entry.done, entry.mark is None) for entry in outline(text, "T").entries] == [
        ("T01", False, True),
        ("T02", True, True),
        ("T03", False, False),
    ]
    roadmap = "## Slices\n- [x] **S01: A**\n- \u23f3 **S02: B**\n"
    assert [(entry.id, entry.done) for entry in outline(roadmap, "S").entries] == [("S01", True), ("S02", False)]


def test_signs_in_must_haves_are_no_tasks_nor_are_ranges_and_arrows() -> None:
    text = "## Tasks\n- [ ] **T01: One**\n  - \u2192 T07: is fed by it\n  - **S01/T06**: feeds it\n"
    text += "- [ ] T02-T03: later\n- [ ] T01-PLAN.md is there\n"
    text += "## Must-Haves\n- \u2705 T08: still works\n- [ ] \U0001f527 T09: still works\n- \u2705 fast\n"
    assert [entry.id for entry in outline(text, "T").entries] == ["T01"]


def test_a_task_with_a_number_of_its_own_is_another_task() -> None:
    text = "## Tasks\n- [x] **T05: E**\n- [ ] **T05-1: F** `depends:[T05]`\n- [ ] **T06: G** `depends:[T05-1]`\n"
    plan = outline(text, "T")
    assert [(entry.id, entry.depends) for entry in plan.entries] == [("T05", ()), ("T05-1", ("T05",)), ("T06", ("T05-1",))]
    assert plan.notes == ()


@pytest.mark.parametrize("heading", ["## Tasks", "### \U0001f4cb Tasks (3)", "**Tasks:**", "# Task List"])
def test_tasks_without_ids_are_counted(heading: str) -> None:
    text = (
        "# S01: Door\n\n## Must-Haves\n- [ ] opens\n\n" + heading + "\n\n- [ ] Write the parser `est:1h`\n"
        "  - [ ] for T07 too\n- [x] **Test** it\n<!-- - [ ] example -->\n* [ ] Ship it\n\n"
        "### Must-Haves\n\n- [ ] closes\n\n## Verification\n\n- [ ] knock\n"
    )
    plan = outline(text, "T")
    assert [(entry.id, entry.title, entry.done, entry.estimate) for entry in plan.entries] == [
        ("T01", "Write the parser", False, "1h"),
        ("T02", "Test it", True, ""),
        ("T03", "Ship it", False, ""),
    ]
    assert (plan.counted, plan.notes) == (True, ("its tasks have no ids; they are counted in order",))
    assert plan.entries[0].body == "  - [ ] for T07 too"
    assert not outline(text, "S").counted


@pytest.mark.parametrize(
    "text",
    [
        "## Task Verification\n- [ ] build it\n",
        "## Tasks\n### Must-Haves\n- [ ] build it\n",
        "## Tasks\n**Must-Haves:**\n- [ ] build it\n",
        "## Tasks\nAcceptance criteria:\n- [ ] build it\n",
        "## Tasks\n```\n- [ ] build it\n```\n",
        "## Tasks\n<!--\n- [ ] build it\n-->\n",
        "## Tasks\n- [ ] ...\n",
    ],
)
def test_boxes_that_are_no_list_of_tasks_are_not_counted(text: str) -> None:
    assert outline(text, "T").entries == ()


def test_boxes_without_ids_beside_tasks_that_have_them_are_steps() -> None:
    plan = outline("## Tasks\n- [ ] **T01: One**\n- [ ] write a test\n", "T")
    assert ([entry.id for entry in plan.entries], plan.counted) == (["T01"], False)


@pytest.mark.parametrize(
    "line", ["- " + "\U0001f527" * 60 + "T", "- " + "\u4e2d " * 60 + "T0", "- T01" + "-a" * 1000 + "!", "[T1](" * 900]
)
def test_a_line_that_is_nearly_an_entry_costs_no_more_than_others(line: str) -> None:
    assert outline("## Tasks\n" + f"{line}\n" * 500, "T").entries == ()


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


def test_a_roadmap_in_a_table_of_links_keeps_its_order() -> None:
    text = (
        "# M004\n\n## Slices\n\n| Slice | Title | Depends | Status |\n|---|---|---|---|\n"
        "| [S02](slices/S02/S02-PLAN.md) | Second | [S03](slices/S03-04/S03-PLAN.md) | |\n"
        "| **[S03](slices/S03-04/S03-PLAN.md)** | Third | | \u2705 |\n| S01 | First | [S02](x), [S03](x) | |\n"
    )
    assert [(entry.id, entry.title, entry.done, entry.depends) for entry in outline(text, "S").entries] == [
        ("S02", "Second", False, ("S03",)),
        ("S03", "Third", True, ()),
        ("S01", "First", False, ("S02", "S03")),
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
            st.sampled_from(["- [ ] ", "- [x] ", "* [", "### ", "| ", "- ", "", "1. [ ]", "- [  ] ", "- \u23f3 [ ] "]),
            st.sampled_from(["**", "", "`", "[", "\u2705 ", "\U0001f527 **", "**[", "?", ":x: "]),
            st.sampled_from(["T01", "S01", "T1.2", "Task 3", "T", "S02-S09", "t01a", "T01-slug", "T05-1", "no id"]),
            st.sampled_from([": ", "** \u2014 ", " | ", ":** ", "-", "", "](x): ", "](x)** | ", "]["]),
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
            assert "[" not in text[start:stop]
            assert stop - start <= 5
