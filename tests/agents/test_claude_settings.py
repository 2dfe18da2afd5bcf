"""The model Claude Code is configured with, found where Claude Code looks for it."""

import json
from pathlib import Path

import pytest

from stepdown.agents.claude_settings import _ALIASES, configured_model, may_write
from stepdown.catalog import Catalog
from stepdown.preferences.schema import AgentSettings


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def test_the_most_local_word_wins(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    environ = {"HOME": str(home)}
    assert configured_model(project, environ=environ) == ""
    write(home / ".claude" / "settings.json", {"model": "claude-opus-4-6", "permissions": {"allow": ["Read"]}})
    assert configured_model(project, environ=environ) == "claude-opus-4-6"
    write(project / ".claude" / "settings.json", {"env": {"ANTHROPIC_MODEL": "claude-sonnet-4-6"}})
    assert configured_model(project, environ=environ) == "claude-sonnet-4-6"
    write(project / ".claude" / "settings.local.json", {"model": "claude-haiku-4-5"})
    assert configured_model(project, environ=environ) == "claude-haiku-4-5"
    assert configured_model(project, environ={**environ, "ANTHROPIC_MODEL": "claude-opus-4-7"}) == "claude-opus-4-7"


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"model": 5}', "\x00"])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, broken: str) -> None:
    write(tmp_path / ".claude" / "settings.json", broken)
    assert configured_model(tmp_path, environ={"HOME": str(tmp_path / "nowhere")}) == ""


def test_short_names_are_written_out_and_windows_kept(tmp_path: Path) -> None:
    catalog = Catalog.load()
    for alias, model in _ALIASES.items():
        assert configured_model(tmp_path, environ={"ANTHROPIC_MODEL": alias}) == model
        known = catalog.resolve(model)
        assert known is not None
        assert known.status == "current"
    assert configured_model(tmp_path, environ={"ANTHROPIC_MODEL": "opus[1m]"}) == "claude-opus-5-5[1m]"
    assert configured_model(tmp_path, environ={"ANTHROPIC_MODEL": "default", "HOME": str(tmp_path)}) == ""


@pytest.mark.parametrize(
    ("settings", "may"),
    [
        (None, False),
        (AgentSettings(), False),
        (AgentSettings(args=("--allowedTools", "Bash(make test)")), False),
        (AgentSettings(permission_mode="acceptEdits"), True),
        (AgentSettings(args=("--permission-mode=acceptEdits",)), True),
        (AgentSettings(args=("--dangerously-skip-permissions",)), True),
        (AgentSettings(args=("--allowedTools", "Read,Edit(src/**)")), True),
        (AgentSettings(args=("--settings", "ours.json")), True),
    ],
)
def test_whether_it_may_write_by_what_stepdown_says(tmp_path: Path, settings: AgentSettings | None, may: bool) -> None:
    assert may_write(tmp_path, settings, environ={"HOME": str(tmp_path / "nowhere")}) is may


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        ({"defaultMode": "acceptEdits"}, True),
        ({"defaultMode": "default", "allow": ["Bash(make:*)", "Read"]}, False),
        ({"allow": ["Read", "Write"]}, True),
        ({"defaultMode": "plan", "deny": ["Write"]}, False),
        ({"allow": 5}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize(
    "place", ["project/.claude/settings.local.json", "project/.claude/settings.json", "home/.claude/settings.json"]
)
def test_whether_it_may_write_by_its_own_settings(tmp_path: Path, place: str, permissions: object, may: bool) -> None:
    write(tmp_path / place, {"permissions": permissions, "model": "claude-opus-4-6"})
    environ = {"HOME": str(tmp_path / "home")}
    assert may_write(tmp_path / "project", None, environ=environ) is may
    assert configured_model(tmp_path / "project", environ=environ) == "claude-opus-4-6"
