import sys
import tomllib
from pathlib import Path

import pytest

from stepdown.agents import open_agent
from stepdown.agents.codex import CodexAgent, configured_model
from stepdown.agents.port import Finished, Job
from stepdown.catalog.records import Model
from stepdown.errors import PreferencesError
from stepdown.preferences.schema import AgentSettings, Preferences, ProviderSettings
from stepdown.units import Unit

ECHO = """
import json, os, sys
said = {"arguments": sys.argv[1:], "stdin": sys.stdin.read(), "key": os.environ.get("CODEX_API_KEY")}
print(json.dumps({"type": "item.completed", "item": {"id": "1", "type": "agent_message", "text": json.dumps(said)}}))
print(json.dumps({"type": "turn.completed", "usage": {"input_tokens": 1, "output_tokens": 1}}))
"""


def job(workdir: Path, *, timeout: float = 20.0) -> Job:
    unit = Unit("execute-task", "M001/S01/T01")
    return Job(unit=unit, prompt="Do it.", model=Model(id="gpt-5.4", provider="openai"), workdir=workdir, timeout=timeout)


async def ended(agent: CodexAgent, work: Job) -> Finished:
    events = [event async for event in agent.run(work)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


def standing_in(code: str, permission_mode: str = "") -> AgentSettings:
    return AgentSettings(command=(sys.executable, "-c", code), args=("--color", "never"), permission_mode=permission_mode)


async def test_the_program_is_told_the_model_the_sandbox_and_the_prompt(tmp_path: Path) -> None:
    finished = await ended(CodexAgent(standing_in(ECHO)), job(tmp_path))
    for words in (
        '["exec", "--json", "--skip-git-repo-check", "--sandbox", "workspace-write", "--model", "gpt-5.4", ',
        '"--color", "never", "-"]',
        '"stdin": "Do it."',
    ):
        assert words in finished.text
    finished = await ended(CodexAgent(standing_in(ECHO, "read-only")), job(tmp_path))
    assert '"--sandbox", "read-only"' in finished.text


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787/v1"),
        ("http://127.0.0.1:8787/", "http://127.0.0.1:8787/v1"),
        ('https://example.org/"api"/v1', 'https://example.org/"api"/v1'),
    ],
)
def test_a_base_url_becomes_a_provider_of_its_own(
    base_url: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def table(agent: CodexAgent) -> dict[str, object]:
        arguments = agent._arguments(job(tmp_path))
        assert 'model_provider="stepdown"' in arguments
        (found,) = (one for one in arguments if one.startswith("model_providers.stepdown="))
        provider: dict[str, object] = tomllib.loads(found)["model_providers"]["stepdown"]
        return provider

    provider = table(CodexAgent(AgentSettings(), base_url=base_url))
    assert provider["base_url"] == shown
    assert provider["wire_api"] == "responses"
    assert "env_key" not in provider
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert table(CodexAgent(AgentSettings(), base_url=base_url))["env_key"] == "OPENAI_API_KEY"
    assert table(CodexAgent(AgentSettings(), base_url=base_url, api_key_env="MINE"))["env_key"] == "MINE"
    assert "sk-secret" not in str(table(CodexAgent(AgentSettings(), base_url=base_url)))


async def test_a_key_under_another_name_is_handed_on_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "sk-secret")
    finished = await ended(CodexAgent(standing_in(ECHO), api_key_env="MINE"), job(tmp_path))
    assert '"key": "sk-secret"' in finished.text
    assert "sk-secret" not in finished.text.partition('"key"')[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('error: unexpected argument --x\\n\\nFor more information, try --help')", "unexpected argument"),
        ("import sys; sys.exit('Something else\\nlast words')", "last words"),
        ("raise SystemExit(3)", "exit code 3"),
        ("print('not JSON'); print('[' * 100_000)", "it said nothing"),
    ],
)
async def test_a_program_that_ends_without_a_result(code: str, words: str, tmp_path: Path) -> None:
    finished = await ended(CodexAgent(standing_in(code)), job(tmp_path))
    assert (finished.failure, finished.tokens) == ("quality", None)
    assert words in finished.message


async def test_a_program_that_waits_for_ever_after_its_failure_is_not_waited_for(tmp_path: Path) -> None:
    failed = 'import time; print(\'{"type": "turn.failed", "error": {"message": "last status: 429"}}\', flush=True); '
    finished = await ended(CodexAgent(standing_in(f"{failed}time.sleep(600)")), job(tmp_path, timeout=60))
    assert finished.failure == "provider"
    finished = await ended(CodexAgent(standing_in("import time; time.sleep(600)")), job(tmp_path, timeout=0.3))
    assert finished.message == "stalled: Codex was still running after 0.3 s, stopped"


def test_it_is_found_or_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    agent = CodexAgent(AgentSettings(), cwd=tmp_path)
    assert agent.check() == "Codex is not installed: npm install -g @openai/codex, or name the program in agents.codex.command"
    named = CodexAgent(AgentSettings(command=("/not/here",))).check()
    assert named is not None
    assert named.startswith("'/not/here' is not installed or not executable: correct agents.codex.command")
    local = tmp_path / "node_modules/.bin/codex"
    local.parent.mkdir(parents=True)
    local.write_text("#!/bin/sh\n")
    local.chmod(0o755)
    assert agent.check() is None


def test_the_preferences_set_it_up() -> None:
    providers = {"openai": ProviderSettings(base_url="http://127.0.0.1:1/v1", api_key_env="MINE")}
    agent = open_agent("codex", Preferences(providers=providers))
    assert isinstance(agent, CodexAgent)
    assert agent.providers() == frozenset({"openai"})
    assert (agent._base_url, agent._api_key_env) == ("http://127.0.0.1:1/v1", "MINE")
    wrong = {"codex": AgentSettings(permission_mode="acceptEdits")}
    with pytest.raises(PreferencesError, match=r"permission_mode: there is no 'acceptEdits'; there are read-only, workspace"):
        open_agent("codex", Preferences(agents=wrong))


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ('model = "gpt-5.4"\n[projects."/x"]\ntrust_level = "trusted"\n', "gpt-5.4"),
        ("model_reasoning_effort = 'high'\n", ""),
        ("model = 4\n", ""),
        ("model = [\n", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_the_configured_model_is_read_from_its_own_configuration(text: str | bytes, model: str, tmp_path: Path) -> None:
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert configured_model(environ={"HOME": str(tmp_path)}) == model
    assert configured_model(environ={"CODEX_HOME": str(home), "HOME": "/not/here"}) == model
    assert not configured_model(environ={"HOME": str(tmp_path / "nobody")})
