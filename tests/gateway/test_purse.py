"""What gateways set aside of a budget, on one real ledger: together they spend what there is, and give back the rest."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from gateway_house import until
from postgres_server import running_cluster

from stepdown.gateway.amounts import Amounts
from stepdown.gateway.purse import Purse, Ticket
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.world import World
from stepdown.ledger import Attempt, Hold, Ledger, Scope, open_ledger
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.preferences import Preferences
from stepdown.preferences.schema import Budget
from stepdown.units import Tokens

LIMIT = 0.5
EACH = Amounts(0.01, 100)
PREFERENCES = Preferences(budgets=(Budget(unit="usd", limit=LIMIT, window="project", per="team"),))
HALTING = Preferences(budgets=PREFERENCES.budgets, budget_enforcement="halt")
Opened = Callable[[str], contextlib.AbstractAsyncContextManager["Gate"]]


class Gate:
    """A recorder and a purse, as a gateway has them."""

    def __init__(self, recorder: Recorder, purse: Purse, name: str) -> None:
        self.recorder = recorder
        self.purse = purse
        self.name = name
        self._count = 0

    async def admit(self, expected: Amounts = EACH, used: float = 0.0) -> Ticket | str:
        return await self.purse.admit("/p", None, "a/b", expected, {"the team's budget": used})

    def spend(self, ticket: Ticket, usd: float) -> None:
        """A request has ended."""
        self._count += 1
        key = f"{self.name}{self._count}"
        self.recorder.begin(key, Attempt(project="/p", unit_type="t", unit_id=key, model="a/b", started=time.time()))
        self.recorder.used(key, Tokens(input=100), usd, None)
        self.recorder.end(key)
        self.purse.release(ticket, Amounts(usd, 100))


@contextlib.asynccontextmanager
async def gate(
    file: Path, name: str, preferences: Preferences = PREFERENCES, ledger: Callable[[], Ledger] | None = None
) -> AsyncIterator[Gate]:
    recorder = Recorder(ledger or (lambda: SqliteLedger(file)), journal=file.parent / f"{name}.jsonl", interval=0.02)
    await recorder.start()
    world = World.of(preferences, {})
    purse = Purse(recorder, lambda: world, name, time.time)
    tending = asyncio.ensure_future(purse.tend())
    try:
        yield Gate(recorder, purse, name)
    finally:
        tending.cancel()
        purse.close()
        await recorder.close()


def held(file: Path) -> float:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return float(connection.execute("SELECT total(amount) FROM holds").fetchone()[0])


def spent(file: Path) -> float:
    with SqliteLedger(file) as ledger:
        return ledger.spent().usd


@pytest.mark.parametrize("seed", range(3))
async def test_three_gateways_spend_what_there_is_and_no_more(tmp_path: Path, seed: int) -> None:
    """No request costs more than was expected here. Then only the last one, which runs alone, may exceed the limit."""
    chance, file = random.Random(seed), tmp_path / "ledger.db"
    worst = 0.0

    async def work(gate: Gate) -> int:
        done = 0
        while isinstance(ticket := await gate.admit(used=chance.choice([0.0, 1.0])), Ticket):
            await asyncio.sleep(chance.random() * 0.02)
            gate.spend(ticket, EACH.usd * chance.choice([0.2, 0.9, 1.0]))
            done += 1
        return done

    async with gate(file, "a") as one, gate(file, "b") as two, gate(file, "c") as three:
        working = [asyncio.ensure_future(work(each)) for each in (one, two, three) for _ in range(4)]
        while not all(task.done() for task in working):
            await asyncio.sleep(0.02)
            with contextlib.closing(sqlite3.connect(file)) as connection:  # of one moment
                connection.execute("BEGIN")
                (now,) = connection.execute("SELECT total(max(coalesce(cost_usd, 0), so_far_usd)) FROM attempts").fetchone()
                (aside,) = connection.execute("SELECT total(amount) FROM holds").fetchone()
            worst = max(worst, now + aside)
        assert sum(task.result() for task in working) > 50
    assert worst <= LIMIT + EACH.usd
    assert LIMIT - EACH.usd <= spent(file) <= LIMIT + EACH.usd
    assert held(file) == 0.0


async def test_what_is_not_needed_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    async with gate(file, "a") as one, gate(file, "b") as two:
        ticket = await one.admit()
        assert isinstance(ticket, Ticket)
        assert held(file) > EACH.usd  # with something for the next ones
        one.spend(ticket, 0.01)
        everything = Amounts(LIMIT - 0.01, 1)
        assert isinstance(await two.admit(everything, 1.0), Ticket)
        await until(lambda: held(file) == pytest.approx(LIMIT - 0.01, abs=0.03), 5)
        refused = await one.admit(Amounts(0.4, 1), 1.0)
        assert refused == "the team's budget is used up but for what requests under way may need" or isinstance(refused, Ticket)


async def test_what_a_dead_gateway_has_set_aside_is_free_after_a_minute(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with SqliteLedger(file) as ledger:
        ledger.hold("dead", [Hold(scope=Scope(), amount=LIMIT)])
    async with gate(file, "a") as one:
        began = time.monotonic()
        assert await one.admit() == "the team's budget is used up but for what requests under way may need"
        assert 2.5 < time.monotonic() - began < 10
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE holds SET until = until - 61")
        assert isinstance(await one.admit(), Ticket)


async def test_what_runs_long_stays_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepdown.gateway.purse._AGAIN", 0.5)
    file = tmp_path / "ledger.db"

    def until_when() -> float:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return float(connection.execute("SELECT max(until) FROM holds").fetchone()[0])

    async with gate(file, "a") as one:
        assert isinstance(await one.admit(), Ticket)
        first = until_when()
        await until(lambda: until_when() > first + 1, 10)
        await until(lambda: held(file) == pytest.approx(EACH.usd), 10)


async def test_without_the_ledger_the_policy_decides(tmp_path: Path) -> None:
    with running_cluster() as cluster:  # of its own: it is stopped
        address = cluster.address("postgres")

        def ledger() -> Ledger:
            return open_ledger(address)

        async with gate(tmp_path, "a", ledger=ledger) as flowing, gate(tmp_path, "b", HALTING, ledger) as halting:
            for one in (flowing, halting):
                assert isinstance(await one.admit(used=1.0), Ticket)
            cluster.stop("immediate")
            began = time.monotonic()
            assert isinstance(await flowing.admit(), Ticket)
            assert isinstance(await flowing.admit(), Ticket)
            refused = await halting.admit()
            assert time.monotonic() - began < 3
            assert "budget_enforcement is halt" in str(refused)
            assert "cannot be used" in str(refused)
            cluster.start()
            await asyncio.sleep(1.5)
            assert isinstance(await halting.admit(used=1.0), Ticket)


async def test_a_ledger_that_hangs_holds_up_one_request_and_not_the_next_ones(tmp_path: Path) -> None:
    with running_cluster() as cluster:
        address = cluster.address("postgres")
        async with gate(tmp_path, "a", ledger=lambda: open_ledger(address)) as one:
            assert isinstance(await one.admit(used=1.0), Ticket)
            found = cluster.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'stepdown'", "postgres")
            backends = [int(row[0]) for row in found]
            for pid in backends:
                os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                assert all([isinstance(await one.admit(used=1.0), Ticket) for _ in range(20)])
                assert 4 < time.monotonic() - began < 8  # not twenty times that
            finally:
                for pid in backends:
                    os.kill(pid, signal.SIGCONT)
