"""A machine whose clock is minutes wrong: its gateway goes by the shared ledger's."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_page import declared
from postgres_server import Cluster, running_cluster
from running_gateway import RunningGateway, clean, project_behind

from stepdown.ledger import open_ledger
from stepdown.practice.provider import PracticeProvider

WRONG = """
import os, time
_time = time.time
time.time = lambda: _time() + float(os.environ["WRONG_BY"])
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("wrong", [-420, 300])
def test_a_gateway_on_a_machine_with_a_wrong_clock_writes_down_the_ledgers_time(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "sitecustomize.py").write_text(WRONG)
    provider = PracticeProvider(latency=0.0)
    provider.start()
    project = project_behind(tmp_path / "shop", provider.url)
    paths = os.pathsep.join(filter(None, [str(tmp_path / "wrong"), os.environ.get("PYTHONPATH", "")]))
    gateway = RunningGateway(
        project, STEPDOWN_LEDGER=cluster.address("postgres"), PYTHONPATH=paths, WRONG_BY=str(wrong), STEPDOWN_HOME=str(tmp_path)
    )
    try:
        before = time.time()
        declared(gateway.port, "M001/S01")
    finally:
        gateway.stop()
        provider.stop()
    with open_ledger(cluster.address("postgres")) as ledger:
        [record] = ledger.records()
    assert record.outcome is not None
    assert before - 2 < record.attempt.started <= record.outcome.finished < time.time() + 2
    assert any("clock is" in line and ("slow" if wrong < 0 else "fast") in line for line in gateway.complained + gateway.said)
