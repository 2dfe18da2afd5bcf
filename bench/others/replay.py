"""What became of the models that were chosen: the choices of any router on the same recorded runs, pure.

Twice: as the routers come, which is one attempt that nobody checks; and with verification and stepping up behind the same
choice, as the shipped product does it (a tier up, then the heavy model once more). Beside each choice stands a blind deal of
the same shares: what a router's choice of tasks is worth is how far it is from that.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.routing import simple
from bench.routing.data import Field
from bench.routing.episode import Course, Episode, episode
from bench.routing.replay import SEEDS, Report, report
from bench.routing.verifier import Verifier
from bench.routing.world import Rules, World

HEAVY: Final = 2
UNCHECKED: Final = Verifier(0.0, 0.0)
OURS: Final = "stepdown"
RANDOM: Final = "random like "


def stepped(one: Episode, starts: Sequence[int]) -> list[Course]:
    """Every task on its tier; what verification flags goes one tier up, and from there to heavy, whose answer counts.

    Without a verifier nothing is flagged: every task is tried once.
    """
    courses = []
    for trials, started in zip(one.trials, starts, strict=True):
        rank = started
        while rank < HEAVY and trials[rank].flagged:
            rank += 1
        runs = [trial.run for trial in trials[started : rank + 1]]
        courses.append(
            Course(
                started=started,
                ended=rank,
                solved=runs[-1].solved,
                cost=sum(run.cost for run in runs),
                steps_up=rank - started,
            )
        )
    return courses


def blind(one: Episode, starts: Sequence[int]) -> list[int]:
    """The same shares, dealt out at random by the episode's seed."""
    return [course.started for course in simple.mixed(one, starts)]


def compare(field: Field, chosen: Mapping[str, Mapping[str, int]], verifier: Verifier, *, seeds: int = SEEDS) -> Report:
    """One table.

    Args:
        field: the models and the tasks.
        chosen: per router, per text of a task, the rank of its tier. Equal choices are replayed once, under both names.
        verifier: with one that never flags, everything is a single attempt.
        seeds: draws of the verifier and of the blind deals.
    """
    own = World(field, Rules())
    starts = {name: [ranks[task.name] for task in field.tasks] for name, ranks in merged(chosen, field).items()}
    played: dict[str, list[list[Course]]] = {}

    def add(name: str, courses: list[Course]) -> None:
        played.setdefault(name, []).append(courses)

    for seed in range(seeds):
        one = episode(field, verifier, seed)
        for name, courses in _bars(one).items():
            add(name, courses)
        for name, ranks in starts.items():
            add(name, stepped(one, ranks))
            if len(set(ranks)) > 1:  # dealing out one tier is the same deal
                add(f"{RANDOM}{name}", stepped(one, blind(one, ranks)))
        add(OURS, own.play(one))
    return report(field, verifier, played)


def _bars(one: Episode) -> dict[str, list[Course]]:
    """What anybody can do without a router, by the names of the other tables."""
    heavy = {"always-heavy": simple.fixed(one, HEAVY)}
    if one.verifier.exists:
        light, standard = (simple.then_heavy(one, [rank] * len(one.trials)) for rank in (0, 1))
        return {"light+escalate": light, "standard+escalate": standard} | heavy
    return {"always-light": simple.fixed(one, 0), "always-standard": simple.fixed(one, 1)} | heavy


def merged(chosen: Mapping[str, Mapping[str, int]], field: Field) -> dict[str, Mapping[str, int]]:
    """Routers that chose alike for every task of a field share one name."""
    names: dict[tuple[int, ...], list[str]] = {}
    for name, ranks in chosen.items():
        names.setdefault(tuple(ranks[task.name] for task in field.tasks), []).append(name)
    return {_together(alike): chosen[alike[0]] for alike in names.values()}


def _together(labels: Sequence[str]) -> str:
    """``Switchyard 0.0``, ``Switchyard 0.3`` → ``Switchyard 0.0, 0.3``."""
    first, *others = labels
    router = first.split(" ")[0] + " "
    return ", ".join((first, *(label.removeprefix(router) for label in others)))
