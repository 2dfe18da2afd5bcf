"""A conversation whose requests go to one gateway and then to the other is one conversation."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from gateway_house import Answered, House
from postgres_server import Cluster, running_cluster
from running_gateway import RunningGateway, ask, clean
from talking import Talker

from stepdown.ledger import Record, open_ledger
from stepdown.practice.provider import PracticeProvider

PREFERENCES = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true, tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}}
gateway: {mode: full}
providers: {anthropic: {base_url: "URL"}}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0, strict=True)  # it refuses thinking that another model has signed
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def team(
    cluster: Cluster, provider: PracticeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[RunningGateway]]:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "stepdown.yaml").write_text(PREFERENCES.replace("URL", provider.url))
    with cluster.database() as address:
        monkeypatch.setenv("STEPDOWN_LEDGER", address)
        homes = [str(tmp_path / f"home{number}") for number in range(2)]
        gateways = [RunningGateway(folder, STEPDOWN_HOME=home) for home in homes]
        yield gateways
        for gateway in gateways:
            gateway.stop()


class Between:
    """What an agent takes for one gateway: a load balancer that sends each request to the next."""

    def __init__(self, team: list[RunningGateway]) -> None:
        self.team = team
        self.turn = 0
        self.slowest = 0.0

    async def ask(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answered:
        gateway = self.team[self.turn % len(self.team)]
        self.turn += 1
        began = time.monotonic()
        status, said, answer = await asyncio.to_thread(ask, gateway.port, "POST", path, body, headers)
        self.slowest = max(self.slowest, time.monotonic() - began)
        return Answered(status, dict(said), answer)


def recorded(address: str, requests: int) -> list[Record]:
    """The attempts, once so many requests are in the ledger, the oldest first."""
    end = time.monotonic() + 20
    with open_ledger(address) as ledger:
        while ledger.spent().requests < requests:
            assert time.monotonic() < end
            time.sleep(0.1)
        return sorted(ledger.records(), key=lambda record: record.id)


async def test_a_conversation_between_two_gateways_keeps_its_unit_its_model_and_its_decision(
    team: list[RunningGateway], provider: PracticeProvider
) -> None:
    between = Between(team)
    talker = Talker(cast(House, between))
    answers = []
    for turn in ("Fix the typo in README.md", "And add a line to the changelog", "Now rename the function"):
        answers.append(await talker.says(turn))
        answers += [await talker.runs(f"done {number}") for number in range(3)]
        between.turn += turn.startswith("And")  # so that both begin a turn
    assert [answer.status for answer in answers] == [200] * 12
    assert {served.model for served in provider.log} == {"claude-sonnet-4-6"}
    assert between.slowest < 2.0
    records = recorded(os.environ["STEPDOWN_LEDGER"], 12)
    assert {record.attempt.unit_id for record in records} == {"s#1", "s#2", "s#3"}
    receipts: dict[str, set[tuple[str, str, bool]]] = {}
    for record in records:
        decision = msgspec.json.decode(record.attempt.decision)
        receipts.setdefault(record.attempt.unit_id, set()).add((record.attempt.model, decision["tier"], decision["downgraded"]))
    assert {len(found) for found in receipts.values()} == {1}, receipts


async def test_the_thinking_of_one_model_goes_to_no_other_through_another_gateway(
    team: list[RunningGateway], provider: PracticeProvider
) -> None:
    between = Between(team)
    talker = Talker(cast(House, between))
    assert (await talker.says("Fix the typo in README.md")).status == 200
    assert ask(team[1].port, "POST", "/v1/stepdown/pin", {"pin": "heavy"})[0] == 200  # from the next turn on, at one of them
    for _ in range(4):
        assert (await talker.runs("done")).status == 200
    for _ in range(4):
        assert (await talker.says("Go on")).status == 200
        assert (await talker.runs("done")).status == 200
    assert {served.status for served in provider.log} == {200}  # a model that is sent what another has signed refuses
    assert len({served.model for served in provider.log}) == 2
