"""The policies that need no router: the bars to beat, and the oracle that nobody can be."""

import random
from collections.abc import Sequence

from bench.routing.episode import Course, Episode

HEAVY = 2


def fixed(episode: Episode, rank: int) -> list[Course]:
    """Every task once on one tier's model: ``always-light``, ``always-standard``, ``always-heavy``. Nothing is verified."""
    return [_single(trials[rank].run.solved, trials[rank].run.cost, rank) for trials in episode.trials]


def then_heavy(episode: Episode, starts: Sequence[int]) -> list[Course]:
    """Every task on its tier; what verification flags goes straight to heavy, whose answer counts. No attempt is stopped."""
    courses = []
    for trials, rank in zip(episode.trials, starts, strict=True):
        first, heavy = trials[rank], trials[HEAVY]
        if rank < HEAVY and first.flagged:
            cost = first.run.cost + heavy.run.cost
            courses.append(Course(started=rank, ended=HEAVY, solved=heavy.run.solved, cost=cost, steps_up=1))
        else:
            courses.append(_single(first.run.solved, first.run.cost, rank))
    return courses


def mixed(episode: Episode, starts: Sequence[int]) -> list[Course]:
    """``random``: as many tasks on each tier as in `starts`, dealt out blindly; one attempt each, nothing is verified."""
    dealt = _dealt(episode, starts)
    return [
        _single(trials[rank].run.solved, trials[rank].run.cost, rank)
        for trials, rank in zip(episode.trials, dealt, strict=True)
    ]


def mixed_then_heavy(episode: Episode, starts: Sequence[int]) -> list[Course]:
    """The same blind deal, with verification and heavy behind it: what a policy is whose choice of tasks is worthless."""
    return then_heavy(episode, _dealt(episode, starts))


def oracle(episode: Episode) -> list[Course]:
    """Per task the cheapest model that solves it, by what it really cost; the cheapest of all where none does."""
    courses = []
    for trials in episode.trials:
        runs = [trial.run for trial in trials]
        rank = min(range(3), key=lambda rank: (not runs[rank].solved, runs[rank].cost))
        courses.append(_single(runs[rank].solved, runs[rank].cost, rank))
    return courses


def _single(solved: bool, cost: float, rank: int) -> Course:
    return Course(started=rank, ended=rank, solved=solved, cost=cost)


def _dealt(episode: Episode, starts: Sequence[int]) -> list[int]:
    dealt = list(starts)
    random.Random(f"deal {episode.seed}").shuffle(dealt)
    return dealt
