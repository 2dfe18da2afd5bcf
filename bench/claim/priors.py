"""What the data say about three guesses of `stepdown.policy`: ``python -m bench.claim.priors [--data DIR]``.

1. How often each tier fails, on light work (BashKit) and on harder work (SWE-bench Verified): ``failure_*``.
2. How often a stronger model fails what a weaker one failed.
3. A unit's largest prompt as a multiple of its average: ``context_peak_to_mean``. No request was recorded on its own, but where
   a provider bills cache writes, each token of a conversation is written once. If a conversation grows evenly, its last prompt
   is the first cached prefix and all that was written; whatever the growth, it is at most the average and all that was written.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.claim.failing import read_solved
from bench.claim.units import Finished, read_recorded
from bench.expectations import data_directory, read_rows
from stepdown.catalog import Catalog
from stepdown.units import TIERS, Tier

_WHOLE_RUN = 50
"""A BashKit run of fewer tasks is an early one, in which every model failed more often."""
_FEW_REQUESTS = 3


def bashkit(path: Path, catalog: Catalog) -> Iterable[str]:
    """Failures of whole runs, per model."""
    runs: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for row in read_rows(path):
        runs[row["run"]].append((row["model"], row["passed"] == "1"))
    whole: dict[tuple[Tier, str], list[bool]] = defaultdict(list)
    for rows in runs.values():
        for name, passed in rows:
            model = catalog.resolve(name)
            per_model = sum(other == name for other, _ in rows)
            if model is not None and model.tier is not None and per_model >= _WHOLE_RUN:
                whole[model.tier, model.id].append(passed)
    for (tier, name), results in sorted(whole.items(), key=lambda item: (item[0][0].rank, item[0][1])):
        yield f"{tier!s:10}{name:24}{len(results):6}{1 - sum(results) / len(results):8.1%}"


def swebench(solved: dict[str, dict[str, bool]], catalog: Catalog) -> Iterable[str]:
    """Failures per model and tier, and what a stronger tier fails of what a weaker one failed, over all pairs of models."""
    models = {name: model for name in {name for by in solved.values() for name in by} if (model := catalog.resolve(name))}
    tiers = {tier: sorted(name for name, model in models.items() if model.tier is tier) for tier in TIERS}
    for tier, names in tiers.items():
        for name in names:
            yield f"{tier!s:10}{name:36}{_failed(solved.values(), name):8.1%}"
        if names:
            yield f"{tier!s:10}{'mean':36}{sum(_failed(solved.values(), name) for name in names) / len(names):8.1%}"
    for weak, strong in ((TIERS[0], TIERS[1]), (TIERS[0], TIERS[2]), (TIERS[1], TIERS[2])):
        pairs = [(low, high) for low in tiers[weak] for high in tiers[strong]]
        after = [_failed([by for by in solved.values() if not by[low]], high) for low, high in pairs]
        if after:
            yield f"{strong} fails what {weak} failed: {min(after):.0%} to {max(after):.0%}, mean {sum(after) / len(after):.0%}"


def _failed(tasks: Iterable[dict[str, bool]], model: str) -> float:
    results = [by[model] for by in tasks if model in by]
    return 1 - sum(results) / len(results) if results else 0.0


def growths(units: Iterable[Finished]) -> tuple[list[float], list[float]]:
    """Per unit, its largest prompt over its average: if it grew evenly, and at most; sorted."""
    even, most = [], []
    for one in units:
        # Where more was sent uncached than written, some of it was sent again and again, and says nothing of growth.
        if one.requests < _FEW_REQUESTS or one.tokens.cache_write <= one.tokens.input:
            continue
        written = one.tokens.cache_write + one.tokens.input
        prefix = max(0.0, one.tokens.cache_read / one.requests - written * (one.requests - 1) / (2 * one.requests))
        even.append((prefix + written) / one.mean_prompt)
        most.append(1 + written / one.mean_prompt)
    return sorted(even), sorted(most)


def _quantiles(values: Sequence[float]) -> str:
    return "".join(f"{values[int(share * (len(values) - 1))]:8.2f}" for share in (0.5, 0.75, 0.9, 0.95, 0.99))


def main() -> None:
    directory, catalog = data_directory(sys.argv[1:]), Catalog.load()
    outcomes = directory / "outcomes"
    print("# Failing on light work: BashKit, runs of all tasks\n")
    for line in bashkit(outcomes / "bashkit.csv", catalog):
        print(line)
    print("\n# Failing on harder work: SWE-bench Verified, django\n")
    for line in swebench(read_solved(outcomes / "swebench_verified_django.csv"), catalog):
        print(line)
    even, most = growths(read_recorded(directory))
    print(f"\n# The largest prompt over the average one ({len(even)} units that wrote a cache)\n")
    if even:
        print(f"{'':20}{'p50':>8}{'p75':>8}{'p90':>8}{'p95':>8}{'p99':>8}{'above 2':>10}")
        for name, values in (("if it grew evenly", even), ("at most", most)):
            print(f"{name:20}{_quantiles(values)}{sum(value > 2 for value in values) / len(values):10.1%}")


if __name__ == "__main__":
    main()
