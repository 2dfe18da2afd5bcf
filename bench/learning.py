"""What learning does where the truth is known: ``python -m bench.learning [--seeds 50] [--units 600]``.

1. The threshold rule: how often it moves a pattern up within 50 outcomes at known failure rates, and how soon it comes back.
2. Both rules over the units of five kinds, under drift, noisy labels and late outcomes, against a clairvoyant who knows every
   true failure rate. What is compared is the cost of all units: the attempts, repairing what verification notices, and
   ``missed_failure`` for what it does not.
3. What the weight of a rating changes.

The failure rates are made up; each seed draws its own. ``docs/benchmarks.md`` says what was concluded.
"""

import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from stepdown import balance
from stepdown.candidates import Offer
from stepdown.catalog import Model
from stepdown.learning import Experience, unit_type_of
from stepdown.ledger.records import Evidence
from stepdown.odds import Odds, Rates
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.units import TIERS, Tier

PATTERNS: Mapping[str, Tier] = {
    "execute-task": Tier.STANDARD,
    "execute-task:docs": Tier.LIGHT,
    "execute-task:test": Tier.STANDARD,
    "execute-task:refactor": Tier.STANDARD,
    "complete-slice": Tier.LIGHT,
}
"""The kinds of work, and where each starts before anything is learned."""

PER_PATTERN = 50
"""Events that decide at each tier, as `Policy.evidence_window` has it."""


@dataclass(frozen=True)
class World:
    """One regime.

    Attributes:
        name: for the table.
        costs: US dollars of an attempt per tier.
        drift: whether the failure rates are drawn anew half way.
        noise: the share of outcomes recorded the wrong way round.
        delay: how many units later an outcome is known.
        recall: the share of failures that verification notices.
        alarms: the share of good work it finds fault with.
    """

    name: str
    costs: tuple[float, float, float] = (0.05, 0.25, 0.7)
    drift: bool = False
    noise: float = 0.0
    delay: int = 0
    recall: float = 0.7
    alarms: float = 0.1


WORLDS = (
    World("plain"),
    World("perfect verifier", recall=1.0, alarms=0.0),
    World("drift half way", drift=True),
    World("10 % of labels wrong", noise=0.1),
    World("outcomes 25 units late", delay=25),
    World("drift, noise and delay", drift=True, noise=0.1, delay=25),
    World("light as dear as heavy", costs=(0.7, 0.3, 0.7)),
    World("prices close together", costs=(0.4, 0.55, 0.7)),
)


def truth(chance: random.Random) -> dict[str, Rates]:
    """True failure rates per pattern: falling with the tier; tags of one type are alike, up to a third more or less."""
    types: dict[str, Rates] = {}
    rates = {}
    for name, needed in PATTERNS.items():
        heavy = chance.uniform(0.02, 0.25)
        standard = heavy + chance.uniform(0.0, 0.12)
        light = standard + chance.uniform(0.0, 0.2 if needed is Tier.LIGHT else 0.5)
        base = types.setdefault(unit_type_of(name), (light, standard, heavy))
        alike = chance.uniform(0.67, 1.33)
        rates[name] = (min(1.0, base[0] * alike), base[1] * alike, base[2] * alike)
    return rates


def price(failing: float, tier: Tier, world: World, policy: Policy) -> float:
    """What a unit costs on average that starts on `tier` and fails with the probability `failing`."""
    noticed = failing * world.recall + (1 - failing) * world.alarms
    ceiling = world.costs[-1]
    repair = noticed * ceiling if tier is not Tier.HEAVY else 0.0  # above the ceiling there is nobody to ask
    return world.costs[tier.rank] + repair + failing * (1 - world.recall) * policy.missed_failure * ceiling


Rule = Callable[[str, Tier, Experience], Tier]


def threshold(pattern: str, needed: Tier, experience: Experience, world: World, policy: Policy) -> Tier:  # noqa: ARG001  (one shape)
    return experience.adjust(pattern, needed).tier


def expected_cost(pattern: str, needed: Tier, experience: Experience, world: World, policy: Policy) -> Tier:
    odds = Odds(experience, policy)
    failing = odds.of(pattern, needed)
    offers = [
        Offer(Model(id=tier.value, provider="", tier=tier), tier.value, cost, cost + failing[tier.rank] * world.costs[-1])
        for tier, cost in zip(TIERS, world.costs, strict=True)
    ]
    return balance.start(pattern, needed, offers, odds, experience, policy).tier


def static(pattern: str, needed: Tier, experience: Experience, world: World, policy: Policy) -> Tier:  # noqa: ARG001  (one shape)
    return needed


RULES = (static, threshold, expected_cost)


def regret(world: World, policy: Policy, units: int, seed: int) -> dict[str, float]:
    """Per rule, what the units cost relative to the clairvoyant: 1.0 is as good as knowing everything."""
    answers = {}
    for rule in RULES:
        chance = random.Random(seed)
        rates = truth(chance)
        paid = best = 0.0
        events: dict[str, list[Evidence]] = {}
        late: list[Evidence] = []
        for number in range(units):
            if world.drift and number == units // 2:
                rates = truth(chance)
            pattern = chance.choice(list(PATTERNS))
            while late and late[0].at <= number - world.delay:
                event = late.pop(0)
                events.setdefault(event.pattern, []).append(event)
            tier = rule(pattern, PATTERNS[pattern], Experience(events, policy), world, policy)
            paid += price(rates[pattern][tier.rank], tier, world, policy)
            best += min(price(rates[pattern][tier.rank], tier, world, policy) for tier in TIERS)
            failed = chance.random() < rates[pattern][tier.rank]
            noticed = chance.random() < (world.recall if failed else world.alarms)
            noticed ^= chance.random() < world.noise
            late.append(Evidence(at=number, pattern=pattern, tier=tier, success=not noticed))
        answers[rule.__name__] = paid / best
    return answers


def moved(rate: float, seed: int, policy: Policy) -> bool:
    """Whether the threshold rule moves a pattern up within 50 outcomes that fail at `rate`, asked after each outcome."""
    chance = random.Random(seed)
    events: list[Evidence] = []
    for at in range(50):
        events.append(Evidence(at=at, pattern="execute-task", tier=Tier.LIGHT, success=chance.random() >= rate))
        if Experience({"execute-task": events}, policy).adjust("execute-task", Tier.LIGHT).tier is Tier.STANDARD:
            return True
    return False


def back(after: float, seed: int, policy: Policy, most: int = 1000) -> int | None:
    """Units until a pattern that failed at 40 % on light, and now at `after`, starts there again; None: not within `most`."""
    chance = random.Random(seed)
    events = [
        Evidence(at=at, pattern="execute-task", tier=Tier.LIGHT, success=chance.random() >= 0.4)
        for at in range(policy.evidence_window)
    ]
    for number in range(most):
        answer = Experience({"execute-task": events}, policy).adjust("execute-task", Tier.LIGHT)
        if answer.tier is Tier.LIGHT and not answer.probe:
            return number
        good = chance.random() >= after
        events.append(Evidence(at=1000 + number, pattern="execute-task", tier=answer.tier, success=good))
    return None


def show_threshold(policy: Policy) -> None:
    print("# The threshold rule\n")
    print(f"{'true failure rate':20}{'moved up within 50 outcomes':>30}{'goal':>14}")
    for rate, goal in ((0.05, "at most 2 %"), (0.1, "at most 5 %"), (0.15, "at most 15 %"), (0.3, ""), (0.4, "at least 80 %")):
        share = statistics.mean(moved(rate, seed, policy) for seed in range(2000))
        print(f"{rate:<20.0%}{share:30.1%}{goal:>14}")
    print(f"\n{'fails now':20}{'units until it is back on light, median':>42}{'90th percentile':>18}{'never in 1000':>15}")
    for after in (0.0, 0.02, 0.05, 0.1, 0.4):
        times = [back(after, seed, policy) for seed in range(200)]
        known = sorted(1000 if time is None else time for time in times)
        print(f"{after:<20.0%}{known[100]:42}{known[180]:18}{times.count(None) / 200:15.0%}")


def show_regret(seeds: int, units: int, policy: Policy, worlds: Sequence[World] = WORLDS) -> None:
    print(f"\n# Cost of {units} units over the clairvoyant's, mean of {seeds} seeds (95 % interval)\n")
    print(f"{'':28}" + "".join(f"{rule.__name__:>26}" for rule in RULES))
    with ProcessPoolExecutor(2) as pool:
        for world in worlds:
            results = list(pool.map(partial(regret, world, policy, units), range(seeds), chunksize=5))
            cells = []
            for rule in RULES:
                values = [result[rule.__name__] - 1 for result in results]
                error = 1.96 * statistics.stdev(values) / len(values) ** 0.5
                cells.append(f"{statistics.mean(values):+.1%} ± {error:.1%}")
            print(f"{world.name:28}" + "".join(f"{cell:>26}" for cell in cells))


def show_ratings(policy: Policy) -> None:
    """After 20 outcomes of which 2 failed: how many `under` ratings move the pattern up."""
    print("\n# What a rating weighs: `under` ratings until a pattern with 2 failures in 20 outcomes starts higher\n")
    events = [Evidence(at=at, pattern="execute-task", tier=Tier.LIGHT, success=at % 10 != 0) for at in range(20)]
    for weight in (1.0, 2.0, 3.0, 4.0):
        said, count = list(events), 0
        while Experience({"execute-task": said}, policy).adjust("execute-task", Tier.LIGHT).tier is Tier.LIGHT and count < 50:
            count += 1
            rated = Evidence(
                at=100 + count, pattern="execute-task", tier=Tier.LIGHT, success=False, weight=weight, source="rating"
            )
            said.append(rated)
        print(f"  weight {weight:.0f}: {count}")


def main() -> None:
    arguments = sys.argv[1:]
    seeds, units = (
        int(arguments[arguments.index(name) + 1]) if name in arguments else default
        for name, default in (("--seeds", 50), ("--units", 600))
    )
    policy = DEFAULT_POLICY
    show_threshold(policy)
    show_ratings(policy)
    show_regret(seeds, units, policy)


if __name__ == "__main__":
    main()
