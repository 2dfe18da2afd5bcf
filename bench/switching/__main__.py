"""``python -m bench.switching``: the same conversations under several rules of when to change models. See `--help`."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.switching import families, logs, table
from bench.switching.study import Result, router, study
from stepdown.audit.price import Prices
from stepdown.catalog import Catalog
from stepdown.policy import DEFAULT_POLICY

_MB = 1_000_000
_TODAY = "2026-11-23"
"""The day whose prices the catalogue is read for; requests are priced on their own day."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.switching",
        description="When to change models in the middle of a conversation: rules beside each other, in dollars.",
    )
    made.add_argument("--conversations", type=int, default=200, help="generated per family (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="of what is generated (%(default)s)")
    made.add_argument("--family", action="append", metavar="NAME", help="only families whose name holds this")
    made.add_argument("--megabytes", type=int, default=100, help="of invented logs of Claude Code; 0 is none (%(default)s)")
    made.add_argument("--home", type=Path, help="the logs of this home as well")
    made.add_argument("--mode", choices=["delegated", "full"], default="full", help="of routing (%(default)s)")
    made.add_argument("--details", action="store_true", help="every rule for every family")
    return made


def generated(said: argparse.Namespace, catalog: Catalog) -> Iterator[Result]:
    """The families."""
    prices = Prices(catalog)
    for family in families.FAMILIES:
        if said.family and not any(part in family.name for part in said.family):
            continue
        print(family.name, file=sys.stderr, flush=True)
        history = families.generate(family, prices, said.conversations, said.seed)
        yield study(family.name, history, prices, router(dict(family.tiers), catalog, DEFAULT_POLICY), said.mode)


def recorded(said: argparse.Namespace, catalog: Catalog, scratch: Path) -> Iterator[Result]:
    """Logs, under the tiers as they ship."""
    prices = Prices(catalog)
    found = {"the audit's sample": logs.of_the_sample(scratch, prices)}
    if said.megabytes:
        found[f"{said.megabytes} MB of invented logs"] = logs.of_size(scratch, said.megabytes * _MB, prices)
    if said.home is not None:
        found[str(said.home)] = logs.of_home(said.home, prices)
    for name, history in found.items():
        print(name, file=sys.stderr, flush=True)
        if history.units:
            yield study(name, history, prices, router({}, catalog, DEFAULT_POLICY), said.mode)
        else:
            print(f"{name}: no log speaks of any work", file=sys.stderr)


def show(title: str, results: Sequence[Result], *, details: bool) -> None:
    if not results:
        return
    print(f"\n## {title}\n\n{table.families(results)}\n\n{table.rules(results)}")
    for one in results if details else ():
        print(f"\n### {one.name}\n\n{table.details(one)}")


def main(arguments: Sequence[str] | None = None) -> None:
    said = parser().parse_args(arguments)
    catalog = Catalog.load(on=_TODAY)
    show("Generated conversations", list(generated(said, catalog)), details=said.details)
    if not said.family:
        with tempfile.TemporaryDirectory(prefix="stepdown-bench-", ignore_cleanup_errors=True) as scratch:
            show("Recorded conversations", list(recorded(said, catalog, Path(scratch))), details=True)


if __name__ == "__main__":
    main()
