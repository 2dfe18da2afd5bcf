"""How often attempts fail: three assumptions, from none to what was measured on harder work than most of a plan's."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.expectations import read_rows
from stepdown.odds import priors
from stepdown.policy import Policy
from stepdown.units import TIERS, Tier

MEASURED_ON: Mapping[Tier, str] = {
    Tier.LIGHT: "gpt-5-mini-2025-08-07",
    Tier.STANDARD: "gpt-5-2025-08-07",
    Tier.HEAVY: "claude-opus-4-5-20251101",
}
"""The models of ``outcomes/swebench_verified_django.csv`` that stand for the tiers."""

Chance = Callable[[Tier, Sequence[Tier], Tier], float]
"""From the tier the work needs, the tiers that failed it already, and the tier that tries: the chance that it fails too."""


class Failing(msgspec.Struct, frozen=True):
    """One assumption: its name, one line about it, and the chances."""

    name: str
    about: str
    chance: Chance


def never(_needed: Tier, _failed: Sequence[Tier], _tier: Tier) -> float:
    """Nothing fails."""
    return 0.0


def assumed(policy: Policy) -> Chance:
    """The chances that routing itself starts from; whether another model failed before says nothing."""
    return lambda needed, _failed, tier: priors(needed, policy)[tier.rank]


class Measured:
    """Chances counted on tasks that all three models tried, whatever the work needs.

    After a failure only the tasks that the failed models failed are counted: what defeats one model is harder for the next.
    """

    def __init__(self, tasks: Sequence[tuple[bool, bool, bool]]) -> None:
        """Per task, whether a light, a standard and a heavy model solved it."""
        self._tasks = tasks

    def __call__(self, _needed: Tier, failed: Sequence[Tier], tier: Tier) -> float:
        """The share that `tier` fails of the tasks that all of `failed` failed."""
        left = [task for task in self._tasks if not any(task[before.rank] for before in failed)]
        return sum(not task[tier.rank] for task in left) / len(left) if left else 1.0


def read_solved(path: Path) -> dict[str, dict[str, bool]]:
    """Per task and model, whether it was solved: a table with the columns task, model, resolved.

    Raises:
        SystemExit: the file or a column is missing.
    """
    solved: dict[str, dict[str, bool]] = {}
    try:
        for row in read_rows(path):
            solved.setdefault(row["task"], {})[row["model"]] = row["resolved"] == "1"
    except KeyError as error:
        raise SystemExit(f"{path}: no column {error}; expected task, model, resolved") from error
    return solved


def read_measured(directory: Path) -> Measured:
    """The tasks of ``outcomes/swebench_verified_django.csv`` that the models of `MEASURED_ON` all tried.

    Raises:
        SystemExit: the file, a column or one of the models is missing.
    """
    path = directory / "outcomes" / "swebench_verified_django.csv"
    tasks = [by for by in read_solved(path).values() if all(model in by for model in MEASURED_ON.values())]
    if not tasks:
        raise SystemExit(f"{path}: no task that {', '.join(MEASURED_ON.values())} all tried")
    light, standard, heavy = (MEASURED_ON[tier] for tier in TIERS)
    return Measured([(by[light], by[standard], by[heavy]) for by in tasks])


def assumptions(directory: Path, policy: Policy) -> tuple[Failing, ...]:
    """The three, from the mildest."""
    measured = read_measured(directory)
    own = ", ".join(f"{tier} {priors(tier, policy)[tier.rank]:.0%}" for tier in TIERS)
    seen = ", ".join(f"{tier} {measured(tier, (), tier):.0%}" for tier in TIERS)
    return (
        Failing("none", "nothing fails", never),
        Failing(
            "assumed",
            f"what policy.py assumes: work on its own tier fails ({own}), {policy.failure_below:.0%} more a tier below; "
            "a rescue fails as often as a first attempt",
            assumed(policy),
        ),
        Failing(
            "measured",
            f"as on SWE-bench Verified, whatever the work ({seen}); after a light model failed a standard one fails "
            f"{measured(Tier.HEAVY, (Tier.LIGHT,), Tier.STANDARD):.0%}, after a standard one a heavy one "
            f"{measured(Tier.HEAVY, (Tier.STANDARD,), Tier.HEAVY):.0%}",
            measured,
        ),
    )
