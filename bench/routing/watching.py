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
MOST: Final = 6
"""Triples that are swept over at most: those whose costs are in order, the first ones."""

_PERCENTILES: Final = tuple(f"p{share * 100:.0f}" for share in SHARES)

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
            name = f"the router as shipped, {verifier}"
            jobs[name] = [pool.submit(of_router, field, verifier, seeds) for field in fields]
        for start, cascade in CASCADES.items():
            for verifier in VERIFIERS:
                jobs[f"{cascade}, {verifier}"] = [
                    pool.submit(of_cascade, field, verifier, start, 3 * seeds) for field in fields
                ]
        done = {name: [future.result() for future in futures] for name, futures in jobs.items()}
    return {name: {rule: mean_of([one[rule] for one in each]) for rule in each[0]} for name, each in done.items()}


_LINES: Final[Mapping[str, Mapping[str, str]]] = {
    "percentiles of cost": {f"cost {name}": name for name in _PERCENTILES},
    "percentiles of steps": {f"steps {name}": name for name in _PERCENTILES},
    "percentiles of cost, known in hindsight": {f"cost {name} in hindsight": name for name in _PERCENTILES},
    "multiples of the median cost": {f"{times} x cost p50": f"{times}x" for times in ("2", "2.5", "3", "4", "5")},
    "multiples of the 90th percentile of cost": {f"{times} x cost p90": f"{times}x" for times in ("1.5", "2", "3")},
}
"""The lines of the picture: per rule on it, how its point is labelled."""


def draw(panels: Panels, path: Path) -> None:
    """Saving against quality, a line per family of rules; all end where nothing is stopped."""
    drawn: dict[str, dict[str, list[tuple[str, float, float]]]] = {}
    for name, effects in panels.items():
        if not name.startswith(CASCADES[0]):
            continue
        families = {
            line: [(label, effects[rule].saving, effects[rule].difference) for rule, label in rules.items()]
            for line, rules in _LINES.items()
        }
        never = ("never", effects["never"].saving, effects["never"].difference)
        drawn[name] = {line: [*points, never] for line, points in families.items()}
    plots.curves(drawn, path, title="Stopping attempts below the ceiling by what they have used")
    print(f"\n{path}")


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.routing.watching", description="Sweep the rule that stops an attempt."
    )
    parser.add_argument("--data", type=Path, default=default_data(), help="a directory with NAME.csv and NAME_statements.json")
    parser.add_argument("--out", type=Path, help="where to write watching.svg (not at all)")
    parser.add_argument(
        "--seeds", type=count, default=3, metavar="N", help="orders to average the router over (3; cascades: 3 N)"
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
