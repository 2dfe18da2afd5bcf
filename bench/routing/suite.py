"""Every table: ``python -m bench.routing.suite --data DIR [--out DIR]``, which is ``make bench-routing DATA=DIR``.

Replays each triple of `bench.routing.triples` that the data have under three verifiers, on two processes. Prints all tables,
the averages over triples and how far the goal was met, and writes a picture per triple below ``--out``.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from bench.routing import plots
from bench.routing.__main__ import count, default_data, guarded
from bench.routing.bootstrap import DRAWS
from bench.routing.data import Field, load
from bench.routing.replay import MEANING, Report, replay
from bench.routing.table import ASSUMED, about, beaten, mean_table, means, table, title
from bench.routing.triples import CHEAP, Proposal, proposals
from bench.routing.verifier import Verifier

VERIFIERS: Final = (Verifier(1.0, 0.0), Verifier(0.7, 0.1), Verifier(0.0, 0.0))
GOAL: Final = Verifier(0.7, 0.1)
"""The verifier under which the default policy is judged."""

PROCESSES: Final = 2

SEEDS: Final = 10
"""Orders that a triple is averaged over: fewer than for a single table, so that all of them take less than ten minutes."""


def reports_of(fields: Sequence[Field], seeds: int) -> list[list[Report]]:
    """Per field, a report per verifier."""
    jobs = [(field, verifier) for field in fields for verifier in VERIFIERS]
    with ProcessPoolExecutor(PROCESSES) as pool:
        done = [pool.submit(replay, field, verifier, seeds=seeds) for field, verifier in jobs]
        every = [future.result() for future in done]
    width = len(VERIFIERS)
    return [every[start : start + width] for start in range(0, len(every), width)]


def show(number: int, proposal: Proposal, reports: Sequence[Report]) -> None:
    """The tables of one triple."""
    order = (
        "" if proposal.sensible else f"\nNot in order: light costs more than {CHEAP:.0%} of heavy, or standard is not between."
    )
    print(f"\n## {number}. {title(reports[0])}\n{order}")
    for report in reports:
        print(f"{about(report)}\n\n{table(report)}\n")


def show_means(proposed: Sequence[Proposal], reports: Sequence[Sequence[Report]]) -> None:
    """The averages over triples: all of them, and those whose costs are in order."""
    ordered = [each for proposal, each in zip(proposed, reports, strict=True) if proposal.sensible]
    for name, chosen in (("all triples", reports), ("triples in order", ordered)):
        for position, verifier in enumerate(VERIFIERS):
            if chosen:
                print(f"\n## Mean over {len(chosen)} ({name}), {verifier}\n")
                print(mean_table([each[position] for each in chosen]))


def show_goal(proposed: Sequence[Proposal], reports: Sequence[Sequence[Report]]) -> None:
    """How far the default policy meets its goal, missed ones said as well."""
    judged = [each[VERIFIERS.index(GOAL)] for each in reports]
    print(f"\n## The goal for the default policy, {GOAL}\n")
    ordered = [report for proposal, report in zip(proposed, judged, strict=True) if proposal.sensible]
    for name, chosen in (("all triples", judged), ("triples in order", ordered)):
        if not chosen:
            continue
        saving, _, difference, _ = means(chosen)["default"]
        met = _met(saving >= plots.SAVING_GOAL and difference >= plots.POINTS_GOAL)
        print(f"- at least 35 % cheaper within 2 points, mean over {name}: {saving:.0%} at {difference * 100:+.1f}: {met}")
    worst = min(report.of("default").saving for report in judged)
    print(f"- negative saving on none: the least is {worst:.1%}: {_met(worst >= 0)}")
    losses = [(number, names) for number, report in enumerate(judged, start=1) if (names := beaten(report))]
    told = "; ".join(f"on {number} {', '.join(names)}" for number, names in losses)
    print(f"- no simple policy both cheaper and better: {told + ': ' if told else ''}{_met(not losses)}")


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


def draw(reports: Iterable[Sequence[Report]], directory: Path) -> None:
    """A picture per triple."""
    for number, each in enumerate(reports, start=1):
        path = directory / f"routing-{number}.svg"
        plots.cost_and_quality(each, path)
        print(f"{path}: {title(each[0])}")


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.routing.suite", description="Replay many triples of models.")
    parser.add_argument("--data", type=Path, default=default_data(), help="a directory with NAME.csv and NAME_statements.json")
    parser.add_argument("--out", type=Path, help="where to write a picture per triple (not at all)")
    parser.add_argument("--seeds", type=count, default=SEEDS, metavar="N", help=f"orders to average over ({SEEDS})")
    said = parser.parse_args(arguments)
    began = time.monotonic()
    proposed = proposals(load(said.data))
    reports = reports_of([proposal.field for proposal in proposed], said.seeds)
    print("# Recorded outcomes under routing policies\n")
    print("\n".join(f"- `{name}`: {meaning}" for name, meaning in MEANING.items()))
    print(f"\n{ASSUMED.format(draws=DRAWS, seeds=said.seeds)}")
    for number, (proposal, each) in enumerate(zip(proposed, reports, strict=True), start=1):
        show(number, proposal, each)
    show_means(proposed, reports)
    show_goal(proposed, reports)
    if said.out is not None:
        print()
        draw(reports, said.out)
    print(f"\n{time.monotonic() - began:.0f} seconds", file=sys.stderr)


if __name__ == "__main__":
    guarded(run, "bench.routing.suite")
