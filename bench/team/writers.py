"""``python -m bench.team.writers``: how much one PostgreSQL takes of 1, 2, 4 and 8 processes that write, one at a time.

Then what a gateway reads of it every second, a context, over many attempts, and what an attempt takes on the disk. See
`--help`.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from postgres_server import Cluster

from bench.gateway.process import cpu_seconds
from bench.ledger import attempt, outcome
from bench.team.filled import END, PROJECT, fill, size
from bench.team.servers import clustered, pid_of
from bench.team.table import lines
from stepdown.catalog import Catalog
from stepdown.context import build_context
from stepdown.ledger import Conversation, Ledger, Use, open_ledger
from stepdown.preferences import Budget, Preferences
from stepdown.units import Tokens

_TOP: Final = Path(__file__).parents[2]
_REQUESTS: Final = 20
"""Of a unit."""
_UNITS: Final = 10
"""At work at once at a gateway, each with a request since it wrote last."""
WAYS: Final = ("single", "batch")
"""Each call by itself, as `stepdown run` makes them; or batches as a gateway makes them, one a unit's request."""


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m bench.team.writers", description=__doc__.split("\n", 1)[0])
    made.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4, 8], help="processes that write at once")
    made.add_argument("--seconds", type=float, default=10.0, help="of each (%(default)s)")
    made.add_argument("--attempts", type=int, nargs="*", default=[10_000, 1_000_000], help="of the ledgers that are read")
    made.add_argument("--partitioned", action="store_true", help="with attempts partitioned by month (deploy/partition.sql)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there, too")
    made.add_argument("--as", dest="way", choices=WAYS, help=argparse.SUPPRESS)
    made.add_argument("--address", help=argparse.SUPPRESS)
    said = made.parse_args()
    if said.way:
        _write(said.address, said.way, said.seconds)
        return
    with clustered() as cluster:
        wrote = [written(cluster, way, many, said) for way in WAYS for many in said.writers]
        read = [reads(cluster, many, partitioned=said.partitioned) for many in said.attempts]
    if said.json:
        said.json.write_bytes(msgspec.json.format(msgspec.json.encode({"written": wrote, "read": read}), indent=1))
    print(_tables(wrote, read))
    print(f"\nCores: {os.cpu_count()}; every commit is on the disk.")


class Wrote(msgspec.Struct, frozen=True, kw_only=True):
    """What so many processes have written at once.

    Attributes:
        way: one of `WAYS`.
        writers: how many.
        seconds: for so long.
        attempts: that were begun and ended.
        requests: that were noted.
        commits: transactions.
        waits: seconds that a transaction took, waiting for others included: p50 and p99 of all writers.
        server: CPU seconds of PostgreSQL.
        clients: CPU seconds of the writers.
    """

    way: str
    writers: int
    seconds: float
    attempts: int
    requests: int
    commits: int
    waits: tuple[float, float]
    server: float
    clients: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one writer says in the end.

    Attributes:
        attempts: begun and ended.
        requests: noted.
        took: seconds of each transaction.
        cpu: seconds.
    """

    attempts: int
    requests: int
    took: list[float]
    cpu: float


def written(cluster: Cluster, way: str, writers: int, said: argparse.Namespace) -> Wrote:
    """So many writers at once, on an empty ledger."""
    name = f"{way}_{writers}"
    address = _ledger(cluster, name, partitioned=said.partitioned)
    print(f"{writers} writers, {way}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "bench.team.writers", "--as", way, "--address", address, "--seconds", str(said.seconds)]
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(writers):
            one = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_TOP))
            stack.callback(one.kill)
            started.append(one)
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        before = cpu_seconds(pid_of(cluster))
        for one in started:
            assert one.stdin is not None
            one.stdin.write(b"go\n")
            one.stdin.flush()
        told = []
        for one in started:
            assert one.stdout is not None
            told.append(msgspec.json.decode(one.stdout.readline(), type=Told))
        server = cpu_seconds(pid_of(cluster)) - before
    took = sorted(seconds for one in told for seconds in one.took)
    return Wrote(
        way=way,
        writers=writers,
        seconds=said.seconds,
        attempts=sum(one.attempts for one in told),
        requests=sum(one.requests for one in told),
        commits=len(took),
        waits=(took[len(took) // 2], took[len(took) * 99 // 100]),
        server=server,
        clients=sum(one.cpu for one in told),
    )


def _ledger(cluster: Cluster, name: str, *, partitioned: bool) -> str:
    """An empty one."""
    cluster.sql(f"CREATE DATABASE {name}")
    address = cluster.address(name)
    open_ledger(address).close()
    if partitioned:
        statements = (_TOP / "deploy" / "partition.sql").read_text(encoding="utf-8")
        cluster.sql(statements.rpartition("ANALYZE")[0], name)
    return address


def _write(address: str, way: str, seconds: float) -> None:
    """One writer."""
    with open_ledger(address, busy_seconds=60.0) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        begun, before = time.perf_counter(), time.process_time()
        attempts, requests, took = 0, 0, list[float]()
        while time.perf_counter() - begun < seconds:
            more = (_single if way == "single" else _batched)(ledger, took)
            attempts, requests = attempts + more[0], requests + more[1]
        told = Told(attempts=attempts, requests=requests, took=took, cpu=time.process_time() - before)
    print(msgspec.json.encode(told).decode(), flush=True)


def _single(ledger: Ledger, took: list[float]) -> tuple[int, int]:
    """A unit with one word on what it has used."""
    marks = [time.perf_counter()]
    running = ledger.begin(attempt(1))
    marks.append(time.perf_counter())
    ledger.note_use(running, _use(1))
    marks.append(time.perf_counter())
    ledger.settle(running, outcome(1))
    marks.append(time.perf_counter())
    took.extend(after - before for before, after in pairwise(marks))
    return 1, 1


def _batched(ledger: Ledger, took: list[float]) -> tuple[int, int]:
    """Units from their first request to their last, all side by side: a batch for each request that each of them makes."""
    running: list[int] = []
    for number in range(1, _REQUESTS + 1):
        start = time.perf_counter()
        with ledger.batch():
            if number == 1:
                running = [ledger.begin(attempt(unit)) for unit in range(_UNITS)]
            for one in running:
                if number < _REQUESTS:
                    ledger.note_use(one, _use(number))
                else:
                    ledger.settle(one, outcome(one))
            ledger.remember(
                [Conversation(project=PROJECT, id=f"{one}", at=END, state=b"x" * 400 + bytes([number])) for one in running]
            )
        took.append(time.perf_counter() - start)
    return _UNITS, _UNITS * _REQUESTS


def _use(requests: int) -> Use:
    return Use(tokens=Tokens(output=500 * requests), requests=requests, cost_usd=0.01 * requests)


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger of so many attempts.

    Attributes:
        attempts: in it.
        context: seconds to put together what routing is told, median and worst of twenty.
        cpu: CPU seconds of the program for that, likewise the median.
        batch: seconds of a gateway's batch, median.
        size: bytes on the disk, of an attempt.
        everything: bytes on the disk, of the database.
    """

    attempts: int
    context: tuple[float, float]
    cpu: float
    batch: float
    size: float
    everything: int


def reads(cluster: Cluster, many: int, *, partitioned: bool) -> Read:
    """Fill a ledger, and read it."""
    name = f"read_{many}"
    address = _ledger(cluster, name, partitioned=partitioned)
    print(f"a ledger of {many:,} attempts", file=sys.stderr, flush=True)
    fill(cluster, name, many)
    attempts, everything = size(cluster, name)
    budgets = (Budget(unit="usd", limit=1e9, window="day"), Budget(unit="usd", limit=1e9, window="month"))
    preferences = Preferences(budget_ceiling=1e9, budgets=budgets)
    catalog = Catalog.load()
    took, cpu, batches = list[float](), list[float](), list[float]()
    with open_ledger(address) as ledger:
        for _ in range(20):
            start, before = time.perf_counter(), time.process_time()
            build_context(ledger, preferences, project=PROJECT, now=END, catalog=catalog)
            took.append(time.perf_counter() - start)
            cpu.append(time.process_time() - before)
        for _ in range(3):
            _batched(ledger, batches)
    return Read(
        attempts=many,
        context=(statistics.median(took), max(took)),
        cpu=statistics.median(cpu),
        batch=statistics.median(batches),
        size=attempts / many,
        everything=everything,
    )


def _tables(wrote: Sequence[Wrote], read: Sequence[Read]) -> str:
    head = ("", "writers", "units/s", "requests/s", "transactions/s", "p50 ms", "p99", "PostgreSQL: % of a core", "writers")
    cells = [
        (
            one.way,
            str(one.writers),
            f"{one.attempts / one.seconds:.0f}",
            f"{one.requests / one.seconds:,.0f}",
            f"{one.commits / one.seconds:.0f}",
            *(f"{seconds * 1000:.1f}" for seconds in one.waits),
            f"{one.server / one.seconds * 100:.0f}",
            f"{one.clients / one.seconds * 100:.0f}",
        )
        for one in wrote
    ]
    other = (
        "attempts",
        "a context, median ms",
        "worst",
        "its CPU ms",
        "a gateway's batch, ms",
        "bytes an attempt",
        "database MB",
    )
    others = [
        (
            f"{one.attempts:,}",
            *(f"{seconds * 1000:.1f}" for seconds in (*one.context, one.cpu, one.batch)),
            f"{one.size:,.0f}",
            f"{one.everything / 1e6:,.0f}",
        )
        for one in read
    ]
    return "\n\n".join([lines(head, cells), *([lines(other, others)] if others else [])])


if __name__ == "__main__":
    main()
