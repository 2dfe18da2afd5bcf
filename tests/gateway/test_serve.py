"""The parts of a running gateway that a process is not needed for; `tests/cli/test_serve.py` has the process."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from gateway_house import PROVIDERS, ROUTED, UNIT, messages, until

from stepdown.alerts import Alerts
from stepdown.decision import Meter
from stepdown.errors import GatewayError
from stepdown.gateway.found import Found, ask, find, running
from stepdown.gateway.options import Options
from stepdown.gateway.serve import listen, serve, stamps
from stepdown.ledger.memory import MemoryLedger
from stepdown.policy import DEFAULT_POLICY
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import load_preferences
from stepdown.preferences.load import places


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STEPDOWN_HOME", str(tmp_path / "home/.stepdown"))
    for name in [name for name in os.environ if name.startswith("OTEL_") or name == "STEPDOWN_GATEWAY_TOKEN"]:
        monkeypatch.delenv(name)
    return tmp_path / "home"


Serving = Callable[..., contextlib.AbstractAsyncContextManager[Found]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """A gateway in a thread of its own, as signals are the test's; it ends when nobody is there any more."""

    @contextlib.asynccontextmanager
    async def serving(*, idle: float = 1.0, mode: str = "", token: str = "") -> AsyncIterator[Found]:
        started: asyncio.Queue[Found] = asyncio.Queue()
        loop, project = asyncio.get_running_loop(), tmp_path / "project"

        def ready(found: Found, _: object) -> None:
            loop.call_soon_threadsafe(started.put_nowait, found)

        options = Options(
            port=0, project=str(project), load=lambda: load_preferences(project), mode=mode, token=token, idle=idle
        )
        thread = threading.Thread(target=lambda: asyncio.run(serve(options, environ={}, ready=ready)), daemon=True)
        thread.start()
        yield await asyncio.wait_for(started.get(), 20)
        await asyncio.to_thread(thread.join, 20)
        assert not thread.is_alive()

    return serving


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/stepdown.yaml").write_text(ROUTED + PROVIDERS.replace("URL", provider.url))
    return tmp_path / "project"


async def served(found: Found) -> str:
    """Which model a declared unit gets."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{found.url}/v1/messages",
            json=messages(),
            headers={**UNIT, "x-stepdown-unit-id": os.urandom(4).hex(), "x-api-key": "k9"},
        ) as answer,
    ):
        await answer.read()
        return answer.headers["x-stepdown-model"]


async def test_preferences_are_read_again_and_bad_ones_are_not_taken(
    serving: Serving, project: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = project / "stepdown.yaml"
    good = file.read_text()
    async with serving(idle=1.0) as found:
        assert await served(found) == "anthropic/claude-haiku-4-5"
        for bad in ("dynamic_routing: {enabled: perhaps}\n", "{{{{", "\x00"):
            caplog.clear()
            file.write_text(bad)
            await until(lambda: "stay as they were" in caplog.text, 10)
            assert await served(found) == "anthropic/claude-haiku-4-5"
        caplog.clear()
        file.write_text(good.replace("light: claude-haiku-4-5", "light: claude-sonnet-4-6"))
        await until(lambda: "were read again" in caplog.text, 10)
        assert await served(found) == "anthropic/claude-sonnet-4-6"
        # The user's own file counts as well, also where it was not there before.
        caplog.clear()
        (home / ".gsd").mkdir(parents=True)
        (home / ".gsd/PREFERENCES.md").write_text("---\npin: heavy\n---\n")
        await until(lambda: "were read again" in caplog.text, 10)
        assert await served(found) == "anthropic/claude-opus-4-6"


async def test_a_budgets_marks_are_said_once(serving: Serving, project: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with (project / "stepdown.yaml").open("a") as file:
        file.write("budgets: [{unit: requests, limit: 4, window: day}]\n")
    async with serving(idle=1.0) as found:
        for _ in range(3):
            await served(found)
        await until(lambda: "day budget (requests) has passed 75%: 3 of 4 requests" in caplog.text, 10)
        await served(found)
        await until(lambda: "day budget (requests) has passed 100%: 4 of 4 requests" in caplog.text, 10)
    assert caplog.text.count("has passed") == 2
    caplog.clear()
    async with serving(idle=2.5):
        pass
    assert "has passed" not in caplog.text  # it was said to this user, whoever said it


def test_a_mark_is_said_once_in_each_window() -> None:
    alerts = Alerts("/p")

    def due(used: float, now: float = 1000.0, left: float | None = 500.0) -> list[str]:
        meter = Meter(name="m", used=used, detail="d", seconds_left=left)
        return [alert.message for alert in alerts.due([meter], now, DEFAULT_POLICY)]

    assert due(0.7) == []
    assert due(0.81) == ["m has passed 80%: d"]
    assert due(float("nan")) == []
    (alert,) = alerts.due([Meter(name="m", used=0.81, seconds_left=500.0)], 1000.0, DEFAULT_POLICY)
    with MemoryLedger() as ledger:
        assert [ledger.first_time(key, 1.0) for key in alert.keys] == [True, True]
    alerts.said(alert)
    assert due(0.85) == []
    assert due(0.76) == []
    assert due(1.2) == ["m has passed 100%: d"]
    assert due(0.8, now=90_000.0) == ["m has passed 80%: d"]


def test_a_teams_mark_is_said_once_whatever_project_it_was_read_for() -> None:
    alerts = Alerts("/p")
    meters = [Meter(name="the team's budget", used=0.8, detail="d", whose="team"), Meter(name="budget", used=0.8, detail="d")]
    said = []
    for project in ("/p", "/other"):
        due = alerts.due(meters, 1000.0, DEFAULT_POLICY, project)
        said += [alert.message for alert in due]
        for alert in due:
            alerts.said(alert)
    assert said == [
        "the team's budget has passed 80%: d",
        "budget has passed 80%: d",
        "budget of /other has passed 80%: d",
    ]


async def test_it_is_found_and_asked_while_it_runs(serving: Serving, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPDOWN_GATEWAY_TOKEN", "tökén")
    async with serving(idle=1.0, token="tökén", mode="full") as found:
        there = await asyncio.to_thread(running)
        assert [(one.port, one.project, one.pid) for one in there] == [(found.port, str(project), os.getpid())]
        said = await asyncio.to_thread(ask, there[0], "GET", "/v1/stepdown/status")
        assert said["mode"] == "full"
        monkeypatch.setenv("STEPDOWN_GATEWAY_TOKEN", "wrong")
        with pytest.raises(GatewayError, match="needs its token"):
            await asyncio.to_thread(ask, there[0], "GET", "/v1/stepdown/status")
    assert running() == []


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "::", "example.com"])
async def test_beyond_loopback_it_wants_a_token_first(project: Path, host: str) -> None:
    with pytest.raises(GatewayError, match="set a token"):
        await serve(Options(host=host, port=0, project=str(project), load=lambda: load_preferences(project)))


def test_a_port_of_a_strangers_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(GatewayError, match=f"port {port} is taken by another program; choose another with --port"):
            listen("127.0.0.1", port)


@pytest.mark.usefixtures("project")
async def test_a_port_of_ours_is_said_to_be_ours(serving: Serving) -> None:
    async with serving() as found:
        with pytest.raises(GatewayError, match=rf"is taken by a gateway of stepdown \(process {os.getpid()}\)"):
            await asyncio.to_thread(listen, "127.0.0.1", found.port)
        assert find("127.0.0.1", found.port) is not None


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("192.0.2.1", 0, "cannot listen on 192.0.2.1:0"),
        ("no.such.name.invalid", 0, "cannot listen"),
        ("127.0.0.1", 70_000, "65535"),
    ],
)
def test_an_address_that_is_not_here(host: str, port: int, words: str) -> None:
    with pytest.raises(GatewayError, match=words):
        listen(host, port)


def test_ipv6_is_spoken() -> None:
    try:
        taken = listen("::1", 0)
    except GatewayError as problem:
        pytest.skip(f"this machine has no IPv6: {problem}")
    with taken:
        assert Found(host="::1", port=taken.getsockname()[1], pid=1).url.startswith("http://[::1]:")


def test_every_file_that_may_come_is_looked_at(tmp_path: Path) -> None:
    files = places(tmp_path / "p", home=tmp_path / "h")
    before = stamps(files)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a: 1")
        now = stamps(files)
        assert now != before
        before = now
        file.write_text("a: 22")
        assert stamps(files) != before
        before = stamps(files)
