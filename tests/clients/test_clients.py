"""How single processes are sent to a gateway, and when they are left alone."""

import json
from pathlib import Path

import pytest

from stepdown.clients import CLIENTS, client_of
from stepdown.clients.records import There
from stepdown.clients.variables import common

BEHIND = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
THERE = There(url="http://127.0.0.1:8787", project="/home/me/app", behind=BEHIND)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("claude", "claude"),
        ("/usr/local/bin/codex", "codex"),
        ("./node_modules/.bin/opencode", "opencode"),
        ("Claude.exe", "claude"),
        ("qwen", "qwen"),
        ("python", ""),
        ("claude-code-router", ""),
    ],
)
def test_a_program_is_known_by_its_name(program: str, name: str) -> None:
    assert client_of(program).name == name


@pytest.mark.parametrize(
    ("address", "stands"),
    [
        ("https://api.anthropic.com", True),
        ("https://api.anthropic.com/", True),
        ("https://API.anthropic.com:443/v1", True),
        ("http://127.0.0.1:8787", True),
        ("http://localhost:8787/", True),
        ("http://127.0.0.1:8788", False),
        ("http://api.anthropic.com", False),
        ("https://api.anthropic.com.evil.example", False),
        ("https://api.openai.com/v1", False),
        ("https://[::1", False),
        ("nonsense", False),
        ("https://x:nonsense", False),
    ],
)
def test_only_an_address_that_the_gateway_passes_on_to_is_replaced(address: str, stands: bool) -> None:
    assert THERE.stands_for("anthropic", address) is stands
    found, notes = common(THERE, {"ANTHROPIC_BASE_URL": address})
    assert ("ANTHROPIC_BASE_URL" in found) is stands
    assert ("ANTHROPIC_API_BASE" in found) is stands
    assert bool(notes) is not stands


def test_another_gateway_of_ours_is_replaced() -> None:
    there = There(url=THERE.url, behind=BEHIND, gateways=frozenset({"http://127.0.0.1:9000"}))
    assert common(there, {"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1"})[0]["OPENAI_BASE_URL"] == f"{THERE.url}/v1"


def test_without_a_proxy_nothing_is_said_of_proxies() -> None:
    assert not {"NO_PROXY", "no_proxy"} & common(THERE, {"NO_PROXY": "x"})[0].keys()
    found = common(THERE, {"http_proxy": "http://p", "NO_PROXY": "127.0.0.1,x"})[0]
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,x,localhost"


@pytest.mark.parametrize("project", ["", "/home/mé", "/home/\n", "/" + "x" * 300])
def test_a_project_that_no_header_holds_is_left_to_the_gateway(project: str, tmp_path: Path) -> None:
    there = There(url=THERE.url, project=project, behind=BEHIND)
    start = CLIENTS["claude"].start(there, [], {"HOME": str(tmp_path)}, tmp_path)
    assert "ANTHROPIC_CUSTOM_HEADERS" not in start.environment


def test_claude_code_is_told_that_the_api_is_anthropics_only_where_it_is(tmp_path: Path) -> None:
    name, home = "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL", {"HOME": str(tmp_path)}
    claude = CLIENTS["claude"]
    assert claude.start(THERE, [], home, tmp_path).environment[name] == "1"
    assert name not in claude.start(THERE, [], {**home, name: "0"}, tmp_path).environment
    resold = There(url=THERE.url, behind={**BEHIND, "anthropic": "https://llm.corp.example"})
    assert name not in claude.start(resold, [], home, tmp_path).environment
    lasting = [claude.lasting(there, home) for there in (THERE, resold)]
    assert [name in str(one) for one in lasting] == [True, False]


def test_claude_code_at_another_cloud_is_said(tmp_path: Path) -> None:
    start = CLIENTS["claude"].start(THERE, [], {"HOME": str(tmp_path), "CLAUDE_CODE_USE_BEDROCK": "1"}, tmp_path)
    assert "goes to Bedrock" in start.notes[0]
    assert not CLIENTS["claude"].start(THERE, [], {"HOME": str(tmp_path), "CLAUDE_CODE_USE_BEDROCK": "0"}, tmp_path).notes


@pytest.mark.parametrize(
    ("text", "words"),
    [('model_provider = "azure"', "'azure'"), ('openai_base_url = "https://x.example"', "https://x.example")],
)
def test_codex_with_a_provider_of_the_users_is_left_alone(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text)
    start = CLIENTS["codex"].start(THERE, ["exec", "hi"], {"CODEX_HOME": str(tmp_path)}, tmp_path)
    assert start.arguments == ["exec", "hi"]
    assert words in start.notes[0]


@pytest.mark.parametrize("text", ['model_provider = "openai"', "", "broken = ", f'openai_base_url = "{THERE.url}/v1"'])
def test_codex_on_its_own_provider_is_sent_here(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text)
    start = CLIENTS["codex"].start(THERE, ["exec"], {"CODEX_HOME": str(tmp_path)}, tmp_path)
    assert start.arguments[:2] == ["-c", f'openai_base_url="{THERE.url}/v1"']
    assert start.arguments[-1] == "exec"


def test_opencodes_providers_of_the_users_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "opencode.json").write_text('{"provider": {"openai": {"options": {"baseURL": "https://x.example/v1"}}}}')
    start = CLIENTS["opencode"].start(THERE, [], {"HOME": str(tmp_path)}, tmp_path)
    providers = json.loads(start.environment["OPENCODE_CONFIG_CONTENT"])["provider"]
    assert list(providers) == ["anthropic"]
    assert "https://x.example/v1" in start.notes[0]
    broken = CLIENTS["opencode"].start(THERE, [], {"HOME": str(tmp_path), "OPENCODE_CONFIG_CONTENT": "{"}, tmp_path)
    assert "OPENCODE_CONFIG_CONTENT" not in broken.environment
    assert "cannot be read" in broken.notes[0]
