"""What the metrics read of a running gateway that no request says."""

import time
from pathlib import Path

import pytest
from postgres_server import running_cluster
from prometheus_client.parser import text_string_to_metric_families
from running_gateway import RunningGateway, ask, clean, message, project_behind, running

from stepdown.practice.provider import PracticeProvider


def value(gateway: RunningGateway, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    text = ask(gateway.port, "GET", "/metrics")[2].decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())


def test_a_ledgers_trouble_what_waits_for_it_and_who_is_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    provider = PracticeProvider(latency=0.0).start()
    project = project_behind(tmp_path / "project", provider.url)
    with running_cluster() as cluster, running(project, STEPDOWN_LEDGER=cluster.address("postgres")) as gateway:
        assert ask(gateway.port, "POST", "/v1/messages", message())[0] == 200
        assert value(gateway, "stepdown_ledger_trouble") == 0
        assert value(gateway, "stepdown_requests_in_flight") == 0
        cluster.stop("immediate")
        for _ in range(3):
            assert ask(gateway.port, "POST", "/v1/messages", message())[0] == 200
        end = time.monotonic() + 20
        while not value(gateway, "stepdown_ledger_trouble") or not value(gateway, "stepdown_ledger_waiting_units"):
            assert time.monotonic() < end
            time.sleep(0.1)
        cluster.start()
        while value(gateway, "stepdown_ledger_trouble") or value(gateway, "stepdown_ledger_waiting_units"):
            assert time.monotonic() < end + 30
            time.sleep(0.1)
        assert value(gateway, "stepdown_journal_bytes") == 0
        assert value(gateway, "stepdown_turned_away_total") == 0
        ask(gateway.port, "GET", "/v1/stepdown/status", headers={"host": "evil.example"})
        ask(gateway.port, "POST", "/v1/messages", [])
        assert value(gateway, "stepdown_turned_away_total", status="403") == 1
        assert value(gateway, "stepdown_turned_away_total", status="400") == 1
    provider.stop()
