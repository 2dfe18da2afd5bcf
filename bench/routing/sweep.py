"""Stop rules against each other, in hindsight, in a plain cascade and in the shipped router: what each saves, what it kills."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bench.routing.bootstrap import Interval, PerTask, interval, measures
from bench.routing.data import Dataset, Field, Run
from bench.routing.episode import Course, Episode, episode
from bench.routing.simple import fixed
from bench.routing.stops import Measure, Never, Percentile, Rule, Shipped, attempt, measured, nearest_rank
from bench.routing.verifier import Verifier
from bench.routing.world import Rules, World
from stepdown.policy import DEFAULT_POLICY

SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

ENOUGH: Final = 50
"""Runs of a model below which its percentiles in hindsight say nothing."""

MakeRule = Callable[[], Rule]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What stopping at a percentile would have done to one model's runs, in hindsight.

    Attributes:
        failing: share of the failing runs that are stopped.
        solving: share of the solving runs that are stopped, and so killed.
        spared: share of the model's dollars that is not spent.
        wrong: share of the stopped runs that would have solved.
    """

    failing: float
    solving: float
    spared: float
    wrong: float


def cut(runs: Sequence[Run], share: float, measure: Measure) -> Cut:
    """Stop every run beyond the percentile of all of them, solved or not."""
    limit = nearest_rank(sorted(measured(run, measure) for run in runs), share)
    beyond = [run for run in runs if measured(run, measure) > limit]
    killed = sum(run.solved for run in beyond)
    solved = sum(run.solved for run in runs)
    spared = sum(run.cost * (1 - limit / measured(run, measure)) for run in beyond)
    return Cut(
        failing=(len(beyond) - killed) / max(1, len(runs) - solved),
        solving=killed / max(1, solved),
        spared=spared / sum(run.cost for run in runs),
        wrong=killed / max(1, len(beyond)),
    )


def separation(runs: Sequence[Run], measure: Measure) -> float:
    """How well a measure tells failing runs from solving ones: the chance that the failing one of two has more of it (AUC)."""
    failing = [measured(run, measure) for run in runs if not run.solved]
    solving = [measured(run, measure) for run in runs if run.solved]
    if not failing or not solving:
        return 0.5
    more = sum((bad > good) + (bad == good) / 2 for bad in failing for good in solving)
    return more / (len(failing) * len(solving))


def runs_of(datasets: Iterable[Dataset]) -> dict[str, list[Run]]:
    """Per model all its runs, for models that have enough of them."""
    found: dict[str, list[Run]] = {}
    for dataset in datasets:
        for model, tasks in dataset.runs.items():
            found.setdefault(model, []).extend(run for runs in tasks.values() for run in runs)
    return {model: runs for model, runs in found.items() if len(runs) >= ENOUGH}


def cascade(one: Episode, rule: Rule, start: int) -> list[Course]:
    """Every task from one tier upwards, a step for every flag and every stop; nothing is learned but the rule's own limits."""
    courses: dict[int, Course] = {}
    for position in one.order:
        cost, stopped, killed = 0.0, 0, 0
        for rank in range(start, 3):
            trial = one.trials[position][rank]
            made = attempt(rule, rank, trial.run, 0, (), can_step_up=rank < 2)
            cost, stopped = cost + made.paid.cost, stopped + made.stopped
            killed += made.stopped and trial.run.solved
            if not (made.stopped or trial.flagged) or rank == 2:
                break
        courses[position] = Course(
            started=start,
            ended=rank,
            solved=made.paid.solved,
            cost=cost,
            steps_up=rank - start,
            stopped=stopped,
            killed=killed,
        )
    return [courses[position] for position in range(len(one.trials))]


def learned_rules() -> dict[str, MakeRule]:
    """The rules that are tried, by name; each learns its limits as attempts end."""
    rules: dict[str, MakeRule] = {"never": Never, "shipped": Shipped}
    for measure in ("cost", "steps"):
        for share in SHARES:
            rules[f"{measure} p{share * 100:.0f}"] = _percentile(share, 1.0, measure)
    for share, multiple in (
        (0.5, 2.0),
        (0.5, 2.5),
        (0.5, 3.0),
        (0.5, 4.0),
        (0.5, 5.0),
        (0.8, 1.5),
        (0.9, 1.5),
        (0.9, 2.0),
        (0.9, 3.0),
    ):
        rules[f"{multiple:g} x cost p{share * 100:.0f}"] = _percentile(share, multiple, "cost")
    rules["3 x steps p50"] = _percentile(0.5, 3.0, "steps")
    for share, multiple in ((0.5, 3.0), (0.5, 4.0), (0.5, 5.0), (0.9, 1.5), (0.9, 2.0), (0.9, 3.0)):
        rules[f"{multiple:g} x cost p{share * 100:.0f}, heavy too"] = _percentile(share, multiple, "cost", always=True)
    for multiple in (1.5, 2.0, 4.0):
        policy = msgspec.structs.replace(DEFAULT_POLICY, watch_multiple=multiple)
        rules[f"shipped at {multiple:g} x"] = partial(Shipped, policy)
    return rules


def hindsight_rules(field: Field) -> dict[str, MakeRule]:
    """The same percentiles of cost, known from the start: what learning them costs is the difference."""
    known = [[run.cost for task in field.tasks for run in task.runs[rank]] for rank in range(3)]
    return {f"cost p{share * 100:.0f} in hindsight": _percentile(share, 1.0, "cost", known=known) for share in SHARES}


ROUTED: Final = (
    "never",
    "shipped",
    "shipped at 1.5 x",
    "shipped at 2 x",
    "shipped at 4 x",
    "cost p80",
    "cost p90",
    "3 x cost p50",
    "4 x cost p50",
    "4 x cost p50, heavy too",
    "5 x cost p50, heavy too",
    "2 x cost p90",
    "2 x cost p90, heavy too",
    "3 x cost p90, heavy too",
)
"""The rules that are also tried in the shipped router, where one play takes a hundred times as long."""


def _percentile(
    share: float, multiple: float, measure: Measure, *, always: bool = False, known: Sequence[Sequence[float]] | None = None
) -> MakeRule:
    return lambda: Percentile(share, multiple=multiple, measure=measure, always=always, known=known)


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule does to a policy on one field.

    Attributes:
        stopped: attempts stopped per task.
        killed: of these, the ones that would have solved, per task.
        saving: against always-heavy.
        difference: against always-heavy.
        cheaper: per draw of tasks, the share of dollars that is saved against the same policy without a stop.
        better: per draw of tasks, the solved rate against it.
    """

    stopped: float
    killed: float
    saving: float
    difference: float
    cheaper: tuple[float, ...]
    better: tuple[float, ...]


def of_cascade(field: Field, verifier: Verifier, start: int, seeds: int) -> dict[str, Effect]:
    """Every rule but the shipped one, which asks for tokens and patterns, in the plain cascade from one tier upwards."""
    rules = learned_rules() | hindsight_rules(field)
    rules = {name: make for name, make in rules.items() if not name.startswith("shipped")}
    return _effects(field, verifier, seeds, {name: _cascading(make, start) for name, make in rules.items()})


def of_router(field: Field, verifier: Verifier, seeds: int) -> dict[str, Effect]:
    """Some rules in the shipped router."""
    rules = learned_rules()
    worlds = {name: World(field, Rules(stops=rules[name])) for name in ROUTED}
    return _effects(field, verifier, seeds, {name: world.play for name, world in worlds.items()})


def _cascading(make: MakeRule, start: int) -> Callable[[Episode], list[Course]]:
    return lambda one: cascade(one, make(), start)


def _effects(
    field: Field, verifier: Verifier, seeds: int, plays: Mapping[str, Callable[[Episode], list[Course]]]
) -> dict[str, Effect]:
    worlds = [episode(field, verifier, seed) for seed in range(seeds)]
    played = {name: [play(one) for one in worlds] for name, play in plays.items()}
    heavy = _per_task([fixed(one, 2) for one in worlds])
    per_task = {name: _per_task(courses) for name, courses in played.items()}
    found = {}
    for name, courses in played.items():
        against_heavy, against_never = (measures(per_task[name], base) for base in (heavy, per_task["never"]))
        count = seeds * len(field.tasks)
        found[name] = Effect(
            stopped=sum(course.stopped for each in courses for course in each) / count,
            killed=sum(course.killed for each in courses for course in each) / count,
            saving=against_heavy.saving[0],
            difference=against_heavy.difference[0],
            cheaper=against_never.saving,
            better=against_never.difference,
        )
    return found


def _per_task(episodes: Sequence[Sequence[Course]]) -> PerTask:
    columns, count = list(zip(*episodes, strict=True)), len(episodes)
    return PerTask(
        cost=tuple(sum(course.cost for course in column) / count for column in columns),
        solved=tuple(sum(course.solved for course in column) / count for column in columns),
    )


class MeanEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The same averaged over fields, with intervals of what the rule changes."""

    stopped: float
    killed: float
    saving: float
    difference: float
    cheaper: float
    cheaper_within: Interval
    better: float
    better_within: Interval


def mean_of(effects: Sequence[Effect]) -> MeanEffect:
    """Averaged over fields; those over equally many tasks drew the same ones, and stay paired."""
    count = len(effects)
    cheaper, better = (
        [sum(each) / count for each in zip(*(getattr(effect, name) for effect in effects), strict=True)]
        for name in ("cheaper", "better")
    )
    return MeanEffect(
        stopped=sum(effect.stopped for effect in effects) / count,
        killed=sum(effect.killed for effect in effects) / count,
        saving=sum(effect.saving for effect in effects) / count,
        difference=sum(effect.difference for effect in effects) / count,
        cheaper=cheaper[0],
        cheaper_within=interval(cheaper),
        better=better[0],
        better_within=interval(better),
    )
