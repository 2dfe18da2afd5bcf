"""The study as tables of plain text."""

from collections.abc import Iterator, Mapping, Sequence

from bench.claim.failing import Failing
from bench.claim.split import Split, total
from bench.claim.study import (
    LEARNED,
    RECORDED,
    Result,
    grouped,
    over_projects,
    over_units,
    with_light_share,
)
from bench.claim.units import Finished
from stepdown.catalog import Catalog
from stepdown.units import TIERS

ASSUMED = (
    "A unit uses the same tokens, by kind, on every model. Under 'learned' they are scaled by how much more or less each model",
    "  used on units of the type, as routing learns it from these same units: models that did different projects are compared",
    "  there, and one that did none (Haiku) goes by the mean of all.",
    "Prices are today's list prices for all units, whatever was paid then.",
    "A unit's largest prompt is twice its average (context_peak_to_mean), and long-context prices then count for all of it.",
    "Each dispatch is one unit, decided in a world without a past: nothing learned, no budget.",
    "Tasks are classified by features of their plans (files, steps), slices and the rest by their type.",
    "Every failure is noticed and stepped up from. A failed attempt costs as much as one that succeeds; none is stopped early.",
    "  What fails unnoticed costs no money here. It costs quality, and these units cannot show how much.",
    "Every unit starts a fresh session, as GSD's do. Changing models between units loses no cache, so 'lost to cache' is zero;",
    "  what a failed attempt wrote to a cache is in its own cost.",
)
"""One line each; a line that is indented belongs to the one before."""


def data(units: Sequence[Finished], catalog: Catalog) -> Iterator[str]:
    """What there is, and whether today's prices explain what was paid."""
    known = [one for one in units if one.tokens.total > 0]
    uncached = sum(one.tokens.cache_read == 0 for one in known)
    uncounted = sum(one.requests == 0 for one in known)
    planned = sum(one.planned for one in units)
    projects = len({one.project for one in units})
    yield f"{len(units)} units of {projects} projects; {len(units) - len(known)} have no tokens and are left out."
    yield f"{planned} have signals of their plan. Of those with tokens, {uncached} have no cached prompt."
    yield f"{uncounted} have no believable count of requests (average prompts would be longer than any window)."
    yield "They go by the usual prompts of their type."
    paid = [(one, catalog.resolve(one.model)) for one in known if one.paid_usd > 0]
    priced = [(one.paid_usd, model.cost(one.tokens)) for one, model in paid if model is not None and model.price is not None]
    then, now = sum(a for a, _ in priced), sum(b or 0.0 for _, b in priced)
    yield f"Self-check: {len(priced)} units have dollars and a known model: paid ${then:,.2f}, at today's prices ${now:,.2f}."


def savings(results: Sequence[Result], assumptions: Sequence[Failing]) -> Iterator[str]:
    """Every setup under every assumption."""
    yield (
        f"{'':18}{'failing':10}{'units':>6}{'ceiling':>9}{'saved':>8}{'95 %, by project':>18}{'cheaper':>9}{'failed':>8}"
        f"{'cache':>7}{'stepped up':>12}{'learned':>9}{'95 %':>16}"
    )
    for result in results:
        for failing in assumptions:
            split = total(result.splits(failing.name))
            learned = total(result.splits(failing.name, LEARNED))
            yield (
                f"{result.setup.name:18}{failing.name:10}{len(result.lines):6}{_usd(split.counterfactual):>9}{_percent(split):>8}"
                f"{_range(over_projects(result, failing.name)):>18}"
                f"{_usd(split.cheaper):>9}{_usd(split.failed):>8}{_usd(split.cache):>7}"
                f"{split.escalated / max(1, len(result.lines)):12.0%}{_percent(learned):>9}"
                f"{_range(over_projects(result, failing.name, LEARNED)):>16}"
            )


def tiers(results: Sequence[Result]) -> Iterator[str]:
    """What units need, what was downgraded, and what may not have fitted."""
    yield f"{'':18}{'light':>7}{'standard':>10}{'heavy':>7}{'downgraded':>12}{'no price':>10}{'too long':>10}{'perhaps':>9}"
    for result in results:
        counts, size = result.tiers(), max(1, len(result.lines))
        mix = [counts[tier] / size for tier in TIERS]
        down = sum(line.route.steps[0].downgraded for line in result.lines) / size
        yield (
            f"{result.setup.name:18}{mix[0]:7.0%}{mix[1]:10.0%}{mix[2]:7.0%}{down:12.0%}{result.unpriced:10}{result.overlong:10}"
            f"{result.perhaps_overlong:9}"
        )
    yield "no price: units whose ceiling is unknown or unpriced, left out."
    yield "too long: downgraded units whose average prompt is beyond the chosen model's window; perhaps: whose largest one is."


def projects(result: Result, assumptions: Sequence[Failing]) -> Iterator[str]:
    """One setup per project; a minus is a loss."""
    yield f"{'':14}{'units':>6}{'light':>7}{'heavy':>7}{'ceiling':>10}" + "".join(
        f"{failing.name:>10}{'95 %, by unit':>17}" for failing in assumptions
    )
    for name, part in result.by_project().items():
        counts, size = part.tiers(), len(part.lines)
        cells = [
            f"{_percent(total(part.splits(failing.name))):>10}{_range(over_units(part, failing.name)):>17}"
            for failing in assumptions
        ]
        ceiling = total(part.splits(assumptions[0].name)).counterfactual
        yield f"{name:14}{size:6}{counts[TIERS[0]] / size:7.0%}{counts[TIERS[2]] / size:7.0%}{_usd(ceiling):>10}" + "".join(
            cells
        )
    for view in (RECORDED, LEARNED):
        for failing in assumptions:
            yield f"lose (tokens {view}, failing '{failing.name}'): {', '.join(losing(result, failing.name, view)) or 'none'}"


def losing(result: Result, assumption: str, view: str) -> list[str]:
    """The projects for which routing would have cost money, each with its share; a loss of a rounding error is none."""
    shares = {name: total(part.splits(assumption, view)).share for name, part in result.by_project().items()}
    return [f"{name} ({share:.1%})" for name, share in shares.items() if share < -1e-9]


def types(result: Result, assumption: str) -> Iterator[str]:
    """Where the saving comes from."""
    whole = total(result.splits(assumption))
    yield f"{'':20}{'units':>6}{'of the ceiling':>16}{'saved':>8}{'of the saving':>15}"
    for name, part in grouped(result, lambda line: line.one.unit.type).items():
        split = total(part.splits(assumption))
        share, of = split.counterfactual / whole.counterfactual, split.net / whole.net if whole.net else 0.0
        yield f"{name:20}{len(part.lines):6}{share:16.0%}{_percent(split):>8}{of:15.0%}"


def small_tasks(results: Sequence[Result], assumptions: Sequence[Failing]) -> Iterator[str]:
    """What more light work would change, each tier keeping the mean cost of its units."""
    shares = (0.25, 0.5, 0.75)
    yield f"{'':18}{'failing':10}" + "".join(f"{f'{share:.0%} light':>12}" for share in shares)
    for result in results:
        for failing in assumptions:
            found = [with_light_share(result, failing.name, share) for share in shares]
            cells = "".join(f"{'-' if share is None else f'{share:.0%}':>12}" for share in found)
            yield f"{result.setup.name:18}{failing.name:10}{cells}"


def variants(kinds: Mapping[str, Sequence[Result]], assumption: str) -> Iterator[str]:
    """The same setups over other units, or with another idea of what fits."""
    first = next(iter(kinds.values()))
    yield f"{'':44}" + "".join(f"{result.setup.name:>18}" for result in first)
    for name, results in kinds.items():
        yield f"{name:44}" + "".join(f"{_percent(total(result.splits(assumption))):>18}" for result in results)


def promises(results: Sequence[Result], assumptions: Sequence[Failing]) -> Iterator[str]:
    """The promise against what was found, per setup and assumption: 20 to 30 %, and 40 to 50 % with many small tasks."""
    yield f"{'':18}{'failing':10}{'all units':>11}{'20 to 30 %':>14}{'half light':>12}{'40 to 50 %':>14}"
    for result in results:
        for failing in assumptions:
            share = total(result.splits(failing.name)).share
            half = with_light_share(result, failing.name, 0.5)
            yield (
                f"{result.setup.name:18}{failing.name:10}{share:11.0%}{verdict(share, 0.2, 0.3):>14}"
                f"{'-' if half is None else f'{half:.0%}':>12}{'-' if half is None else verdict(half, 0.4, 0.5):>14}"
            )


def verdict(share: float, low: float, high: float) -> str:
    """How a share stands to a promised range; shares are compared as they are printed, in whole percent."""
    percent = round(100 * share)
    return "missed" if percent < round(100 * low) else "more" if percent > round(100 * high) else "holds"


def as_json(results: Sequence[Result], assumptions: Sequence[Failing]) -> list[dict[str, object]]:
    """One object per setup, assumption and view of tokens, with the projects in it."""
    return [
        {
            "setup": result.setup.name,
            "failing": failing.name,
            "tokens": view,
            "units": len(result.lines),
            "unpriced": result.unpriced,
            "tiers": {str(tier): result.tiers()[tier] for tier in TIERS},
            **_numbers(total(result.splits(failing.name, view))),
            "interval": over_projects(result, failing.name, view),
            "projects": {
                name: {
                    "units": len(part.lines),
                    **_numbers(total(part.splits(failing.name, view))),
                    "interval": over_units(part, failing.name, view),
                }
                for name, part in result.by_project().items()
            },
        }
        for result in results
        for failing in assumptions
        for view in (RECORDED, LEARNED)
    ]


def _numbers(split: Split) -> dict[str, float]:
    return {
        "ceiling_usd": round(split.counterfactual, 4),
        "spent_usd": round(split.spent, 4),
        "cheaper_usd": round(split.cheaper, 4),
        "failed_usd": round(split.failed, 4),
        "cache_usd": round(split.cache, 4),
        "saved": round(split.share, 4),
        "escalations": round(split.escalated, 2),
    }


def _usd(amount: float) -> str:
    return f"${amount:,.0f}"


def _percent(split: Split) -> str:
    return f"{100 * split.share:.1f} %"


def _range(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
