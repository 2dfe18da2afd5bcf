"""What a run has still before it."""

from pathlib import Path

import pytest
from stage import Actor, make_plan, task, writes

from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.forecast import Forecast, key_of
from stepdown.dispatch.loop import run_plan
from stepdown.ledger import Attempt, Outcome
from stepdown.ledger.memory import MemoryLedger
from stepdown.plans import GsdPlan
from stepdown.preferences import ModelChoice, Preferences
from stepdown.preferences.schema import PreDispatchHook
from stepdown.routing import Router

FIRST, SECOND = ("execute-task", "M001/S01/T01"), ("execute-task", "M001/S01/T02")


def dispatcher(plan: GsdPlan, ledger: MemoryLedger | None = None, **preferences: object) -> Dispatcher:
    chosen = {"models": {"default": ModelChoice("claude-sonnet-4-6")}, **preferences}
    router = Router(Preferences(**chosen), Catalog.load())  # type: ignore[arg-type]  # keys of the preferences
    agent = Actor(writes(README_md="hello"), writes(hello_py="hello"))
    return Dispatcher(router, agent, MemoryLedger() if ledger is None else ledger, plan)


def test_before_anything_ran_it_knows_the_cost_and_not_the_time(tmp_path: Path) -> None:
    house = dispatcher(plan := make_plan(tmp_path))
    forecast = Forecast(house)
    forecast.look()
    assert list(forecast.ahead) == [FIRST, SECOND]
    each = [house.decide(task(plan, number)).expected_cost for number in (1, 2)]
    assert None not in each
    assert forecast.cost() == pytest.approx(sum(filter(None, each)))
    assert forecast.seconds() is None


def test_what_the_unit_under_way_has_used_is_no_longer_to_go(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    forecast = Forecast(dispatcher(plan))
    forecast.look()
    whole = forecast.cost()
    assert whole is not None
    assert forecast.cost(task(plan), 0.01) == pytest.approx(whole - 0.01)
    assert forecast.cost(task(plan), 1000.0) == pytest.approx(whole / 2)  # dearer than expected: the other is still to come


async def test_a_run_teaches_it_how_long_units_take(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    house = dispatcher(plan)
    forecast = Forecast(house, max_units=2)
    forecast.look()
    seen = []
    async for done in run_plan(house, max_units=2):
        forecast.ended(done, 60.0)
        forecast.look()
        seen.append((list(forecast.ahead), forecast.seconds(), forecast.seconds(task(plan, 2), 45.0)))
    assert seen == [([SECOND], 60.0, 15.0), ([], 0.0, 0.0)]
    assert forecast.cost() == 0.0
    assert [unit.done for unit in forecast.units if unit.type == "execute-task"] == [True, True]


@pytest.mark.parametrize(("agent", "expected"), [("actor", 240.0), ("another", None)])
def test_before_that_it_goes_by_what_the_same_agent_took_in_the_past(
    tmp_path: Path, agent: str, expected: float | None
) -> None:
    plan, ledger = make_plan(tmp_path), MemoryLedger()
    for number, (took, failure) in enumerate([(100.0, None), (140.0, None), (9.0, "quality")]):
        attempt = Attempt(
            project=plan.project, unit_type="execute-task", unit_id=f"M000/S01/T0{number}", agent=agent, started=1000.0
        )
        ledger.settle(ledger.begin(attempt), Outcome(failure=failure, finished=1000.0 + took))
    forecast = Forecast(dispatcher(plan, ledger))
    forecast.look()
    assert forecast.seconds() == expected


def test_it_looks_only_at_what_will_run(tmp_path: Path) -> None:
    house = dispatcher(make_plan(tmp_path))
    for only in ("M001/S01/T02", "execute-task M001/S01/T02"):
        forecast = Forecast(house, only=only)
        forecast.look()
        assert list(forecast.ahead) == [SECOND]
    forecast = Forecast(house, max_units=1)
    forecast.look()
    assert list(forecast.ahead) == [FIRST]
    assert len(forecast.units) > 1


def test_what_a_hook_skips_costs_nothing_and_takes_no_time(tmp_path: Path) -> None:
    hook = PreDispatchHook(name="never", before=("execute-task",), action="skip")
    forecast = Forecast(dispatcher(make_plan(tmp_path), pre_dispatch_hooks=(hook,)))
    forecast.look()
    assert forecast.ahead == {FIRST: None, SECOND: None}
    assert (forecast.cost(), forecast.seconds()) == (0.0, 0.0)


def test_without_a_model_the_cost_is_not_known(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    forecast = Forecast(dispatcher(plan, models={}))
    forecast.look()
    assert forecast.cost() is None
    assert key_of(task(plan)) == FIRST


def test_what_waits_is_ahead_and_what_is_parked_is_not(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    milestone = Path(plan.project) / ".gsd/milestones/M001"
    roadmap = "# M001: Hello\n\n## Slices\n\n- [ ] **S00: Before** `depends:[]`\n- [ ] **S01: Hello** `depends:[S00]`\n"
    (milestone / "M001-ROADMAP.md").write_text(roadmap)
    forecast = Forecast(dispatcher(GsdPlan.open(Path(plan.project))))
    forecast.look()
    assert {FIRST, SECOND} < set(forecast.ahead)
    few = Forecast(dispatcher(GsdPlan.open(Path(plan.project))), max_units=1)
    few.look()
    assert not {FIRST, SECOND} & set(few.ahead)  # what can run comes first
    (milestone / "M001-PARKED.md").write_text("Later.\n")
    forecast = Forecast(dispatcher(GsdPlan.open(Path(plan.project))))
    forecast.look()
    assert not forecast.ahead
    assert not [unit for unit in forecast.units if not unit.done]
