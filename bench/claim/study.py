"""The study: every unit under every setup and assumption, and what follows from them, with intervals."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from bench.claim.failing import Failing
from bench.claim.routes import Route, Routes, Setup
from bench.claim.split import Ratio, Split, expected, total
from bench.claim.units import Finished, recorded_ref
from stepdown.catalog import Catalog, Model
from stepdown.expectations import Expectations
from stepdown.units import TIERS, Tier

RESAMPLES = 1000
SEED = 20
RECORDED, LEARNED = "as recorded", "learned"
"""The two views of tokens: the same on every model, or scaled by what these units themselves teach."""


class Line(msgspec.Struct, frozen=True):
    """One unit under one setup: its route, and its split per (assumption, view of tokens)."""

    one: Finished
    route: Route
    splits: Mapping[tuple[str, str], Split]


class Result(msgspec.Struct, frozen=True):
    """One setup.

    Attributes:
        setup: what was set.
        lines: the units that can be compared.
        unpriced: units whose ceiling, or its price, is unknown.
        overlong: downgraded units whose average prompt alone is beyond the window of the first model.
        perhaps_overlong: those whose largest prompt is, as far as it can be estimated; the former among them.
    """

    setup: Setup
    lines: Sequence[Line]
    unpriced: int
    overlong: int
    perhaps_overlong: int

    def splits(self, assumption: str, view: str = RECORDED) -> list[Split]:
        """Per unit."""
        return [line.splits[assumption, view] for line in self.lines]

    def tiers(self) -> Counter[Tier]:
        """How many units need each tier."""
        return Counter(line.route.needed for line in self.lines)

    def by_project(self) -> dict[str, "Result"]:
        """The same per project; what was left out is not told apart."""
        groups: dict[str, list[Line]] = {}
        for line in self.lines:
            groups.setdefault(line.one.project, []).append(line)
        return {name: self.only(lines) for name, lines in sorted(groups.items())}

    def only(self, lines: Sequence[Line]) -> "Result":
        """The same with fewer units."""
        return Result(self.setup, lines, 0, 0, 0)


def study(
    units: Sequence[Finished],
    setup: Setup,
    assumptions: Sequence[Failing],
    catalog: Catalog,
    expectations: Expectations,
    *,
    by_own_prompts: bool = False,
) -> Result:
    """Every unit with tokens under one setup."""
    routes = Routes(setup, catalog)
    lines: list[Line] = []
    unpriced = overlong = perhaps = 0
    for one in units:
        if one.tokens.total == 0:
            continue
        route = routes.of(one, by_own_prompts=by_own_prompts)
        if route is None:
            unpriced += 1
            continue
        longest = routes.largest_prompt(one)
        views: dict[str, Ratio] = {RECORDED: _same, LEARNED: ratio_of(one, route, expectations, catalog)}
        splits = {
            (failing.name, view): expected(one, route, failing.chance, longest_prompt=longest, ratio=ratio)
            for failing in assumptions
            for view, ratio in views.items()
        }
        lines.append(Line(one, route, splits))
        if one.requests > 0 and route.steps[0].downgraded:
            window = route.steps[0].model.context or 0
            overlong += one.mean_prompt > window
            perhaps += longest > window
    return Result(setup, lines, unpriced, overlong, perhaps)


def ratio_of(one: Finished, route: Route, expectations: Expectations, catalog: Catalog) -> Ratio:
    """How many tokens the unit uses on a model, by what `expectations` learned of such units there and where it ran."""
    base = expectations.of(one.unit.type, route.needed, recorded_ref(one, catalog)).tokens.total

    def ratio(model: Model) -> float:
        there = expectations.of(one.unit.type, route.needed, f"{model.provider}/{model.bare_id}").tokens.total
        return there / base if base else 1.0

    return ratio


def _same(_model: Model) -> float:
    return 1.0


def interval(groups: Sequence[Sequence[Split]], confidence: float = 0.95) -> tuple[float, float] | None:
    """A percentile bootstrap of the share saved; `groups` are drawn with replacement. None where there are fewer than two.

    Pass each unit as a group of one to draw units, each project's units to draw projects.
    """
    if len(groups) < 2:
        return None
    sums = [(sum(split.net for split in group), sum(split.counterfactual for split in group)) for group in groups]
    chance = random.Random(SEED)
    shares = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(sums, k=len(sums))
        base = sum(counterfactual for _, counterfactual in drawn)
        shares.append(sum(net for net, _ in drawn) / base if base > 0 else 0.0)
    shares.sort()
    tail = round(RESAMPLES * (1 - confidence) / 2)
    return shares[tail], shares[-tail - 1]


def over_projects(result: Result, assumption: str, view: str = RECORDED) -> tuple[float, float] | None:
    """The interval of a whole result, drawn by project: units of one project are alike."""
    return interval([part.splits(assumption, view) for part in result.by_project().values()])


def over_units(result: Result, assumption: str, view: str = RECORDED) -> tuple[float, float] | None:
    """The interval of one project, drawn by unit."""
    return interval([[split] for split in result.splits(assumption, view)])


def with_light_share(result: Result, assumption: str, light: float) -> float | None:
    """The share saved if a share `light` of all units were light, and the others mixed as they are.

    Each tier keeps the mean dollars of its units; None where a tier has none.
    """
    means = {tier: _mean_of(result, assumption, tier) for tier in TIERS}
    counts = result.tiers()
    rest = counts[Tier.STANDARD] + counts[Tier.HEAVY]
    if not rest or not counts[Tier.LIGHT]:
        return None
    weights = {tier: light if tier is Tier.LIGHT else (1 - light) * counts[tier] / rest for tier in TIERS}
    base = sum(weights[tier] * means[tier].counterfactual for tier in TIERS)
    return sum(weights[tier] * means[tier].net for tier in TIERS) / base if base > 0 else None


def _mean_of(result: Result, assumption: str, tier: Tier) -> Split:
    members = [line.splits[assumption, RECORDED] for line in result.lines if line.route.needed is tier]
    every = total(members)
    return Split(spent=every.spent / max(1, len(members)), counterfactual=every.counterfactual / max(1, len(members)))


def grouped(result: Result, key: Callable[[Line], str]) -> dict[str, Result]:
    """The result by anything that a line has, the dearest first."""
    groups: dict[str, list[Line]] = {}
    for line in result.lines:
        groups.setdefault(key(line), []).append(line)
    parts = {name: result.only(lines) for name, lines in groups.items()}
    return dict(sorted(parts.items(), key=lambda item: -_ceiling_usd(item[1])))


def _ceiling_usd(result: Result) -> float:
    return sum(next(iter(line.splits.values())).counterfactual for line in result.lines)
