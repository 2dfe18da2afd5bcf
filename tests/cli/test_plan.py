"""``plan``: its JSON as documented, trees in any state, and nothing written anywhere."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Said = subprocess.CompletedProcess[str]
Write = Callable[[Mapping[str, str | bytes]], Path]

DATA = Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).parents[3] / "shared" / "data")
KEYS = [
    *("type", "id", "title", "phase", "done", "tier", "badge", "model", "provider", "ceiling", "ceiling_tier", "downgraded"),
    *("reason", "signals", "fallbacks", "expected_cost_usd", "expected_total_usd", "ceiling_cost_usd"),
]
ROADMAP = ".gsd/milestones/M001/M001-ROADMAP.md"
SLICE = ".gsd/milestones/M001/slices/S01/S01-PLAN.md"
MORE = """## Slices

- [ ] **S01: One** `depends:[S02]`
- [ ] **S02: Two** `depends:[S03]`
- [ ] **S03: Three** `depends:[S01]`
"""


def units(call: Callable[..., Said], project: Path, *options: str) -> list[dict[str, Any]]:
    said = call("plan", project, "--json", *options)
    assert (said.returncode, said.stderr) == (0, "")
    found = json.loads(said.stdout)
    assert isinstance(found, list)
    return found


def everything_below(*folders: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time of change and its content, every directory with its own."""
    found = {}
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            found[str(path)] = (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


def test_json_has_the_documented_keys(example: Path, call: Callable[..., Said]) -> None:
    listed = units(call, example)
    assert len(listed) >= 8
    for unit in listed:
        assert list(unit)[:5] == KEYS[:5]
        assert set(KEYS) <= set(unit)
        assert unit["badge"] == f"[{unit['tier'][0].upper()}]"
        assert unit["reason"]
        assert unit["reason"].isprintable()
        assert not unit["done"]
        assert 0 < unit["expected_cost_usd"] <= unit["ceiling_cost_usd"]
    assert {"claude-haiku-4-5"} < {unit["model"] for unit in listed}


def test_decide_answers_with_the_same_keys_and_more(example: Path, call: Callable[..., Said]) -> None:
    (first, *_) = units(call, example)
    said = call("decide", first["type"], "--id", first["id"], "--project", example, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    answer = json.loads(said.stdout)
    assert {key: answer[key] for key in KEYS} == {key: first[key] for key in KEYS}
    (taken,) = (candidate for candidate in answer["candidates"] if candidate["taken"])
    assert taken["model"] == f"{answer['provider']}/{answer['model']}"
    assert all(candidate["why"] for candidate in answer["candidates"])
    assert answer["flips"]
    pressed = json.loads(call("decide", "plan-milestone", "--project", example, "--budget-used", "0.95", "--json").stdout)
    assert pressed["tier"] != "heavy"
    assert any("--budget-used" in flip or "budget" in flip for flip in [pressed["reason"], *pressed["flips"]])


@pytest.mark.parametrize("options", [[], ["--json"], ["--all"], ["--ceiling", "claude-opus-4-6"]])
def test_it_writes_nothing(options: list[str], example: Path, home: Path, call: Callable[..., Said]) -> None:
    before = everything_below(example, home)
    assert call("plan", example, *options).returncode == 0
    assert everything_below(example, home) == before


def test_there_has_to_be_a_plan(tmp_path: Path, refused: Callable[..., str], write: Write, home: Path) -> None:
    assert "nowhere: there is no such directory" in refused(3, "plan", "nowhere")
    (tmp_path / "file").write_text("hello")
    assert "file is not a directory" in refused(3, "plan", "file")
    project = write({"README.md": "hello"})
    for command in (["plan"], ["run", "--agent", "practice"], ["report"]):
        assert "no .gsd directory" in refused(3, *command, project)
    write({".gsd/STATE.md": "# nothing planned"})
    assert "no milestones" in refused(3, "plan", project)
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("files", "tasks"),
    [
        ({SLICE: ""}, 0),
        ({SLICE: "# S01\n\n- [ ] **T01: Say hel"}, 1),
        ({SLICE: "# S01\n\n- [ ] **T"}, 0),
        ({SLICE: bytes(range(256)) * 100}, 0),
        ({ROADMAP: b"\0\1\2" * 1000}, 2),
        ({ROADMAP: ""}, 2),
        ({ROADMAP: MORE}, 2),
        ({SLICE: "- [ ] **T01: One** `depends:[T02]`\n- [ ] **T02: Two** `depends:[T01]`\n"}, 2),
        ({".gsd/milestones/M001/slices/S01/tasks/T01-PLAN.md": b"\x80\x81" * 5000}, 2),
        ({".gsd/milestones/M001/slices/S01/tasks/T01-PLAN.md": b"- [ ] a step\n" * 800_000}, 2),
        ({".gsd/QUEUE-ORDER.json": "{"}, 2),
        ({".gsd/QUEUE-ORDER.json": '{"order": ' + "[" * 100_000}, 2),
        ({".gsd/metrics.json": "{"}, 2),
    ],
)
def test_a_tree_in_any_state_is_listed(
    files: dict[str, str | bytes], tasks: int, small: Path, write: Write, call: Callable[..., Said]
) -> None:
    write(files)
    listed = units(call, small, "--all")
    assert sum(unit["type"] == "execute-task" for unit in listed) == tasks
    said = call("plan", small, "--all")
    assert (said.returncode, said.stderr) == (0, "")
    assert all(line.isprintable() for line in said.stdout.splitlines())


def test_slices_that_wait_for_each_other_run_all_the_same(small: Path, write: Write, call: Callable[..., Said]) -> None:
    write({ROADMAP: MORE})
    assert "goes round in a circle" in json.dumps(units(call, small))
    said = call("run", small, "--agent", "practice", "--dry-run")
    assert (said.returncode, said.stderr) == (0, "")
    assert "execute-task M001/S01/T01" in said.stdout


def test_links_out_of_the_tree_are_not_followed(small: Path, tmp_path: Path, call: Callable[..., Said]) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "S02-PLAN.md").write_text("- [ ] **T01: The secret task**\n")
    slices = small / ".gsd/milestones/M001/slices"
    (slices / "S02").symlink_to(secret)
    (slices / "S01" / "tasks").mkdir()
    (slices / "S01" / "tasks" / "T01-PLAN.md").symlink_to(secret / "S02-PLAN.md")
    (slices / "S01" / "tasks" / "T02-PLAN.md").symlink_to("nowhere")
    (slices / "S03").symlink_to("..")
    listed = units(call, small, "--all")
    assert "secret" not in json.dumps(listed)
    assert [unit["id"] for unit in listed if unit["type"] == "execute-task"] == ["M001/S01/T01", "M001/S01/T02"]


@pytest.mark.parametrize("content", [b'{"env": {"X": "\xff"}}', b"{", b'{"x": ' + b"[" * 100_000, b"[]"])
def test_settings_of_claude_code_that_cannot_be_read_say_nothing(
    content: bytes, small: Path, write: Write, call: Callable[..., Said]
) -> None:
    (small / ".gsd/PREFERENCES.md").unlink()
    write({".claude/settings.json": content})
    said = call("run", small, "--dry-run", "--agent", "claude")
    assert (said.returncode, said.stderr) == (0, "")
    assert "no model is set" in said.stdout
    write({".claude/settings.json": '{"model": "opus"}'})
    assert "claude-opus" in call("run", small, "--dry-run", "--agent", "claude").stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_what_may_not_be_read(small: Path, refused: Callable[..., str], call: Callable[..., Said]) -> None:
    (small / SLICE).chmod(0)
    assert call("plan", small).returncode == 0
    (small / ".gsd").chmod(0)
    try:
        assert "Permission denied" in refused(3, "plan", small)
    finally:
        (small / ".gsd").chmod(0o700)


def test_a_title_does_not_drive_the_terminal(small: Path, write: Write, program: Callable[..., Said]) -> None:
    evil = "Say \x1b]0;owned\x07\u202ehello\x9b31m"
    write({SLICE: f"- [ ] **T01: {evil}**\n"})
    for command in (["plan"], ["plan", "--json"], ["run", "--dry-run", "--agent", "practice"]):
        said = program(*command, small)
        assert said.returncode == 0
        assert "owned" in said.stdout
        assert all(line.isprintable() for line in said.stdout.splitlines())


@pytest.mark.parametrize("command", ["plan", "status", "report", "preferences", "doctor"])
def test_a_directorys_name_does_not_drive_the_terminal(command: str, small: Path, call: Callable[..., Said]) -> None:
    evil = small.rename(small.with_name("ev\x1b]0;owned\x07il"))
    for options in ([], ["--json"]):
        said = call(command, evil, *options)
        assert said.returncode == 0
        assert all(line.isprintable() for line in (said.stdout + said.stderr).splitlines())
    assert all(line.isprintable() for line in call(command, evil / "nowhere").stderr.splitlines())


@pytest.mark.skipif(not (DATA / "gsd").is_dir(), reason="no data folder; set STEPDOWN_DATA to the one with gsd/ in it")
@pytest.mark.parametrize("name", ["juniper", "rokket", "seomachine", "whalecode"])
def test_real_trees_list(name: str, call: Callable[..., Said]) -> None:
    said = call("plan", DATA / "gsd" / name, "--all", "--json")
    assert said.returncode == 0
    listed = json.loads(said.stdout)
    assert len(listed) > 10
    assert all(set(KEYS) <= set(unit) for unit in listed)
    assert all(unit["reason"].isprintable() for unit in listed)
