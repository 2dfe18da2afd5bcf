"""Preferences that are wrong: every command that needs them says file, line and key, and nothing runs or is written."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Said = subprocess.CompletedProcess[str]

COMMANDS = [("plan",), ("run", "--agent", "practice"), ("status",), ("report",), ("preferences",)]
FILE = ".gsd/PREFERENCES.md"


def fenced(text: str) -> bytes:
    return f"---\n{text}\n---\n".encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (fenced("dynamic_routing:\n  enabeld: true"), [f"{FILE}:3", "enabeld", "enabled"]),
        (fenced("dynamic_routing:\n  enabled: perhaps"), [f"{FILE}:3", "dynamic_routing.enabled", "perhaps"]),
        (fenced("models: 5"), [f"{FILE}:2", "models"]),
        (fenced("models:\n  execution: claude-sonnet-4-6\nbudget_ceiling: lots"), [f"{FILE}:4", "budget_ceiling", "lots"]),
        (fenced("budget_ceiling: -3"), [f"{FILE}:2", "budget_ceiling", "-3"]),
        (fenced("budget_ceiling: .nan"), [f"{FILE}:2", "budget_ceiling"]),
        (fenced("budget_ceiling: 1\nbudget_ceiling: 2"), [f"{FILE}:3", "twice"]),
        (fenced("models: {execution: [\n"), [f"{FILE}:", "YAML"]),
        (fenced("a: *nothing"), [f"{FILE}:2", "nothing"]),
        (fenced("models:\n\texecution: x"), [f"{FILE}:3", "tabs"]),
        (b"---\nmodels: {execution: x}\n", [f"{FILE}:1", "end"]),
        (b"---\nmodels: {execution: \xff\xfe}\n---\n", [f"{FILE}:2", "UTF-8"]),
        (b"---\n" + b"x" * 2_000_000 + b"\n---\n", [FILE, "larger"]),
        (fenced("&a [" + "[" * 200 + "]" * 200 + "]"), [f"{FILE}:2", "deep"]),
    ],
)
def test_what_is_wrong_stops_every_command(
    content: bytes, words: list[str], small: Path, refused: Callable[..., str], home: Path
) -> None:
    (small / FILE).write_bytes(content)
    for command in COMMANDS:
        said = refused(2, *command, small)
        assert len(said.splitlines()) == 1
        for word in words:
            assert word in said
    assert not list(home.iterdir())


def test_every_problem_is_one_line_of_its_own(small: Path, refused: Callable[..., str]) -> None:
    (small / FILE).write_bytes(fenced("budget_ceiling: lots\npin: [1]\ndynamic_routing:\n  learning: magic"))
    lines = refused(2, "plan", small).splitlines()
    assert [line.split(":")[2] for line in lines] == ["2", "3", "5"]


def test_a_directory_in_the_place_of_the_file(small: Path, refused: Callable[..., str]) -> None:
    (small / FILE).unlink()
    (small / FILE).mkdir()
    assert "is a directory" in refused(2, "plan", small)
    assert "is a directory" in refused(2, "plan", small, "--assume", small / FILE)
    assert "no such preferences file" in refused(2, "plan", small, "--assume", "nowhere.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_a_file_that_may_not_be_read(small: Path, refused: Callable[..., str]) -> None:
    (small / FILE).chmod(0)
    assert "cannot be read: Permission denied" in refused(2, "plan", small)


def test_line_ends_and_a_byte_order_mark_are_no_matter(small: Path, call: Callable[..., Said]) -> None:
    expected = call("plan", small).stdout
    assert "claude-sonnet-4-6" in expected
    text = (small / FILE).read_bytes()
    (small / FILE).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    said = call("plan", small)
    assert (said.returncode, said.stdout, said.stderr) == (0, expected, "")


def test_unknown_models_are_named_with_the_nearest_and_the_work_goes_on(small: Path, call: Callable[..., Said]) -> None:
    (small / FILE).write_bytes(
        fenced(
            "models:\n  execution: {model: claude-sonnet-4-6, fallbacks: [gtp-5-mini]}\n  planning: claude-opsu-4-6\n"
            "dynamic_routing:\n  enabled: true\n  tier_models: {light: claude-hiaku-4-5}"
        )
    )
    said = call("plan", small)
    assert said.returncode == 0
    assert "[S]  execute-task M001/S01/T01" in said.stdout
    lines = said.stderr.splitlines()
    assert len(lines) == 3
    for name, nearest, line in (
        ("gtp-5-mini", "gpt-5-mini", 3),
        ("claude-opsu-4-6", "claude-opus-4-6", 4),
        ("claude-hiaku-4-5", "claude-haiku-4-5", 7),
    ):
        (warning,) = (line for line in lines if f"'{name}'" in line)
        assert warning.startswith(f"stepdown: {FILE}:{line}: ")
        assert f"did you mean '{nearest}'" in warning


def test_a_near_miss_of_a_key_of_ours_is_a_warning(small: Path, call: Callable[..., Said]) -> None:
    (small / FILE).write_bytes(fenced("models: {default: claude-sonnet-4-6}\ndynamic_routng: {enabled: true}"))
    said = call("plan", small)
    assert said.returncode == 0
    assert f"stepdown: {FILE}:3: " in said.stderr
    assert "dynamic_routing" in said.stderr


def test_words_of_the_preferences_do_not_drive_the_terminal(small: Path, call: Callable[..., Said]) -> None:
    evil = r"\e]0;owned\a"
    (small / FILE).write_bytes(fenced(f'verification_commands: ["{evil}"]\n"dynamic_routing{evil}": 1\npin: light'))
    said = call("preferences", small)
    assert "owned" in said.stdout + said.stderr
    assert all(line.isprintable() for line in (said.stdout + said.stderr).splitlines())


def test_doctor_finds_them_and_says_where(small: Path, call: Callable[..., Said]) -> None:
    (small / FILE).write_bytes(fenced("budget_ceiling: lots"))
    said = call("doctor", small)
    assert said.returncode == 1
    assert f"WRONG preferences: {FILE}:2" in said.stdout
