import subprocess
import sys
from pathlib import Path

import pytest

from stepdown.agents import AGENTS, open_agent
from stepdown.agents.claude_code import ClaudeCodeAgent, find_program
from stepdown.errors import PreferencesError, UsageError
from stepdown.preferences.schema import AgentSettings, Preferences


@pytest.mark.parametrize("name", list(AGENTS))
def test_every_agent_opens_under_its_own_name(name: str) -> None:
    assert open_agent(name, Preferences()).name == name


def test_an_unknown_agent_lists_all_and_proposes_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"no agent 'cluade' \(did you mean 'claude'\?\); there are claude, codex, command, practice"
    ):
        open_agent("cluade", Preferences())


def test_a_command_cannot_be_given_a_base_url() -> None:
    with pytest.raises(PreferencesError, match="base URL"):
        open_agent("command", Preferences(), base_url="http://127.0.0.1:1")


def test_finding_agents_imports_no_client_and_no_server() -> None:
    code = "import stepdown.agents, sys; sys.exit(any(name in sys.modules for name in ('aiohttp', 'starlette', 'uvicorn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_claude_is_found_where_the_settings_say_on_the_path_or_in_node_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    local = tmp_path / "project/node_modules/.bin/claude"
    for path in (tmp_path / "bin/claude", local, tmp_path / "mine"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    assert find_program((str(tmp_path / "mine"), "--flag")) == (str(tmp_path / "mine"), "--flag")
    assert find_program(cwd=tmp_path / "project") == (str(tmp_path / "bin/claude"),)
    (tmp_path / "bin/claude").unlink()
    assert find_program(cwd=tmp_path / "project") == (str(local),)


def test_a_missing_claude_says_how_to_get_it(tmp_path: Path) -> None:
    agent = ClaudeCodeAgent(AgentSettings(command=(str(tmp_path / "nowhere"),)))
    assert "npm install -g @anthropic-ai/claude-code" in str(agent.check())
    assert "agents.claude.command" in str(agent.check())
