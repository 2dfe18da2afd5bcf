"""One unit through the practice agent: what is recorded, priced, ticked, and what is not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from stepdown.agents.port import Event, Finished, Job, Step, Used
from stepdown.catalog import Catalog
from stepdown.decision import Decision
from stepdown.dispatch.loop import Dispatcher, Done, run_plan
from stepdown.errors import BudgetError, PlanError
from stepdown.ledger import Ledger
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.plans import GsdPlan
from stepdown.practice.agent import PracticeAgent
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import Tokens, Unit

CATALOG = Catalog.load()
PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6")}, dynamic_routing=DynamicRouting(enabled=True), budget_ceiling=10.0
)
PLAN = "# S01: Hello\n\n## Tasks\n\n- [ ] **T01: Fix a typo** `est:5m`\n  - Files: `README.md`\n- [ ] **T02: Greet** `est:5m`\n"


@pytest.fixture
def plan(tmp_path: Path) -> GsdPlan:
    slice_ = tmp_path / "hello" / ".gsd" / "milestones" / "M001" / "slices" / "S01"
    slice_.mkdir(parents=True)
    (slice_.parents[1] / "M001-ROADMAP.md").write_text("# M001: Hello\n\n## Slices\n\n- [ ] **S01: Hello** `depends:[]`\n")
    (slice_ / "S01-PLAN.md").write_text(PLAN)
    return GsdPlan.open(tmp_path / "hello")


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    return SqliteLedger(tmp_path / "ledger.db")


def dispatcher(
    plan: GsdPlan, ledger: Ledger, agent: PracticeAgent | None = None, preferences: Preferences = PREFERENCES
) -> Dispatcher:
    return Dispatcher(Router(preferences, CATALOG), agent or PracticeAgent(PracticeProvider(latency=0)), ledger, plan)


def first_task(plan: GsdPlan) -> Unit:
    return next(unit for unit in plan.units() if unit.type == "execute-task")


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def starts(self, unit: Unit, decision: Decision) -> None:
        self.said.append(f"starts {unit.id} on {decision.model}")

    def step(self, unit: Unit, step: Step) -> None:
        self.said.append("step")

    def ends(self, done: Done) -> None:
        self.said.append(f"ends {done.unit.id}")


def test_a_unit_is_done_recorded_and_ticked_and_ledger_and_provider_agree(plan: GsdPlan, ledger: SqliteLedger) -> None:
    provider, heard = PracticeProvider(latency=0), Heard()
    done = dispatcher(plan, ledger, PracticeAgent(provider)).run(first_task(plan), heard)
    assert done.outcome.failure is None
    assert first_task(plan).done
    (record,) = ledger.records(plan.project)
    assert record.outcome == done.outcome
    assert record.attempt.agent == "practice"
    assert record.attempt.downgraded
    served = sum((entry.tokens for entry in provider.log), Tokens())
    assert record.outcome is not None
    assert record.outcome.tokens == served
    assert record.outcome.requests == len(provider.log)
    assert {entry.model for entry in provider.log} == {done.decision.model}
    assert record.outcome.cost_source == "priced"
    assert msgspec.json.decode(record.attempt.decision)["model"] == done.decision.model
    assert heard.said[0].startswith("starts M001/S01/T01 on ")
    assert heard.said[-1] == "ends M001/S01/T01"


def test_the_cost_is_the_list_price_of_every_request(plan: GsdPlan, ledger: SqliteLedger) -> None:
    provider = PracticeProvider(latency=0)
    done = dispatcher(plan, ledger, PracticeAgent(provider)).run(first_task(plan))
    model = CATALOG.resolve(done.decision.model)
    ceiling = CATALOG.resolve("claude-opus-4-6")
    assert model is not None
    assert ceiling is not None
    assert done.outcome.cost_usd == pytest.approx(sum(model.cost(entry.tokens) or 0 for entry in provider.log))
    assert done.outcome.ceiling_cost_usd == pytest.approx(sum(ceiling.cost(entry.tokens) or 0 for entry in provider.log))


def test_a_provider_failure_is_recorded_as_one_and_the_box_stays_open(plan: GsdPlan, ledger: SqliteLedger) -> None:
    provider = PracticeProvider(latency=0, faults=[Fault(kind="status", status=529, times=50)])
    done = dispatcher(plan, ledger, PracticeAgent(provider)).run(first_task(plan))
    assert done.outcome.failure == "provider"
    assert done.outcome.message
    assert not first_task(plan).done


def test_a_full_budget_starts_nothing(plan: GsdPlan, ledger: SqliteLedger) -> None:
    full = msgspec.structs.replace(PREFERENCES, budget_ceiling=0.0001)
    runner = dispatcher(plan, ledger, preferences=full)
    runner.run(first_task(plan))
    with pytest.raises(BudgetError, match=r"M001/S01/T02 was not started: budget_ceiling is used up"):
        runner.run(next(unit for unit in plan.units() if unit.type == "execute-task" and not unit.done))
    assert len(ledger.records(plan.project)) == 1


def test_a_warning_budget_goes_on(plan: GsdPlan, ledger: SqliteLedger) -> None:
    warn = msgspec.structs.replace(PREFERENCES, budget_ceiling=0.0001, budget_enforcement="warn")
    runner = dispatcher(plan, ledger, preferences=warn)
    for unit in [unit for unit in plan.units() if unit.type == "execute-task"]:
        assert runner.run(unit).outcome.failure is None


async def test_a_plan_runs_to_its_end_reading_it_anew(plan: GsdPlan, ledger: SqliteLedger) -> None:
    ran = [done.unit.type async for done in run_plan(dispatcher(plan, ledger))]
    assert ran == ["execute-task", "execute-task", "complete-slice", "validate-milestone", "complete-milestone"]
    assert [unit for unit in plan.units() if not unit.done] == []


async def test_a_run_stops_at_the_first_failure(plan: GsdPlan, ledger: SqliteLedger) -> None:
    provider = PracticeProvider(latency=0, faults=[Fault(kind="status", status=400, times=50)])
    results = [done async for done in run_plan(dispatcher(plan, ledger, PracticeAgent(provider)))]
    assert [done.outcome.failure for done in results] == ["rejected"]


async def test_only_names_a_unit(plan: GsdPlan, ledger: SqliteLedger) -> None:
    results = [done.unit.id async for done in run_plan(dispatcher(plan, ledger), only="M001/S01/T02")]
    assert results == ["M001/S01/T02"]
    with pytest.raises(PlanError, match="M001/S01/T09"):
        _ = [done async for done in run_plan(dispatcher(plan, ledger), only="M001/S01/T09")]


class Idle:
    """An agent that says it is done, or how it failed, and does nothing."""

    name = "idle"

    def __init__(self, *events: Event) -> None:
        self.events = events

    def providers(self) -> frozenset[str] | None:
        return None

    def check(self) -> str | None:
        return None

    def configured_model(self, project: Path) -> str:
        return ""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        for event in self.events:
            yield event
        if not self.events:
            await asyncio.sleep(60)


def test_a_task_without_its_summary_is_done_and_says_so(plan: GsdPlan, ledger: SqliteLedger) -> None:
    done = Dispatcher(Router(PREFERENCES, CATALOG), Idle(Finished()), ledger, plan).run(first_task(plan))
    assert done.outcome.failure is None
    assert done.missing == (".gsd/milestones/M001/slices/S01/tasks/T01-SUMMARY.md",)
    assert done.outcome.tokens is None
    assert done.outcome.cost_usd is None
    assert done.outcome.cost_source == "unknown"


def test_a_unit_whose_point_is_a_file_fails_without_it(plan: GsdPlan, ledger: SqliteLedger) -> None:
    done = Dispatcher(Router(PREFERENCES, CATALOG), Idle(Finished()), ledger, plan).run(Unit("complete-slice", "M001/S01"))
    assert done.outcome.failure == "quality"
    assert "without writing .gsd/milestones/M001/slices/S01/S01-SUMMARY.md" in done.outcome.message


def test_what_the_agent_reports_counts_where_no_price_is_known(plan: GsdPlan, ledger: SqliteLedger) -> None:
    wanted = Preferences(models={"default": ModelChoice("house-model")})
    idle = Idle(Used(Tokens(input=10)), Finished(cost_usd=0.25, tokens=Tokens(input=10)))
    done = Dispatcher(Router(wanted, CATALOG), idle, ledger, plan).run(first_task(plan))
    assert (done.outcome.cost_usd, done.outcome.cost_source) == (0.25, "reported")
    assert done.outcome.ceiling_cost_usd is None


async def test_a_cancelled_unit_is_settled_as_such(plan: GsdPlan, ledger: SqliteLedger) -> None:
    work = asyncio.create_task(Dispatcher(Router(PREFERENCES, CATALOG), Idle(), ledger, plan).dispatch(first_task(plan)))
    await asyncio.sleep(0.2)
    (running,) = ledger.records(plan.project)
    assert running.outcome is None
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    (record,) = ledger.records(plan.project)
    assert record.outcome is not None
    assert record.outcome.failure == "cancelled"
    assert not first_task(plan).done
