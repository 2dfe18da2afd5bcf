"""`stepdown serve` as a process: what it says, what passes, and how it ends."""

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from running_gateway import RunningGateway, ask, clean, message, project_behind, running

from stepdown.ledger import open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

Said = CompletedProcess[str]


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0).start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    return project_behind(tmp_path / "project", provider.url)


def until(what: Callable[[], object], limit: float = 10.0) -> None:
    end = time.monotonic() + limit
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def test_it_says_where_it_is_and_which_keys_it_found_but_no_key(project: Path, home: Path) -> None:
    with running(project, ANTHROPIC_API_KEY="sk-ant-secret") as gateway:
        said = "\n".join(gateway.said)
        assert f"listens on {gateway.url}, mode observe" in said
        assert str(project) in said
        assert "anthropic (ANTHROPIC_API_KEY)" in said
        assert "openai (the agent brings its own login)" in said
        assert f"ANTHROPIC_BASE_URL={gateway.url}" in said
        assert f"OPENAI_BASE_URL={gateway.url}/v1" in said
        assert "secret" not in said
        status, _, body = ask(gateway.port, "GET", "/healthz")
        assert (status, b"stepdown" in body) == (200, True)
        assert (home / f".stepdown/gateways/{gateway.port}.json").exists()
        gateway.tell(signal.SIGINT)
        assert gateway.ended() == 0
        assert gateway.complained == []
        assert not (home / f".stepdown/gateways/{gateway.port}.json").exists()


def test_what_passes_is_in_the_ledger_when_it_has_ended(project: Path) -> None:
    with running(project, "--verbose") as gateway:
        status, headers, _ = ask(gateway.port, "POST", "/v1/messages", message())
        assert (status, headers["x-stepdown-model"]) == (200, "anthropic/claude-opus-4-6")
        assert gateway.stop() == 0  # SIGTERM, as a service manager ends it
        assert len(gateway.complained) == 1
        assert "claude-opus-4-6" in gateway.complained[0]
        assert "tokens" in gateway.complained[0]
    with open_ledger() as ledger:
        [record] = ledger.records(str(project))
        assert (record.attempt.model, record.outcome is not None) == ("anthropic/claude-opus-4-6", True)


def in_background(port: int) -> tuple[threading.Thread, list[Any]]:
    """A request that takes its time, and what became of it."""
    results: list[Any] = []

    def go() -> None:
        try:
            results.append(ask(port, "POST", "/v1/messages", message(), timeout=40)[0])
        except (OSError, http.client.HTTPException) as problem:
            results.append(problem)

    thread = threading.Thread(target=go)
    thread.start()
    return thread, results


def test_ctrl_c_lets_answers_end(project: Path, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="late", pause=1.5)])
    with running(project) as gateway:
        thread, results = in_background(gateway.port)
        until(lambda: not len(provider.faults))
        gateway.tell(signal.SIGINT)
        thread.join(20)
        assert results == [200]
        assert gateway.ended() == 0
        assert gateway.complained == ["stepdown: stopping: it waits for 1 answer; ctrl-C again does not wait"]


def test_a_second_ctrl_c_does_not_wait(project: Path, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="late", pause=30)])
    with running(project) as gateway:
        thread, results = in_background(gateway.port)
        until(lambda: not len(provider.faults))
        began = time.monotonic()
        gateway.tell(signal.SIGINT)
        until(lambda: gateway.complained)
        gateway.tell(signal.SIGINT)
        assert gateway.ended() == 130
        assert time.monotonic() - began < 10
        assert gateway.complained[1:] == ["stepdown: 1 answer was cut off"]
        thread.join(20)
        assert results[0] == 500 or isinstance(results[0], Exception)


def test_a_stream_that_broke_off_is_passed_on_so_and_nothing_is_said(project: Path, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="cut_mid")])
    with running(project) as gateway:
        with pytest.raises(http.client.IncompleteRead):
            ask(gateway.port, "POST", "/v1/messages", message(stream=True))
        assert ask(gateway.port, "POST", "/v1/messages", message())[0] == 200
        assert gateway.stop() == 0
        assert gateway.complained == []


def test_a_websocket_is_refused_in_the_way_that_codex_takes_at_once(project: Path) -> None:
    with running(project) as gateway:
        headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAA"}
        assert ask(gateway.port, "GET", "/v1/responses", headers=headers)[0] == 426
        assert gateway.stop() == 0
        assert gateway.complained == []


def test_a_port_that_is_taken(project: Path, refused: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        said = refused(10, "serve", project, "--port", str(stranger.getsockname()[1]))
        assert "another program" in said
        assert "--port" in said
    with running(project) as gateway:
        assert f"a gateway of stepdown (process {gateway.process.pid})" in refused(
            10, "serve", project, "--port", str(gateway.port)
        )


def test_what_cannot_be_served_is_one_line(project: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    assert "STEPDOWN_GATEWAY_TOKEN" in refused(10, "serve", project, "--port", "0", "--host", "0.0.0.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPDOWN_GATEWAY_TOKEN", "opensesame")
        for nowhere in ("192.0.2.1", "nowhere.invalid"):
            assert f"cannot listen on {nowhere}" in refused(10, "serve", project, "--port", "0", "--host", nowhere)
    assert "'--mode'" in refused(2, "serve", project, "--mode", "everything")
    off = project_behind(tmp_path / "off", "http://127.0.0.1:9", enabled=False)
    assert "routing is off" in refused(10, "serve", off, "--port", "0", "--mode", "delegated")
    (off / "stepdown.yaml").write_text("gateway: {mode: maybe}\n")
    assert "stepdown.yaml:1" in refused(2, "serve", off, "--port", "0")


def test_warnings_of_the_preferences_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean(monkeypatch)
    with running(project_behind(tmp_path / "odd", "http://127.0.0.1:9", more="modls: {}\n")) as gateway:
        assert len(gateway.complained) == 1
        assert "modls" in gateway.complained[0]


def test_a_token_is_wanted_of_everybody(project: Path, program: Callable[..., Said]) -> None:
    with running(project, STEPDOWN_GATEWAY_TOKEN="opensesame") as gateway:
        assert "opensesame" not in "\n".join(gateway.said)
        assert ask(gateway.port, "POST", "/v1/messages", message())[0] == 401
        assert ask(gateway.port, "POST", "/v1/messages", message(), {"x-api-key": "opensesame"})[0] == 200
        without = program("mode", "--port", str(gateway.port))
        assert (without.returncode, "needs its token" in without.stderr) == (10, True)
        assert program("mode", "--port", str(gateway.port), STEPDOWN_GATEWAY_TOKEN="opensesame").returncode == 0


def test_it_ends_when_nobody_is_there_but_not_while_somebody_is(project: Path) -> None:
    gateway = RunningGateway(project, "--idle", "1")
    try:
        with socket.create_connection(("127.0.0.1", gateway.port)):
            time.sleep(3)
            assert gateway.process.poll() is None
        assert gateway.ended() == 0
    finally:
        gateway.stop()


def test_preferences_that_are_changed_count_and_broken_ones_do_not(project: Path, program: Callable[..., Said]) -> None:
    with running(project) as gateway:
        file = project / "stepdown.yaml"
        good = file.read_text()
        file.write_text("models: [\n")
        until(lambda: gateway.complained)
        assert "stay as they were" in gateway.complained[0]
        assert ask(gateway.port, "POST", "/v1/messages", message())[0] == 200
        file.write_text(good + "gateway: {mode: delegated}\n")
        until(lambda: len(gateway.complained) > 1)
        assert "mode delegated" in gateway.complained[1]
        assert "delegated" in program("mode", "--port", str(gateway.port)).stdout


@pytest.mark.skipif(os.name != "posix", reason="there is no nohup here")
def test_it_stays_when_its_terminal_is_closed_if_it_was_told_to(project: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        gateway = RunningGateway(project)
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        gateway.tell(signal.SIGHUP)
        time.sleep(0.5)
        assert gateway.process.poll() is None
    finally:
        assert gateway.stop() == 0
