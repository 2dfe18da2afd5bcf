"""What there is to check a unit by, read from plans as models write them."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.dispatch.checks import Check, checks_of, needs_consent
from stepdown.plans import GsdPlan
from stepdown.policy import DEFAULT_POLICY
from stepdown.preferences import Preferences
from stepdown.units import PlanText, Unit

DATA = Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).parents[3] / "shared" / "data")
NONE = Preferences()


def task(*, entry: str = "", text: str = "", type_: str = "execute-task") -> Unit:
    return Unit(type_, "M001/S01/T01", plan=PlanText(entry=entry, task=text))


def commands(unit: Unit, preferences: Preferences = NONE) -> list[Check]:
    return [check for check in checks_of(unit, preferences) if check.kind == "command"]


def run(unit: Unit, preferences: Preferences = NONE) -> list[str]:
    return [check.what for check in commands(unit, preferences) if not check.left_out]


def kinds(unit: Unit) -> list[str]:
    return [check.kind for check in checks_of(unit, NONE)]


def files(text: str) -> list[str]:
    unit = task(text=f"# T01: A\n\n## Expected Output\n\n{text}\n\n## Notes\n\n- `other/file.py`\n")
    return [check.what for check in checks_of(unit, NONE) if check.kind == "file"]


def test_a_verify_line_in_the_slice_plan() -> None:
    said = "`npm test` passes, `npm run build` succeeds; `src/a.ts` has `foo()`"
    entry = f"  - Files: `src/a.ts`\n  - Verify: {said}\n  - Done: `make x`\n"
    assert run(task(entry=entry)) == ["npm test", "npm run build"]
    assert {check.source for check in commands(task(entry=entry))} == {"Verify line"}


@pytest.mark.parametrize(
    "entry",
    [
        "- **Verify:** `npm test`",
        "Verify: run `npm test`",
        "  - Verification:\n    - `npm test` passes\n",
        "- Verify:\n  ```bash\n  $ npm test\n  ok\n  ```\n",
        "Verify\uff1a `npm test`",
        "**Verify:**\n\n- `npm test` passes\n",
    ],
)
def test_spellings_of_the_line(entry: str) -> None:
    assert run(task(entry=entry)) == ["npm test"]


def test_a_verification_section_ends_where_the_next_begins_and_repeats_nothing() -> None:
    before = "# T01: Verification\n`make no`\n## Steps\n1. `make never`\n"
    text = f"{before}## Verification\n\n- `make yes` passes\n- `make yes`\n\n## Inputs\n`make not`\n"
    assert run(task(text=text, entry="  - Verify: `make yes`")) == ["make yes"]


def test_a_comment_within_a_fence_is_no_heading() -> None:
    text = "## Verification\n\n```bash\n# first\nnpm test\n# second\nnpm run lint  # quick\n```\n\n## Next\n`make no`\n"
    assert run(task(text=text)) == ["npm test", "npm run lint"]


def test_a_command_over_several_lines_is_one() -> None:
    text = "## Verification\n```bash\npython -c \"\nimport os\nprint(f'{os.sep}')\n\"\nnpm test && \\\n  npm run lint\n```\n"
    assert run(task(text=text)) == ["python -c \"\nimport os\nprint(f'{os.sep}')\n\"", "npm test && \\\n  npm run lint"]


def test_lines_that_build_on_each_other_are_one_script() -> None:
    text = "## Verification\n```sh\ncd app\nnpm test\n```\n```sh\nfor f in a b; do\n  test -f $f\ndone\n```\n"
    assert run(task(text=text)) == ["set -e\ncd app\nnpm test", "set -e\nfor f in a b; do\n  test -f $f\ndone"]


def test_of_a_console_only_what_was_typed_and_of_other_languages_nothing() -> None:
    blocks = ("console\n$ npm test\n12 passed", "json\nnpm test x", "\nmake bare", "\n$ make typed")
    text = "## Verification\n" + "".join(f"```{block}\n```\n" for block in blocks)
    assert run(task(text=text)) == ["npm test", "make typed"]


@pytest.mark.parametrize(
    ("said", "nothing"),
    [
        ("`rg foo src/` returns 0 matches", True),
        ("`rg foo src/` — zero hits", True),
        ("`rg foo src/` returns zero", True),
        ("`grep -c foo a` returns 0", True),
        ("`rg foo src/` finds no occurrences", True),
        ("`grep foo a` exits 1", True),
        ("no duplicates remain: `rg foo src/` returns no matches", True),
        ("`rg foo src/` returns >= 10", False),
        ("`rg foo src/` returns ≥1; no old call remains", False),
        ("`grep -q foo a` returns 0", False),
        ("`grep foo a` exits 0", False),
        ("`rg foo src/` — has hits on line ~530", False),
        ("`rg foo src/`", False),
        ("zero failures. `npm test` — 0 errors", False),
    ],
)
def test_a_search_that_is_to_find_nothing_is_judged_the_other_way_round(said: str, nothing: bool) -> None:
    (check,) = commands(task(entry=f"- Verify: {said}"))
    assert (check.finds_nothing, check.left_out) == (nothing, "")


@pytest.mark.parametrize("said", ["`rg -c foo src/` returns ≤ 3", "no old names remain: `rg foo src/`"])
def test_a_search_whose_result_is_not_clear_is_left_out(said: str) -> None:
    (check,) = commands(task(entry=f"- Verify: {said}"))
    assert "not clear" in check.left_out


def test_a_command_that_is_advised_against_is_none() -> None:
    assert commands(task(entry="- Verify: do not run `npm test`, instead of `make all` use `make fast`")) == commands(
        task(entry="- Verify: `make fast`")
    )


def test_dev_servers_are_named_and_left_out() -> None:
    (check,) = commands(task(entry="- Verify: `npm run dev` shows the page"))
    assert (check.what, check.left_out) == ("npm run dev", "does not end by itself")
    assert needs_consent([check]) == ()


def test_the_users_commands_follow_and_survive_the_limit() -> None:
    entry = "- Verify: " + ", ".join(f"`make t{number}`" for number in range(12))
    preferences = Preferences(verification_commands=("make test", "make t1"))
    unit = task(entry=entry)
    assert len(run(unit, preferences)) == DEFAULT_POLICY.verify_commands
    assert "make test" in run(unit, preferences)
    left = [check for check in commands(unit, preferences) if check.left_out]
    assert len(left) == 13 - DEFAULT_POLICY.verify_commands
    assert "more than the 8" in left[0].left_out


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        ("~/.gsd/PREFERENCES.md:3", ()),
        ("", ()),
        (".gsd/PREFERENCES.md:3", ("make mine",)),
        ("stepdown.yaml:1", ("make mine",)),
    ],
)
def test_a_project_cannot_bring_commands_of_its_own_without_asking(origin: str, asked: tuple[str, ...]) -> None:
    origins = {"verification_commands": origin} if origin else {}
    preferences = Preferences(verification_commands=("make mine",), origins=origins)
    assert needs_consent(checks_of(task(), preferences)) == asked
    both = checks_of(task(entry="- Verify: `make mine` and `make theirs`"), preferences)
    assert needs_consent(both) == (*asked, "make theirs")


def test_only_units_that_execute_have_the_users_commands() -> None:
    preferences = Preferences(verification_commands=("make test",))
    assert run(Unit("my-own-type"), preferences) == ["make test"]
    assert run(Unit("research-slice"), preferences) == []
    assert run(Unit("hook/review", trigger="execute-task"), preferences) == []


def test_promised_files() -> None:
    listed = (
        "- `src/new.ts` — a module\n- `src/old.ts` — modified\n- `src/gone.ts` — deleted\n- `dist/*.js`\n- `docs/<name>.md`\n"
        "- `docs/guide/` — a folder\n- `../outside.md`\n- `/etc/x.conf`\n- `Node.js` server\n- `maybe.py` (optional)\n"
        "- `.gitignore`\n- `Makefile`\n- All tests pass\n- `text/html`\n- `.gsd/x/S01-SUMMARY.md`\n"
    )
    assert files(listed) == ["src/new.ts", "docs/guide/", ".gitignore", "Makefile"]


def test_a_change_is_due_where_the_plan_names_files_to_change() -> None:
    assert kinds(task()) == ["agent"]
    assert kinds(task(entry="  - Files: `src/a.ts`")) == ["change", "agent"]
    assert kinds(task(text="## Expected Output\n- `a.md` — updated\n")) == ["change", "agent"]
    assert kinds(task(text="## Expected Output\n- `a.md` — updated\n", type_="plan-slice")) == ["agent"]


def test_what_a_unit_writes_is_looked_for_but_a_tasks_summary_is_not() -> None:
    written = checks_of(Unit("research-slice"), NONE, writes=("x/S01-RESEARCH.md",))
    assert (written[0].kind, written[0].what) == ("file", "x/S01-RESEARCH.md")
    assert [check.kind for check in checks_of(task(), NONE, writes=("x/T01-SUMMARY.md",))] == ["agent"]


@pytest.mark.parametrize(
    "line", ["`" * 3999, "`` ` " * 800, "`a", "'unclosed " * 300, "a" * 3999, "- Verify: `make x", "$ 'x", "\\"]
)
@pytest.mark.parametrize("fence", ["", "```bash\n"])
def test_a_hostile_plan_costs_little(line: str, fence: str) -> None:
    """Two hundred thousand characters, as much as is read of a plan."""
    text = f"## Verification\n{fence}" + f"{line}\n" * (200_000 // (len(line) + 1))
    started = time.process_time()
    checks_of(task(entry=text, text=text), NONE, is_program=lambda _: True)
    assert time.process_time() - started < 5


@given(st.text(alphabet="`~#-*: \nVerifycation$mak&|\"'<>.0/é", max_size=300), st.booleans())
def test_no_plan_is_too_odd_and_nothing_of_it_runs_unasked(text: str, in_section: bool) -> None:
    unit = task(entry=text, text=f"## Verification\n{text}\n## Expected Output\n{text}" if in_section else text)
    checks = checks_of(unit, NONE, is_program=lambda _: True)
    assert all(check.asks for check in checks if check.kind == "command")
    assert sum(check.kind == "command" and not check.left_out for check in checks) <= DEFAULT_POLICY.verify_commands
    assert checks == checks_of(unit, NONE, is_program=lambda _: True)


@pytest.mark.skipif(not (DATA / "gsd").is_dir(), reason="the plans of real projects are not there (STEPDOWN_DATA)")
def test_most_real_tasks_with_a_plan_of_their_own_have_a_command() -> None:
    tasks = [
        unit
        for project in sorted((DATA / "gsd").iterdir())
        for unit in GsdPlan.open(project).units()
        if unit.type == "execute-task" and "## Verification" in unit.plan.task
    ]
    assert len(tasks) > 50
    assert sum(bool(run(unit)) for unit in tasks) > 0.8 * len(tasks)
