"""`stepdown tail` as a process: what it shows of requests, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_gateway import ask, clean, message, project_behind, running

from stepdown.cli.gateways import shown
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

PROGRAM = Path(sys.executable).with_name("stepdown")
DECLARED = {"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "M001/S01/T01"}


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0).start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    project = project_behind(tmp_path / "project", provider.url)
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def tail() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [PROGRAM, "tail", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def keep_asking(port: int, process: "subprocess.Popen[str]", headers: dict[str, str]) -> None:
    """Requests until the follower has had what it wanted: nobody knows when it has begun to follow."""
    end = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < end
        ask(port, "POST", "/v1/messages", message(), headers)
        time.sleep(0.1)


def test_a_line_tells_who_asked_what_and_what_it_cost(project: Path, tail: Callable[..., "subprocess.Popen[str]"]) -> None:
    with running(project, "--mode", "delegated") as gateway:
        process = tail("--once", "2")
        keep_asking(gateway.port, process, DECLARED)
        said, complained = process.communicate()
        assert (process.returncode, complained) == (0, "")
        first, second = said.splitlines()
        for line in (first, second):
            assert "[S] execute-task M001/S01/T01" in line
            assert "claude-opus-4-6 -> anthropic/claude-sonnet-4-6" in line
            assert " tokens  $" in line
            assert "(ceiling $" in line


def test_json_is_an_object_a_line(
    project: Path, tail: Callable[..., "subprocess.Popen[str]"], provider: PracticeProvider
) -> None:
    provider.faults.add([Fault(kind="status", status=529, times=0)])
    with running(project) as gateway:
        process = tail("--json", "--once", "1")
        keep_asking(gateway.port, process, {})
        said = json.loads(process.communicate()[0])
        assert (said["asked"], said["status"], said["failure"]) == ("claude-opus-4-6", 529, "provider")
        assert "529 provider" in shown(said)


def test_it_goes_on_when_the_gateway_is_started_again(project: Path, tail: Callable[..., "subprocess.Popen[str]"]) -> None:
    with running(project) as gateway:
        process = tail("--once", "1")
        time.sleep(2)
        assert process.poll() is None
        assert gateway.stop() == 0  # a follower does not hold it up
    again = subprocess.Popen([PROGRAM, "serve", project, "--port", str(gateway.port)], stdout=subprocess.PIPE)
    try:
        assert again.stdout
        assert again.stdout.readline()
        keep_asking(gateway.port, process, {})
        said, complained = process.communicate()
        assert process.returncode == 0
        assert len(said.splitlines()) == 1
        assert complained.splitlines() == [
            f"stepdown: the gateway at {gateway.url} has ended; waiting for it to come back (ctrl-C ends)",
            f"stepdown: it is back at {gateway.url}",
        ]
    finally:
        again.terminate()
        again.communicate(timeout=30)


def test_ctrl_c_ends_it_quietly(project: Path, tail: Callable[..., "subprocess.Popen[str]"]) -> None:
    with running(project) as gateway:
        process = tail()
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=20)
        assert (process.returncode, said, complained.strip()) == (0, "", "")
        assert gateway.process.poll() is None


def test_a_closed_pipe_ends_it_quietly(project: Path) -> None:
    with running(project) as gateway:
        reading, writing = os.pipe()
        process = subprocess.Popen([PROGRAM, "tail"], stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        os.close(reading)
        assert process.stderr
        with process.stderr:
            keep_asking(gateway.port, process, {})  # type: ignore[arg-type]  # (bytes or text, it is only polled)
            assert (process.returncode, process.stderr.read()) == (0, b"")


def test_what_is_not_known_is_left_out() -> None:
    at = time.mktime((2026, 11, 23, 14, 3, 21, 0, 0, -1))
    line = {"at": at, "unit": "conversation", "id": "0" * 36, "asked": "gpt-x", "model": "openai/gpt-x", "tier": "heavy"}
    assert (
        shown({**line, "status": 200, "seconds": 1.25, "reason": "why"})
        == "14:03:21  [H] conversation 00000000…  gpt-x  1.2 s  why"
    )
    assert "gpt-x (would take gpt-y)" in shown({**line, "chosen": "openai/gpt-y"})
    assert "would" not in shown({**line, "chosen": "openai/gpt-x"})
    assert "->" not in shown({**line, "asked": "gpt-x-2026-08-07"})
    assert "[?]" in shown({})
