"""Many gateways, one budget: eight real processes on one PostgreSQL spend what there is; only work under way may exceed it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import running_cluster
from running_gateway import RunningGateway, ask, clean, message

from stepdown.ledger import open_ledger
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens

PREFERENCES = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true, tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}}
gateway: {mode: delegated}
budgets: [{unit: usd, limit: LIMIT, window: project, per: team}, {unit: usd, limit: 50, window: day}]
providers: {anthropic: {base_url: "URL"}}
"""
GATEWAYS = 8
THREADS = 2
LIMIT = 0.15


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.01)
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def database() -> Iterator[str]:
    with running_cluster() as cluster, cluster.database() as address:
        yield address


@pytest.fixture
def gateways(
    tmp_path: Path, provider: PracticeProvider, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[RunningGateway]]:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    started: list[RunningGateway] = []
    begun = []
    for number in range(GATEWAYS):
        project = tmp_path / f"shop{number}"
        project.mkdir()
        (project / "stepdown.yaml").write_text(PREFERENCES.replace("URL", provider.url).replace("LIMIT", str(LIMIT)))
        home = str(tmp_path / f"home{number}")

        def start(project: Path = project, home: str = home) -> None:
            started.append(RunningGateway(project, STEPDOWN_LEDGER=database, STEPDOWN_HOME=home))

        begun.append(threading.Thread(target=start))
        begun[-1].start()
    for thread in begun:
        thread.join()
    assert len(started) == GATEWAYS
    yield started
    for gateway in started:
        gateway.stop()


def hammer(port: int, name: str, answers: list[tuple[int, float, str]]) -> None:
    """Ask until the budget refuses."""
    headers = {"x-api-key": "sk-ant-its-own", "x-stepdown-unit": "execute-task"}
    for number in range(400):
        status, said, body = ask(
            port, "POST", "/v1/messages", message(), {**headers, "x-stepdown-unit-id": f"{name}/{number}"}, timeout=60
        )
        answers.append((status, time.monotonic(), said.get("x-stepdown-reason", "") if status == 402 else body.decode()[:200]))
        if status != 200:
            return


def test_eight_gateways_spend_one_budget_and_no_more(
    gateways: list[RunningGateway], provider: PracticeProvider, database: str
) -> None:
    answers: list[tuple[int, float, str]] = []
    threads = [
        threading.Thread(target=hammer, args=(gateway.port, f"{number}-{thread}", answers))
        for number, gateway in enumerate(gateways)
        for thread in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [reason for status, _, reason in answers if status != 200]
    assert len(refused) == GATEWAYS * THREADS
    assert all("the team's budget is used up" in reason for reason in refused), refused
    for gateway in gateways:
        assert gateway.stop() == 0
    with open_ledger(database) as ledger:
        spent = ledger.spent()
        assert spent.requests == sum(status == 200 for status, _, _ in answers) == len(provider.log)
        used = sum((record.outcome.tokens or Tokens() for record in ledger.records() if record.outcome), Tokens())
        assert used == sum((served.tokens for served in provider.log), Tokens())
        dearest = max(record.outcome.cost_usd or 0.0 for record in ledger.records() if record.outcome)
    # Only what was under way at the end may exceed it; and what there was has been spent, but for less than a request each.
    assert spent.usd <= LIMIT + dearest * GATEWAYS * THREADS
    assert spent.usd >= LIMIT - dearest * GATEWAYS * THREADS
