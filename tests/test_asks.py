import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.asks import COMPACTION, MEMORY, TITLE, TURN, errand, named_unit, signals_of, written_by_a_person
from stepdown.dispatch.prompts import build_prompt, name_of
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import KNOWN_TYPES, Unit


@pytest.mark.parametrize("kind", [*KNOWN_TYPES, "hook/review", "hook/second-look", "subagent/explore", "discuss-slice"])
def test_every_prompt_of_ours_names_its_unit(kind: str) -> None:
    unit = Unit(kind, "M001/S02/T03", "Write it")
    prompt = build_prompt(unit, {"task_plan": "# T03\n\n## Steps\n\n1. one\n2. two\n"}, (), DEFAULT_POLICY)
    text = prompt.text if "## UNIT:" in prompt.text else f"## UNIT: {name_of(unit)}\n\nM001/S02/T03: Write it\n\n{prompt.text}"
    found = named_unit(text)
    assert found is not None
    assert (found.type, found.id) == (kind, "M001/S02/T03")


@pytest.mark.parametrize(
    ("heading", "kind", "unit_id", "title"),
    [
        ('Execute Task T01 ("Write it") — Slice S02 ("x"), Milestone M001', "execute-task", "M001/S02/T01", "Write it"),
        ('Plan Slice S02 ("The API") — Milestone M003', "plan-slice", "M003/S02", "The API"),
        ('Research Milestone M001 ("All")', "research-milestone", "M001", "All"),
        ("Complete Slice S01", "complete-slice", "S01", ""),
    ],
)
def test_headings_as_gsd_writes_them(heading: str, kind: str, unit_id: str, title: str) -> None:
    found = named_unit(f"Some rules.\n\n## UNIT: {heading}\n\nDo it.")
    assert found is not None
    assert (found.type, found.id, found.title) == (kind, unit_id, title)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "## UNIT:",
        "## UNIT: Bake A Cake T01",
        "The UNIT: Execute Task T01",
        "# UNITS: Execute Task",
        "## UNIT: Discuss the takeover of acme",
        "## UNIT: Hook Review my secret customer acme S01",
    ],
)
def test_what_names_no_unit(text: str) -> None:
    assert named_unit(text) is None


def test_the_plan_below_the_heading_gives_the_signals() -> None:
    text = "rules\n\n## UNIT: Execute Task T01\n\nM001/S01/T01: Rename it\n\n## Steps\n\n1. a\n2. b\n3. c\n"
    unit = named_unit(text)
    assert signals_of(text, DEFAULT_POLICY, unit).steps == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fix the typo", "fix the typo"),
        ("<system-reminder>\nx\n</system-reminder>\nfix the typo", "fix the typo"),
        ("fix <b>this</b>", "fix <b>this</b>"),
        ("<environment_context>\n<cwd>/x</cwd>\n</environment_context>", ""),
        ("<command-name>/review</command-name><command-args>the PR</command-args>", "the PR"),
        ("<command-name>/clear</command-name><command-args></command-args>", ""),
        ("<local-command-stdout>done</local-command-stdout>", ""),
        ("[SYSTEM NOTIFICATION - NOT USER INPUT] a task ended", ""),
        ("[Request interrupted by user for tool use]", ""),
        ("<task-notification>it is done</task-notification>", ""),
        ("<system-reminder>never closed fix the typo", ""),
        ("# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>be good</INSTRUCTIONS>", ""),
        ("This session is being continued from a previous conversation that ran out of context.", ""),
        ("", ""),
    ],
)
def test_what_a_person_wrote_is_told_from_what_the_agent_put_around_it(text: str, said: str) -> None:
    assert written_by_a_person(text) == said


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.", COMPACTION),
        ("You are a title generator. You output ONLY a thread title.", TITLE),
        ("You are now acting as the memory extraction subagent.", MEMORY),
        ("Please write a title page", ""),
        ("", ""),
    ],
)
def test_errands_are_known_by_how_they_begin(text: str, kind: str) -> None:
    assert errand(text) == kind


@given(st.text(max_size=400))
def test_nothing_that_anyone_writes_is_too_odd(text: str) -> None:
    said = written_by_a_person(text)
    assert said == said.strip()
    assert errand(text) in {"", COMPACTION, TITLE, MEMORY, "hook/commit-message"}
    unit = named_unit("## UNIT: Execute Task T01\n" + text)
    assert unit is not None
    assert unit.type == TURN
    signals_of(said, DEFAULT_POLICY)


@pytest.mark.parametrize("unit", ["<system-reminder>", "## UNIT: ", '## UNIT: Execute Task T01 ("', "<command-name>", "\n#"])
def test_a_megabyte_of_anything_is_looked_at_only_so_far(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert len(written_by_a_person(text)) <= 20_000
    assert errand(text) == ""
    named_unit(text)
