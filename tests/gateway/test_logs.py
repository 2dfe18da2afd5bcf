"""`serve --log json` as a process: every line is one object, whatever names somebody makes up, and nothing secret is in it."""

import io
import json
import logging
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from running_gateway import PROGRAM, RunningGateway, ask, clean, message, project_behind, running

from stepdown.errors import GatewayError
from stepdown.gateway.logs import Log, line_of
from stepdown.gateway.passed import PROVIDERS, said_id
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

KEY, PROMPT = "sk-ant-0123456789-secret", "abracadabra"


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0).start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    return project_behind(tmp_path / "project", provider.url, more="gateway: {mode: delegated}\n")


def lines(gateway: RunningGateway) -> list[dict[str, Any]]:
    """What it said, once it has ended: each line an object with the same beginning."""
    assert gateway.stop() == 0
    assert not gateway.said, "everything is said in one place"
    said = [json.loads(line) for line in gateway.complained]
    for one in said:
        assert list(one)[:3] == ["time", "level", "event"]
        assert one["level"] in {"info", "warning", "error"}
        assert time.strptime(one["time"][:19], "%Y-%m-%dT%H:%M:%S")
        assert one["time"].endswith("Z")
    return said


def of(said: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [one for one in said if one["event"] == event]


def post(gateway: RunningGateway, headers: Mapping[str, str] = {}, *, stream: bool = False) -> tuple[int, Mapping[str, str]]:
    asked = {**message(stream=stream), "messages": [{"role": "user", "content": PROMPT}]}
    status, said, _ = ask(gateway.port, "POST", "/v1/messages", asked, {"x-api-key": KEY, **headers})
    return status, said


def test_a_request_is_a_line_with_all_that_names_it(project: Path, provider: PracticeProvider) -> None:
    unit = {"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "M001/S01/T01", "x-request-id": "req-of-the-client"}
    with running(project, "--log", "json") as gateway:
        status, headers = post(gateway, unit, stream=True)
        assert status == 200
        said = lines(gateway)
    [request] = of(said, "request")
    [served] = provider.log
    assert request["id"] == headers["x-stepdown-decision"]
    assert request["client_id"] == "req-of-the-client"
    assert request["provider_id"] == headers["request-id"]
    assert (request["unit"], request["unit_id"], request["project"]) == ("execute-task", "M001/S01/T01", str(project))
    assert (request["asked"], request["model"]) == ("claude-opus-4-6", "anthropic/claude-sonnet-4-6")
    assert (request["status"], request["tried"], request["streamed"], request["downgraded"]) == (200, 1, True, True)
    assert request["tokens"]["output"] == served.tokens.output
    assert 0 < request["cost_usd"] < request["ceiling_usd"]
    assert 0 < request["added"] <= request["first_byte"] <= request["seconds"] < 30
    assert "failure" not in request
    assert "person" not in request
    assert [one["event"] for one in said] == ["listening", "request", "ended"]
    assert said[0]["url"] == gateway.url


def test_names_that_somebody_made_up_begin_no_line_and_drive_no_terminal(project: Path) -> None:
    hostile = [
        'x"} {"event": "request", "level": "info"',
        "x\\nlevel=error",
        "x\u0085y\u009b31m",
        "\xff\xfe",
        "x" * 5000,
        "%0a%0d{}",
        "${jndi:ldap://example}",
        "\ttab",
    ]
    with running(project, "--log", "json") as gateway:
        for word in hostile:
            for name in ("x-stepdown-project", "x-stepdown-unit-id", "x-request-id", "x-claude-code-session-id", "user-agent"):
                post(gateway, {name: word.encode("latin-1", "replace").decode("latin-1")})
        for path in ("/nowhere%0a%7b%22event%22%3a1%7d", "/" + "x" * 4000, "/%1b%5b31m", "/v1/messages%00"):
            ask(gateway.port, "GET", path)
        raw = "\n".join(gateway.complained)
        said = lines(gateway)
        raw = "\n".join(gateway.complained)
    assert raw.isascii()
    assert all(" " <= letter <= "~" or letter == "\n" for letter in raw)
    assert len(of(said, "request")) + len(of(said, "turned away")) == len(hostile) * 5 + 4
    assert all(len(line) < 5000 for line in gateway.complained)
    assert KEY not in raw
    assert PROMPT not in raw


def test_who_is_turned_away_is_a_line_without_what_they_brought(project: Path) -> None:
    with running(project, "--log", "json", STEPDOWN_GATEWAY_TOKEN="right") as gateway:
        ask(gateway.port, "POST", "/v1/messages?key=sk-in-the-query", message(), {"x-stepdown-token": "wrong-token"})
        ask(gateway.port, "GET", "/v1/stepdown/status", headers={"host": "evil.example"})
        ask(gateway.port, "POST", "/v1/messages", [], {"x-stepdown-token": "right"})
        ask(gateway.port, "GET", "/readyz")
        said = lines(gateway)
    away = [(one["method"], one["path"], one["status"], one["address"]) for one in of(said, "turned away")]
    assert away == [
        ("POST", "/v1/messages", 401, "127.0.0.1"),
        ("GET", "/v1/stepdown/status", 403, "127.0.0.1"),
        ("POST", "/v1/messages", 400, "127.0.0.1"),
    ]
    assert "wrong-token" not in str(said)
    assert "sk-in-the-query" not in str(said)


def test_a_failure_says_who_was_asked_and_why_not(project: Path, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=529, times=0)])
    unit = {"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "M001/S01/T01"}
    with running(project, "--log", "json") as gateway:
        assert post(gateway, unit)[0] == 529
        [request] = of(lines(gateway), "request")
    assert (request["level"], request["failure"], request["status"]) == ("warning", "provider", 529)
    assert request["given_up"] == [{"model": "anthropic/claude-sonnet-4-6", "why": "529"}]
    assert request["tried"] == 2


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"request-id": "req_1", "x-request-id": "2"}, "req_1"),
        ({"x-request-id": "2"}, "2"),
        ({"request-id": "\x80\x9b31m\n" + "y" * 300}, "??31m?" + "y" * 122),
        ({}, ""),
    ],
)
def test_a_providers_own_name_for_a_request_cannot_break_a_line(headers: dict[str, str], name: str) -> None:
    assert said_id(headers, PROVIDERS) == name


def test_warnings_are_lines_and_so_is_what_ends_it(project: Path) -> None:
    with running(project, "--log", "json") as gateway:
        with (project / "stepdown.yaml").open("a") as file:
            file.write("nonsense: [\n")
        end = time.monotonic() + 10
        while not any("stay as they were" in line for line in gateway.complained):
            assert time.monotonic() < end
            time.sleep(0.05)
        [warning] = of(lines(gateway), "warning")
    assert (warning["level"], warning["logger"]) == ("warning", "stepdown.gateway")


def test_a_gateway_that_cannot_start_says_so_in_a_line(project: Path) -> None:
    (project / "stepdown.yaml").write_text("models: {default: claude-opus-4-6}\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [PROGRAM, "serve", project, "--port", port, "--log", "json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == GatewayError.exit_code
    [line] = done.stderr.splitlines()
    said = json.loads(line)
    assert (said["level"], said["event"], said["code"]) == ("error", "ended", GatewayError.exit_code)
    assert f"port {port} is taken by another program" in said["message"]


def test_stopping_is_said(project: Path, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="late", pause=1.0)])
    with running(project, "--log", "json") as gateway:
        thread = threading.Thread(target=post, args=(gateway,))
        thread.start()
        end = time.monotonic() + 10
        while len(provider.faults):
            assert time.monotonic() < end
            time.sleep(0.01)
        gateway.tell(signal.SIGTERM)
        thread.join(20)
        said = lines(gateway)
    assert [one["message"] for one in of(said, "warning")] == ["stopping: it waits for 1 answer; ctrl-C again does not wait"]
    assert said[-1] == {**said[-1], "event": "ended", "code": 0}


class _Slow(io.StringIO):
    """A reader that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def write(self, text: str) -> int:
        self.goes_on.wait(10)
        return super().write(text)


def test_nobody_waits_for_a_slow_reader_and_what_is_left_out_is_counted() -> None:
    stream = _Slow()
    log = Log(stream)
    log._queue = queue.Queue(10)
    try:
        with log.instead():
            began = time.monotonic()
            for number in range(100):
                log.say("x", number=number)
            assert time.monotonic() - began < 1
            stream.goes_on.set()
    finally:
        logging.captureWarnings(capture=False)
        logging.basicConfig(force=True)
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(said) + sum(one.get("lines_lost", 0) for one in said) == 100


def test_what_is_no_number_and_what_is_too_long_is_written_so() -> None:
    line = line_of(
        {"time": 1.5, "level": "info", "event": "x", "a": float("nan"), "b": "y" * 1000, "c": ["\x1b[31m"], "d": {"e": "\n"}}
    )
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "event": "x",
        "a": None,
        "b": "y" * 497 + "...",
        "c": ["?[31m"],
        "d": {"e": "?"},
    }
