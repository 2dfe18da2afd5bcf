"""What a gateway leaves for the status line: written by real gateways, read as the line reads it."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from gateway_house import HAIKU, OPUS, SONNET
from running_gateway import RunningGateway, ask, clean, message, project_behind

from stepdown import statusfile
from stepdown.gateway.statusfile import SESSIONS
from stepdown.ledger import PlanMeter, open_ledger
from stepdown.practice.provider import PracticeProvider
from stepdown.statusfile import Session, Status

TOOLS = [{"name": "Bash", "description": "Runs a command.", "input_schema": {"type": "object"}}]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    monkeypatch.delenv("STEPDOWN_LEDGER", raising=False)
    folder = tmp_path / "kept"
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("STEPDOWN_HOME", str(folder))
    return folder


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0).start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider) -> Path:
    return project_behind(tmp_path / "project", provider.url, more="budget_ceiling: 25\n").resolve()


Start = Callable[..., RunningGateway]


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    begun = []

    def start(*arguments: str) -> RunningGateway:
        begun.append(RunningGateway(project, *arguments))
        return begun[-1]

    yield start
    for gateway in begun:
        gateway.stop()


def says(gateway: RunningGateway, text: str, session: str = "s", *, turns: int = 0, headers: Mapping[str, str] = {}) -> None:
    """A person's turn in a session of Claude Code's."""
    past = [{"role": role, "content": "So far."} for role in ("user", "assistant")] * turns
    body = {**message(), "tools": TOOLS, "messages": [*past, {"role": "user", "content": text}]}
    sent = {"x-api-key": "k", "x-claude-code-session-id": session, **headers}
    status, _, answer = ask(gateway.port, "POST", "/v1/messages", body, sent)
    assert status == 200, answer


def left(home: Path, project: Path, is_right: Callable[[Status], object] = lambda _: True) -> Status:
    """The file, once it is there and says so."""
    until = time.monotonic() + 15
    while True:
        found = statusfile.read(statusfile.file_of(str(home), str(project)))
        if found is not None and is_right(found):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.05)


def test_it_says_who_answered_each_session(start: Start, home: Path, project: Path) -> None:
    gateway = start("--mode", "full")
    says(gateway, "Write the parser.", "first")
    says(gateway, "Look around.", "first", headers={"x-claude-code-agent-id": "a1"})
    says(gateway, "Write the parser.", "second")
    found = left(home, project, lambda status: len(status.sessions) == 2)
    assert found.sessions == dict.fromkeys(("first", "second"), Session("anthropic", SONNET, "standard", applied=True))
    assert (found.mode, found.url, found.pid, found.is_running) == ("full", gateway.url, gateway.process.pid, True)
    assert found.budget is not None
    assert found.budget[0] == "budget_ceiling"
    assert found.budget[1] > 0
    assert found.saved is None  # no unit has ended


def test_in_observe_it_is_the_model_that_was_named(start: Start, home: Path, project: Path) -> None:
    gateway = start()
    says(gateway, "Write the parser.")
    found = left(home, project, lambda status: status.sessions)
    assert found.mode == "observe"
    assert found.sessions == {"s": Session("anthropic", OPUS, "heavy", applied=False)}


def test_what_was_saved_is_told_when_a_unit_has_ended(start: Start, home: Path, project: Path) -> None:
    gateway = start("--mode", "full")
    says(gateway, "Write the parser.")
    says(gateway, "Now write the printer.", turns=1)
    assert (left(home, project, lambda status: status.saved is not None).saved or 0.0) > 0


def test_mode_and_pin_are_told_as_they_change(start: Start, home: Path, project: Path) -> None:
    gateway = start("--mode", "full")
    left(home, project, lambda status: status.mode == "full")
    assert ask(gateway.port, "POST", "/v1/stepdown/mode", {"mode": "delegated"})[0] == 200
    assert ask(gateway.port, "POST", "/v1/stepdown/pin", {"pin": HAIKU})[0] == 200
    found = left(home, project, lambda status: status.pin)
    assert (found.mode, found.pin) == ("delegated", HAIKU)
    assert found.until > time.time()


def test_the_subscriptions_windows_are_told(start: Start, home: Path, project: Path) -> None:
    with open_ledger() as ledger:
        ledger.set_plan_meter(PlanMeter(provider="anthropic", window="5h", used=0.62, resets=time.time() + 600, at=time.time()))
    start()
    (window,) = left(home, project, lambda status: status.windows).windows
    assert (window.provider, window.window, window.used) == ("anthropic", "5h", 0.62)


def test_another_project_has_a_file_of_its_own(start: Start, home: Path, project: Path, tmp_path: Path) -> None:
    gateway = start("--mode", "full")
    says(gateway, "Write the parser.", headers={"x-stepdown-project": str(tmp_path / "other")})
    assert "s" in left(home, tmp_path / "other").sessions
    assert left(home, project).sessions == {}


def test_it_is_not_written_again_while_nothing_changes(start: Start, home: Path, project: Path) -> None:
    says(start(), "Write the parser.")
    left(home, project, lambda status: status.sessions)
    file = Path(statusfile.file_of(str(home), str(project)))
    before = file.stat().st_mtime_ns
    time.sleep(5)
    assert file.stat().st_mtime_ns == before
    assert file.stat().st_mode & 0o077 == 0


def test_after_its_end_it_is_not_running_and_the_next_one_knows_its_sessions(start: Start, home: Path, project: Path) -> None:
    gateway = start("--mode", "full")
    says(gateway, "Write the parser.")
    assert gateway.stop() == 0
    found = left(home, project)
    assert (found.pid, found.is_running) == (0, False)
    assert "s" in found.sessions
    start()
    assert "s" in left(home, project, lambda status: status.is_running).sessions


def test_one_that_was_killed_is_not_running(start: Start, home: Path, project: Path) -> None:
    gateway = start()
    assert left(home, project, lambda status: status.is_running)
    gateway.tell(signal.SIGKILL)
    gateway.ended()
    assert not left(home, project).is_running


def test_a_full_file_is_small(tmp_path: Path) -> None:
    many = {f"{number:036}": Session("anthropic", SONNET, "standard", applied=True) for number in range(SESSIONS)}
    status = Status(time.time(), str(tmp_path), "http://127.0.0.1:1", os.getpid(), "", "full", sessions=many)
    assert len(statusfile.encoded(status)) < 64 * 1024


def test_a_home_that_cannot_be_written_is_said_once(start: Start, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "status").write_text("in the way")
    gateway = start("--mode", "full")
    says(gateway, "Write the parser.")
    until = time.monotonic() + 15
    while not (said := [line for line in gateway.complained if "status file" in line]) and time.monotonic() < until:
        time.sleep(0.05)
    says(gateway, "Write the printer.", "second")
    time.sleep(3)
    assert gateway.stop() == 0
    assert len([line for line in gateway.complained if "status file" in line]) == len(said) == 1
