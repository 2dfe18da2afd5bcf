"""`stepdown connect`: what it shows, what it writes, what it takes back."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from running_gateway import clean

from stepdown.clients import CLIENTS

Call = Callable[..., CompletedProcess[str]]


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    file = home / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text('{"model": "opus"}\n')
    return file


def test_it_shows_writes_and_takes_back(settings: Path, call: Call) -> None:
    said = call("connect", "claude")
    assert (said.returncode, said.stderr) == (0, "")
    assert '+    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787"' in said.stdout
    assert "stepdown serve" in said.stdout
    assert "--undo" in said.stdout
    assert json.loads(settings.read_text())["env"]["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8787"
    assert "already" in call("connect", "claude").stdout
    listed = call("connect").stdout
    assert f"claude     Claude Code: connected ({settings})" in listed
    assert "codex      Codex: not connected" in listed
    said = call("connect", "claude", "--undo")
    assert '-    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787"' in said.stdout
    assert settings.read_text() == '{"model": "opus"}\n'
    assert "was never connected" in call("connect", "claude", "--undo").stdout


def test_print_writes_nothing(settings: Path, call: Call, home: Path) -> None:
    assert "ANTHROPIC_BASE_URL" in call("connect", "claude", "--print", "--port", "9000").stdout
    assert settings.read_text() == '{"model": "opus"}\n'
    assert not (home / ".stepdown").exists()
    call("connect", "claude")
    written = settings.read_text()
    assert "-" in call("connect", "claude", "--undo", "--print").stdout
    assert settings.read_text() == written
    assert call("connect", "claude", "--undo").returncode == 0


def test_claude_code_gets_a_status_line_and_rate_unless_told_otherwise(settings: Path, call: Call) -> None:
    rate = settings.parent / "commands" / "rate.md"
    shown = call("connect", "claude", "--print").stdout
    assert '"statusLine"' in shown
    assert "UserPromptExpansion" in shown
    assert f"+++ {rate}" in shown
    assert not rate.exists()
    assert '"statusLine"' not in call("connect", "claude", "--print", "--no-statusline").stdout
    call("connect", "claude")
    assert json.loads(settings.read_text())["statusLine"]["command"].endswith("stepdown statusline")
    assert rate.exists()
    said = call("connect", "claude", "--no-statusline")
    assert f"--- {rate}" in said.stdout
    assert set(json.loads(settings.read_text())) == {"model", "env"}
    assert not rate.parent.exists()
    call("connect", "claude", "--undo")
    assert settings.read_text() == '{"model": "opus"}\n'


def test_what_is_the_users_own_is_left_and_said(settings: Path, call: Call) -> None:
    settings.write_text('{"statusLine": {"type": "command", "command": "mine"}}')
    said = call("connect", "claude")
    assert said.returncode == 0
    assert "is your own, and stays" in said.stderr
    assert json.loads(settings.read_text())["statusLine"]["command"] == "mine"


def test_what_it_cannot_do_is_one_line(settings: Path, refused: Callable[..., str]) -> None:
    assert ", ".join(CLIENTS) in refused(2, "connect", "emacs")
    for text in ("{", '{"env": {"ANTHROPIC_BASE_URL": "https://llm.corp.example"}}'):
        settings.write_text(text)
        said = refused(10, "connect", "claude")
        assert str(settings) in said
        assert len(said.splitlines()) == 1
        assert settings.read_text() == text


def test_an_address_that_the_preferences_name_is_the_gateways_to_replace(settings: Path, call: Call) -> None:
    settings.write_text('{"env": {"ANTHROPIC_BASE_URL": "https://llm.corp.example"}}')
    Path("stepdown.yaml").write_text('providers: {anthropic: {base_url: "https://llm.corp.example"}}\n')
    assert call("connect", "claude").returncode == 0
    assert json.loads(settings.read_text())["env"] == {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8787"}
    call("connect", "claude", "--undo")
    assert "corp" in settings.read_text()


def test_doctor_says_when_nobody_is_where_an_agent_is_connected_to(settings: Path, call: Call) -> None:
    assert settings.exists()
    assert "gateway for claude" not in call("doctor").stdout
    call("connect", "claude", "--port", "1")
    said = call("doctor").stdout
    assert "WRONG gateway for claude: it is connected to http://127.0.0.1:1, and no gateway answers there" in said
    assert "stepdown serve --port 1, or stepdown connect claude --undo" in said
