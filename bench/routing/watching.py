"""How early can a failing attempt be stopped, by its requests and cost? ``python -m bench.routing.watching --data DIR``.

1. In hindsight, per model: what stopping at each percentile of the model's own runs spares, and what it kills.
2. In a plain cascade, light to standard to heavy and standard to heavy: saving and quality of each rule, learned as it goes.
3. In the shipped router: what a rule is worth there, where a stop is also evidence of failure.

``--out DIR`` writes ``watching.svg``. Percentiles are over all attempts of a model, solved or not; a stopped one counts as
endless.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Final

from bench.routing import plots
from bench.routing.__main__ import count, default_data, guarded
from bench.routing.data import Field, Run, load
from bench.routing.sweep import ENOUGH, SHARES, Effect, MeanEffect, cut, mean_of, of_cascade, of_router, runs_of, separation
from bench.routing.table import lines
from bench.routing.triples import proposals
from bench.routing.verifier import Verifier

VERIFIERS: Final = (Verifier(1.0, 0.0), Verifier(0.7, 0.1))
CASCADES: Final[Mapping[int, str]] = {0: "light → standard → heavy", 1: "standard → heavy"}
ROUTER: Final = "the router as shipped"
MOST: Final = 6
"""Triples that are swept over at most: those whose costs are in order, the first ones."""

Panels = dict[str, Mapping[str, MeanEffect]]


def show_hindsight(models: Mapping[str, Sequence[Run]]) -> None:
    """Tables over models: each model's own percentiles, then the mean over models."""
    print("## In hindsight, mean over models\n")
    rows: list[tuple[str, ...]]
    print("Each model's runs are cut at its own percentile.\n")
    for measure in ("cost", "steps"):
        rows = [
            (f"stopped beyond, by {measure}", "of the failing %", "of the solving %", "dollars spared %", "stopped wrongly %")
        ]
        for share in SHARES:
            cuts = [cut(runs, share, measure) for runs in models.values()]
            means = (
                statistics.mean(getattr(each, name) for each in cuts) for name in ("failing", "solving", "spared", "wrong")
            )
            rows.append((f"p{share * 100:.0f}", *(f"{mean * 100:.0f}" for mean in means)))
        print(lines(rows) + "\n")
    rows = [("model", "runs", "solved %", "by cost", "by steps")]
    for model, runs in sorted(models.items()):
        solved = statistics.mean(run.solved for run in runs)
        apart = (separation(runs, measure) for measure in ("cost", "steps"))
        rows.append((model, str(len(runs)), f"{solved * 100:.0f}", *(f"{one:.2f}" for one in apart)))
    print("How well a run's size tells that it fails (AUC; 0.5 is not at all)\n")
    print(lines(rows))


def show_effects(effects: Mapping[str, MeanEffect]) -> None:
    """A table of rules."""
    rows = [("rule", "stopped %", "killed %", "saving %", "points against heavy", "dollars saved by it %", "points by it")]
    for name, mean in effects.items():
        cheaper, better = mean.cheaper_within, mean.better_within
        rows.append(
            (
                name,
                f"{mean.stopped * 100:.1f}",
                f"{mean.killed * 100:.1f}",
                f"{mean.saving * 100:.1f}",
                f"{mean.difference * 100:+.1f}",
                f"{mean.cheaper * 100:+.1f} [{cheaper[0] * 100:.1f}, {cheaper[1] * 100:.1f}]",
                f"{mean.better * 100:+.1f} [{better[0] * 100:.1f}, {better[1] * 100:.1f}]",
            )
        )
    print(lines(rows))


def sweep(fields: Sequence[Field], seeds: int) -> Panels:
    """Per cascade and verifier, and for the router per verifier, each rule's mean effect."""
    with ProcessPoolExecutor(2) as pool:
        jobs: dict[str, list[Future[dict[str, Effect]]]] = {}
        for verifier in VERIFIERS:
            name = f"{ROUTER}, {verifier}"
            jobs[name] = [pool.submit(of_router, field, verifier, seeds) for field in fields]
        for start, cascade in CASCADES.items():
            for verifier in VERIFIERS:
                jobs[f"{cascade}, {verifier}"] = [
                    pool.submit(of_cascade, field, verifier, start, 3 * seeds) for field in fields
                ]
        done = {name: [future.result() for future in futures] for name, futures in jobs.items()}
    return {name: {rule: mean_of([one[rule] for one in each]) for rule in each[0]} for name, each in done.items()}


_LINES: Final[Mapping[str, Mapping[str, str]]] = {
    "as shipped: multiples of what 90 % of the successful needed": {
        "shipped at 1.5 x": "1.5x",
        "shipped at 2 x": "2x",
        "shipped": "3x",
        "shipped at 4 x": "4x",
    },
    "the model's own cost, percentile": {"cost p80": "p80", "cost p90": "p90"},
    "the model's own cost, multiples of the median": {"3 x cost p50": "3x", "4 x cost p50": "4x"},
    "the same, on heavy too": {"4 x cost p50, heavy too": "4x", "5 x cost p50, heavy too": "5x"},
}
"""The lines of the picture: per rule on it, how its point is labelled."""


def draw(panels: Panels, path: Path) -> None:
    """What rules change in the shipped router, a line per family of rules; all end where nothing is stopped."""
    drawn = {}
    for name, effects in panels.items():
        if name.startswith(ROUTER):
            lines_of = {
                line: [(label, effects[rule].cheaper, effects[rule].better) for rule, label in rules.items()]
                for line, rules in _LINES.items()
            }
            drawn[name] = {line: [*points, ("", 0.0, 0.0)] for line, points in lines_of.items()}
    plots.curves(drawn, path, title="What stopping an attempt early changes, against never stopping one")
    print(f"\n{path}")


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.routing.watching", description="Sweep the rule that stops an attempt."
    )
    parser.add_argument("--data", type=Path, default=default_data(), help="a directory with NAME.csv and NAME_statements.json")
    parser.add_argument("--out", type=Path, help="where to write watching.svg (not at all)")
    parser.add_argument(
        "--seeds", type=count, default=2, metavar="N", help="orders to average the router over (2; cascades: 3 N)"
    )
    said = parser.parse_args(arguments)
    began = time.monotonic()
    datasets = load(said.data)
    fields = [proposal.field for proposal in proposals(datasets) if proposal.sensible][:MOST]
    print("# When to stop an attempt\n")
    models = runs_of(datasets)
    if models:
        show_hindsight(models)
    else:
        print(f"No model has {ENOUGH} runs, too few for percentiles in hindsight.")
    if fields:
        panels = sweep(fields, said.seeds)
        for name, effects in panels.items():
            print(f"\n## {name}; mean over {len(fields)} triples\n")
            show_effects(effects)
        if said.out is not None:
            draw(panels, said.out / "watching.svg")
    print(f"\n{time.monotonic() - began:.0f} seconds", file=sys.stderr)


if __name__ == "__main__":
    guarded(run, "bench.routing.watching")
