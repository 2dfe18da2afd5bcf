"""What anybody may have named something never drives a terminal, and never becomes a line of its own in a log."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_house import messages
from running_gateway import PROGRAM, RunningGateway, ask, clean, project_behind, running

from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys: controls of both kinds, and what turns the direction of a line."""

COLOURS = re.compile("\x1b\\[[0-9;]*m")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r\nstepdown: all is well"
PRINTABLE = "\\x1b[2J <script>alert(1)</script> %s {0} ${HOME} `id`"


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    """One through which everything hostile has passed, with a line for each request."""
    clean(monkeypatch)
    provider = PracticeProvider(latency=0.0).start()
    provider.faults.add([Fault(kind="status", status=status, message=HOSTILE) for status in (400, 429, 500, 529)])
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-ours")
    with running(project_behind(tmp_path / "project", provider.url), "--verbose") as gateway:
        for name in (HOSTILE, PRINTABLE, "claude-opus-4-6"):
            for _ in range(2):
                ask(gateway.port, "POST", "/v1/messages", {**messages(name), "metadata": {"user_id": HOSTILE}})
            ask(gateway.port, "GET", f"/v1/models/{'%1b%5b2J%0d%0astepdown'}")
            ask(gateway.port, "POST", "/v1/stepdown/mode", {"mode": HOSTILE})
            ask(gateway.port, "POST", "/v1/stepdown/pin", {"pin": HOSTILE})
        for header in ("x-stepdown-unit", "x-stepdown-unit-id", "x-stepdown-project"):
            ask(gateway.port, "POST", "/v1/messages", messages(), {header: PRINTABLE[:60], "x-stepdown-unit": "execute-task"})
            ask(gateway.port, "POST", "/v1/messages", messages(), {header: "a\x9b2J\x85b", "x-stepdown-unit": "execute-task"})
        yield gateway
    provider.stop()


def harmless(text: str) -> None:
    found = DRIVES.search(COLOURS.sub("", text))
    assert found is None, text[max(0, found.start() - 80) : found.end() + 20].encode("unicode_escape")


def test_no_line_of_the_gateways_own_is_anybody_elses(gateway: RunningGateway) -> None:
    end = time.monotonic() + 10
    while len(gateway.complained) < 8:
        assert time.monotonic() < end
        time.sleep(0.05)
    for line in (*gateway.said, *gateway.complained):
        harmless(line)
        assert not line.startswith("stepdown: all is well")


@pytest.mark.usefixtures("gateway")
def test_no_command_shows_it_raw(tmp_path: Path) -> None:
    time.sleep(1)  # what has passed is written within a quarter of a second
    project = tmp_path / "project"
    commands: list[list[str]] = [
        ["status", str(project)],
        ["status", str(project), "--json"],
        ["report", str(project)],
        ["report", str(project), "--json"],
        ["learned"],
        ["why", PRINTABLE[:60], "--project", str(project)],
        ["models"],
        ["doctor", str(project)],
        ["rate", HOSTILE, "under"],
        ["why", HOSTILE],
        ["pin", HOSTILE],
        ["plan", HOSTILE],
        [HOSTILE],
    ]
    for command in commands:
        done = subprocess.run([PROGRAM, *command], capture_output=True, check=False, timeout=60, env=os.environ)
        for stream in (done.stdout, done.stderr):
            harmless(stream.decode())
        assert b"Traceback" not in done.stderr, command


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_tail_shows_it_harmlessly(gateway: RunningGateway, options: list[str]) -> None:
    command = [str(PROGRAM), "tail", "--port", str(gateway.port), "--once", "2", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        until_it_ends(tail, lambda: ask(gateway.port, "POST", "/v1/messages", messages(HOSTILE)))
        assert tail.stdout
        text = tail.stdout.read().decode()
    assert len(text.splitlines()) == 2
    harmless(text)


def until_it_ends(process: "subprocess.Popen[bytes]", ask_again: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while process.poll() is None:
        assert time.monotonic() < end
        ask_again()
        time.sleep(0.2)
