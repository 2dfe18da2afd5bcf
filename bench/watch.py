"""Measure what finished units used at most: ``python -m bench.watch [--data DIR]``.

Reads ``outcomes/gsd_units.csv`` and prints the 90th percentiles that `stepdown.dispatch.watch` carries, ready to paste, and how
many of these units, all of which were finished, its limits would have stopped: a false alarm each. Units without requests or
tokens are left out. Dollars are printed to be seen: they follow the model more than the work, so no default is made of them.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence

from bench.expectations import Row, data_directory, groups, number, read_rows
from stepdown.dispatch.watch import Limits, Usage, limits_for
from stepdown.policy import DEFAULT_POLICY


def percentile(values: Sequence[float]) -> float:
    """The 90th percentile by nearest rank; 0 of none."""
    return sorted(values)[-(-len(values) * 9 // 10) - 1] if values else 0.0


def is_beyond(row: Row, limits: Limits) -> bool:
    return number(row, "total") > limits.tokens or number(row, "requests") > limits.steps


def stopped(rows: Sequence[Row], *, learned: bool) -> int:
    """How many units the limits would have stopped, in the order in which they ran."""
    seen: dict[tuple[str, str], list[Usage]] = defaultdict(list)
    count = 0
    for row in sorted(rows, key=lambda row: number(row, "started_ms")):
        past = seen[row["project"], row["unit_type"]]
        count += is_beyond(row, limits_for(row["unit_type"], past if learned else [], DEFAULT_POLICY))
        past.append(Usage(steps=round(number(row, "requests")), tokens=round(number(row, "total"))))
    return count


def main() -> None:
    every = read_rows(data_directory(sys.argv[1:]) / "outcomes" / "gsd_units.csv")
    rows = [row for row in every if number(row, "total") > 0 and number(row, "requests") > 0]
    print(f"{len(every)} units, {len(rows)} of them with tokens and requests; 90th percentiles\n")
    print(f"{'':24}{'units':>6}{'requests':>10}{'tokens':>12}{'dollars':>9}{'priced':>8}")
    for name, members in groups(rows).items():
        dollars = [number(row, "cost_usd") for row in members if number(row, "cost_usd") > 0]
        requests, tokens = (percentile([number(row, kind) for row in members]) for kind in ("requests", "total"))
        print(f"{name:24}{len(members):6}{requests:10.0f}{tokens:12,.0f}{percentile(dollars):9.2f}{len(dollars):8}")
    print()
    for name, members in groups(rows).items():
        requests, tokens = (percentile([number(row, kind) for row in members]) for kind in ("requests", "total"))
        print(f'    "{name}": ({requests:.0f}, {round(tokens, -3):_.0f}),')
    for learned in (False, True):
        print(f"\nstopped {'with what the project taught' if learned else 'by the defaults'}: ", end="")
        print(f"{stopped(rows, learned=learned)} of {len(rows)} finished units", end="")
    print()


if __name__ == "__main__":
    main()
