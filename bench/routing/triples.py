"""Which three models are replayed: those the public data have, chosen by hand, else what a directory's own numbers suggest."""

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from bench.routing.data import Dataset, Field, Run, select
from stepdown.errors import UsageError

Triple = tuple[str, str, str]

CHOSEN: Final[Sequence[Triple]] = (
    ("gpt-5-mini-2025-08-07", "gpt-5-2025-08-07", "claude-opus-4-5-20251101"),
    ("glm-4.6", "gpt-5.1-2025-11-13", "gemini-3-pro-preview"),
    ("gpt-5-mini-2025-08-07", "gpt-5.1-2025-11-13", "gemini-3-pro-preview"),
    ("Qwen3-Coder-480B-A35B-Instruct", "gpt-5-2025-08-07", "claude-opus-4-5-20251101"),
    ("gpt-5-mini-2025-08-07", "gpt-5-2025-08-07", "gpt-5.1-codex"),
    ("o4-mini-20250416", "o3-20250416", "gpt-5.1-codex"),
    # What a price list may suggest and a bill does not: light costs nearly as much per task as what is above it.
    ("gpt-5-nano-2025-08-07", "gpt-5-mini-2025-08-07", "gpt-5-2025-08-07"),
    ("o4-mini-20250416", "gpt-5-2025-08-07", "gpt-5.1-2025-11-13"),
    ("claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-8"),
)
"""Triples of the public data: SWE-bench Verified (django), and the last of BashKit."""

MOST: Final = 8
"""Triples proposed at most for a directory that has none of these."""

CHEAP: Final = 0.5
"""A triple is sensible where light costs less than this share of heavy per task, and standard stands between them."""


class Proposal(msgspec.Struct, frozen=True):
    """A field to replay, and whether its costs are in the order that its tiers promise."""

    field: Field
    sensible: bool


def proposals(datasets: Sequence[Dataset]) -> list[Proposal]:
    """The chosen triples that these data have; where they have none, up to eight of their own.

    Raises:
        UsageError: no three models share a task.
    """
    found = list(_fields(datasets, CHOSEN)) or list(itertools.islice(_fields(datasets, _own(datasets)), MOST))
    if not found:
        raise UsageError("no three models in these data were run on the same tasks")
    return [Proposal(field, _is_sensible(field)) for field in found]


def _fields(datasets: Sequence[Dataset], triples: Iterable[Triple]) -> Iterable[Field]:
    known = {model for dataset in datasets for model in dataset.runs}
    for triple in triples:
        if known.issuperset(triple):
            try:
                yield select(datasets, triple)
            except UsageError:
                continue  # all known, but never run on the same task


def _is_sensible(field: Field) -> bool:
    light, standard, heavy = (field.mean_cost(rank) for rank in range(3))
    return light < standard < heavy and light <= CHEAP * heavy


def _own(datasets: Sequence[Dataset]) -> Iterable[Triple]:
    """Triples within one data set: its models in thirds by what a task costs on them, of each third the two best solvers.

    What a model is called would be another guide, but data may name models that nobody has a tier for.
    """
    for dataset in datasets:
        facts = {model: _facts(tasks) for model, tasks in dataset.runs.items()}
        by_cost = sorted(facts, key=lambda model: (facts[model][0], model))
        thirds = [by_cost[len(by_cost) * third // 3 : len(by_cost) * (third + 1) // 3] for third in range(3)]
        light, standard, heavy = (sorted(third, key=lambda model: -facts[model][1])[:2] for third in thirds)
        for top, middle, low in itertools.product(heavy, standard, light):
            yield low, middle, top


def _facts(tasks: Mapping[str, Sequence[Run]]) -> tuple[float, float]:
    """A model's mean cost of a run in US dollars, and its solved rate."""
    runs = [run for each in tasks.values() for run in each]
    return statistics.mean(run.cost for run in runs), statistics.mean(run.solved for run in runs)
