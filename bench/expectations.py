"""Measure the default token expectations: ``python -m bench.expectations [--data DIR]``.

Reads ``outcomes/gsd_units.csv`` and prints the table that `stepdown.expectations` carries, ready to paste, and how far it is
spread. Units are taken whose prompt was cached at least in part (``cache_read`` above 0): the others ran where no cache was
reported, and their prompts would be counted as fresh input everywhere. The statistic is the mean, because a cost is linear in
tokens and the mean is what adds up over a plan; medians are printed beside it, since the distribution is skewed.
"""

import csv
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from stepdown.units import type_defaults

ENOUGH = 10
"""A unit type with fewer units than this is pooled with its phase."""

Row = Mapping[str, str]
_KINDS = ("input", "output", "cache_read", "cache_write", "requests")


def data_directory(arguments: Sequence[str]) -> Path:
    """``--data DIR``, else the environment's STEPDOWN_DATA, else ``../shared/data`` beside the repository."""
    if "--data" in arguments[:-1]:
        return Path(arguments[arguments.index("--data") + 1])
    return Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def read_rows(path: Path) -> list[Row]:
    """A CSV file's rows.

    Raises:
        SystemExit: the file is not there.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is not there; name the data directory with --data or STEPDOWN_DATA")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(row: Row, name: str) -> float:
    """A column as a number; empty is 0."""
    return float(row[name] or 0)


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows per unit type with enough of them, and pooled per phase and over everything (``*``)."""
    types: dict[str, list[Row]] = defaultdict(list)
    pools: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        types[row["unit_type"]].append(row)
        pools[f"{type_defaults(row['unit_type'])[0]}/*"].append(row)
    enough = {name: members for name, members in types.items() if len(members) >= ENOUGH}
    return {**enough, **dict(sorted(pools.items())), "*": list(rows)}


def main() -> None:
    rows = read_rows(data_directory(sys.argv[1:]) / "outcomes" / "gsd_units.csv")
    cached = [row for row in rows if number(row, "cache_read") > 0 and number(row, "requests") > 0]
    print(f"{len(rows)} units, {len(cached)} of them with a cached prompt and a request count\n")
    print(f"{'':24}{'units':>6}{'projects':>9}{'median total':>14}{'mean total':>12}{'prompt/request':>16}")
    for name, members in groups(cached).items():
        total = [number(row, "total") for row in members]
        prompt = sum(number(row, "total") - number(row, "output") for row in members)
        requests = sum(number(row, "requests") for row in members)
        projects = len({row["project"] for row in members})
        print(
            f"{name:24}{len(members):6}{projects:9}{statistics.median(total):14,.0f}{statistics.mean(total):12,.0f}"
            f"{prompt / requests:16,.0f}"
        )
    print()
    for name, members in groups(cached).items():
        mean = {kind: statistics.mean(number(row, kind) for row in members) for kind in _KINDS}
        counts = ", ".join(f"{round(mean[kind], -1):_.0f}" for kind in _KINDS[:-1])
        print(f'    "{name}": _row({counts}, {mean["requests"]:.1f}),')


if __name__ == "__main__":
    main()
