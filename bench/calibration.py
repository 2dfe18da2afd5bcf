"""Calibrate the classifier: ``python -m bench.calibration [--data DIR]``.

1. Spearman correlation of each plan feature with what 408 real tasks used, over all and within projects.
2. The tier mix per project under the current rules, and what the tasks of each tier used relative to their project.
3. The tier mix of the plan trees below DIR/gsd, read from the files themselves.

Prints aggregates only. What was concluded from it is in ``docs/benchmarks.md``.
"""

import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.expectations import Row, data_directory, number, read_rows
from stepdown.classify import classify
from stepdown.plans.gsd import GsdPlan
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.signals import Signals, introspect
from stepdown.units import TIERS, Tier, Unit

FEATURES = ("plan_chars", "files", "steps", "code_blocks", "estimated_steps", "estimated_files")
USES = ("cost_usd", "output_tokens", "total_tokens")
ENOUGH = 5
"""Projects with fewer tasks say nothing about what differs within them."""


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0 to 1; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranked = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for position in order[start : end + 1]:
            ranked[position] = (start + end) / 2 / max(1, len(order) - 1)
        start = end + 1
    return ranked


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's correlation; None where either side does not vary."""
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    if len(set(left)) < 2 or len(set(right)) < 2:
        return None
    return statistics.correlation(left, right)


def spearman(groups: Iterable[Sequence[tuple[float, float]]]) -> float | None:
    """Spearman's correlation, ranked within each group and centred there, so that groups are not compared with each other."""
    pairs: list[tuple[float, float]] = []
    for group in groups:
        left, right = ranks([a for a, _ in group]), ranks([b for _, b in group])
        pairs += [(a - 0.5, b - 0.5) for a, b in zip(left, right, strict=True)]
    return correlation(pairs)


def by_project(rows: Iterable[Row]) -> dict[str, list[Row]]:
    projects: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        projects[row["project"]].append(row)
    return dict(sorted(projects.items()))


def show_correlations(rows: Sequence[Row]) -> None:
    print(f"{'feature':18}" + "".join(f"{use:>26}" for use in USES))
    print(f"{'':18}" + f"{'overall   within   n':>26}" * len(USES))
    for feature in FEATURES:
        cells = []
        for use in USES:
            known = [row for row in rows if row[feature] and number(row, use) > 0]
            overall = spearman([[(number(row, feature), number(row, use)) for row in known]])
            within = spearman(
                [(number(row, feature), number(row, use)) for row in members]
                for members in by_project(known).values()
                if len(members) >= ENOUGH
            )
            cells.append(f"{_shown(overall):>12}{_shown(within):>9}{len(known):>5}")
        print(f"{feature:18}" + "".join(cells))


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def signals_of(row: Row, policy: Policy) -> Signals:
    """The signals that a row's features stand for, by the same order of trust as `introspect`."""
    claimed = int(number(row, "estimated_steps")) if row["estimated_steps"] else None
    counted = int(number(row, "steps")) or None
    steps = counted if claimed is None or (claimed > policy.implausible_steps and counted) else claimed
    files = int(number(row, "estimated_files")) if row["estimated_files"] else int(number(row, "files"))
    return Signals(files=files, steps=steps, characters=int(number(row, "plan_chars")))


def tier_of(row: Row, policy: Policy) -> Tier:
    return classify(Unit("execute-task"), signals_of(row, policy), policy).tier


def show_mix(rows: Sequence[Row], policy: Policy) -> None:
    relative: Mapping[Tier, list[float]] = {tier: [] for tier in TIERS}
    print(f"{'project':14}{'tasks':>6}{'light':>8}{'standard':>10}{'heavy':>8}")
    for project, members in by_project(rows).items():
        mix = Counter(tier_of(row, policy) for row in members)
        print(f"{project:14}{len(members):6}{mix[Tier.LIGHT]:8}{mix[Tier.STANDARD]:10}{mix[Tier.HEAVY]:8}")
        used = [row for row in members if number(row, "total_tokens") > 0]
        if len(used) >= ENOUGH:
            mean = statistics.mean(number(row, "total_tokens") for row in used)
            for row in used:
                relative[tier_of(row, policy)].append(number(row, "total_tokens") / mean)
    mix = Counter(tier_of(row, policy) for row in rows)
    print(f"{'all':14}{len(rows):6}{mix[Tier.LIGHT]:8}{mix[Tier.STANDARD]:10}{mix[Tier.HEAVY]:8}\n")
    print("tokens of a task relative to its project's mean")
    for tier, values in relative.items():
        mean, error = statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5
        print(f"  {tier!s:10} n {len(values):4}  mean {mean:.2f} ± {error:.2f}  median {statistics.median(values):.2f}")


def show_thresholds(rows: Sequence[Row], policy: Policy) -> None:
    """What other thresholds would have called heavy, and how far those tasks stand out."""
    print(f"{'heavy at':24}{'heavy':>7}{'share':>8}{'output tokens, median of heavy ÷ median of the rest':>54}")
    medians = {
        project: statistics.median(number(row, "output_tokens") for row in members)
        for project, members in by_project(rows).items()
    }
    for steps, files in ((8, 6), (8, 8), (10, 6), (10, 8), (12, 8), (14, 10)):
        tried = policy.with_overrides({"heavy_steps": steps, "heavy_files": files})
        heavy: list[float] = []
        rest: list[float] = []
        for row in rows:
            if medians[row["project"]] > 0:
                stands = number(row, "output_tokens") / medians[row["project"]]
                (heavy if tier_of(row, tried) is Tier.HEAVY else rest).append(stands)
        ratio = statistics.median(heavy) / statistics.median(rest)
        print(f"{steps:2} steps or {files:2} files     {len(heavy):7}{len(heavy) / len(rows):8.0%}{ratio:54.2f}")


def show_trees(directory: Path, policy: Policy) -> None:
    print(f"{'tree':14}{'tasks':>6}{'light':>8}{'standard':>10}{'heavy':>8}")
    for tree in sorted(path for path in directory.glob("*") if (path / ".gsd").is_dir()):
        tasks = [unit for unit in GsdPlan.open(tree).units() if unit.type == "execute-task"]
        mix = Counter(classify(unit, introspect(unit, policy), policy).tier for unit in tasks)
        print(f"{tree.name:14}{len(tasks):6}{mix[Tier.LIGHT]:8}{mix[Tier.STANDARD]:10}{mix[Tier.HEAVY]:8}")


def main() -> None:
    directory = data_directory(sys.argv[1:])
    rows = read_rows(directory / "outcomes" / "gsd_execute_task_features.csv")
    policy = DEFAULT_POLICY
    print(f"# Correlations ({len(rows)} tasks)\n")
    show_correlations(rows)
    print("\n# Tier mix under the current rules\n")
    show_mix(rows, policy)
    print("\n# Other thresholds\n")
    show_thresholds(rows, policy)
    print("\n# Plan trees\n")
    show_trees(directory / "gsd", policy)


if __name__ == "__main__":
    main()
