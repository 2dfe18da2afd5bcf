"""The texts go in, tiers come out: a driver in its router's environment."""

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.others.install import Refused

ROOT = Path(__file__).resolve().parents[2]
SECONDS: Final = 600
"""How long a router may take for all tasks."""

RANKS: Final = {"light": 0, "standard": 1, "heavy": 2}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A driver's first line: version, processor milliseconds of import and first decision, what to know of its answers."""

    version: str
    import_ms: float
    first_ms: float
    note: str = ""


class Choice(msgspec.Struct, frozen=True):
    """A driver's answer for one task: its tier, and the processor microseconds that took."""

    id: str
    tier: str
    decide_us: float


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What a router chose.

    Attributes:
        head: the driver's first line.
        ranks: per task, 0 light, 1 standard, 2 heavy.
        median_us: processor microseconds of a decision, the median over all tasks.
        p99_us: the 99th percentile.
    """

    head: Head
    ranks: Mapping[str, int]
    median_us: float
    p99_us: float


def ask(python: Path, driver: str, arguments: Sequence[str], texts: Mapping[str, str], scratch: Path) -> Answers | Refused:
    """Have a router choose a tier for every text.

    Args:
        python: of the router's environment.
        driver: module below `bench.others.drivers`.
        arguments: its setting.
        texts: per task.
        scratch: the router's home directory: what it keeps or reads of a user's is here, and no key is in its environment.
    """
    lines = b"".join(msgspec.json.encode({"id": name, "text": text}) + b"\n" for name, text in texts.items())
    command = [str(python), "-m", f"bench.others.drivers.{driver}", *arguments]
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HF_HOME") if name in os.environ}
    scratch.mkdir(parents=True, exist_ok=True)
    environment = kept | {"HOME": str(scratch), "PYTHONPATH": str(ROOT)}
    try:
        ran = subprocess.run(
            command, input=lines, capture_output=True, cwd=scratch, env=environment, timeout=SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        return Refused(f"no answer within {SECONDS} s")
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return Refused(f"its driver ended with {error.returncode}: {said[-1] if said else 'nothing said'}")
    return read(ran.stdout, texts)


def read(output: bytes, texts: Mapping[str, str]) -> Answers | Refused:
    """A driver's output; it has to answer for every task with a tier that is one."""
    try:
        first, *rest = output.splitlines()
        head = msgspec.json.decode(first, type=Head)
        choices = [msgspec.json.decode(line, type=Choice) for line in rest]
        ranks = {choice.id: RANKS[choice.tier] for choice in choices}
    except (ValueError, KeyError, msgspec.DecodeError) as error:
        return Refused(f"its driver's answer cannot be read: {error!r}")
    if ranks.keys() != texts.keys():
        return Refused(f"its driver answered for {len(ranks)} of {len(texts)} tasks")
    times = sorted(choice.decide_us for choice in choices)
    return Answers(head=head, ranks=ranks, median_us=statistics.median(times), p99_us=times[-(-len(times) * 99 // 100) - 1])


def own(texts: Mapping[str, str], scratch: Path) -> Answers | Refused:
    """The shipped router, asked like the others."""
    return ask(Path(sys.executable), "stepdown_static", (), texts, scratch)
