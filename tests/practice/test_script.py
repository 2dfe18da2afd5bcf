from typing import Any

import pytest

from stepdown.practice import content, script
from stepdown.practice.messages import Reply

PROMPT = """<document name="slice plan">
## Expected Output

- `not/asked.py`
</document>

## UNIT: Execute Task T02

## Inputs

- `read/only.py` — is there

## Expected Output

- `src/a.py` — changed
- docs/b.md: new
- Nothing else worth naming
- `../out.py`
- `/etc/passwd`
- `src/`
- `**/*.ts`

## Files to write

- `.gsd/T02-SUMMARY.md`
"""

WRITE = {"name": "write_file", "input_schema": {"properties": {"path": {}, "content": {}}}}
READ = {"name": "read_file", "input_schema": {"properties": {"path": {}}}}
APPEND = {"name": "append_file", "input_schema": {"properties": {"path": {}, "content": {}}}}
CLAUDE = [
    {"name": "Write", "input_schema": {"properties": {"file_path": {}, "content": {}}}},
    {"name": "Read", "input_schema": {"properties": {"file_path": {}}}},
]


def request(tools: list[dict[str, Any]], *more: dict[str, Any], prompt: str = PROMPT, **extra: Any) -> dict[str, Any]:
    return {"model": "claude-haiku-4-5", "tools": tools, "messages": [{"role": "user", "content": prompt}, *more], **extra}


def turn(reply: Reply, answers: dict[str, tuple[str, bool]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The conversation's next two messages: the reply, and what the tools said by path."""
    results = []
    for block in reply.content:
        if block["type"] == "tool_use":
            path = block["input"].get("path") or block["input"]["file_path"]
            said, failed = answers.get(path, ("ok", False))
            results.append({"type": "tool_result", "tool_use_id": block["id"], "content": said, "is_error": failed})
    return {"role": "assistant", "content": list(reply.content)}, {"role": "user", "content": results}


def test_the_files_asked_for_are_those_below_the_two_headings() -> None:
    assert script.targets(PROMPT) == ["src/a.py", "docs/b.md", ".gsd/T02-SUMMARY.md"]


def test_the_unit_is_the_one_that_the_prompt_names() -> None:
    assert script.unit_name(PROMPT) == "Execute Task T02"
    assert script.unit_name('<document name="x">\n## UNIT: Other\n</document>') == ""


def test_it_reads_then_writes_then_says_so() -> None:
    body = request([WRITE, READ, APPEND])
    look = script.answer(body)
    missing = ("no such file", True)
    first = turn(look, {"src/a.py": ("x = 1\n", False), "docs/b.md": missing, ".gsd/T02-SUMMARY.md": missing})
    write = script.answer(request([WRITE, READ, APPEND], *first))
    assert [(block["name"], block["input"]["path"]) for block in write.content if block["type"] == "tool_use"] == [
        ("append_file", "src/a.py"),
        ("write_file", "docs/b.md"),
        ("write_file", ".gsd/T02-SUMMARY.md"),
    ]
    said = script.answer(request([WRITE, READ, APPEND], *first, *turn(write, {})))
    assert said.stop == "end_turn"
    assert "All of it is there" in said.content[0]["text"]


def test_a_file_that_could_not_be_written_is_admitted() -> None:
    write = script.answer(request([WRITE]))
    said = script.answer(request([WRITE], *turn(write, {"src/a.py": ("read-only", True)})))
    assert "src/a.py" in said.content[0]["text"]


def test_claude_codes_tools_get_absolute_paths_and_whole_files_without_line_numbers() -> None:
    system = [{"type": "text", "text": "Environment\n - Primary working directory: /tmp/project\n"}]
    look = script.answer(request(CLAUDE, system=system))
    first = turn(look, {"/tmp/project/src/a.py": ("1\tx = 1\n2\ty = 2\n3", False)})
    write = script.answer(request(CLAUDE, *first, system=system))
    written = {block["input"]["file_path"]: block["input"] for block in write.content if block["type"] == "tool_use"}
    assert written["/tmp/project/src/a.py"]["content"].startswith("x = 1\ny = 2\n\n# Execute Task T02")


@pytest.mark.parametrize(
    "shown", ["\n".join(f"{n}\tx" for n in range(1, 2_001)), "7\tx", "1\tx\n[truncated]", "1\t" + "x" * 2_000]
)
def test_a_file_shown_shortened_is_never_written_back(shown: str) -> None:
    look = script.answer(request(CLAUDE))
    write = script.answer(request(CLAUDE, *turn(look, {"src/a.py": (shown, False)})))
    assert "src/a.py" not in [block["input"].get("file_path") for block in write.content if block["type"] == "tool_use"]


def test_without_tools_or_with_tool_choice_none_it_talks() -> None:
    for body in (request([]), request([WRITE], tool_choice={"type": "none"})):
        assert [block["type"] for block in script.answer(body).content] == ["text"]


def test_a_schema_is_filled() -> None:
    form = {"format": {"type": "json_schema", "schema": {"properties": {"title": {"type": "string"}}}}}
    assert script.answer(request([], output_config=form)).content[0]["text"] == '{"title":"practice"}'


def test_stronger_models_say_more() -> None:
    lengths = [script.answer(request([]) | {"model": f"claude-{name}-4-6"}).tokens for name in ("haiku", "sonnet", "opus")]
    assert lengths == sorted(set(lengths))


def test_a_limit_cuts_the_answer() -> None:
    cut = script.bounded(script.answer(request([WRITE])), 3)
    assert cut.stop == "max_tokens"
    assert cut.tokens <= 3


def test_a_slice_plan_has_two_tasks_that_the_plan_can_tick() -> None:
    plan = content.fresh(".gsd/milestones/M001/slices/S03/S03-PLAN.md", "Plan Slice S03")
    assert "- [ ] **T01: " in plan
    assert "- [ ] **T02: " in plan
    assert plan.count("`est:20m`") == 2


def test_a_slice_plan_brings_its_tasks_plans_and_those_name_what_is_written() -> None:
    beside = content.companions(".gsd/milestones/M001/slices/S03/S03-PLAN.md")
    assert list(beside) == [f".gsd/milestones/M001/slices/S03/tasks/T0{n}-PLAN.md" for n in (1, 2)]
    assert script.targets(beside[".gsd/milestones/M001/slices/S03/tasks/T02-PLAN.md"]) == ["practice/m001-s03-t02.md"]


@pytest.mark.parametrize(
    "name", ["T01-SUMMARY.md", "S01-RESEARCH.md", "M001-ROADMAP.md", "S01-UAT-RESULT.md", "a.py", "b.html"]
)
def test_everything_written_says_where_it_comes_from(name: str) -> None:
    assert content.BY in content.fresh(f".gsd/{name}", "Unit")


@pytest.mark.parametrize(
    ("path", "start"), [("a.py", "# "), ("a.ts", "// "), ("q.sql", "-- "), ("x.css", "/* "), ("Makefile", "# ")]
)
def test_an_addition_is_a_comment_of_the_files_language(path: str, start: str) -> None:
    assert str(content.addition(path, "U")).startswith(start)


@pytest.mark.parametrize("path", ["a.json", "logo.png", "data.bin"])
def test_nothing_is_added_where_there_are_no_comments(path: str) -> None:
    assert content.addition(path, "U") is None
