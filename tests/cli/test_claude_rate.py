"""What Claude Code's ``/rate`` answers, and `stepdown rate` of a unit that a gateway has open: with a real gateway."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateway import RunningGateway, ask, clean, message, project_behind, running

from stepdown.ledger import open_ledger
from stepdown.practice.provider import PracticeProvider

Call = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAM = Path(sys.executable).with_name("stepdown")
TOOLS = [{"name": "Bash", "description": "Runs a command.", "input_schema": {"type": "object"}}]


@pytest.fixture(scope="module")
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0).start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    project = project_behind(tmp_path / "project", provider.url).resolve()
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def gateway(project: Path) -> Iterator[RunningGateway]:
    with running(project, "--mode", "full") as gateway:
        yield gateway


def says(gateway: RunningGateway, text: str, session: str = "s", *, turns: int = 0, **headers: str) -> None:
    past = [{"role": role, "content": "So far."} for role in ("user", "assistant")] * turns
    body = {**message(), "tools": TOOLS, "messages": [*past, {"role": "user", "content": text}]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"x-api-key": "k", "x-claude-code-session-id": session, **named}
    assert ask(gateway.port, "POST", "/v1/messages", body, sent)[0] == 200


def written(gateway: RunningGateway) -> None:
    """Wait until the ledger has all of it: whatever is asked of it comes after."""
    assert ask(gateway.port, "POST", "/v1/stepdown/rate", {"word": "ok", "unit": "nobody"})[0] == 400


def hook(args: str, session: str = "s", **more: str) -> "subprocess.CompletedProcess[str]":
    said = {
        "session_id": session,
        "cwd": str(Path.cwd()),
        "hook_event_name": "UserPromptExpansion",
        "command_name": "rate",
        "command_args": args,
        "command_source": "userSettings",
        **more,
    }
    return subprocess.run([PROGRAM, "claude-rate"], input=json.dumps(said), capture_output=True, text=True, check=False)


def answer(args: str, session: str = "s") -> str:
    """What is shown in the place of an answer."""
    done = hook(args, session)
    assert (done.returncode, done.stderr) == (0, "")
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["decision"] == "block"
    assert said["hookSpecificOutput"] == {"hookEventName": "UserPromptExpansion", "suppressOriginalPrompt": True}
    return str(said["reason"])


def rated(project: Path) -> list[tuple[str, str]]:
    with open_ledger(create=False) as ledger:
        return [(one.word, one.unit_id) for one in ledger.ratings(str(project))]


def test_the_newest_unit_of_this_session_is_rated(gateway: RunningGateway, project: Path) -> None:
    says(gateway, "Write the parser.")
    says(gateway, "Write the printer.", turns=1)
    says(gateway, "Something else.", "another")
    says(gateway, "Look around.", x_claude_code_agent_id="a1")
    counted, follows = answer(" Under ").splitlines()
    assert counted.startswith("execute-task s#2 rated under: counts as 2 failures at standard")
    assert follows.startswith("The next similar unit starts at ")
    assert rated(project) == [("under", "s#2")]
    answer("ok")
    assert rated(project) == [("ok", "s#2")]


def test_a_session_of_another_project_of_the_same_gateway_is_rated_there(gateway: RunningGateway, tmp_path: Path) -> None:
    other = tmp_path / "other"
    says(gateway, "Write the parser.", x_stepdown_project=str(other))
    assert "rated ok" in answer("ok")
    assert rated(other) == [("ok", "s#1")]


def test_of_two_gateways_the_one_that_has_seen_it_answers(
    gateway: RunningGateway, tmp_path: Path, provider: PracticeProvider
) -> None:
    with running(project_behind(tmp_path / "second", provider.url), "--mode", "full") as second:
        says(second, "Write the parser.", "t")
        says(gateway, "Write the parser.", "s")
        assert "t#1 rated over" in answer("over", "t")
        assert "s#1 rated over" in answer("over", "s")


@pytest.mark.parametrize("args", ["", "good", "under over", "\n"])
def test_what_is_no_rating_is_one_line(args: str, project: Path) -> None:
    shown = answer(args)
    assert "/rate over (more than the work needed), /rate under (too weak) or /rate ok" in shown
    assert len(shown.splitlines()) == 1
    assert rated(project) == []


def test_without_a_gateway_or_a_unit_it_is_one_line(project: Path) -> None:
    assert answer("ok").startswith("stepdown: no gateway is running: start one with `stepdown serve`")
    with running(project, "--mode", "full"):
        assert answer("ok") == "stepdown: nothing of this session has passed the gateway yet: there is no unit to rate"


@pytest.mark.parametrize("more", [{"command_name": "other"}, {"command_source": "projectSettings"}])
@pytest.mark.usefixtures("project")
def test_a_command_that_is_not_ours_is_left_alone(more: dict[str, str]) -> None:
    done = hook("ok", **more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_anything_else_on_standard_input_is_a_wrong_call(content: bytes) -> None:
    done = subprocess.run([PROGRAM, "claude-rate"], input=content, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"`stepdown rate` rates a unit by hand" in done.stderr


def test_it_is_not_listed(call: Call) -> None:
    assert "claude-rate" not in call("--help").stdout


def test_rate_without_a_unit_means_the_one_that_a_gateway_has_open(gateway: RunningGateway, project: Path, call: Call) -> None:
    says(gateway, "Write the parser.")
    says(gateway, "Look around.", x_claude_code_agent_id="a1")
    written(gateway)
    said = call("rate", "under")
    assert (said.returncode, said.stderr) == (0, "")
    assert "execute-task s#1 rated under" in said.stdout
    assert rated(project) == [("under", "s#1")]


def test_one_that_a_killed_gateway_left_open_is_said_to_be(gateway: RunningGateway, refused: Callable[..., str]) -> None:
    says(gateway, "Write the parser.")
    written(gateway)
    gateway.process.kill()
    gateway.ended()
    assert "is still open, and the gateway that served it does not run" in refused(2, "rate", "ok")
