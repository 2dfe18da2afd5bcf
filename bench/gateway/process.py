"""What a program and everything it started cost: CPU time and memory, as the kernel counts them (Linux)."""

import os
import time
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


def tree(pid: int) -> tuple[int, ...]:
    """A process and its descendants that are alive, itself first; () where it has ended."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            tasks = [task.name for task in (_PROC / str(one) / "task").iterdir()]
        except FileNotFoundError:
            continue
        found.append(one)
        for task in tasks:
            try:
                children = (_PROC / str(one) / "task" / task / "children").read_text()
            except FileNotFoundError:
                continue
            waiting += [int(child) for child in children.split()]
    return tuple(found)


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, of a process, its living descendants, and those that any of them has waited for.

    Of the living the clock of the process is read, which counts nanoseconds where ``/proc/PID/stat`` counts hundredths of a
    second; of the dead there is only that.
    """
    total = 0.0
    for one in tree(pid):
        try:
            total += time.clock_gettime(_clock_of(one))
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        total += (int(fields[13]) + int(fields[14])) / _TICK
    return total


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and its descendants: what they share with others counts in part."""
    total = 0
    for one in tree(pid):
        try:
            lines = (_PROC / str(one) / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _clock_of(pid: int) -> int:
    """The id of a process's CPU clock, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | 2
