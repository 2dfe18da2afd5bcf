import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.policy import DEFAULT_POLICY
from stepdown.signals import KEYWORDS, PHRASES, Signals, introspect
from stepdown.units import PlanText, Unit

PLAN = """---
estimated_steps: 5
estimated_files: 3
tags: [refactor]
---

# T01: Move the parser

**Slice:** S01 — Security hardening
**Milestone:** M001

## Description

Move the parser into its own module.

## Steps

1. Move it.
2. Test it:
   1. by hand
   2. by machine

## Inputs

- `src/old.py` — what is there
- `src/more.py`
- `src/third.py`
- `src/fourth.py`

## Expected Output

- `src/new.py` — new module
- `src/old.py` — without the parser
"""


def look(task: str = "", *, title: str = "", **plan: object) -> Signals:
    return introspect(Unit("execute-task", "M001/S01/T01", title, plan=PlanText(task=task, **plan)), DEFAULT_POLICY)  # type: ignore[arg-type]  # keywords of PlanText, spelled by each test


def body(plan: str) -> str:
    """The plan without its front matter."""
    return plan.split("---\n", 2)[2]


class TestTrust:
    def test_front_matter_is_believed_first(self) -> None:
        found = look(PLAN, entry="- Files: `a.py`")
        assert (found.steps, found.files) == (5, 3)
        assert found.sources["files"] == "estimated_files in the task plan"
        assert found.tags[0] == "refactor"

    def test_then_the_slice_entry(self) -> None:
        found = look(body(PLAN), entry="  - Why: because\n  - Files: `a.py`, `b/c.ts` (new), `d.py` (read)\n  - Verify: `make`")
        assert found.files == 2
        assert found.created == 1
        assert found.sources["files"] == "Files: in the slice plan"

    def test_then_expected_output_and_never_inputs(self) -> None:
        found = look(body(PLAN))
        assert found.files == 2
        assert (found.created, found.modified) == (1, 1)
        assert found.steps == 2

    def test_an_estimate_out_of_proportion_gives_way_to_the_list(self) -> None:
        assert look(PLAN.replace("estimated_steps: 5", "estimated_steps: 73")).steps == 2
        assert look("---\nestimated_steps: 73\n---\n# T01\n").steps == 73

    def test_numbers_in_other_words(self) -> None:
        assert look("---\nestimated_steps: 3-4\nestimated_files: '~2'\n---\n").as_mapping()["steps"] == 4
        found = look("---\nestimated_steps: several\nestimated_files: -3\n---\n")
        assert found.steps is None
        assert found.files is None
        assert found.malformed

    def test_the_steps_of_an_entry(self) -> None:
        assert look(entry="- Do: (1) this (2) that (3) the rest.").steps == 3

    def test_context_of_the_slice(self) -> None:
        found = look(estimate="1h30m", risk="High", depends=("S01", "S02"), slice_tasks=4, research_lines=120)
        assert found.as_mapping() == {
            "dependencies": 2,
            "minutes": 90.0,
            "risk": "high",
            "slice_tasks": 4,
            "research_lines": 120,
            "from": dict(found.sources),
        }

    @pytest.mark.parametrize(
        ("written", "minutes"), [("45m", 45), ("15min", 15), ("1.5h", 90), ("2 days", 960), ("", None), ("soon", None)]
    )
    def test_estimates_of_time(self, written: str, minutes: float | None) -> None:
        assert look(estimate=written).minutes == minutes


class TestFiles:
    @pytest.mark.parametrize(
        "line",
        [
            "Files: a.py, b.py; src/c.ts",
            "Files: `a.py`, `b.py`, `src/c.ts`",
            "**Files:** `a.py`; `b.py`; `src/c.ts`",
            "- Files: a.py, b.py, src/c.ts:12",
            "Files:\n- a.py\n- `b.py` — changed\n- src/c.ts\n\nMore words: d.py",
            "**Files**:\n* `a.py`\n* `b.py`\n* `src/c.ts`",
        ],
    )
    def test_a_files_line_in_every_shape(self, line: str) -> None:
        assert look(f"# T01\n\nDo it.\n\n{line}\n").files == 3
        assert look(entry=line).files == 3

    def test_none_is_a_number(self) -> None:
        assert look(entry="  - Files: (none — verification task)").files == 0

    def test_what_cannot_be_recognised_is_not_counted(self) -> None:
        assert look(entry="  - Files: diagnostic scripts (temporary)").files is None

    @pytest.mark.parametrize(
        "bullet",
        [
            "`https://example.org/a.py`",
            "`npm run build`",
            "`/api/users`",
            "`.gsd/milestones/M001/M001-ROADMAP.md`",
            "all tests pass",
        ],
    )
    def test_what_is_no_file(self, bullet: str) -> None:
        assert look(f"## Expected Output\n\n- {bullet}\n").files is None

    def test_one_bullet_is_about_one_path(self) -> None:
        found = look("## Expected Output\n\n- Modified `src/a.py` with the helper of `src/b.py`\n- `c.py`, `d.py` — both\n")
        assert found.files == 3

    def test_documents_are_known_by_their_extension(self) -> None:
        assert look("## Expected Output\n- `README.md`\n- `docs/a.rst`\n").tags == ("docs",)
        assert look("## Expected Output\n- `README.md`\n- `a.py`\n", title="Document it in the README").tags == ()

    def test_a_title_that_creates(self) -> None:
        assert look("---\nestimated_files: 1\n---\n", title="Create the exporter").created == 1


class TestProse:
    @pytest.mark.parametrize(
        "text",
        [
            "Edit `performance` and src/performance/index.ts, see https://example.org/security/migration.",
            "Look at performance.py and security_check and --migrate.",
            "```\nsecurity performance migration\n```\nNothing else.",
        ],
    )
    def test_paths_code_and_links_are_not_prose(self, text: str) -> None:
        assert look(f"# T01\n\n## Description\n\n{text}\n").groups == ()

    def test_words_are(self) -> None:
        found = look("# T01\n\n## Description\n\nMigrates the login (authentication) — with a race condition.\n")
        assert found.groups == ("migration", "security", "concurrency")

    @pytest.mark.parametrize("stem", [stem for stems in KEYWORDS.values() for stem in stems])
    def test_every_keyword_is_found_where_it_begins_a_word(self, stem: str) -> None:
        group = next(group for group, stems in KEYWORDS.items() if stem in stems)
        for said in (stem, f"{stem}ing", f"({stem.upper()}e),", f"x{stem} and _{stem}_", f"**{stem}s:**"):
            assert look(f"# T01\n\n## Description\n\nIt is {said} here.\n").groups == (group,)
        for said in (f"x{stem}", f"a/{stem}", f"{stem}.py", f"@{stem}", f"-{stem}", f"{stem}_all", f"`{stem}`"):
            assert look(f"# T01\n\n## Description\n\nIt is {said} here.\n").groups == ()

    @pytest.mark.parametrize("phrase", PHRASES)
    def test_every_phrase_is_found(self, phrase: str) -> None:
        assert look(f"## Description\n\nIt has {phrase}ety.\n").groups == (PHRASES[phrase],)

    def test_letters_that_only_look_like_ours_make_no_keyword(self) -> None:
        # The Kelvin sign is a k when it is lower-cased after it was read as Unicode.
        assert look("## Description\n\nA bac\u212afill.\n").groups == ()

    def test_only_title_and_description_are_read(self) -> None:
        assert look("# T01\n\n## Verification\n\nCheck security and performance.\n").groups == ()
        assert look(PLAN).groups == ()
        assert look(title="Security and performance").groups == ("security", "performance")

    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ("This is about 600 lines of code.", 600),
            ("Write roughly 1,200 lines.", 1200),
            ("It adds ~300 LOC.", 300),
            ("It adds about 300+ lines of code inline.", 300),
            ("It adds a 250-line module.", 250),
            ("The pipeline adds locally 300 rows.", None),
            ("Read 2000 lines of code.", None),
            ("Read about 2000 lines of code first.", None),
            ("The 992 lines of message-handler stay.", None),
            ("No file exceeds 600 lines.", None),
            ("See lines 100-250.", None),
        ],
    )
    def test_estimated_lines(self, text: str, lines: int | None) -> None:
        assert look(f"# T01\n\n## Description\n\n{text.replace('This is', 'Expect')}\n").lines == lines

    @pytest.mark.parametrize(
        ("title", "tag"),
        [
            ("Fix a typo", "typo"),
            ("Rename the flag", "rename"),
            ("Update the README", "docs"),
            ("Configure the linter", "config"),
            ("Refactor the loop", "refactor"),
            ("Add tests", "test"),
        ],
    )
    def test_tags(self, title: str, tag: str) -> None:
        assert look(title=title).tags == (tag,)


class TestOtherLanguages:
    def test_structure_is_recognised_without_english(self) -> None:
        plan = (
            "# T01: 글 다시 쓰기\n\n## 설명\n\n세 파일을 고친다.\n\n## 단계\n\n1. 읽기\n2. 쓰기\n3. 확인\n4. 끝\n\n"
            "## 입력\n\n- `context/a.md`\n- `context/b.md`\n\n"
            "## 결과\n\n- `posts/a.md` — 완료\n- `posts/b.md` — 완료\n- `posts/c.md`\n"
        )
        found = look(plan)
        assert (found.steps, found.files) == (4, 3)
        assert found.tags == ("docs",)

    def test_a_labelled_list_of_paths_in_an_entry(self) -> None:
        assert look(entry="  - 파일: `a.py`, `b.py`\n  - 확인: `make test`").files == 2

    def test_sections_marked_in_bold(self) -> None:
        assert look("# T01\n\n**Steps:**\n\n1. a\n2. b\n\n**Expected Output:**\n\n- `a.py`\n").as_mapping()["steps"] == 2

    def test_a_plan_without_headings(self) -> None:
        assert look("Do this:\n\n1. a\n2. b\n3. c\n").steps == 3


class TestDamage:
    def test_line_ends_do_not_matter(self) -> None:
        windows = look("\ufeff" + PLAN.replace("\n", "\r\n"))
        plain = look(PLAN)
        assert (windows.files, windows.steps, windows.tags) == (plain.files, plain.steps, plain.tags)

    def test_front_matter_that_never_ends(self) -> None:
        found = look("---\nestimated_steps: 9\n# T01\n")
        assert found.malformed
        assert "not closed" in found.notes[0]

    def test_a_fence_that_never_ends_hides_nothing(self) -> None:
        assert look("# T01\n\n```\ncode\n\n## Steps\n\n1. a\n2. b\n").steps == 2

    def test_headings_inside_fences_are_code(self) -> None:
        assert look("# T01\n\n## Steps\n\n1. a\n\n```bash\n## Steps\n1. b\n2. c\n```\n\n2. d\n").steps == 2

    def test_a_number_sign_inside_a_line_starts_nothing(self) -> None:
        plan = "# T01: Fix #12 and #13\n\nSee #4, C# and\n #5.\n\n## Steps\n\n1. a #6\n2. b\n\n## Inputs\n\n1. c\n2. d\n3. e\n"
        assert look(plan).steps == 2

    def test_a_heading_may_follow_a_heading(self) -> None:
        assert look("# T01\n#\n##\n## Steps\n### First\n### Second\n## Notes").steps == 2

    def test_fences_of_more_than_three(self) -> None:
        found = look("# T01\n\n## Steps\n\n1. a\n\n````md\n## Inputs\n1. x\n````\n\n2. b\n\n~~~\n3. c\n~~~\n")
        assert (found.steps, found.code_blocks) == (2, 2)

    def test_binary(self) -> None:
        found = look("\0\x01\x02" * 100)
        assert found.notes == ("the task plan is not text",)

    @pytest.mark.parametrize(
        "unit",
        [
            "a",
            "\n",
            "`",
            "```\n",
            "\n#",
            "\n# a # b",
            "#",
            "migrat(",
            "\n1. ",
            "\n- `a.py`",
            "\nFiles:",
            "iles",
            "\n**a**",
            "1line",
            "xmigrat",
            "/",
            "\r",
            " ",
            "é한",
        ],
    )
    def test_ten_megabytes_of_anything_take_bounded_time(self, unit: str) -> None:
        text = unit * (10_000_000 // len(unit))
        began = time.perf_counter()
        found = look(text, entry=text, estimate=text, title=text[:1000])
        # A generous bound: the slowest takes a tenth of a second; anything quadratic takes hours.
        assert time.perf_counter() - began < 10
        assert any("too long" in note for note in found.notes)

    @given(st.text(), st.text(), st.text())
    def test_any_text_is_read_without_an_exception(self, task: str, entry: str, title: str) -> None:
        assert isinstance(look(task, entry=entry, title=title).as_mapping(), dict)

    @given(st.lists(st.sampled_from(PLAN.splitlines()), max_size=60))
    def test_so_is_any_mixture_of_a_plans_lines(self, lines: list[str]) -> None:
        found = look("\n".join(lines))
        assert found.files is None or found.files >= 0
        assert found.steps is None or found.steps > 0


def _plans() -> list[Path]:
    root = Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    return sorted((root / "gsd").glob("*/.gsd/milestones/**/T*-PLAN.md"))


def test_real_plans_agree_with_their_own_front_matter() -> None:
    plans = _plans()
    if not plans:
        pytest.skip("no plan trees: set STEPDOWN_DATA")
    steps: list[bool] = []
    files: list[bool] = []
    for path in plans:
        text = path.read_text(encoding="utf-8")
        whole = look(text)
        if whole.steps is None or whole.files is None or not text.startswith("---"):
            continue
        bare = look(body(text))
        steps.append(bare.steps is not None and abs(bare.steps - whole.steps) <= 1)
        files.append(bare.files is None or abs(bare.files - whole.files) <= 2)
    assert len(steps) > 50
    assert sum(steps) / len(steps) > 0.9
    assert sum(files) / len(files) > 0.85
