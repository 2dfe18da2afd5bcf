"""`stepdown mode`, `pin`, and what `status` and `doctor` say of a gateway that runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_gateway import RunningGateway, ask, clean, message, project_behind, running

from stepdown.cli.pin import seconds_of
from stepdown.errors import UsageError
from stepdown.practice.provider import PracticeProvider

Said = CompletedProcess[str]
Call = Callable[..., Said]
DECLARED = {"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "T01"}


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    clean(monkeypatch)
    provider = PracticeProvider(latency=0.0).start()
    try:
        project = project_behind(tmp_path / "project", provider.url)
        monkeypatch.chdir(project)
        with running(project) as gateway:
            yield gateway
    finally:
        provider.stop()


def served(gateway: RunningGateway) -> str:
    return ask(gateway.port, "POST", "/v1/messages", message(), DECLARED)[1]["x-stepdown-model"]


def test_without_a_gateway_they_say_how_to_start_one(refused: Callable[..., str]) -> None:
    for arguments in (
        ["mode"],
        ["mode", "full"],
        ["pin"],
        ["pin", "opus"],
        ["pin", "--off"],
        ["tail"],
        ["mode", "--port", "1"],
    ):
        said = refused(10, *arguments)
        assert "stepdown serve" in said
        assert len(said.splitlines()) == 1


def test_a_mode_is_switched_while_it_runs(gateway: RunningGateway, call: Call) -> None:
    assert call("mode").stdout == f"{gateway.url}: observe, which records what it would do, changes nothing\n"
    assert served(gateway) == "anthropic/claude-opus-4-6"
    assert "delegated" in call("mode", "delegated").stdout
    assert served(gateway) == "anthropic/claude-sonnet-4-6"
    assert "delegated" in call("mode").stdout
    assert "delegated" in call("status").stdout
    call("mode", "observe")
    assert served(gateway) == "anthropic/claude-opus-4-6"


def test_a_pin_holds_until_it_is_let_go(gateway: RunningGateway, call: Call, refused: Callable[..., str]) -> None:
    assert "not pinned" in call("pin").stdout
    said = call("pin", "claude-haiku-4-5", "--for", "30m").stdout
    assert said == call("pin").stdout
    assert "everything is pinned to claude-haiku-4-5 until" in said
    assert served(gateway) == "anthropic/claude-haiku-4-5"
    assert "pinned to claude-haiku-4-5" in call("status").stdout
    assert "not pinned" in call("pin", "--off").stdout
    assert served(gateway) == "anthropic/claude-opus-4-6"
    assert "did you mean 'claude-opus-4" in refused(10, "pin", "claude-opus-46")
    assert "--for" in refused(2, "pin", "heavy", "--for", "soon")
    assert "not both" in refused(2, "pin", "heavy", "--off")


@given(st.floats(0.001, 9000), st.sampled_from([("s", 1), ("min", 60), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_a_span_of_time_is_a_number_and_a_unit(number: float, unit: tuple[str, int]) -> None:
    text = f"{number:.3f}"
    assert seconds_of(text + unit[0]) == pytest.approx(float(text) * unit[1])
    assert seconds_of(f" {text} {unit[0].upper()} ") == seconds_of(text + unit[0])


@pytest.mark.parametrize("span", ["", "1", "h", "-1h", "0s", "0.0h", "1 hour", "inf h", "nan", "1h1m", "9999999s", "٣h"])
def test_anything_else_is_not(span: str) -> None:
    with pytest.raises(UsageError, match="30m"):
        seconds_of(span)


def test_status_and_doctor_name_the_gateway(gateway: RunningGateway, call: Call, tmp_path: Path) -> None:
    assert f"  gateway   {gateway.url}, mode observe\n" in call("status").stdout
    said = json.loads(call("status", "--json").stdout)["gateway"]
    assert (said["url"], said["mode"], said["pin"]) == (gateway.url, "observe", None)
    assert f"ok    gateway: {gateway.url}, mode observe" in call("doctor").stdout
    (tmp_path / "project" / "inside").mkdir()
    assert gateway.url in call("status", tmp_path / "project" / "inside").stdout
    (tmp_path / "other").mkdir()
    assert gateway.url not in call("status", tmp_path / "other").stdout
    gateway.stop()
    assert "gateway" not in call("status").stdout


def test_a_gateway_that_was_killed_is_not_there(gateway: RunningGateway, call: Call, home: Path) -> None:
    left = home / f".stepdown/gateways/{gateway.port}.json"
    gateway.process.kill()
    gateway.ended()
    assert left.exists()
    assert call("mode").returncode == 10
    assert "gateway" not in call("status").stdout
    left.write_text("{")
    assert call("status").returncode == 0
    assert call("mode").returncode == 10


def test_of_several_gateways_the_projects_own_is_meant(
    gateway: RunningGateway, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    elsewhere = project_behind(tmp_path / "elsewhere", "http://127.0.0.1:9")
    with running(elsewhere) as other:
        assert gateway.url in call("mode").stdout
        assert other.url in call("mode", "--port", str(other.port)).stdout
        monkeypatch.chdir(elsewhere)
        assert other.url in call("mode").stdout
        monkeypatch.chdir(tmp_path)
        said = refused(10, "mode")
        assert str(gateway.port) in said
        assert str(other.port) in said
    assert gateway.url in call("mode").stdout


def test_a_unit_that_the_gateway_still_has_open_can_be_rated(gateway: RunningGateway, call: Call) -> None:
    served(gateway)
    for _ in range(50):  # it is written four times a second
        if "execute-task T01" in call("status").stdout:
            break
    said = call("rate", "under", "T01")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("execute-task T01 rated under: counts as 2 failures at heavy for execute-task\n")
    assert "running" not in call("status").stdout
