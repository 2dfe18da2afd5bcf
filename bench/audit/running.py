"""Programs run and measured, and what they say brought into one shape: tokens and dollars per day and model."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.gateway.process import memory_bytes

CLAUDE: Final = "claude"
CODEX: Final = "codex"
_SAMPLED: Final = 0.02

Counts = tuple[int, int, int, int]
"""Tokens: input, output, cache reads, cache writes."""


class NotHere(Exception):  # noqa: N818  (it is an answer: why there is nothing to compare with)
    """A program is missing or does not run, and why."""


class Ran(NamedTuple):
    """One run of a program.

    Attributes:
        said: its standard output.
        seconds: from its start to its end.
        cpu: CPU seconds, of itself and of what it started and waited for.
        largest: bytes of resident memory of its largest process at most.
        memory: bytes of proportional set size of the whole tree at most, where that was watched; else 0.
    """

    said: bytes
    seconds: float
    cpu: float
    largest: int
    memory: int


class Sheet(NamedTuple):
    """What a program makes of logs.

    Attributes:
        tokens: by day and model.
        usd: by day and model, or by day and "" where a program tells no more.
        unknown: requests by day and model of which it says that it does not know the price.
    """

    tokens: dict[tuple[str, str], Counts]
    usd: dict[tuple[str, str], float]
    unknown: dict[tuple[str, str], int]


def environment(home: Path, state: Path) -> dict[str, str]:
    """A user's environment with nothing of this one's: logs in `home`, our own files in `state`, days in UTC."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "STEPDOWN_HOME": str(state),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "CODEX_HOME": str(home / ".codex"),
        "TZ": "UTC",
        "NO_COLOR": "1",
    }


def ours() -> list[str]:
    """The audit as a user runs it."""
    return [str(Path(sys.executable).with_name("stepdown")), "audit", "--json"]


def theirs(named: str, agent: str) -> list[str]:
    """The program ccusage as a user runs it who wants no network.

    Args:
        named: a path, or a name on PATH.
        agent: `CLAUDE` or `CODEX`.

    Raises:
        NotHere: there is no such program.
    """
    found = shutil.which(named)
    if found is None:
        raise NotHere(f"{named} is not installed: `npm install ccusage`, then PATH or --ccusage")
    return [found, agent, "daily", "--json", "--offline", "--timezone", "UTC"]


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """What is started inside has one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(command: list[str], env: Mapping[str, str], *, watch: bool = False) -> Ran:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        env: its whole environment.
        watch: look at its memory all the while, which costs it time.

    Raises:
        NotHere: it fails.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=env["HOME"], stdout=said, stderr=complained)
        peak = _Peak(process.pid)
        if watch:
            peak.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        peak.end()
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            last = complained.read().decode(errors="replace").strip().splitlines()[-1:]
            raise NotHere(f"{' '.join(command[:2])} ended with {process.returncode}: {''.join(last)}")
        return Ran(said.read(), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, peak.bytes)


class _Peak(threading.Thread):
    """Watches the memory of a process and what it started."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLED):
            self.bytes = max(self.bytes, memory_bytes(self._pid))

    def end(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()


class _Tokens(msgspec.Struct, frozen=True):
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class _Line(msgspec.Struct, frozen=True):
    key: str
    tokens: _Tokens = _Tokens()
    usd: float = 0.0
    unknown: int = 0


class _Day(msgspec.Struct, frozen=True):
    day: str
    models: tuple[_Line, ...] = ()


class _Audit(msgspec.Struct, frozen=True):
    days: tuple[_Day, ...] = ()


def sheet_of_ours(said: bytes, *, by_model: bool) -> Sheet:
    """What ``stepdown audit --json`` says; dollars by day alone where the other says no more."""
    sheet = Sheet({}, defaultdict(float), {})
    for day in msgspec.json.decode(said, type=_Audit).days:
        for line in day.models:
            key = day.day, line.key
            counts = line.tokens
            sheet.tokens[key] = (counts.input, counts.output, counts.cache_read, counts.cache_write)
            sheet.usd[key if by_model else (day.day, "")] += line.usd
            if line.unknown:
                sheet.unknown[key] = line.unknown
    return sheet


class _TheirModel(msgspec.Struct, frozen=True, rename="camel"):
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    model_name: str = ""
    cost: float = 0.0

    @property
    def counts(self) -> Counts:
        return self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_creation_tokens


class _TheirDay(msgspec.Struct, frozen=True, rename="camel"):
    date: str
    model_breakdowns: tuple[_TheirModel, ...] = ()
    models: dict[str, _TheirModel] = {}
    cost_usd: float = msgspec.field(default=0.0, name="costUSD")


class _Theirs(msgspec.Struct, frozen=True):
    daily: tuple[_TheirDay, ...] = ()


def sheet_of_theirs(said: bytes, *, by_model: bool) -> Sheet:
    """What ccusage says: of Claude Code dollars by model, of Codex by day."""
    sheet = Sheet({}, defaultdict(float), {})
    for day in msgspec.json.decode(said, type=_Theirs).daily:
        for one in day.model_breakdowns:
            sheet.tokens[day.date, one.model_name] = one.counts
            sheet.usd[day.date, one.model_name] += one.cost
        for model, one in day.models.items():
            sheet.tokens[day.date, model] = one.counts
        if not by_model:
            sheet.usd[day.date, ""] += day.cost_usd
    return sheet
