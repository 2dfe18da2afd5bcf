"""The replay on a small made-up world: its JSON, its bars, and that it is the same every time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.routing import simple
from bench.routing.bootstrap import PerTask, interval, measures
from bench.routing.data import Field, Run, Task, load, select
from bench.routing.episode import episode
from bench.routing.replay import MEANING, replay
from bench.routing.stops import UNLIMITED, Never, Percentile, attempt, stopped_after
from bench.routing.sweep import cascade, cut, separation
from bench.routing.table import as_json, beaten
from bench.routing.triples import proposals
from bench.routing.verifier import Verifier, chance
from bench.routing.world import Rules, World, three_models
from stepdown.dispatch.watch import Limits
from stepdown.ledger.memory import MemoryLedger

MODELS = ("small", "middle", "large")
PERFECT, NONE, USUAL = Verifier(1.0, 0.0), Verifier(0.0, 0.0), Verifier(0.7, 0.1)
REPOSITORY = Path(__file__).resolve().parents[2]


def made(count: int = 40) -> Field:
    """Small solves every other task, middle all but every fifth, large all but every tenth; each is ten times as dear."""
    tasks = []
    for number in range(count):
        solved = (number % 2 == 0, number % 5 != 0, number % 10 != 0)
        runs = [(Run(each, cost * (1 + number % 3), 5 + number),) for each, cost in zip(solved, (0.01, 0.1, 1.0), strict=True)]
        tasks.append(Task(f"t{number:02}", f"Repair thing {number}\n\nIt is broken.", (runs[0], runs[1], runs[2])))
    return Field(datasets=("made",), models=MODELS, tasks=tuple(tasks))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    rows = ["task,model,resolved,cost_usd,api_calls"]
    for task in made(12).tasks:
        for model, (run,) in zip(MODELS, task.runs, strict=True):
            rows.append(f"{task.name},{model},{int(run.solved)},{run.cost},{run.calls}")
    (tmp_path / "made.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "made_statements.json").write_text(json.dumps({task.name: task.text for task in made(12).tasks}))
    return tmp_path


def test_always_is_exact() -> None:
    field = made()
    report = replay(field, USUAL, seeds=2)
    for rank, tier in enumerate(("light", "standard", "heavy")):
        score = report.of(f"always-{tier}")
        runs = [task.runs[rank][0] for task in field.tasks]
        assert score.cost_usd == pytest.approx(sum(run.cost for run in runs) / len(runs))
        assert score.solved_rate == pytest.approx(sum(run.solved for run in runs) / len(runs))
        assert (score.share[tier], score.escalations) == (1.0, 0.0)
    assert report.of("always-heavy").intervals["saving"] == (0.0, 0.0)


def test_no_policy_solves_more_than_the_oracle() -> None:
    report = replay(made(), USUAL, seeds=2)
    assert report.of("oracle").solved_rate == max(score.solved_rate for score in report.policies)


def test_the_oracle_takes_the_cheapest_that_solves_and_the_cheapest_where_none_does() -> None:
    one = episode(made(), NONE, 0)
    for task, course in zip(one.field.tasks, simple.oracle(one), strict=True):
        solving = [runs[0].cost for runs in task.runs if runs[0].solved]
        assert course.solved == bool(solving)
        assert course.cost == min(solving or [runs[0].cost for runs in task.runs])


def test_a_perfect_verifier_sends_up_exactly_what_failed() -> None:
    one = episode(made(), PERFECT, 0)
    for task, course in zip(one.field.tasks, simple.then_heavy(one, [0] * 40), strict=True):
        light, _, heavy = (runs[0] for runs in task.runs)
        assert course.steps_up == (not light.solved)
        assert course.solved == (light.solved or heavy.solved)
        assert course.cost == pytest.approx(light.cost + (0 if light.solved else heavy.cost))


def test_without_a_verifier_nothing_steps_up() -> None:
    report = replay(made(), NONE, seeds=2)
    assert all(report.of(name).escalations == 0 for name in ("light+escalate", "standard+escalate", "random+escalate"))
    assert report.of("light+escalate").cost_usd == report.of("always-light").cost_usd


def test_random_deals_out_the_shares_of_the_default() -> None:
    report = replay(made(), USUAL, seeds=3)
    assert report.of("random").share == report.of("default").share


@pytest.mark.parametrize("rules", [Rules(), Rules(learning="expected_cost"), Rules(escalate_to="ceiling")])
def test_the_router_plays_the_same_with_the_ledgers_plain_twin(monkeypatch: pytest.MonkeyPatch, rules: Rules) -> None:
    field = made(60)
    one = episode(field, USUAL, 1)
    quick = World(field, rules).play(one)

    class Plain(MemoryLedger):
        def __init__(self, window: int) -> None:
            super().__init__()

    monkeypatch.setattr("bench.routing.world.ReplayLedger", Plain)
    assert World(field, rules).play(one) == quick


def test_a_course_costs_what_its_attempts_cost() -> None:
    field = made()
    one = episode(field, PERFECT, 0)
    for task, course in zip(field.tasks, World(field, Rules(stops=Never)).play(one), strict=True):
        tried = [task.runs[rank][0] for rank in range(course.started, course.ended + 1)]
        assert course.steps_up == len(tried) - 1
        assert course.cost == pytest.approx(sum(run.cost for run in tried))
        assert course.solved == tried[-1].solved


def test_the_future_is_not_known() -> None:
    """What becomes of the first half of the tasks does not hang on how the second half goes."""
    field = made(40)
    one = episode(field, USUAL, 3)
    late = set(one.order[20:])
    changed = [
        Task(task.name, task.text, ((Run(False, 9.0, 99),), (Run(False, 9.0, 99),), (Run(False, 9.0, 99),)))
        if position in late
        else task
        for position, task in enumerate(field.tasks)
    ]
    other_field = Field(datasets=("made",), models=MODELS, tasks=tuple(changed))
    other = World(other_field, Rules(learning="expected_cost")).play(episode(other_field, USUAL, 3))
    known = World(field, Rules(learning="expected_cost")).play(one)
    assert [known[position] for position in one.order[:20]] == [other[position] for position in one.order[:20]]


def test_several_runs_of_a_task_are_drawn_one_a_seed() -> None:
    runs = (Run(True, 1.0, 1), Run(False, 3.0, 1))
    field = Field(datasets=("made",), models=MODELS, tasks=(Task("t", "", (runs, runs, runs)),))
    drawn = {episode(field, NONE, seed).trials[0][0].run for seed in range(20)}
    assert drawn == set(runs)


def test_chance_is_by_name_and_even() -> None:
    assert chance("a", 1) == chance("a", 1) != chance("a", 2)
    values = [chance("x", number) for number in range(2_000)]
    assert all(0 <= value < 1 for value in values)
    assert 0.47 < sum(values) / len(values) < 0.53


def test_a_better_verifier_misses_no_failure_that_a_worse_one_notices() -> None:
    for seed in range(200):
        if Verifier(0.4, 0.0).flags(seed, "t", "m", solved=False):
            assert Verifier(0.8, 0.0).flags(seed, "t", "m", solved=False)


def test_paired_intervals_know_that_the_tasks_are_the_same() -> None:
    heavy = PerTask((1.0, 2.0, 3.0, 4.0) * 10, (1.0, 0.0, 1.0, 0.0) * 10)
    half = PerTask(tuple(cost / 2 for cost in heavy.cost), heavy.solved)
    found = measures(half, heavy)
    assert interval(found.saving) == pytest.approx((0.5, 0.5))
    assert interval(found.difference) == (0.0, 0.0)
    low, high = interval(found.solved)
    assert low < found.solved[0] == 0.5 < high
    assert found.cost_per_solved[0] == pytest.approx(2.5)


def test_nothing_solved_has_no_price() -> None:
    tasks = tuple(Task(str(number), "", ((Run(False, 1.0, 1),),) * 3) for number in range(5))
    report = replay(Field(datasets=("made",), models=MODELS, tasks=tasks), USUAL, seeds=1)
    assert report.of("always-heavy").cost_per_solved is None
    assert json.loads(as_json(report))["policies"]


def test_a_policy_is_beaten_only_by_one_that_is_cheaper_and_better() -> None:
    report = replay(made(), PERFECT, seeds=2)
    own = report.of("default")
    for name in beaten(report):
        bar = report.of(name)
        assert bar.cost_usd < own.cost_usd
        assert bar.solved_rate > own.solved_rate


@pytest.mark.parametrize(
    ("limits", "after"),
    [
        (UNLIMITED, None),
        (Limits(steps=10, tokens=10**9), None),
        (Limits(steps=9, tokens=10**9), 10),
        (Limits(steps=99, tokens=10**9, cost_usd=0.45), 5),
        (Limits(steps=99, tokens=250), 3),
    ],
)
def test_a_run_is_stopped_by_the_request_that_passes_a_limit(limits: Limits, after: int | None) -> None:
    assert stopped_after(Run(True, 1.0, 10), 1_000, limits) == after


def test_what_was_stopped_counts_as_endless_so_that_the_limit_does_not_creep() -> None:
    rule = Percentile(0.5, minimum=4)
    for number in range(400):
        attempt(rule, 0, Run(True, 1.0 + number % 10, 100), 0, (), can_step_up=True)
    limit = rule.limits(0, (), can_step_up=True).cost_usd
    assert limit == pytest.approx(5.0, abs=1.0)
    assert rule.limits(0, (), can_step_up=False) == UNLIMITED


def test_a_cascade_pays_only_what_ran_before_the_stop() -> None:
    one = episode(made(), NONE, 0)
    known = [[0.005], [10.0], [10.0]]
    courses = cascade(one, Percentile(0.5, known=known, minimum=1), 0)
    assert all(course.stopped == 1 and course.ended == 1 for course in courses)
    assert all(course.killed == task.runs[0][0].solved for task, course in zip(one.field.tasks, courses, strict=True))
    assert sum(course.cost for course in courses) < sum(task.runs[0][0].cost + task.runs[1][0].cost for task in one.field.tasks)


def test_a_cut_in_hindsight_counts_what_it_kills() -> None:
    runs = [Run(True, 1.0, 1)] * 5 + [Run(False, 3.0, 1)] * 4 + [Run(True, 3.0, 1)]
    found = cut(runs, 0.5, "cost")
    assert [found.failing, found.solving, found.wrong] == pytest.approx([1, 1 / 6, 1 / 5])
    assert found.spared == pytest.approx(10 / 20)
    assert separation(runs, "cost") == pytest.approx((4 * 5 + 4 * 0.5) / 24)


def test_models_keep_the_order_of_their_list_prices() -> None:
    light, standard, heavy = three_models(("claude-haiku-4-5", "nobody-knows", "claude-opus-4-5"))
    prices = [model.price.rates.input for model in (light, standard, heavy) if model.price]
    assert prices == sorted(prices)
    assert prices[0] > 0


def test_a_directory_without_known_triples_has_its_own(directory: Path) -> None:
    (proposal,) = proposals(load(directory))
    assert proposal.field.models == MODELS
    assert proposal.sensible


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, timeout=120, check=False)


def test_the_program_prints_json_and_the_same_each_time(directory: Path) -> None:
    arguments = ["bench.routing", "--data", str(directory), "--seeds", "2", "--json", "--verifier-recall", "0.7"]
    arguments += ["--light", "small", "--standard", "middle", "--heavy", "large", "--false-alarms", "0.1"]
    first, second = ran(*arguments), ran(*arguments)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    found: dict[str, Any] = json.loads(first.stdout)
    assert [policy["policy"] for policy in found["policies"]] == list(MEANING)
    for policy in found["policies"]:
        assert {"policy", "cost_usd", "solved_rate", "share", "escalations", "interval"} <= policy.keys()
        assert sum(policy["share"].values()) == pytest.approx(1)
        assert policy["interval"][0] <= policy["solved_rate"] <= policy["interval"][1]
    report = replay(select(load(directory), MODELS), USUAL, seeds=2)
    assert json.loads(as_json(report)) == found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--light", "smal"), "did you mean 'small'?"),
        (("--data", "nowhere"), "nowhere is not a directory"),
        (("--verifier-recall", "70"), "must be a share from 0 to 1"),
        (("--seeds", "0"), "must be a whole number above 0"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(directory: Path, changed: tuple[str, str], said: str) -> None:
    given = {"--data": str(directory), "--light": "small", "--standard": "middle", "--heavy": "large", changed[0]: changed[1]}
    done = ran("bench.routing", *(word for pair in given.items() for word in pair))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_suite_prints_every_table_and_the_goal(directory: Path) -> None:
    done = ran("bench.routing.suite", "--data", str(directory), "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| expected_cost ") == 3 + 6
    assert "no simple policy both cheaper and better" in done.stdout


def test_watching_sweeps(directory: Path) -> None:
    done = ran("bench.routing.watching", "--data", str(directory), "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| never ") == 6
