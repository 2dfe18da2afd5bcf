"""``python -m bench.gateway``: gateways side by side, in one run. See `--help`."""

import argparse
import contextlib
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.gateway import table
from bench.gateway.install import NotHere, default_cache
from bench.gateway.measure import FULL, QUICK, SHORT, Bounds, rounds, slow_streams, soak, summary
from bench.gateway.process import memory_bytes
from bench.gateway.running import Load, Running, loading, providing, running
from bench.gateway.subjects import PLAIN, SUBJECTS, Subject, chosen
from bench.gateway.table import Measured

_SLOW = 10.0
"""Seconds to the first answer from which on nobody starts it once more to be sure."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.gateway", description="What gateways cost a request, side by side.")
    made.add_argument("--quick", action="store_true", help="about three minutes instead of fifteen")
    made.add_argument("--only", nargs="+", default=(), metavar="NAME", choices=[one.name for one in SUBJECTS], help="some only")
    made.add_argument("--cache", type=Path, default=default_cache(), help="where the others are installed (%(default)s)")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def measure(names: Sequence[str], cache: Path, bounds: Bounds) -> tuple[list[Measured], dict[str, str]]:
    """Everything, and who is missing."""
    missing: dict[str, str] = {}
    found: dict[str, Measured] = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        load, provider = stack.enter_context(loading()), stack.enter_context(providing())
        up: list[Running] = []
        for subject in chosen(names):
            say(f"{subject.label}: starting")
            try:
                starts = list(_try_out(subject, cache, scratch, provider, load, bounds.starts - 1))
                one = stack.enter_context(running(subject, cache, scratch / subject.name, provider, load))
            except NotHere as problem:
                missing[subject.label] = str(problem)
                continue
            time.sleep(1)
            up.append(one)
            starts.append((one.first_served, one.first_cpu))
            found[subject.name] = Measured(
                name=subject.name,
                label=subject.label,
                how=subject.how,
                served=one.served,
                first_served=statistics.median(seconds for seconds, _ in starts),
                first_cpu=statistics.median(cpu for _, cpu in starts),
                idle=memory_bytes(one.pid),
            )
        if not any(one.subject.name == PLAIN for one in up):
            raise SystemExit(f"the pass-through is what the others are compared with: {missing}")
        turns = rounds(load, provider, up, bounds, say)
        for one in up:
            row = found[one.subject.name]
            row.speed = summary(turns, row.name, PLAIN)
            _memory(load, one, provider, row, bounds)
    return list(found.values()), missing


def _try_out(
    subject: Subject, cache: Path, scratch: Path, provider: int, load: Load, times: int
) -> Iterator[tuple[float, float]]:
    """Start it and end it again, a slow one once: seconds and CPU seconds until its first answer."""
    for number in range(times):
        with running(subject, cache, scratch / f"{subject.name}-{number}", provider, load) as one:
            yield one.first_served, one.first_cpu
        if one.first_served > _SLOW:
            return


def _memory(load: Load, one: Running, provider: int, row: Measured, bounds: Bounds) -> None:
    say(f"{row.label}: memory")
    row.soaked = soak(load, one, *bounds.soak)
    if bounds.long and one.subject.long:
        row.long = [soak(load, one, bounds.long // 10, 30.0, SHORT) for _ in range(10)]
    if bounds.everyone or one.subject.ours or row.name == PLAIN:
        row.streams = slow_streams(load, one, provider, bounds.streams)


def main() -> None:
    said = parser().parse_args()
    # Told to end, it ends what it started: those lead process groups of their own.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand streams are two thousand sockets of the subject
    before = os.getloadavg()[0]
    rows, missing = measure(said.only, said.cache, QUICK if said.quick else FULL)
    if said.json:
        print(table.as_json(rows, missing))
        return
    load = f"Cores: {os.cpu_count()}; load average before {before:.1f}, after {os.getloadavg()[0]:.1f}."
    parts = (f"{table.NOTES}\n{load}", table.notes(rows, missing), table.speed(rows), table.memory(rows), table.long(rows))
    print("\n\n".join(part for part in parts if part))


if __name__ == "__main__":
    main()
