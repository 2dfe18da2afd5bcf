"""The real Claude Code program against the practice provider on loopback: no key, nothing spent, the user's home untouched."""

import os
import shutil
from pathlib import Path

import pytest

from stepdown.agents.claude_code import ClaudeCodeAgent, find_program
from stepdown.agents.port import Event, Finished, Job, Started, Step, Used
from stepdown.catalog.records import Model
from stepdown.dispatch.prompts import build_prompt
from stepdown.policy import DEFAULT_POLICY
from stepdown.practice.faults import Fault, Kind
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences.schema import AgentSettings
from stepdown.units import Tokens, Unit

ROOT = Path(__file__).parents[2]
HAIKU = Model(id="claude-haiku-4-5", provider="anthropic")
UNIT = Unit("execute-task", "M001/S01/T01", "Write a greeting")
PLAN = "# T01: Write a greeting\n\n## Expected Output\n\n- `src/greeting.py` — says hello\n- `src/known.py` — knows more\n"
SUMMARY = ".gsd/milestones/M001/slices/S01/tasks/T01-SUMMARY.md"


def program() -> str:
    """Claude Code, from where it may be; "" where it is not installed."""
    named = os.environ.get("STEPDOWN_CLAUDE")
    if named:
        return named
    for local in (ROOT / "node_modules/.bin/claude", ROOT / "tests/journeys/node_modules/.bin/claude"):
        if shutil.which(local):
            return str(local)
    return next(iter(find_program()), "")


pytestmark = [
    pytest.mark.skipif(
        not program(), reason="Claude Code is not installed: npm install -g @anthropic-ai/claude-code, or STEPDOWN_CLAUDE"
    ),
    pytest.mark.xdist_group("claude"),  # a large program: one at a time
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one file; the environment has nothing left that concerns Claude."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "CLAUDE_", "CLAUDECODE", "AWS_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "practice")
    (tmp_path / "home").mkdir()
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src/known.py").write_text("known = 1\n")
    return folder


def job(project: Path, *, timeout: float = 60.0, model: Model = HAIKU, cost_cap: float | None = None) -> Job:
    prompt = build_prompt(UNIT, {"task_plan": PLAN}, (SUMMARY,), DEFAULT_POLICY)
    return Job(
        unit=UNIT, prompt=prompt.text, model=model, workdir=project, writes=(SUMMARY,), timeout=timeout, cost_cap=cost_cap
    )


def claude(provider: PracticeProvider, permission_mode: str = "acceptEdits", *args: str) -> ClaudeCodeAgent:
    settings = AgentSettings(command=(program(),), permission_mode=permission_mode, args=args)
    return ClaudeCodeAgent(settings, base_url=provider.url)


async def collect(agent: ClaudeCodeAgent, work: Job) -> tuple[list[Event], Finished]:
    events = [event async for event in agent.run(work)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert not any(isinstance(event, Finished) for event in events[:-1])
    return events, finished


async def test_it_carries_out_a_task_on_the_decided_model_and_tells_its_usage_to_the_token(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        events, finished = await collect(claude(provider), job(project))
    assert (finished.failure, finished.message) == (None, "")
    assert "practice provider" in (project / "src/greeting.py").read_text()
    assert (project / "src/known.py").read_text().startswith("known = 1\n\n# Execute Task T01")
    assert (project / SUMMARY).read_text().startswith("---\nid: T01\n")
    served = [one for one in provider.log if one.path == "/v1/messages"]
    assert {one.model for one in served} == {"claude-haiku-4-5"}
    assert {one.unit for one in served} == {"Execute Task T01"}
    billed = sum((one.tokens for one in served), Tokens())
    assert finished.tokens == billed
    assert billed.cache_read > 0
    assert sum((event.tokens for event in events if isinstance(event, Used)), Tokens()) == billed
    assert finished.requests == len(served) == 3
    assert finished.model == "claude-haiku-4-5"
    assert finished.cost_usd is not None
    assert finished.cost_usd > 0
    first = events[0]
    assert isinstance(first, Started)
    assert first.model == "claude-haiku-4-5"
    assert {"Read", "Write"} <= {event.name for event in events if isinstance(event, Step) and event.kind == "tool"}


async def test_it_may_not_write_where_nobody_allowed_it(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        events, _ = await collect(claude(provider, "default"), job(project))
    assert not (project / "src/greeting.py").exists()
    assert any(event.error for event in events if isinstance(event, Step) and event.kind == "result")


@pytest.mark.parametrize(
    ("kind", "status", "failure"),
    [("status", 529, "provider"), ("status", 404, "rejected"), ("cut", 200, "provider"), ("refusal", 200, "quality")],
)
async def test_what_goes_wrong_at_the_provider_has_its_kind(project: Path, kind: Kind, status: int, failure: str) -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind=kind, status=status, times=0)]) as provider:
        _, finished = await collect(claude(provider), job(project))
    assert finished.failure == failure
    assert finished.message
    assert not (project / "src/greeting.py").exists()


async def test_it_is_stopped_when_its_time_is_up(project: Path) -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="hang", times=0)]) as provider:
        _, finished = await collect(claude(provider), job(project, timeout=4.0))
    assert (finished.failure, finished.tokens) == ("quality", None)
    assert finished.message == "stalled: Claude Code was still running after 4 s, stopped"


async def test_it_keeps_to_its_limit_of_turns_and_to_its_cost_cap(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        _, turns = await collect(claude(provider, "acceptEdits", "--max-turns", "1"), job(project))
        _, cost = await collect(claude(provider), job(project, cost_cap=0.001))
    assert turns.failure == "quality"
    assert cost.failure == "budget"


async def test_an_argument_it_does_not_know_is_said_in_its_own_words(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        _, finished = await collect(claude(provider, "acceptEdits", "--no-such-option"), job(project))
    assert finished.failure == "quality"
    assert "--no-such-option" in finished.message
    assert provider.log == []


async def test_a_model_with_a_long_window_is_asked_for_by_its_name(project: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        model = Model(id="claude-sonnet-4-6[1m]", provider="anthropic")
        events, finished = await collect(claude(provider), job(project, model=model))
    assert finished.failure is None
    first = events[0]
    assert isinstance(first, Started)
    assert first.model == "claude-sonnet-4-6[1m]"
    assert {one.model for one in provider.log if one.path == "/v1/messages"} == {"claude-sonnet-4-6"}
