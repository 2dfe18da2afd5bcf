"""One episode: every task once, in one order, with one set of draws. What happened to a task is a `Course`."""

import random
from collections.abc import Sequence

import msgspec

from bench.routing.data import Field, Run
from bench.routing.verifier import Verifier, chance


class Trial(msgspec.Struct, frozen=True):
    """What would happen if a task were tried on a model now: the recorded run, and whether verification would flag it."""

    run: Run
    flagged: bool


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task under one policy.

    Attributes:
        started: rank of the tier of the first attempt: 0 light, 1 standard, 2 heavy.
        ended: rank of the tier whose answer counts.
        solved: whether that answer solves the task.
        cost: US dollars of all attempts.
        steps_up: attempts after the first.
        stopped: attempts that were given up before their end.
        killed: of these, the ones that would have solved the task.
    """

    started: int
    ended: int
    solved: bool
    cost: float
    steps_up: int = 0
    stopped: int = 0
    killed: int = 0


class Episode(msgspec.Struct, frozen=True):
    """A seed's world.

    Attributes:
        seed: what all draws hang on.
        field: models and tasks.
        verifier: who notices failures.
        trials: per task, in the field's order, the trial on each tier.
        order: positions of the tasks in the order in which they come.
    """

    seed: int
    field: Field
    verifier: Verifier
    trials: tuple[tuple[Trial, Trial, Trial], ...]
    order: tuple[int, ...]


def episode(field: Field, verifier: Verifier, seed: int) -> Episode:
    """The world of one seed. Where a model was run on a task several times, the seed draws one of its runs."""
    trials = []
    for task in field.tasks:
        light, standard, heavy = (
            _trial(task.name, model, runs, verifier, seed) for model, runs in zip(field.models, task.runs, strict=True)
        )
        trials.append((light, standard, heavy))
    order = list(range(len(trials)))
    random.Random(seed).shuffle(order)
    return Episode(seed, field, verifier, tuple(trials), tuple(order))


def _trial(task: str, model: str, runs: Sequence[Run], verifier: Verifier, seed: int) -> Trial:
    run = runs[int(chance("run", seed, task, model) * len(runs))]
    return Trial(run, verifier.flags(seed, task, model, solved=run.solved))
