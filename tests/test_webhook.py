"""Telling somebody else of a budget: a real server that is slow, fails, and is well again; real gateways and a real run."""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from gateway_house import messages, until
from raw_provider import Answering, RawProvider, Sent, whole
from running_gateway import PROGRAM, ask, clean, running

from stepdown.alerts import Alert
from stepdown.decision import Meter
from stepdown.practice.provider import PracticeProvider
from stepdown.upstream.http import HttpUpstream
from stepdown.webhook import Webhook, body_of

WHERE = "TEAM_WEBHOOK"
ALERT = Alert(
    ("key",),
    "week budget has passed 80%: $8.10 of $10.00",
    Meter(name="week budget", used=0.81, detail="$8.10 of $10.00"),
    "/home/ana/app",
    1_790_000_000.0,
)


@contextlib.asynccontextmanager
async def telling(address: str, *pauses: float) -> AsyncIterator[Callable[[], None]]:
    upstream = HttpUpstream()
    webhook = Webhook(upstream, {WHERE: address}, pauses)
    yield lambda: webhook.tell(WHERE, ALERT)
    await webhook.close(0.2)
    await upstream.close()


def in_turn(*answers: bytes | float) -> Answering:
    """Each request gets the next answer; a number is a pause, and then nothing."""
    left = list(answers)

    async def answering(writer: asyncio.StreamWriter, _: Sent) -> None:
        answer = left.pop(0)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            writer.transport.abort()
        else:
            writer.write(answer)
            await writer.drain()

    return answering


async def test_it_is_one_json_object_with_a_line_for_people() -> None:
    async with RawProvider(whole(b"ok")) as server, telling(f"{server.url}/services/T0/B0/secret") as tell:
        tell()
        await until(lambda: server.sent)
        (sent,) = server.sent
        assert sent.line == "POST /services/T0/B0/secret HTTP/1.1"
        assert sent.header("content-type") == [b"application/json"]
        assert json.loads(sent.body) == {
            "text": "stepdown: week budget has passed 80%: $8.10 of $10.00 (/home/ana/app)",
            "event": "budget",
            "budget": "week budget",
            "used": 0.81,
            "detail": "$8.10 of $10.00",
            "project": "/home/ana/app",
            "at": "2026-09-21T14:13:20+00:00",
        }


def test_a_projects_name_calls_nobody() -> None:
    said = json.loads(body_of(Alert(("k",), "m", Meter(name="m", used=1.0), "/tmp/<!channel> & co", 0.0)))
    assert said["text"] == "stepdown: m (/tmp/&lt;!channel&gt; &amp; co)"
    assert said["project"] == "/tmp/<!channel> & co"


async def test_it_is_tried_again_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    down = whole(b"", status="503 Service Unavailable")
    async with RawProvider(in_turn(down, 0.0, down, whole(b"ok"))) as server, telling(server.url, *[0.02] * 9) as tell:
        tell()
        await until(lambda: len(server.sent) == 4)
        await asyncio.sleep(0.1)
        assert len(server.sent) == 4
        assert len({sent.body for sent in server.sent}) == 1
    assert not caplog.text


@pytest.mark.parametrize(
    ("status", "why"), [("500 Oh", "status 500"), ("302 Found", "status 302"), ("410 Gone", "status 410"), (None, "broke off")]
)
async def test_it_is_given_up_in_the_end_and_said_without_the_address(
    status: str | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawProvider() as other, RawProvider() as server:
        answer = whole(b"", f"location: {other.url}/stolen", status=status) if status else 0.0
        server.answering = in_turn(*[answer] * 3)
        async with telling(f"{server.url}/services/secret?key=secret", 0.01, 0.01) as tell:
            tell()
            await until(lambda: caplog.records)
        assert (len(server.sent), len(other.sent)) == (3, 0)
    assert f"nobody was told at the address in {WHERE}: " in caplog.text
    assert why in caplog.text
    assert "secret" not in caplog.text


async def test_nobody_waits_for_one_that_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    async with RawProvider(in_turn(60.0)) as server:
        begun = time.monotonic()
        async with telling(server.url) as tell:
            tell()
            assert time.monotonic() - begun < 0.1
            await until(lambda: server.sent)
        assert time.monotonic() - begun < 3
    assert "the program ended" in caplog.text


@pytest.mark.parametrize("address", ["", "hooks.example/x", "file:///etc/passwd", "https://"])
async def test_a_variable_that_holds_no_address_is_named(address: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telling(address) as tell:
        tell()
        await until(lambda: caplog.records)
    assert WHERE in caplog.text
    assert "passwd" not in caplog.text


async def test_nothing_is_sent_to_a_clouds_own_services(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with telling("http://169.254.169.254/latest/meta-data") as tell:
        tell()
        await until(lambda: caplog.records)
    assert "nothing is sent there" in caplog.text


class Listening(BaseHTTPRequestHandler):
    """Takes what it is sent."""

    heard: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
        pass


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    """What came to the address in the variable, in a home of its own."""
    clean(monkeypatch)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    Listening.heard.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(WHERE, f"http://127.0.0.1:{server.server_port}/services/secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STEPDOWN_HOME", str(tmp_path / ".stepdown"))
    monkeypatch.setenv("STEPDOWN_TRUST", "yes")
    yield Listening.heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_of_two_gateways_one_tells(heard: list[Any], tmp_path: Path) -> None:
    provider = PracticeProvider(latency=0.0).start()
    project = tmp_path / "app"
    project.mkdir()
    (project / "stepdown.yaml").write_text(
        f"models: {{default: claude-opus-4-6}}\nproviders: {{anthropic: {{base_url: '{provider.url}'}}}}\n"
        f"budget_ceiling: 0.0001\nbudget_enforcement: warn\nalerts: {{webhook_env: {WHERE}}}\n"
    )
    with running(project) as one, running(project) as other:
        for gateway in (one, other):
            assert ask(gateway.port, "POST", "/v1/messages", messages())[0] == 200
        end = time.monotonic() + 20
        while not heard:
            assert time.monotonic() < end, (one.complained, other.complained)
            time.sleep(0.05)
        time.sleep(3)
        assert one.stop() == other.stop() == 0
        said = [line for gateway in (one, other) for line in gateway.complained if "has passed 100%" in line]
    provider.stop()
    assert len(heard) == len(said) == 1
    assert (heard[0]["event"], heard[0]["project"]) == ("budget", str(project))
    assert "secret" not in "\n".join(one.complained + other.complained + one.said + other.said)


def test_a_run_tells_as_well_before_it_ends(heard: list[Any], tmp_path: Path) -> None:
    for name, text in {
        "stepdown.yaml": f"models: {{default: claude-sonnet-4-6}}\nbudget_ceiling: 0.0001\nbudget_enforcement: warn\n"
        f"alerts: {{webhook_env: {WHERE}}}\n",
        ".gsd/milestones/M001/M001-ROADMAP.md": "# M001: M\n\n## Slices\n\n- [ ] **S01: Greetings** `depends:[]`\n",
        ".gsd/milestones/M001/slices/S01/S01-RESEARCH.md": "# Research\n\nNothing.\n",
        ".gsd/milestones/M001/slices/S01/S01-PLAN.md": "# S01: G\n\n- [ ] **T01: Say hello** `est:30m`\n  - Files: `a.py`\n",
    }.items():
        path = tmp_path / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [str(PROGRAM), "run", str(tmp_path / "app"), "--agent", "practice", "--max-units", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ)
    assert [said["budget"] for said in heard] == ["budget_ceiling"], done
    assert "secret" not in done.stdout + done.stderr
