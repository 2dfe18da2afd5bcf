"""All policies over all seeds, for three models and one verifier: the numbers of one table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from bench.routing import simple
from bench.routing.bootstrap import Interval, Measures, PerTask, interval, measures
from bench.routing.data import Field
from bench.routing.episode import Course, Episode, episode
from bench.routing.verifier import Verifier
from bench.routing.world import Rules, World
from stepdown.preferences.schema import DynamicRouting
from stepdown.units import TIERS

SEEDS: Final = 20
"""Orders of the tasks and draws of the verifier that everything is averaged over."""

SIMPLE: Final = ("always-light", "always-standard", "always-heavy", "light+escalate", "standard+escalate", "random")
"""The bars to beat: what anybody can do without a router."""

MEANING: Final[Mapping[str, str]] = {
    "default": "the router as shipped",
    "threshold": "the router with `learning: threshold`",
    "expected_cost": "the router with `learning: expected_cost`",
    "static": "the router without a past: no evidence, no learned use, default limits",
    "default-to-ceiling": "the router with `escalate_to: ceiling`",
    "always-light": "every task once on light",
    "always-standard": "every task once on standard",
    "always-heavy": "every task once on heavy",
    "light+escalate": "light, then heavy where the verifier objects",
    "standard+escalate": "standard, then heavy where the verifier objects",
    "random": "default's shares dealt out blindly, one attempt each",
    "random+escalate": "the same blind deal, then heavy where the verifier objects",
    "oracle": "the cheapest model that solves the task, the cheapest of all where none does; nobody can know that",
}
"""What each policy is, in the order of the tables."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One policy's line.

    Attributes:
        policy: its name.
        cost_usd: mean US dollars per task, all attempts included.
        solved_rate: share of tasks whose last answer solves them.
        share: per tier, the share of tasks that started there.
        escalations: attempts after the first, per task.
        interval: 95 % interval of `solved_rate`.
        cost_per_solved: US dollars per solved task, failures included; None where nothing was solved.
        saving: share of always-heavy's dollars that was not spent; negative where more was.
        difference: `solved_rate` less always-heavy's.
        answered: per tier, the share of tasks whose last answer came from there.
        intervals: 95 % intervals of the other four, paired by task.
    """

    policy: str
    cost_usd: float
    solved_rate: float
    share: Mapping[str, float]
    escalations: float
    interval: Interval
    cost_per_solved: float | None
    saving: float
    difference: float
    answered: Mapping[str, float]
    intervals: Mapping[str, Interval | None]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One table: a field, a verifier, and a score per policy.

    Attributes:
        field: the models and how many tasks they share; without the tasks themselves.
        tasks: how many.
        mean_costs: US dollars per task on light, standard and heavy.
        verifier: who noticed failures.
        seeds: how many episodes were averaged.
        policies: the scores.
        drawn: per policy, what its intervals were taken from, to be averaged with other reports'.
    """

    field: Field
    tasks: int
    mean_costs: tuple[float, float, float]
    verifier: Verifier
    seeds: int
    policies: tuple[Score, ...]
    drawn: Mapping[str, Measures]

    def of(self, policy: str) -> Score:
        """The score of a policy by its name."""
        return next(score for score in self.policies if score.policy == policy)


def replay(field: Field, verifier: Verifier, *, seeds: int = SEEDS) -> Report:
    """Every policy on the same `seeds` episodes."""
    names = tuple(MEANING)
    worlds = _worlds(field)
    played: dict[str, list[list[Course]]] = {name: [] for name in names}
    for seed in range(seeds):
        for name, courses in _play(worlds, episode(field, verifier, seed)).items():
            played[name].append(courses)
    return report(field, verifier, played)


def report(field: Field, verifier: Verifier, played: Mapping[str, Sequence[Sequence[Course]]]) -> Report:
    """The numbers of any policies: per policy its episodes, seed by seed. ``always-heavy`` is among them."""
    per_task = {name: _per_task(episodes) for name, episodes in played.items()}
    drawn = {name: measures(per_task[name], per_task["always-heavy"]) for name in played}
    return Report(
        field=msgspec.structs.replace(field, tasks=()),
        tasks=len(field.tasks),
        mean_costs=(field.mean_cost(0), field.mean_cost(1), field.mean_cost(2)),
        verifier=verifier,
        seeds=len(played["always-heavy"]),
        policies=tuple(_score(name, drawn[name], episodes) for name, episodes in played.items()),
        drawn=drawn,
    )


def _worlds(field: Field) -> dict[str, World]:
    """Per routed policy, its router. The one that is the default is not played a second time."""
    rules = {
        "threshold": Rules(learning="threshold"),
        "expected_cost": Rules(learning="expected_cost"),
        "static": Rules(remembers=False),
        "default-to-ceiling": Rules(escalate_to="ceiling"),
    }
    return {name: World(field, each) for name, each in rules.items()}


def _play(worlds: Mapping[str, World], one: Episode) -> dict[str, list[Course]]:
    """One episode under every policy."""
    count = len(one.trials)
    played = {name: world.play(one) for name, world in worlds.items()}
    played["default"] = played[DynamicRouting().learning]
    starts = [course.started for course in played["default"]]
    single: dict[str, Callable[[], list[Course]]] = {
        "always-light": lambda: simple.fixed(one, 0),
        "always-standard": lambda: simple.fixed(one, 1),
        "always-heavy": lambda: simple.fixed(one, 2),
        "light+escalate": lambda: simple.then_heavy(one, [0] * count),
        "standard+escalate": lambda: simple.then_heavy(one, [1] * count),
        "random": lambda: simple.mixed(one, starts),
        "random+escalate": lambda: simple.mixed_then_heavy(one, starts),
        "oracle": lambda: simple.oracle(one),
    }
    return played | {name: play() for name, play in single.items()}


def _per_task(episodes: Sequence[Sequence[Course]]) -> PerTask:
    count = len(episodes)
    columns = list(zip(*episodes, strict=True))
    return PerTask(
        cost=tuple(sum(course.cost for course in column) / count for column in columns),
        solved=tuple(sum(course.solved for course in column) / count for column in columns),
    )


def _score(name: str, drawn: Measures, episodes: Sequence[Sequence[Course]]) -> Score:
    courses = [course for courses in episodes for course in courses]
    known = drawn.cost_per_solved[0] != float("inf")
    return Score(
        policy=name,
        cost_usd=drawn.cost[0],
        solved_rate=drawn.solved[0],
        share=_shares(course.started for course in courses),
        escalations=sum(course.steps_up for course in courses) / len(courses),
        interval=interval(drawn.solved),
        cost_per_solved=drawn.cost_per_solved[0] if known else None,
        saving=drawn.saving[0],
        difference=drawn.difference[0],
        answered=_shares(course.ended for course in courses),
        intervals={
            "cost_usd": interval(drawn.cost),
            "cost_per_solved": interval(drawn.cost_per_solved) if known else None,
            "saving": interval(drawn.saving),
            "difference": interval(drawn.difference),
        },
    )


def _shares(ranks: Iterable[int]) -> dict[str, float]:
    counts = [0, 0, 0]
    for rank in ranks:
        counts[rank] += 1
    return {str(tier): counts[tier.rank] / sum(counts) for tier in TIERS}
