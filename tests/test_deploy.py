"""What is in deploy/ fits the program: its options, variables, ports, paths and metrics exist; nginx is run as it is there.

There is no container engine in the tests: images are not built.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from postgres_server import running_cluster
from prometheus_client import CollectorRegistry
from running_gateway import RunningGateway, ask, clean, message, project_behind

from stepdown.catalog import Catalog
from stepdown.cli.serve import PORT, command
from stepdown.gateway.client import LARGEST_BODY
from stepdown.gateway.protocols.request import _SESSION_HEADERS
from stepdown.ledger import open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.telemetry import View
from stepdown.telemetry.metrics import Metrics

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
OWN = {"STEPDOWN_TRUST", "STEPDOWN_HOME", "STEPDOWN_LEDGER", "STEPDOWN_GATEWAY_TOKEN"}
"""Variables of the program that are not only of `serve`."""


def text(name: str) -> str:
    return (DEPLOY / name).read_text()


COMPOSE: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
KUBERNETES: dict[str, dict[str, Any]] = {
    one["kind"] + "/" + one["metadata"]["name"]: one for one in yaml.safe_load_all(text("kubernetes.yaml"))
}
POD: dict[str, Any] = KUBERNETES["StatefulSet/stepdown"]["spec"]["template"]["spec"]


def envvars() -> set[str]:
    """The variables that options of `serve` may stand in."""
    return {
        str(option.envvar or f"STEPDOWN_SERVE_{str(option.name).upper()}")
        for option in command.params
        if option.param_type_name == "option"
    }


@pytest.mark.parametrize("name", ["Containerfile", "compose.yaml", "kubernetes.yaml"])
def test_every_variable_is_one_of_the_program(name: str) -> None:
    said = set(re.findall(r"\bSTEPDOWN_[A-Z_]+\b", text(name))) - {"STEPDOWN_SERVE_", "STEPDOWN_NAME"}
    assert said
    assert said <= envvars() | OWN


def test_the_image_is_not_roots_and_is_asked_where_it_listens() -> None:
    lines = text("Containerfile")
    assert re.search(r"^USER 10001:10001$", lines, re.MULTILINE)
    assert f"EXPOSE {PORT}" in lines
    assert f"STEPDOWN_SERVE_PORT={PORT}" in lines
    assert f"http://127.0.0.1:{PORT}/readyz" in lines
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", lines, re.MULTILINE)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {path for one in copied for path in one.split()} == kept
    assert all((ROOT / path).exists() for path in kept)


def test_what_is_installed_in_the_image_is_what_is_tested() -> None:
    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", path.read_text(), re.MULTILINE))

    image, tested = pins(DEPLOY / "requirements.lock"), pins(ROOT / "requirements-dev.lock")
    assert image.items() <= tested.items()
    assert image.keys() >= pins(ROOT / "requirements.lock").keys() | {"psycopg", "prometheus-client", "opentelemetry-sdk"}


def test_a_container_is_given_the_time_that_its_gateway_takes() -> None:
    for name in ("gateway-1", "gateway-2"):
        service = COMPOSE["services"][name]
        said = service["environment"]
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace >= int(said["STEPDOWN_SERVE_LINGER"]) + int(said["STEPDOWN_SERVE_DRAIN"]) + 10
    said = {one["name"]: one.get("value") for one in POD["containers"][0]["env"]}
    wanted = int(said["STEPDOWN_SERVE_LINGER"]) + int(said["STEPDOWN_SERVE_DRAIN"]) + 10
    assert POD["terminationGracePeriodSeconds"] >= wanted
    ready = POD["containers"][0]["readinessProbe"]
    assert int(said["STEPDOWN_SERVE_LINGER"]) > ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]


def test_a_gateways_home_outlives_it() -> None:
    home = re.findall(r"STEPDOWN_HOME=(\S+)", text("Containerfile"))[0]
    journals = set()
    for name in ("gateway-1", "gateway-2"):
        [volume] = [one for one in COMPOSE["services"][name]["volumes"] if one.endswith(f":{home}")]
        journals.add(volume.partition(":")[0])
    assert journals <= set(COMPOSE["volumes"])
    assert len(journals) == 2
    [claim] = KUBERNETES["StatefulSet/stepdown"]["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": home} in POD["containers"][0]["volumeMounts"]


def test_services_find_their_pods_and_probes_the_gateways_paths() -> None:
    container = POD["containers"][0]
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    labels = KUBERNETES["StatefulSet/stepdown"]["spec"]["template"]["metadata"]["labels"]
    for name in ("Service/stepdown", "Service/stepdown-gateways"):
        assert KUBERNETES[name]["spec"]["selector"] == labels
    assert KUBERNETES["PodDisruptionBudget/stepdown"]["spec"]["selector"]["matchLabels"] == labels
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness")} == {"/readyz"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_nginx_takes_what_a_gateway_takes_and_knows_what_agents_call_a_session() -> None:
    said = text("nginx.conf")
    assert f"client_max_body_size {LARGEST_BODY // 1024 // 1024}m;" in said
    for service in ("gateway-1", "gateway-2"):
        assert f"server {service}:{PORT} " in said
        assert service in COMPOSE["services"]
    asked = {name.replace("-", "_") for name in _SESSION_HEADERS}
    assert set(re.findall(r"\$http_((?:\w+_)?(?:session|thread)_\w+)", said)) <= asked
    address = COMPOSE["services"]["nginx"]["networks"]["team"]["ipv4_address"]
    assert COMPOSE["services"]["gateway-1"]["environment"]["FORWARDED_ALLOW_IPS"] == address


def metrics() -> set[str]:
    """Every name that a gateway's page of metrics has."""
    made = Metrics(View(catalog=Catalog.load, meters=list, streams=int))
    registry: CollectorRegistry = made._registry
    names = {"up"}
    for family in registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}.get(family.type, ("",))
        names |= {family.name + end for end in ends}
    return names


def expressions() -> Iterator[str]:
    for group in yaml.safe_load(text("prometheus-rules.yaml"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in json.loads(text("grafana.json"))["panels"]:
        yield from (target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_metric_that_is_looked_at_is_there(expression: str) -> None:
    used = set(re.findall(r"\b(?:stepdown|process)_\w+|\bup\b", expression))
    assert used
    assert used <= metrics()
    assert expression.count("(") == expression.count(")")


# nginx before two gateways on one PostgreSQL.


class Team:
    """What runs.

    Attributes:
        port: nginx's.
        gateways: behind it.
        ledger: the address of their database.
    """

    def __init__(self, port: int, gateways: list[RunningGateway], ledger: str, provider: PracticeProvider) -> None:
        self.port = port
        self.gateways = gateways
        self.ledger = ledger
        self.provider = provider

    def ask(self, session: str = "") -> int:
        """A request in a session of its own; its status."""
        return ask(self.port, "POST", "/v1/messages", message(), {"x-session-id": session or os.urandom(8).hex()})[0]

    def home_of(self, session: str) -> int:
        """Which gateway a session goes to: the one whose log names the request."""
        name = os.urandom(8).hex()
        ask(self.port, "POST", "/v1/messages", message(), {"x-session-id": session, "x-request-id": name})
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for number, gateway in enumerate(self.gateways):
                if any(name in line for line in list(gateway.complained)):
                    return number
            time.sleep(0.02)
        raise AssertionError("no gateway says that it got the request")

    def recorded(self) -> int:
        with open_ledger(self.ledger) as ledger:
            return ledger.spent().attempts


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def nginx(folder: Path, ports: list[int]) -> Iterator[int]:
    """nginx with deploy/nginx.conf before gateways at these ports: its own port."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not here")
    port = free_port()
    said = text("nginx.conf").replace("/var/cache/nginx", str(folder)).replace("listen 8080;", f"listen 127.0.0.1:{port};")
    for number, one in enumerate(ports, start=1):
        said = said.replace(f"gateway-{number}:{PORT}", f"127.0.0.1:{one}")
    if os.geteuid() == 0:
        said = "user root;\n" + said  # as the tests' own folders are
    (folder / "nginx.conf").write_text(said)
    process = subprocess.Popen(
        [program, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"], stderr=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < end
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    provider = PracticeProvider(latency=0.0).start()
    project = project_behind(tmp_path / "shop", provider.url)
    with contextlib.ExitStack() as stack:
        stack.callback(provider.stop)
        cluster = stack.enter_context(running_cluster())
        ledger = cluster.address("postgres")
        gateways = []
        for number in range(2):
            home = str(tmp_path / f"home{number}")
            gateway = RunningGateway(project, "--log", "json", "--linger", "0.5", STEPDOWN_LEDGER=ledger, STEPDOWN_HOME=home)
            stack.callback(gateway.stop)
            gateways.append(gateway)
        (tmp_path / "nginx").mkdir()
        port = stack.enter_context(nginx(tmp_path / "nginx", [one.port for one in gateways]))
        yield Team(port, gateways, ledger, provider)


def test_streams_arrive_event_by_event_and_sessions_stay(team: Team) -> None:
    team.provider.faults.add([Fault(kind="slow", pause=0.2, pieces=8)])
    connection = http.client.HTTPConnection("127.0.0.1", team.port, timeout=30)
    connection.request("POST", "/v1/messages", json.dumps(message(stream=True)), {"content-type": "application/json"})
    answer = connection.getresponse()
    moments = []
    while answer.read1(65536):
        moments.append(time.monotonic())
    connection.close()
    assert moments[-1] - moments[0] > 0.8
    assert len(moments) > 4
    assert len({team.home_of("one") for _ in range(4)}) == 1
    assert {team.home_of(f"session-{number}") for number in range(12)} == {0, 1}
    assert ask(team.port, "GET", "/metrics")[0] == 404


def test_a_gateway_that_is_told_to_stop_loses_no_request(team: Team) -> None:
    session = next(name for name in map(str, range(100)) if team.home_of(name) == 0)
    before = len(team.provider.log)
    team.provider.faults.add([Fault(kind="slow", pause=0.3, pieces=8)])
    connection = http.client.HTTPConnection("127.0.0.1", team.port, timeout=30)
    headers = {"content-type": "application/json", "x-session-id": session}
    connection.request("POST", "/v1/messages", json.dumps(message(stream=True)), headers)
    answer = connection.getresponse()
    first = answer.read1(65536)
    statuses: list[int] = []
    over = threading.Event()

    def others() -> None:
        while not over.is_set():
            statuses.append(team.ask())
            time.sleep(0.01)

    thread = threading.Thread(target=others)
    thread.start()
    team.gateways[0].tell(signal.SIGTERM)
    stream = first + answer.read()
    connection.close()
    assert team.gateways[0].ended() == 0
    more = len(statuses) + 20
    end = time.monotonic() + 20
    while len(statuses) < more:
        assert time.monotonic() < end
        time.sleep(0.05)
    over.set()
    thread.join()
    assert b"message_stop" in stream
    assert set(statuses) == {200}
    assert team.ask(session) == 200, "it goes on at the other gateway"
    team.gateways[1].stop()
    assert team.recorded() >= len(team.provider.log) - before


def test_a_gateway_that_is_killed_loses_what_was_under_way_and_no_more(team: Team) -> None:
    session = next(name for name in map(str, range(100)) if team.home_of(name) == 0)
    team.provider.faults.add([Fault(kind="late", pause=5.0)])
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(team.ask(session)))
    thread.start()
    end = time.monotonic() + 10
    while len(team.provider.faults):
        assert time.monotonic() < end
        time.sleep(0.01)
    asked = len(team.provider.log)
    team.gateways[0].process.kill()
    thread.join(20)
    assert results == [502]
    assert [team.ask() for _ in range(20)] == [200] * 20
    assert team.ask(session) == 200
    assert len(team.provider.log) <= asked + 22, "nothing that was sent is sent again"
