"""The measurements: rounds in which every subject has its turn, then memory, one subject after the other."""

import contextlib
import math
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from bench.gateway.load import UNIT, Order, Result
from bench.gateway.process import cpu_seconds, memory_bytes
from bench.gateway.running import Load, Running
from bench.gateway.upstream import CHUNKS, GAP

DIRECT: Final = "direct"
"""The provider itself, without anybody in between."""

SHORT: Final = 5
"""Requests of a unit where memory is watched for long: what is remembered of units is bounded, and the bound is reached."""

_SETTLE: Final = 0.4
"""Seconds after a turn until its CPU time is read: what is written later, a ledger, belongs to it."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured.

    Attributes:
        rounds: alternating.
        turn: seconds of one kind of request in a round.
        soak: requests for the memory, and after how many seconds a slow subject is stopped.
        long: requests of `Subject.long` alone, in ten steps; 0 leaves them out.
        streams: slow ones at the same time.
        everyone: whether all are asked for those, or only stepdown and the pass-through.
        starts: how often each is started.
    """

    rounds: int
    turn: float
    soak: tuple[int, float]
    long: int
    streams: int
    everyone: bool
    starts: int


QUICK: Final = Bounds(rounds=2, turn=0.8, soak=(2_000, 6.0), long=0, streams=1_000, everyone=False, starts=1)
FULL: Final = Bounds(rounds=6, turn=1.6, soak=(10_000, 20.0), long=100_000, streams=1_000, everyone=True, starts=3)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request in one round.

    Attributes:
        cpu: CPU seconds of the subject a complete answer; NaN where there is none, or nobody is measured.
        latencies: seconds.
        first_bytes: seconds.
        problems: what went wrong.
    """

    cpu: float
    latencies: list[float]
    first_bytes: list[float]
    problems: dict[str, int]


KINDS: Final = {
    "one": {"connections": 1},
    "eight": {"connections": 8},
    "streamed": {"connections": 1, "stream": True},
}
"""The kinds of requests: whole answers at one connection and at eight, streams at one."""

Turns = dict[str, dict[str, list[Turn]]]
"""Per subject and kind, one a round."""


def rounds(load: Load, provider: int, subjects: Sequence[Running], bounds: Bounds, say: Callable[[str], None]) -> Turns:
    """Every subject in every round, one after the other, the provider itself first."""
    turns: Turns = {name: {kind: [] for kind in KINDS} for name in (DIRECT, *(one.subject.name for one in subjects))}
    for one in subjects:  # what a program does for the first time, compiling included, is not what it costs
        load(_order(one.port, one.headers, "eight", 1.0))
    for number in range(bounds.rounds):
        say(f"round {number + 1} of {bounds.rounds}")
        for kind in KINDS:
            turns[DIRECT][kind].append(_turn(load, _order(provider, {}, kind, bounds.turn), None))
            for one in subjects:
                order = _order(one.port, one.headers, kind, bounds.turn)
                turns[one.subject.name][kind].append(_turn(load, order, one.pid))
    return turns


def _order(port: int, headers: dict[str, str], kind: str, seconds: float) -> Order:
    return msgspec.convert({"port": port, "headers": headers, "requests": 10**9, "seconds": seconds, **KINDS[kind]}, Order)


def _turn(load: Load, order: Order, pid: int | None) -> Turn:
    before = math.nan if pid is None else cpu_seconds(pid)
    result = load(order)
    if pid is not None:
        time.sleep(_SETTLE)
    spent = math.nan if pid is None or not result.latencies else cpu_seconds(pid) - before
    return Turn(
        cpu=spent / max(1, len(result.latencies)),
        latencies=result.latencies,
        first_bytes=result.first_bytes,
        problems=result.problems,
    )


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One subject over all rounds; milliseconds. Medians of rounds, but percentiles over all requests.

    Attributes:
        cpu: per kind, CPU a request.
        times_plain: per kind, the same as a multiple of the pass-through's, taken round by round.
        p50: added by the subject to the provider's own, at one connection.
        p99: likewise.
        first_byte: likewise, of streams.
        requests: how many answers were complete.
        problems: what went wrong, and how often.
    """

    cpu: dict[str, float]
    times_plain: dict[str, float]
    p50: float
    p99: float
    first_byte: float
    requests: int
    problems: dict[str, int]


def summary(turns: Turns, name: str, plain: str) -> Summary:
    """What the rounds say of a subject."""
    own, base, direct = turns[name], turns[plain], turns[DIRECT]
    problems: dict[str, int] = {}
    for turn in (turn for kind in own.values() for turn in kind):
        for problem, times in turn.problems.items():
            problems[problem] = problems.get(problem, 0) + times
    return Summary(
        cpu={kind: statistics.median(turn.cpu for turn in own[kind]) * 1000 for kind in KINDS},
        times_plain={
            kind: statistics.median(turn.cpu / other.cpu for turn, other in zip(own[kind], base[kind], strict=True))
            for kind in KINDS
        },
        p50=_added([turn.latencies for turn in own["one"]], [turn.latencies for turn in direct["one"]], 0.50),
        p99=_added([turn.latencies for turn in own["one"]], [turn.latencies for turn in direct["one"]], 0.99),
        first_byte=_added(
            [turn.first_bytes for turn in own["streamed"]], [turn.first_bytes for turn in direct["streamed"]], 0.50
        ),
        requests=sum(len(turn.latencies) for kind in own.values() for turn in kind),
        problems=problems,
    )


def _added(own: Sequence[Sequence[float]], direct: Sequence[Sequence[float]], share: float) -> float:
    """Milliseconds between two percentiles."""
    here, there = (percentile([value for one in each for value in one], share) for each in (own, direct))
    return (here - there) * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; NaN where there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Soaked(msgspec.Struct, frozen=True):
    """Memory after a number of requests, in bytes."""

    requests: int
    memory: int


def soak(load: Load, one: Running, requests: int, seconds: float, unit: int = UNIT) -> Soaked:
    """Eight connections for as many requests, or as long; `unit` of them belong together."""
    result = load(Order(port=one.port, headers=one.headers, connections=8, requests=requests, seconds=seconds, unit=unit))
    time.sleep(_SETTLE)
    return Soaked(len(result.latencies), memory_bytes(one.pid))


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Many slow streams at the same time.

    Attributes:
        complete: streams that came to their end.
        problems: what happened to the others.
        peak: the most memory meanwhile, bytes.
        first_bytes: seconds, median.
        cpu: CPU seconds of all of them.
    """

    complete: int
    problems: dict[str, int]
    peak: int
    first_byte: float
    cpu: float


def slow_streams(load: Load, one: Running, provider: int, streams: int) -> Streams:
    """Each stream gets a chunk a second, ten in all."""
    with _pace(provider, 1.0, 10), _watching(one.pid) as peak:
        before = cpu_seconds(one.pid)
        order = Order(port=one.port, headers=one.headers, stream=True, connections=streams, requests=streams, patience=45.0)
        result: Result = load(order)
        spent = cpu_seconds(one.pid) - before
    return Streams(
        complete=len(result.latencies),
        problems=result.problems,
        peak=max(peak),
        first_byte=percentile(result.first_bytes, 0.5),
        cpu=spent,
    )


@contextlib.contextmanager
def _pace(provider: int, gap: float, chunks: int) -> Iterator[None]:
    """Another pace for all streams."""
    _set_pace(provider, gap, chunks)
    try:
        yield
    finally:
        _set_pace(provider, GAP, CHUNKS)


def _set_pace(provider: int, gap: float, chunks: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{provider}/pace/{gap}/{chunks}", timeout=10):
        pass


@contextlib.contextmanager
def _watching(pid: int) -> Iterator[list[int]]:
    """The memory of a program, twice a second."""
    seen = [memory_bytes(pid)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            seen.append(memory_bytes(pid))

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield seen
    finally:
        over.set()
        watch.join()
