"""A plan's units one after another: order, hooks, budgets, resuming, one run at a time."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from stage import USED, Actor, Heard, fails, refs, task, writes

from stepdown.agents.port import Event, Finished, Job
from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.lock import only_run
from stepdown.dispatch.loop import run_hooks, run_plan
from stepdown.dispatch.resume import end_left_behind, settle_left_behind
from stepdown.errors import BudgetError, BusyError, PlanError
from stepdown.ledger import Attempt, Outcome
from stepdown.ledger.records import Use
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.plans import GsdPlan
from stepdown.practice.agent import PracticeAgent
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.preferences.schema import PostUnitHook
from stepdown.routing import Router
from stepdown.units import Tokens

CATALOG = Catalog.load()
PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6")}, dynamic_routing=DynamicRouting(enabled=True), budget_ceiling=10.0
)


def dispatcher(plan: GsdPlan, ledger: SqliteLedger, agent: object, **changes: object) -> Dispatcher:
    wanted = msgspec.structs.replace(PREFERENCES, **changes)
    return Dispatcher(Router(wanted, CATALOG), agent, ledger, plan, commands_allowed=True)  # type: ignore[arg-type]  # stand-ins


def practice() -> PracticeAgent:
    return PracticeAgent(PracticeProvider(latency=0))


async def test_a_plan_runs_to_its_end_reading_it_anew(plan: GsdPlan, ledger: SqliteLedger) -> None:
    ran = [done.unit.type async for done in run_plan(dispatcher(plan, ledger, practice()))]
    assert ran == ["execute-task", "execute-task", "complete-slice", "validate-milestone", "complete-milestone"]
    assert [unit for unit in plan.units() if not unit.done] == []
    assert refs(plan) == []


async def test_a_run_stops_at_the_first_unit_that_fails_for_good(plan: GsdPlan, ledger: SqliteLedger) -> None:
    results = [done async for done in run_plan(dispatcher(plan, ledger, Actor(fails("quality"))))]
    assert [done.failed for done in results] == [True]


async def test_only_names_a_unit(plan: GsdPlan, ledger: SqliteLedger) -> None:
    agent = practice()
    results = [done.unit.id async for done in run_plan(dispatcher(plan, ledger, agent), only="M001/S01/T02")]
    assert results == ["M001/S01/T02"]
    with pytest.raises(PlanError, match="M001/S01/T09"):
        _ = [done async for done in run_plan(dispatcher(plan, ledger, agent), only="M001/S01/T09")]


async def test_a_full_budget_stops_unless_somebody_says_to_go_on(plan: GsdPlan, ledger: SqliteLedger) -> None:
    runner = dispatcher(plan, ledger, practice(), budget_ceiling=0.00001)
    with pytest.raises(BudgetError):
        _ = [done async for done in run_plan(runner)]
    spent = len(ledger.records(plan.project))
    asked: list[str] = []

    def go_on(why: str) -> bool:
        asked.append(why)
        return True

    results = [done async for done in run_plan(runner, go_on=go_on, max_units=2)]
    assert len(results) == 2
    assert len(asked) == 1
    assert len(ledger.records(plan.project)) == spent + 2
    halted = dispatcher(plan, ledger, practice(), budget_ceiling=0.00001, budget_enforcement="halt")
    with pytest.raises(BudgetError):
        _ = [done async for done in run_plan(halted, go_on=go_on)]
    assert len(asked) == 1


async def test_a_budget_is_announced_once_per_mark(plan: GsdPlan, ledger: SqliteLedger) -> None:
    heard = Heard()
    runner = dispatcher(plan, ledger, practice(), budget_ceiling=0.001, budget_enforcement="warn")
    _ = [done async for done in run_plan(runner, watcher=heard)]
    alerts = [line for line in heard.said if line.startswith("alert")]
    assert alerts
    assert len(set(alerts)) == len({line.split(":")[1] for line in alerts}) == len(alerts)


REVIEW = PostUnitHook(
    name="review", after=("execute-task",), prompt="Look at {taskId}.", artifact="REVIEW.md", retry_on="AGAIN.md", max_cycles=2
)


async def test_a_hook_follows_its_unit_and_may_ask_for_it_again(plan: GsdPlan, ledger: SqliteLedger) -> None:
    tasks = Path(plan.project, ".gsd/milestones/M001/slices/S01/tasks")

    def unhappy(_: Job) -> list[Event]:
        (tasks / "T01-AGAIN.md").write_text("the greeting is missing")
        (tasks / "T01-REVIEW.md").unlink(missing_ok=True)
        return [USED, Finished()]

    def happy(_: Job) -> list[Event]:
        (tasks / "T01-REVIEW.md").write_text("fine")
        return [USED, Finished()]

    actor = Actor(writes(README_md="# Hello\n"), unhappy, writes(README_md="# Hello!\n"), happy)
    lenient = msgspec.structs.replace(REVIEW, artifact="")
    runner = dispatcher(plan, ledger, actor, post_unit_hooks=(lenient,))
    results = [done async for done in run_plan(runner, max_units=1)]
    assert [(done.unit.type, done.failed) for done in results] == [
        ("execute-task", False),
        ("hook/review", False),
        ("execute-task", False),
        ("hook/review", False),
    ]
    assert "the greeting is missing" in actor.jobs[2].prompt
    assert actor.jobs[1].prompt == "## UNIT: Hook Review T01\n\nLook at T01."
    assert not (tasks / "T01-AGAIN.md").exists()
    assert [record.attempt.cause for record in reversed(ledger.records(plan.project))] == ["first", "first", "again", "first"]


async def test_a_hook_that_always_asks_again_ends(plan: GsdPlan, ledger: SqliteLedger) -> None:
    tasks = Path(plan.project, ".gsd/milestones/M001/slices/S01/tasks")

    def act(job: Job) -> list[Event]:
        if job.unit.is_hook:
            (tasks / "T01-AGAIN.md").write_text("again!")
        Path(job.workdir, "README.md").write_text(job.unit.type + str(len(actor.jobs)))
        return [USED, Finished()]

    actor = Actor(act)
    hook = msgspec.structs.replace(REVIEW, artifact="", max_cycles=3)
    runner = dispatcher(plan, ledger, actor, post_unit_hooks=(hook,))
    _ = [done async for done in run_hooks(runner, task(plan))]
    assert [job.unit.type for job in actor.jobs].count("hook/review") == 3


def left_behind(ledger: SqliteLedger, plan: GsdPlan, use: Use, *, key: str = "k1") -> int:
    """An attempt whose process died."""
    unit = task(plan)
    attempt = Attempt(
        project=plan.project,
        unit_type=unit.type,
        unit_id=unit.id,
        model="anthropic/claude-haiku-4-5",
        ceiling="anthropic/claude-opus-4-6",
        agent="practice",
        started=1.0,
        reserved_usd=5.0,
        key=key,
    )
    number = ledger.begin(attempt)
    ledger.note_use(number, use)
    return number


async def test_what_was_under_way_is_settled_with_what_it_used_and_runs_again(plan: GsdPlan, ledger: SqliteLedger) -> None:
    left_behind(ledger, plan, Use(tokens=Tokens(input=70), requests=1, cost_usd=0.1))
    (said,) = await settle_left_behind(dispatcher(plan, ledger, Actor(writes())))
    assert said == "execute-task M001/S01/T01 was under way when its run died: it runs again"
    (record,) = ledger.records(plan.project)
    assert record.outcome is not None
    assert (record.outcome.failure, record.outcome.tokens) == ("cancelled", Tokens(input=70))
    assert ledger.spent(plan.project).usd == pytest.approx(0.1)
    assert not task(plan).done


async def test_what_passes_through_a_gateway_is_not_a_runs_to_end(plan: GsdPlan, ledger: SqliteLedger) -> None:
    ledger.begin(Attempt(project=plan.project, unit_type="conversation", unit_id="s1", agent="gateway", started=1.0, key="k"))
    assert await settle_left_behind(dispatcher(plan, ledger, Actor(writes()))) == []
    assert len(ledger.unfinished(plan.project)) == 1


async def test_what_its_agent_had_finished_is_ticked_and_not_paid_again(plan: GsdPlan, ledger: SqliteLedger) -> None:
    left_behind(ledger, plan, Use(tokens=Tokens(input=70), requests=1, cost_usd=0.1, ended=True))
    (said,) = await settle_left_behind(dispatcher(plan, ledger, Actor(writes())))
    assert said.endswith("was done when its run died: recorded")
    assert task(plan).done
    (record,) = ledger.records(plan.project)
    assert isinstance(record.outcome, Outcome)
    assert record.outcome.failure is None


def test_two_runs_on_one_plan_do_not_mix(tmp_path: Path) -> None:
    hold = (
        "import sys, pathlib; from stepdown.dispatch.lock import only_run\n"
        "with only_run('/p', pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {other.pid} is running the plan of /p"), only_run("/p", tmp_path):
            pass
        with only_run("/q", tmp_path):
            pass
        other.kill()
    with only_run("/p", tmp_path):
        pass


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show what a process was started with")
def test_an_agent_that_outlived_its_run_is_ended_and_nobody_else() -> None:
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "STEPDOWN_ATTEMPT": key}) for key in ("a1", "a12")
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        assert end_left_behind({"a1", ""}) == 1
        assert started[0].wait(timeout=10) == -9
        assert started[1].poll() is None
    finally:
        for process in started:
            process.kill()
            process.communicate()


async def test_what_an_agent_used_that_never_said_so_is_unknown_and_not_zero(plan: GsdPlan, ledger: SqliteLedger) -> None:
    left_behind(ledger, plan, Use())
    await settle_left_behind(dispatcher(plan, ledger, Actor(writes())))
    (record,) = ledger.records(plan.project)
    assert record.outcome is not None
    assert (record.outcome.tokens, record.outcome.cost_usd, record.outcome.cost_source) == (None, None, "unknown")
