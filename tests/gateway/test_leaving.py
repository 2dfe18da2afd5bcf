"""Told to stop behind a load balancer: it says so first, takes requests for a while, and lets the last ones end."""

import http.client
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_house import Opening
from running_gateway import ask, clean, message, project_behind, running

from stepdown.gateway.guard import Guard
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0).start()  # in a thread of its own: tests of a process have no loop
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    return project_behind(tmp_path / "project", provider.url)


def until(what: Callable[[], object], limit: float = 10.0) -> None:
    end = time.monotonic() + limit
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


async def test_a_ledger_in_trouble_is_said_and_is_no_reason_to_go_elsewhere(opening: Opening) -> None:
    async with opening(guard=Guard(token="t")) as house:
        house.recorder._writer.trouble = "postgresql://ann@db.internal: connection refused"
        inside = await house.ask("/readyz", headers={"x-stepdown-token": "t"}, method="GET")
        outside = await house.ask("/readyz", method="GET")
        house.recorder._writer.trouble = ""
        assert (inside.status, inside.json["ledger"]) == (200, "postgresql://ann@db.internal: connection refused")
        assert (outside.status, outside.json["ledger"]) == (200, "it takes nothing")
        assert (await house.ask("/readyz", method="GET")).json["ledger"] == ""


def test_it_takes_requests_while_it_lingers_and_then_lets_them_end(project: Path, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="late", pause=3.0)])
    with running(project, "--linger", "2") as gateway:
        assert ask(gateway.port, "GET", "/readyz")[0] == 200
        slow = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        slow.request("POST", "/v1/messages", json.dumps(message()), {"content-type": "application/json"})
        until(lambda: not len(provider.faults))
        gateway.tell(signal.SIGTERM)
        end, seen = time.monotonic() + 10, set()
        while time.monotonic() < end:
            try:
                ready = ask(gateway.port, "GET", "/readyz")[0]
                seen.add((ready, ask(gateway.port, "GET", "/healthz")[0]))
                if ready == 503:
                    status, headers, _ = ask(gateway.port, "POST", "/v1/messages", message())
                    assert (status, headers["connection"]) == (200, "close")
            except ConnectionError:
                break
        assert (503, 200) in seen
        assert slow.getresponse().status == 200
        slow.close()
        assert gateway.ended() == 0
        assert gateway.complained[0] == (
            "stepdown: told to stop: requests are taken for another 2 s; ctrl-C again does not wait"
        )


def test_a_second_signal_ends_the_lingering(project: Path) -> None:
    with running(project, STEPDOWN_SERVE_LINGER="60") as gateway:
        gateway.tell(signal.SIGTERM)
        until(lambda: gateway.complained)
        began = time.monotonic()
        gateway.tell(signal.SIGTERM)
        assert gateway.ended() == 0
        assert time.monotonic() - began < 10


def test_options_may_stand_in_the_environment_and_the_command_line_counts_more(project: Path) -> None:
    names = {"STEPDOWN_SERVE_HOST_NAME": "models.example team", "STEPDOWN_SERVE_PORT": "1"}
    with running(project, **names) as gateway:  # with --port 0
        for host, status in (("models.example", 200), ("team", 200), ("other.example", 403)):
            assert ask(gateway.port, "GET", "/v1/stepdown/status", headers={"host": host})[0] == status
