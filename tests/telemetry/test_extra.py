"""What is switched on by what, and what is said where something is missing."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from telemetry_house import open_house

from stepdown import telemetry

BARE = """
import sys

class Missing:
    '''An installation without the extra.'''

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'prometheus_client', 'opentelemetry'}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Missing())
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)


VIEW = "telemetry.View(catalog=list, meters=list, streams=int)"


def test_without_the_extra_there_is_no_observer_and_nothing_is_said() -> None:
    done = python(f"{BARE}\nfrom stepdown import telemetry\nprint(telemetry.observer({VIEW}, {{}}))")
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_without_the_extra_an_endpoint_is_answered_with_how_to_get_it() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    done = python(f"{BARE}\nfrom stepdown import telemetry\nprint(telemetry.observer({VIEW}, {environ}))")
    assert done.stdout == "None\n"
    assert done.stderr == (
        "no spans are sent: OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends them is not installed: "
        "pip install 'stepdown[telemetry]'\n"
    )


def test_without_the_extra_the_page_says_how_to_get_it() -> None:
    code = """
import asyncio
from starlette.applications import Starlette
from stepdown.telemetry.page import metrics_route

sent = []
scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b"", "root_path": ""}

async def send(message):
    sent.append(message)

asyncio.run(Starlette(routes=[metrics_route(None)])(scope, None, send))
print(sent[0]["status"], sent[1]["body"].decode())
"""
    assert python(BARE + code).stdout == "404 there are no metrics here yet: pip install 'stepdown[telemetry]'\n\n"


def test_importing_telemetry_imports_nothing_of_the_extra() -> None:
    code = "import sys, stepdown.telemetry; print([m for m in sys.modules if m.startswith(('opentel', 'prometheus'))])"
    assert python(code).stdout == "[]\n"


async def test_metrics_are_there_without_any_variable_and_opentelemetry_is_not_imported(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        assert (await house.page())[0] == 200
    done = python(
        f"import sys\nfrom stepdown import telemetry\ntelemetry.observer({VIEW}, {{}})\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_no_spans_are_sent_where_nobody_asked_for_them(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert not telemetry.spans_wanted(environ)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_an_endpoint_asks_for_spans(name: str) -> None:
    assert telemetry.spans_wanted({name: "http://127.0.0.1:4318"})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            "OTEL_EXPORTER_OTLP_ENDPOINT is not an http:// or https:// address",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "the OTLP protocol grpc is not spoken here, http/protobuf is (usually port 4318)",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_line(environ: dict[str, str], said: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not telemetry.spans_wanted(environ)
    assert [record.getMessage() for record in caplog.records] == [f"no spans are sent: {said}"]


async def test_a_variable_that_the_sdk_rejects_does_not_stop_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    caplog.set_level(logging.WARNING, "stepdown.telemetry")
    async with open_house(tmp_path) as house:
        assert await house.ask() == 200

    (record,) = (record for record in caplog.records if record.name == "stepdown.telemetry")
    assert record.getMessage().startswith("no spans are sent: one of the OTEL_* variables cannot be: ")
