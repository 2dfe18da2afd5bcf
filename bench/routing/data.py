"""Files → tasks and the recorded runs of models on them.

A directory holds any number of data sets. ``NAME.csv`` has a row per run with the columns task, model, resolved (0 or 1),
cost_usd (US dollars) and api_calls; ``NAME_statements.json`` maps tasks to their texts. Several rows of one task and model are
several runs: each seed of a replay draws one. BashKit's own file is read too, by an adapter: task_id is the task, passed
resolved, cost_est the cost, turns the calls; the texts are the prompts in ``NAME_tasks.jsonl``. A row without a cost is left
out and counted, since a cost is never guessed.
"""

import csv
import difflib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.errors import UsageError

COLUMNS: Final = ("task", "model", "resolved", "cost_usd", "api_calls")
"""The columns of a data set, by which it is known."""

BASHKIT: Final = {"task": "task_id", "model": "model", "resolved": "passed", "cost_usd": "cost_est", "api_calls": "turns"}
"""BashKit's names for them."""

_TRUTH: Final = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}


class Run(msgspec.Struct, frozen=True):
    """One recorded attempt: whether it solved the task, US dollars, requests to the provider."""

    solved: bool
    cost: float
    calls: int


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """One file.

    Attributes:
        name: of the file, without its ending.
        runs: per model, per task, its runs in the order of the file.
        texts: per task, what the agent was told; tasks without a text are missing.
        unpriced: rows that were left out since they have no cost.
    """

    name: str
    runs: Mapping[str, Mapping[str, tuple[Run, ...]]]
    texts: Mapping[str, str]
    unpriced: int = 0


class Task(msgspec.Struct, frozen=True):
    """A task that all three models were run on: its name, its text, and their runs (light, standard, heavy)."""

    name: str
    text: str
    runs: tuple[tuple[Run, ...], tuple[Run, ...], tuple[Run, ...]]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay plays on: three models and the tasks they share.

    Attributes:
        datasets: where the tasks are from.
        models: light, standard, heavy.
        tasks: those that all three were run on.
        lacking: tasks that only some of the three were run on, left out.
        unpriced: rows of these models' files that had no cost, left out.
        textless: tasks without a text: they are routed by their type alone.
    """

    datasets: tuple[str, ...]
    models: tuple[str, str, str]
    tasks: tuple[Task, ...]
    lacking: int = 0
    unpriced: int = 0
    textless: int = 0

    def mean_cost(self, rank: int) -> float:
        """US dollars per task on one of the three models."""
        costs = [sum(run.cost for run in task.runs[rank]) / len(task.runs[rank]) for task in self.tasks]
        return sum(costs) / len(costs)


def load(directory: Path) -> tuple[Dataset, ...]:
    """Every data set of a directory, in the order of their names; CSV files of another kind are passed over.

    A directory without any may have them one further down, in ``outcomes``, as the other benchmarks' data have.

    Raises:
        UsageError: there is none, or one lacks columns or cannot be read.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory; name one that holds NAME.csv and NAME_statements.json")
    found = [dataset for path in sorted(directory.glob("*.csv")) if (dataset := _read(path)) is not None]
    if not found and (directory / "outcomes").is_dir():
        return load(directory / "outcomes")
    if not found:
        raise UsageError(f"{directory} holds no data set: a NAME.csv with the columns {', '.join(COLUMNS)}")
    return tuple(found)


def select(datasets: Sequence[Dataset], models: tuple[str, str, str]) -> Field:
    """The tasks that all three models were run on, from all data sets that know all three.

    Raises:
        UsageError: a model is unknown (the nearest name is proposed) or named twice, or the three share no task.
    """
    known = sorted({model for dataset in datasets for model in dataset.runs})
    for model in models:
        if model not in known:
            close = difflib.get_close_matches(model, known, n=1, cutoff=0.4)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"no run of the model '{model}' in {_names(datasets)}; {hint}")
    if len(set(models)) < len(models):
        raise UsageError(f"a tier needs a model of its own, but the three are {', '.join(models)}")
    having = [dataset for dataset in datasets if all(model in dataset.runs for model in models)]
    tasks = [task for dataset in having for task in _shared(dataset, models, several=len(having) > 1)]
    if not tasks:
        raise UsageError(f"no task was run on all of {', '.join(models)} in {_names(datasets)}")
    every = sum(len({task for model in models for task in dataset.runs[model]}) for dataset in having)
    return Field(
        datasets=tuple(dataset.name for dataset in having),
        models=models,
        tasks=tuple(tasks),
        lacking=every - len(tasks),
        unpriced=sum(dataset.unpriced for dataset in having),
        textless=sum(not task.text for task in tasks),
    )


def _names(datasets: Iterable[Dataset]) -> str:
    return ", ".join(f"{dataset.name}.csv" for dataset in datasets)


def _shared(dataset: Dataset, models: tuple[str, str, str], *, several: bool) -> Iterable[Task]:
    light, standard, heavy = (dataset.runs[model] for model in models)
    for task in sorted(light.keys() & standard.keys() & heavy.keys()):
        name = f"{dataset.name}/{task}" if several else task
        yield Task(name, dataset.texts.get(task, ""), (light[task], standard[task], heavy[task]))


def _read(path: Path) -> Dataset | None:
    """One file; None where it is a table of another kind."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = frozenset(reader.fieldnames or ())
            names = _columns(path, columns)
            if names is None:
                return None
            return _dataset(path, list(reader), names)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _columns(path: Path, columns: frozenset[str]) -> Mapping[str, str] | None:
    """Per column of ours, the file's name for it; None where the file is a table of another kind."""
    if frozenset(BASHKIT.values()) <= columns:
        return BASHKIT
    missing = [name for name in COLUMNS if name not in columns]
    if not missing:
        return {name: name for name in COLUMNS}
    if {"task", "model"} <= columns or _statements(path).exists():
        raise UsageError(f"{path}: the column {missing[0]} is missing; a data set has {', '.join(COLUMNS)}")
    return None


def _dataset(path: Path, rows: Sequence[Mapping[str, str | None]], names: Mapping[str, str]) -> Dataset:
    runs: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    unpriced = 0
    for line, row in enumerate(rows, start=2):
        values = {ours: (row[theirs] or "").strip() for ours, theirs in names.items()}
        if not values["task"] or not values["model"]:
            raise UsageError(f"{path}:{line}: the {'model' if values['task'] else 'task'} is empty")
        if not values["cost_usd"]:
            unpriced += 1
            continue
        runs[values["model"]][values["task"]].append(_run(f"{path}:{line}", values, names))
    frozen = {model: {task: tuple(each) for task, each in tasks.items()} for model, tasks in runs.items()}
    texts = _prompts(path.with_name(f"{path.stem}_tasks.jsonl")) if names is BASHKIT else _texts(_statements(path))
    return Dataset(name=path.stem, runs=frozen, texts=texts, unpriced=unpriced)


def _run(where: str, values: Mapping[str, str], names: Mapping[str, str]) -> Run:
    solved = _TRUTH.get(values["resolved"].lower())
    if solved is None:
        raise UsageError(f"{where}: {names['resolved']} is 0 or 1, not '{values['resolved']}'")
    cost, calls = (_number(where, names[name], values[name]) for name in ("cost_usd", "api_calls"))
    return Run(solved, cost, round(calls))


def _number(where: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise UsageError(f"{where}: {name} is a number, 0 or more, not '{value}'")
    return number


def _statements(path: Path) -> Path:
    return path.with_name(f"{path.stem}_statements.json")


def _texts(path: Path) -> dict[str, str]:
    """``{task: text}``; a file that is not there is a data set without texts."""
    if not path.exists():
        return {}
    try:
        texts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise UsageError(f'{path}: must be {{"task": "text"}}')
    return texts


def _prompts(path: Path) -> dict[str, str]:
    """BashKit's task descriptions: one JSON object a line, with ``id`` and ``prompt``."""
    if not path.exists():
        return {}
    texts: dict[str, str] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            task = json.loads(line)
            texts[task["id"]] = task["prompt"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: must be one JSON object a line, with id and prompt ({error!r})") from error
    return texts
