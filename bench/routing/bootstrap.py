"""How sure the numbers are: the tasks are drawn again, with replacement, for all policies alike (a paired bootstrap).

What is drawn again is tasks, by which outcomes vary most. What a policy did with a task is kept as it was: that it would have
learned something else from other tasks is not in the interval, nor is what the recorded runs themselves left to chance.
"""

import random
from collections.abc import Sequence
from functools import lru_cache

import msgspec

DRAWS = 2_000
LEVEL = 0.95

Interval = tuple[float, float]


class PerTask(msgspec.Struct, frozen=True):
    """One policy, per task and averaged over the seeds: US dollars, and the share of seeds in which it was solved."""

    cost: tuple[float, ...]
    solved: tuple[float, ...]


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What is reported of a policy, per draw of tasks.

    Attributes:
        cost: US dollars per task.
        solved: share of tasks solved.
        cost_per_solved: US dollars per solved task, failures included; infinite where none was solved.
        saving: share of always-heavy's dollars that was not spent.
        difference: solved rate less always-heavy's.
    """

    cost: tuple[float, ...]
    solved: tuple[float, ...]
    cost_per_solved: tuple[float, ...]
    saving: tuple[float, ...]
    difference: tuple[float, ...]


def measures(policy: PerTask, heavy: PerTask, draws: int = DRAWS) -> Measures:
    """The measures as they are (first), then once per draw. The same tasks are drawn for every policy of as many tasks."""
    cost, solved = _drawn_means(policy.cost, draws), _drawn_means(policy.solved, draws)
    top, best = _drawn_means(heavy.cost, draws), _drawn_means(heavy.solved, draws)
    return Measures(
        cost=cost,
        solved=solved,
        cost_per_solved=tuple(a / b if b else float("inf") for a, b in zip(cost, solved, strict=True)),
        saving=tuple(1 - a / b if b else 0.0 for a, b in zip(cost, top, strict=True)),
        difference=tuple(a - b for a, b in zip(solved, best, strict=True)),
    )


def interval(values: Sequence[float]) -> Interval:
    """The middle 95 % of the draws; `values` as `measures` gives them."""
    drawn = sorted(values[1:])
    cut = round((1 - LEVEL) / 2 * len(drawn))
    return (drawn[cut], drawn[-1 - cut]) if drawn else (values[0], values[0])


@lru_cache(maxsize=8)
def _drawn_means(values: tuple[float, ...], draws: int) -> tuple[float, ...]:
    """The mean of the values as they are, then of each draw. Cached: always-heavy's are asked for with every policy."""
    count = len(values)
    return sum(values) / count, *(sum(map(values.__getitem__, drawn)) / count for drawn in _draws(count, draws))


@lru_cache(maxsize=4)
def _draws(count: int, draws: int) -> tuple[list[int], ...]:
    chance = random.Random(f"bootstrap {count}")
    return tuple(chance.choices(range(count), k=count) for _ in range(draws))
