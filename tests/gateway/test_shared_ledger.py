"""Two real gateways, one real PostgreSQL: one history and one budget, also when the database or a gateway goes away."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_page import declared
from postgres_server import Cluster, running_cluster
from running_gateway import RunningGateway, ask, clean, message

from stepdown.ledger import Ledger, open_ledger
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

PREFERENCES = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true, tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}}
gateway: {mode: delegated}
providers: {anthropic: {base_url: "URL"}}
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:  # of its own: it is stopped, and killed
        yield cluster


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0)
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "stepdown.yaml").write_text(PREFERENCES.replace("URL", provider.url))
    return folder.resolve()


@pytest.fixture
def team(project: Path, cluster: Cluster, tmp_path: Path) -> Iterator[list[RunningGateway]]:
    """Two gateways, each with a home of its own, as on two machines."""
    address = cluster.address("postgres")
    homes = [str(tmp_path / f"home{number}") for number in range(2)]
    gateways = [RunningGateway(project, STEPDOWN_LEDGER=address, STEPDOWN_HOME=home) for home in homes]
    yield gateways
    for gateway in gateways:
        gateway.stop()


def used(provider: PracticeProvider) -> Tokens:
    """All that the provider says it has served."""
    total = Tokens()
    for served in provider.log:
        total += served.tokens
    return total


def recorded(ledger: Ledger) -> Tokens:
    total = Tokens()
    for record in ledger.records():
        total += record.so_far.tokens if record.outcome is None else record.outcome.tokens or Tokens()
    return total


def until_recorded(address: str, wanted: Tokens) -> Ledger:
    """The ledger, once it has all of that."""
    end = time.monotonic() + 30
    ledger = open_ledger(address)
    while (found := recorded(ledger)) != wanted:
        assert time.monotonic() < end, f"{found} of {wanted} are in the ledger"
        time.sleep(0.1)
    return ledger


def test_what_passes_one_gateway_is_known_to_the_other(
    team: list[RunningGateway], cluster: Cluster, provider: PracticeProvider, project: Path
) -> None:
    one, other = team
    for number in range(10):
        declared(one.port, f"M001/S{number:02}")
        assert ask(one.port, "POST", "/v1/stepdown/rate", {"word": "under", "unit": f"M001/S{number:02}"})[0] == 200
    with until_recorded(cluster.address("postgres"), used(provider)) as ledger:
        assert len(ledger.ratings(str(project))) == 10
    end = time.monotonic() + 5  # two seconds, on a machine that may be busy
    models = set()
    for number in range(100):
        models.add(str(declared(other.port, f"M002/S{number:02}")["model"]))
        if "claude-sonnet-4-6" in models or time.monotonic() > end:
            break
        time.sleep(0.5)
    assert "claude-sonnet-4-6" in models
    page = ask(other.port, "GET", "/", headers={"accept": "text/html"})[2].decode()
    assert "M001/S09" in page


def test_requests_flow_while_the_database_is_away_and_are_written_once(
    team: list[RunningGateway], cluster: Cluster, provider: PracticeProvider
) -> None:
    for gateway in team:
        declared(gateway.port, "M001/S01")
    until_recorded(cluster.address("postgres"), used(provider)).close()
    cluster.stop("immediate")
    for number in range(10):
        for gateway in team:
            began = time.monotonic()
            declared(gateway.port, f"M002/S{number:02}")
            assert time.monotonic() - began < 5
    status = json.loads(ask(team[0].port, "GET", "/v1/stepdown/status")[2])
    assert status["mode"] == "delegated"
    cluster.start()
    with until_recorded(cluster.address("postgres"), used(provider)) as ledger:
        assert ledger.spent().attempts == 22


def test_a_gateway_that_is_killed_loses_a_quarter_of_a_second_at_most_and_locks_nobody_out(
    team: list[RunningGateway], cluster: Cluster, provider: PracticeProvider
) -> None:
    one, other = team
    declared(one.port, "M001/S01")
    until_recorded(cluster.address("postgres"), used(provider)).close()
    os.kill(one.process.pid, signal.SIGKILL)
    one.process.wait(10)
    declared(other.port, "M001/S02")
    until_recorded(cluster.address("postgres"), used(provider)).close()


def test_a_gateway_starts_without_its_database(
    project: Path, cluster: Cluster, provider: PracticeProvider, tmp_path: Path
) -> None:
    address = cluster.address("postgres")
    cluster.stop()
    gateway = RunningGateway(project, STEPDOWN_LEDGER=address, STEPDOWN_HOME=str(tmp_path / "home"))
    try:
        status, _, body = ask(gateway.port, "POST", "/v1/messages", message(), {"x-api-key": "sk-ant-its-own"})
        assert status == 200, body
        page = ask(gateway.port, "GET", "/", headers={"accept": "text/html"})
        assert page[0] in {200, 404}
        assert "cannot be used" in page[2].decode()
        cluster.start()
        until_recorded(address, used(provider)).close()
    finally:
        gateway.stop()
