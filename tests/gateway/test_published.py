"""What routing is told of a project follows what passes."""

import asyncio
from pathlib import Path

import pytest
from recording import attempt, locked_elsewhere, recording, until, use

from stepdown.decision import Context
from stepdown.gateway.recorder import Recorder
from stepdown.ledger import Outcome, open_ledger
from stepdown.preferences import Preferences


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


BUDGET = Preferences(budget_ceiling=10.0)


def left(recorder: Recorder, project: str = "/p") -> float | None:
    """Dollars left of the budget as routing is told of it; None where it has not been read."""
    meters = recorder.context(project).meters
    return meters[0].remaining if meters else None


async def test_what_routing_is_told_is_there_when_it_has_started_and_follows_what_passes(file: Path) -> None:
    with open_ledger(str(file)) as ledger:
        ledger.settle(ledger.begin(attempt()), Outcome(cost_usd=4.0, finished=5.0))
    async with recording(file, preferences=BUDGET, project="/p") as recorder:
        assert (left(recorder), recorder.unseen_usd("/p")) == (6.0, 0.0)
        recorder.begin("k", attempt())
        use(recorder)
        assert recorder.unseen_usd("/p") == 0.25
        await until(lambda: left(recorder) == 5.75, 3.0)
        await until(lambda: recorder.unseen_usd("/p") == 0.0, 1.0)
        use(recorder)
        await recorder.refresh()
        assert (left(recorder), recorder.unseen_usd("/p")) == (5.5, 0.0)


async def test_at_every_moment_what_was_spent_is_in_the_context_or_unseen(file: Path) -> None:
    async with recording(file, preferences=BUDGET, project="/p", interval=0.005) as recorder:
        recorder.begin("k", attempt())
        for number in range(1, 200):
            use(recorder, cost=0.01)
            unseen = recorder.unseen_usd("/p")  # first: between the two more may become known, never less
            known = left(recorder)
            assert known is not None
            assert 10.0 - known + unseen >= number * 0.01 - 1e-9
            if number % 10 == 0:
                await recorder.refresh()
            await asyncio.sleep(0.001)
        await recorder.refresh()
        assert left(recorder) == pytest.approx(10.0 - 1.99)
        assert recorder.unseen_usd("/p") == 0.0


async def test_each_project_has_its_own_and_one_asked_for_first_is_read_soon(file: Path) -> None:
    async with recording(file, preferences=BUDGET) as recorder:
        for project in ("/a", "/b"):
            assert recorder.context(project) == Context()
            recorder.begin(project, attempt(project=project))
            await until(lambda project=project: left(recorder, project) is not None, 2.0)  # type: ignore[misc]
        use(recorder, "/a", cost=2.0)
        assert (recorder.unseen_usd("/a"), recorder.unseen_usd("/b"), recorder.unseen_usd("/c")) == (2.0, 0.0, 0.0)
        await recorder.refresh()
        assert (left(recorder, "/a"), left(recorder, "/b")) == (8.0, 10.0)


async def test_other_preferences_hold_at_once(file: Path) -> None:
    async with recording(file, preferences=BUDGET, project="/p") as recorder:
        recorder.prefer(Preferences(budget_ceiling=7.0))
        await until(lambda: left(recorder) == 7.0, 2.0)


async def test_projects_that_nobody_asks_for_are_forgotten(file: Path) -> None:
    async with recording(file, preferences=BUDGET, idle=0.2) as recorder:
        for number in range(100):
            recorder.context(f"/{number}")
        await recorder.refresh()
        assert len(recorder._published.all()) <= 64
        await asyncio.sleep(0.3)
        recorder.context("/7")
        await recorder.refresh()
        assert len(recorder._published.all()) == 1


async def test_in_trouble_what_is_spent_stays_unseen_so_that_budgets_hold(file: Path) -> None:
    async with recording(file, preferences=BUDGET, project="/p") as recorder:
        recorder.begin("k", attempt())
        await recorder.flush()
        with locked_elsewhere(file):
            use(recorder, cost=3.0)
            await recorder.refresh()
            assert (left(recorder), recorder.unseen_usd("/p")) == (10.0, 3.0)
        await until(lambda: left(recorder) == 7.0, 5.0)
        assert recorder.unseen_usd("/p") == 0.0
