"""One unit over its attempts: what is recorded, verified, stepped up, put back, ticked, and what is not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from stage import USED, Act, Actor, Heard, fails, git, refs, task, writes

from stepdown.agents.port import Agent, Event, Finished, Job, Step, Used
from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.errors import BudgetError
from stepdown.ledger import Ledger
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.plans import GsdPlan
from stepdown.practice.agent import PracticeAgent
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.preferences.schema import PreDispatchHook
from stepdown.routing import Router
from stepdown.units import Tier, Tokens, Unit

CATALOG = Catalog.load()
PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6", fallbacks=("claude-opus-4-7",))},
    dynamic_routing=DynamicRouting(
        enabled=True,
        tier_models={Tier.LIGHT: ModelChoice("claude-haiku-4-5"), Tier.STANDARD: ModelChoice("claude-sonnet-4-6")},
    ),
    budget_ceiling=10.0,
)
SUMMARY = ".gsd/milestones/M001/slices/S01/tasks/T01-SUMMARY.md"


def dispatcher(
    plan: GsdPlan, ledger: Ledger, agent: Agent, preferences: Preferences = PREFERENCES, *, allowed: bool = True
) -> Dispatcher:
    return Dispatcher(Router(preferences, CATALOG), agent, ledger, plan, commands_allowed=allowed)


def test_a_unit_is_done_verified_recorded_and_ticked_and_ledger_and_provider_agree(plan: GsdPlan, ledger: SqliteLedger) -> None:
    provider, heard = PracticeProvider(latency=0), Heard()
    done = dispatcher(plan, ledger, PracticeAgent(provider)).run(task(plan), heard)
    assert not done.failed
    assert task(plan).done
    (record,) = ledger.records(plan.project)
    outcome = record.outcome
    assert outcome is not None
    assert outcome.verified
    assert any("test -f README.md" in line for line in outcome.evidence)
    assert (record.attempt.agent, record.attempt.downgraded, record.attempt.number) == ("practice", True, 1)
    assert outcome.tokens == sum((entry.tokens for entry in provider.log), Tokens())
    assert outcome.requests == len(provider.log)
    assert {entry.model for entry in provider.log} == {done.decision.model}
    assert {entry.attempt for entry in provider.log} == {record.attempt.key}
    model = CATALOG.resolve(done.decision.model)
    assert model is not None
    assert outcome.cost_usd == pytest.approx(sum(model.cost(entry.tokens) or 0 for entry in provider.log))
    assert msgspec.json.decode(record.attempt.decision)["model"] == done.decision.model
    assert heard.said[0] == f"starts execute-task M001/S01/T01 on {done.decision.ref}: first"
    assert heard.said[-1] == "ends M001/S01/T01: done"
    assert refs(plan) == []


def test_a_failed_check_steps_up_once_puts_the_tree_back_and_keeps_what_failed(plan: GsdPlan, ledger: SqliteLedger) -> None:
    readme = Path(plan.project, "README.md")
    Path(plan.project, "notes.txt").write_text("mine, not committed")

    def spoil(job: Job) -> list[Event]:
        readme.unlink()
        Path(job.workdir, "notes.txt").write_text("spoilt")
        return [USED, Finished()]

    def look(job: Job) -> list[Event]:
        assert readme.read_text() == "# Helo\n"
        assert Path(job.workdir, "notes.txt").read_text() == "mine, not committed"
        assert "## The attempt before" in job.prompt
        return writes(README_md="# Hello\n")(job)

    actor = Actor(spoil, look)
    done = dispatcher(plan, ledger, actor).run(task(plan))
    assert not done.failed
    assert (done.attempts, done.stepped_up) == (2, True)
    assert actor.models == ["claude-haiku-4-5", "claude-sonnet-4-6"]
    second, first = ledger.records(plan.project)
    assert first.outcome is not None
    assert second.outcome is not None
    assert (first.outcome.failure, first.outcome.verified, second.outcome.verified) == ("quality", False, True)
    assert (first.attempt.cause, second.attempt.cause) == ("first", "step up")
    assert refs(plan) == [first.outcome.kept]
    assert git(Path(plan.project), "show", f"{first.outcome.kept}:notes.txt") == "spoilt"
    events = ledger.evidence()["execute-task:docs"]
    assert [(event.tier, event.success) for event in events] == [(Tier.LIGHT, False)]


def test_it_ends_on_the_configured_model_and_leaves_the_last_work_in_place(plan: GsdPlan, ledger: SqliteLedger) -> None:
    actor = Actor(fails("quality", README_md="worse\n"))
    done = dispatcher(plan, ledger, actor).run(task(plan))
    assert done.failed
    assert actor.models == ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6"]
    assert done.reason == "the configured model failed as well"
    assert Path(plan.project, "README.md").read_text() == "worse\n"
    assert not task(plan).done
    kept = [
        record.outcome.kept for record in ledger.records(plan.project) if record.outcome is not None and record.outcome.kept
    ]
    assert sorted(refs(plan)) == sorted(kept)
    assert len(kept) == 2


def test_a_provider_failure_walks_the_chain_on_a_clean_tree(plan: GsdPlan, ledger: SqliteLedger) -> None:
    actor = Actor(fails("provider", half_py="x"), writes(README_md="# Hello\n"))
    done = dispatcher(plan, ledger, actor).run(task(plan))
    assert not done.failed
    assert actor.models == ["claude-haiku-4-5", "claude-opus-4-7"]
    assert not done.stepped_up
    assert not Path(plan.project, "half.py").exists()
    assert "execute-task:docs" not in ledger.evidence() or all(
        event.success for event in ledger.evidence()["execute-task:docs"]
    )


def test_a_rejected_model_is_blocked_for_the_next_unit_too(plan: GsdPlan, ledger: SqliteLedger) -> None:
    actor = Actor(fails("rejected"), writes(README_md="# Hello\n"))
    runner = dispatcher(plan, ledger, actor)
    assert not runner.run(task(plan)).failed
    assert [block.model for block in ledger.blocks(runner.clock())] == ["anthropic/claude-haiku-4-5"]
    assert runner.decide(task(plan, 2)).model == "claude-sonnet-4-6"


def test_without_the_users_word_no_command_of_the_plan_runs(plan: GsdPlan, ledger: SqliteLedger, tmp_path: Path) -> None:
    text = Path(plan.project, ".gsd/milestones/M001/slices/S01/S01-PLAN.md")
    text.write_text(text.read_text().replace("test -f README.md", f"touch {tmp_path}/ran"))
    done = dispatcher(plan, ledger, Actor(writes(README_md="# Hello\n")), allowed=False).run(task(plan))
    assert not (tmp_path / "ran").exists()
    assert done.outcome is not None
    assert any("not run" in line for line in done.outcome.evidence)
    assert not dispatcher(plan, ledger, Actor(writes(hello_py="x"))).run(task(plan, 2)).failed


def test_a_runaway_is_stopped_within_one_event_and_steps_up(plan: GsdPlan, ledger: SqliteLedger) -> None:
    seen: list[int] = []

    class Loops(Actor):
        async def run(self, job: Job) -> AsyncIterator[Event]:
            self.jobs.append(job)
            if len(self.jobs) > 1:
                for event in writes(README_md="# Hello\n")(job):
                    yield event
                return
            for number in range(100):
                seen.append(number)
                yield Step("tool", "Bash", "make")
                yield Step("result", "Bash", "error: no such target", error=True)

    agent = Loops()
    done = dispatcher(plan, ledger, agent).run(task(plan))
    assert done.attempts == 2
    assert len(seen) < 20
    first = ledger.records(plan.project)[-1]
    assert first.outcome is not None
    assert first.outcome.failure == "quality"


def test_the_cap_of_a_unit_ends_it(plan: GsdPlan, ledger: SqliteLedger) -> None:
    capped = msgspec.structs.replace(PREFERENCES, per_unit_cost_cap_usd=0.01)
    dear: Act = lambda _: [Used(Tokens(output=1_000_000)), Step("text", "", "and on"), Finished()]  # noqa: E731
    done = dispatcher(plan, ledger, Actor(dear), capped).run(task(plan))
    assert done.outcome is not None
    assert (done.attempts, done.outcome.failure) == (1, "budget")


def test_a_full_budget_starts_nothing(plan: GsdPlan, ledger: SqliteLedger) -> None:
    full = msgspec.structs.replace(PREFERENCES, budget_ceiling=0.0)
    with pytest.raises(BudgetError, match="budget_ceiling"):
        dispatcher(plan, ledger, Actor(writes()), full).run(task(plan))
    assert ledger.records(plan.project) == []
    assert refs(plan) == []


def test_hooks_before_a_unit_skip_it_or_change_what_the_agent_is_told(plan: GsdPlan, ledger: SqliteLedger) -> None:
    hook = PreDispatchHook(
        name="style", before=("execute-task",), action="modify", append="Be brief.", model="claude-sonnet-4-6"
    )
    actor = Actor(writes(README_md="# Hello\n"))
    done = dispatcher(plan, ledger, actor, msgspec.structs.replace(PREFERENCES, pre_dispatch_hooks=(hook,))).run(task(plan))
    assert done.hooks == ("style",)
    assert actor.models == ["claude-sonnet-4-6"]
    assert actor.jobs[0].prompt.rstrip().endswith("Be brief.")
    skip = PreDispatchHook(name="later", before=("execute-task",), action="skip")
    skipped = dispatcher(plan, ledger, actor, msgspec.structs.replace(PREFERENCES, pre_dispatch_hooks=(skip,))).run(
        task(plan, 2)
    )
    assert skipped.skipped == "skipped by the hook later"
    assert len(actor.jobs) == 1


def test_a_task_without_its_summary_is_done_and_says_so(plan: GsdPlan, ledger: SqliteLedger) -> None:
    done = dispatcher(plan, ledger, Actor(writes(README_md="# Hello\n"))).run(task(plan))
    assert not done.failed
    assert done.missing == (SUMMARY,)


def test_a_unit_whose_point_is_a_file_fails_without_it(plan: GsdPlan, ledger: SqliteLedger) -> None:
    done = dispatcher(plan, ledger, Actor(writes())).run(Unit("complete-slice", "M001/S01"))
    assert done.outcome is not None
    assert done.outcome.failure == "quality"
    assert "S01-SUMMARY.md" in done.outcome.message


def test_what_the_agent_reports_counts_where_no_price_is_known(plan: GsdPlan, ledger: SqliteLedger) -> None:
    def act(_: Job) -> list[Event]:
        return [Used(Tokens(input=10)), Finished(cost_usd=0.25, tokens=Tokens(input=10))]

    wanted = Preferences(models={"default": ModelChoice("house-model")})
    done = dispatcher(plan, ledger, Actor(act), wanted, allowed=False).run(task(plan))
    assert done.outcome is not None
    assert (done.outcome.cost_usd, done.outcome.cost_source, done.outcome.ceiling_cost_usd) == (0.25, "reported", None)


def test_as_a_library_it_needs_no_plan(tmp_path: Path) -> None:
    actor = Actor(writes())
    runner = Dispatcher(Router(PREFERENCES, CATALOG), actor, MemoryLedger(), workdir=tmp_path)
    done = runner.run(Unit("execute-task", "anything", "Say hello"))
    assert not done.failed
    assert done.outcome is not None
    assert done.outcome.verified is None
    assert "Say hello" in actor.jobs[0].prompt


async def test_a_cancelled_unit_is_settled_as_such(plan: GsdPlan, ledger: SqliteLedger) -> None:
    class Sleeps(Actor):
        async def run(self, job: Job) -> AsyncIterator[Event]:
            self.jobs.append(job)
            yield USED
            working.set()
            await asyncio.sleep(60)

    working = asyncio.Event()
    work = asyncio.create_task(dispatcher(plan, ledger, Sleeps()).dispatch(task(plan)))
    await working.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    (record,) = ledger.records(plan.project)
    assert record.outcome is not None
    assert (record.outcome.failure, record.outcome.tokens) == ("cancelled", USED.tokens)
    assert not task(plan).done
    assert len(refs(plan)) == 1  # where the next run goes on from


def test_a_unit_goes_on_from_where_a_broken_run_left_the_tree(plan: GsdPlan, ledger: SqliteLedger) -> None:
    def dies(job: Job) -> list[Event]:
        Path(job.workdir, "README.md").write_text("# Hello\n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dispatcher(plan, ledger, Actor(dies)).run(task(plan))
    assert Path(plan.project, "README.md").read_text() == "# Hello\n"
    # Its agent finds nothing left to do, and that is no failure: the unit as a whole has changed what it promised.
    assert not dispatcher(plan, ledger, Actor(writes())).run(task(plan)).failed
    assert refs(plan) == []
