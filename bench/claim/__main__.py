"""What routing would have saved on units that real projects did: ``python -m bench.claim [--data DIR] [--json]``.

Reads ``outcomes/gsd_units.csv`` with the features of its tasks, and the plan trees below ``gsd/`` with their ``metrics.json``.
Each unit goes through the shipped router, and through the shipped walk after a failure, under several ceilings; the split is
that of `stepdown.savings`. No unit is run: what it would have used on another model is an assumption, and the tables say which.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.claim import tables
from bench.claim.failing import assumptions
from bench.claim.routes import setups
from bench.claim.study import study
from bench.claim.units import read_recorded, read_trees, used
from bench.expectations import data_directory
from stepdown.catalog import Catalog
from stepdown.expectations import Expectations
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import Unit

_PER_PROJECT = ("opus", "sonnet", "phases", "as they ran")
_VARIED = ("opus", "sonnet", "phases", "opus, cheapest")


def _show(title: str, lines: Iterable[str]) -> None:
    print(f"\n# {title}\n")
    for line in lines:
        print(line)


def report(directory: Path) -> None:
    """Print every table."""
    catalog, policy = Catalog.load(), DEFAULT_POLICY
    units = read_recorded(directory)
    assumed = assumptions(directory, policy)
    expectations = Expectations(used(units, catalog), policy)
    results = {setup.name: study(units, setup, assumed, catalog, expectations) for setup in setups()}
    _show("Data", tables.data(units, catalog))
    _show("Ceilings", (f"{setup.name:18}{setup.about}" for setup in setups()))
    _show("Failing", (f"{failing.name:10}{failing.about}" for failing in assumed))
    _show("Assumed", (line if line.startswith(" ") else f"- {line}" for line in tables.ASSUMED))
    _show("Saved", tables.savings(list(results.values()), assumed))
    _show("Tiers", tables.tiers(list(results.values())))
    for name in _PER_PROJECT:
        _show(f"Per project: {name}", tables.projects(results[name], assumed))
    _show("Per type: opus, nothing fails", tables.types(results["opus"], "none"))
    _show("With more small tasks", tables.small_tasks(list(results.values()), assumed))
    varied = [setup for setup in setups() if setup.name in _VARIED]
    cached = [one for one in units if one.tokens.cache_read > 0]
    unread = [msgspec.structs.replace(one, unit=Unit(one.unit.type, one.unit.id)) for one in units]
    kinds = {
        "as above": [results[setup.name] for setup in varied],
        "classified by type alone": [study(unread, setup, assumed, catalog, expectations) for setup in varied],
        "only units with a cached prompt": [study(cached, setup, assumed, catalog, expectations) for setup in varied],
        "fit judged by each unit's own prompts": [
            study(units, setup, assumed, catalog, expectations, by_own_prompts=True) for setup in varied
        ],
    }
    _show("Variants, nothing fails", tables.variants(kinds, "none"))
    _show("Promises", tables.promises(list(results.values()), assumed))
    trees = read_trees(directory)
    if trees:
        grown = Expectations(used(trees, catalog), policy)
        seen = [study(trees, setup, assumed, catalog, grown) for setup in setups()]
        _show("Plan trees, with the texts of their plans", tables.data(trees, catalog))
        _show("Plan trees: saved", tables.savings(seen, assumed))
        _show("Plan trees: tiers", tables.tiers(seen))
        for result in seen:
            if result.setup.name in _PER_PROJECT:
                _show(f"Plan trees, per project: {result.setup.name}", tables.projects(result, assumed))


def report_json(directory: Path) -> None:
    """Print the numbers of the recorded units as one JSON object."""
    catalog, policy = Catalog.load(), DEFAULT_POLICY
    units = read_recorded(directory)
    assumed = assumptions(directory, policy)
    expectations = Expectations(used(units, catalog), policy)
    results = [study(units, setup, assumed, catalog, expectations) for setup in setups()]
    print(json.dumps({"units": len(units), "claims": tables.as_json(results, assumed)}, indent=1))


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.claim", description="What routing would have saved.")
    parser.add_argument("--data", type=Path, help="directory with outcomes/ and gsd/; else STEPDOWN_DATA")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    options = parser.parse_args(arguments)
    directory = options.data or data_directory([])
    (report_json if options.json else report)(directory)


if __name__ == "__main__":
    main()
