"""The real Codex program against the practice provider on loopback: no key, nothing spent, the user's home untouched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stepdown.agents import program as programs
from stepdown.agents.codex import CodexAgent
from stepdown.agents.port import Event, Finished, Job, Started, Step, Used
from stepdown.catalog.records import Model
from stepdown.dispatch.prompts import build_prompt
from stepdown.policy import DEFAULT_POLICY
from stepdown.practice.faults import Fault, Kind
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences.schema import AgentSettings
from stepdown.units import Tokens, Unit

ROOT = Path(__file__).parents[2]
MINI = Model(id="gpt-5.4-mini", provider="openai")
UNIT = Unit("execute-task", "M001/S01/T01", "Write a greeting")
PLAN = "# T01: Write a greeting\n\n## Expected Output\n\n- `src/greeting.py` — says hello\n- `src/known.py` — knows more\n"
SUMMARY = ".gsd/milestones/M001/slices/S01/tasks/T01-SUMMARY.md"


def program() -> str:
    """Codex, from where it may be; "" where it is not installed."""
    named = os.environ.get("STEPDOWN_CODEX")
    if named:
        return named
    for local in (ROOT / "node_modules/.bin/codex", ROOT / "tests/journeys/node_modules/.bin/codex"):
        if shutil.which(local):
            return str(local)
    return next(iter(programs.find("codex")), "")


pytestmark = [
    pytest.mark.skipif(not program(), reason="Codex is not installed: npm install -g @openai/codex, or STEPDOWN_CODEX"),
    pytest.mark.xdist_group("codex"),  # a large program: one at a time
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one file; the environment has nothing left that concerns Codex."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "CODEX_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home/.codex"))
    monkeypatch.setenv("OPENAI_API_KEY", "practice")
    (tmp_path / "home/.codex").mkdir(parents=True)
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src/known.py").write_text("known = 1\n")
    return folder


@pytest.fixture
def sandboxed(project: Path) -> None:
    """Skips where Codex's sandbox does not work: it needs user namespaces, which some containers forbid."""
    command = [program(), "sandbox", "--config", 'sandbox_mode="workspace-write"', "--", "touch", "allowed"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=60)
    if not (project / "allowed").exists():
        pytest.skip(f"Codex's sandbox does not work here: {done.stderr.strip()[-200:]}")
    (project / "allowed").unlink()


def job(project: Path, *, timeout: float = 60.0, model: Model = MINI) -> Job:
    prompt = build_prompt(UNIT, {"task_plan": PLAN}, (SUMMARY,), DEFAULT_POLICY)
    return Job(unit=UNIT, prompt=prompt.text, model=model, workdir=project, writes=(SUMMARY,), timeout=timeout)


def codex(base_url: str, permission_mode: str = "", *args: str) -> CodexAgent:
    settings = AgentSettings(command=(program(),), permission_mode=permission_mode, args=args)
    return CodexAgent(settings, base_url=base_url)


async def collect(agent: CodexAgent, work: Job) -> tuple[list[Event], Finished]:
    events = [event async for event in agent.run(work)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert not any(isinstance(event, Finished) for event in events[:-1])
    return events, finished


# Codex offers its newer models another set of tools: JavaScript that calls the shell, instead of the shell itself.
@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", ["gpt-5.4-mini", "gpt-6-luna"])
async def test_it_carries_out_a_task_on_the_decided_model_and_tells_its_usage_to_the_token(name: str, project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        events, finished = await collect(codex(provider.url), job(project, model=Model(id=name, provider="openai")))
    assert (finished.failure, finished.message) == (None, "")
    assert "practice provider" in (project / "src/greeting.py").read_text()
    assert (project / "src/known.py").read_text().startswith("known = 1\n\n# Execute Task T01")
    assert (project / SUMMARY).read_text().startswith("---\nid: T01\n")
    assert {one.path for one in provider.log} == {"/v1/responses"}
    assert {one.model for one in provider.log} == {name}
    assert {one.unit for one in provider.log} == {"Execute Task T01"}
    assert len(provider.log) == 3
    billed = sum((one.tokens for one in provider.log), Tokens())
    assert finished.tokens == billed
    assert billed.cache_read > 0
    assert sum((event.tokens for event in events if isinstance(event, Used)), Tokens()) == billed
    assert finished.model == name
    first = events[0]
    assert isinstance(first, Started)
    assert (first.model, bool(first.session)) == (name, True)
    steps = [event for event in events if isinstance(event, Step)]
    assert {step.name for step in steps if step.kind == "tool"} == {"command"}
    assert not any(step.error for step in steps)


@pytest.mark.usefixtures("sandboxed")
async def test_it_may_not_write_where_nobody_allowed_it(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        _, finished = await collect(codex(provider.url, "read-only"), job(project))
    assert not (project / "src/greeting.py").exists()
    assert (project / "src/known.py").read_text() == "known = 1\n"
    assert "could not be written: " in finished.text  # Codex tells only its model what was refused


@pytest.mark.parametrize(
    ("kind", "status", "failure", "requests"),
    [
        ("status", 500, "provider", 3),
        ("status", 429, "provider", 1),
        ("status", 404, "rejected", 1),
        ("status", 400, "rejected", 1),
        ("status", 402, "budget", None),
        ("html", 502, "provider", None),
        ("sse_error", 500, "provider", None),
        ("cut", 200, "provider", None),
        ("refusal", 200, "quality", 1),
    ],
)
async def test_what_goes_wrong_at_the_provider_has_its_kind(
    project: Path, kind: Kind, status: int, failure: str, requests: int | None
) -> None:
    message = "The model `gpt-5.4-mini` does not exist or you do not have access to it." if status == 404 else ""
    async with PracticeProvider(latency=0, faults=[Fault(kind=kind, status=status, message=message, times=0)]) as provider:
        _, finished = await collect(codex(provider.url), job(project))
    assert finished.failure == failure
    assert finished.message
    assert requests in {None, len(provider.log)}
    assert not (project / "src/greeting.py").exists()


async def test_an_outage_that_passes_is_got_over(project: Path) -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="status", status=500, times=2)]) as provider:
        work = Job(unit=UNIT, prompt="Say hello.", model=MINI, workdir=project)
        events, finished = await collect(codex(provider.url), work)
    assert finished.failure is None
    assert finished.tokens == provider.log[-1].tokens
    assert sum(event.error for event in events if isinstance(event, Step)) == 2


async def test_a_provider_that_is_not_there_is_given_up_on(project: Path) -> None:
    async with PracticeProvider() as provider:
        gone = provider.url
    _, finished = await collect(codex(gone), job(project))
    assert finished.failure == "provider"
    assert "cannot be reached" in finished.message


async def test_it_is_stopped_when_its_time_is_up(project: Path) -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="hang", times=0)]) as provider:
        _, finished = await collect(codex(provider.url), job(project, timeout=3.0))
    assert (finished.failure, finished.tokens) == ("quality", None)
    assert finished.message == "stalled: Codex was still running after 3 s, stopped"


async def test_an_argument_it_does_not_know_is_said_in_its_own_words(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        _, finished = await collect(codex(provider.url, "", "--no-such-option"), job(project))
    assert finished.failure == "quality"
    assert "--no-such-option" in finished.message
    assert provider.log == []


async def test_no_file_of_the_users_is_needed_or_changed(project: Path, tmp_path: Path) -> None:
    settings = tmp_path / "home/.codex/config.toml"
    settings.write_text('model = "gpt-5.4"\nmodel_provider = "openai"\nsandbox_mode = "read-only"\n')
    before = settings.read_bytes()
    async with PracticeProvider(latency=0) as provider:
        _, finished = await collect(codex(provider.url), Job(unit=UNIT, prompt="Say hello.", workdir=project))
    assert finished.failure is None
    assert [one.model for one in provider.log] == ["gpt-5.4"]
    assert settings.read_bytes() == before
