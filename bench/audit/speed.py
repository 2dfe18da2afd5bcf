"""How long a read takes: the first one, one with the index, one after a log grew; ccusage in turn with them."""

import shutil
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.audit.logs import grow
from bench.audit.running import CLAUDE, Ran, environment, one_core, ours, run, theirs


class Row(NamedTuple):
    """One way to read the same logs.

    Attributes:
        name: which.
        seconds: median, from start to end.
        cpu: CPU seconds, median.
        rounds: how many.
        largest: bytes of resident memory of its largest process, the most of all rounds.
        memory: bytes of proportional set size of all its processes at most, from a run of its own.
    """

    name: str
    seconds: float
    cpu: float
    rounds: int
    largest: int
    memory: int


class _Way(NamedTuple):
    name: str
    run: Callable[[bool], Ran]
    """Told whether to watch the memory."""


def measure(home: Path, state: Path, ccusage: str, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """All ways, in turn, so that a slow moment of the machine meets all of them.

    Args:
        home: has the logs.
        state: a directory for our own files.
        ccusage: its path; "" where it is not to be measured.
        rounds: how often.
        say: progress.
    """
    env = environment(home, state)
    run(ours(), env)  # so that modules are compiled and the logs in the page cache for everyone
    ways = [
        _Way("stepdown, first read, one core", lambda watch: _first(state, env, watch, alone=True)),
        _Way("stepdown, first read, all cores", lambda watch: _first(state, env, watch)),
        _Way("stepdown, nothing changed", lambda watch: run(ours(), env, watch=watch)),
        _Way("stepdown, one log grew", lambda watch: _grown(home, env, watch)),
    ]
    if ccusage:
        command = theirs(ccusage, CLAUDE)
        ways += [
            _Way("ccusage, one core", lambda watch: _alone([*command, "--single-thread"], env, watch)),
            _Way("ccusage, all cores", lambda watch: run(command, env, watch=watch)),
        ]
    found: dict[str, list[Ran]] = {way.name: [] for way in ways}
    for number in range(rounds):
        for way in ways:
            found[way.name].append(way.run(False))
        say(f"round {number + 1} of {rounds}")
    say("memory")
    return [_row(way, found[way.name]) for way in ways]


def _row(way: _Way, runs: list[Ran]) -> Row:
    seconds = statistics.median(one.seconds for one in runs)
    cpu = statistics.median(one.cpu for one in runs)
    return Row(way.name, seconds, cpu, len(runs), max(one.largest for one in runs), way.run(True).memory)


def _first(state: Path, env: Mapping[str, str], watch: bool, *, alone: bool = False) -> Ran:
    shutil.rmtree(state, ignore_errors=True)
    return _alone(ours(), env, watch) if alone else run(ours(), env, watch=watch)


def _alone(command: list[str], env: Mapping[str, str], watch: bool) -> Ran:
    with one_core():
        return run(command, env, watch=watch)


def _grown(home: Path, env: Mapping[str, str], watch: bool) -> Ran:
    grow(home)
    return run(ours(), env, watch=watch)
