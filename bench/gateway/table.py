"""The comparison as tables of Markdown that also read well on a terminal, and as JSON. Pure."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from bench.gateway.bodies import SIZE, TOOLS
from bench.gateway.measure import SHORT, Soaked, Streams, Summary

_MB = 1_000_000


class Measured(msgspec.Struct, kw_only=True):
    """Everything about one subject.

    Attributes:
        name: as on the command line.
        label: in the tables.
        how: what it was told to do.
        served: the model that it says it put the first request on.
        first_served: seconds from its start to its first answer, the median of all starts.
        first_cpu: CPU seconds that it took for that, likewise.
        idle: bytes after that answer.
        speed: over the rounds.
        soaked: memory after so many requests more.
        long: the same in ten steps.
        streams: many slow streams.
    """

    name: str
    label: str
    how: str
    served: str = ""
    first_served: float
    first_cpu: float
    idle: int
    speed: Summary | None = None
    soaked: Soaked | None = None
    long: list[Soaked] = []
    streams: Streams | None = None


NOTES = f"""\
Messages requests of {SIZE / 1000:.0f} KB with {TOOLS} tools, over loopback, to a provider that answers from memory. Asking and
answering are processes of their own and share the cores with the subject and whatever else runs there: trust CPU times and
ratios; milliseconds of waiting are worth less, and p99 is mostly the machine's. CPU is the whole process tree's, work after
the answer included. "x" is the multiple of the pass-through's CPU, median of rounds. "added" is above asking the provider
directly, at one connection. Memory is proportional set size, without what the kernel holds for sockets. Streams of the first
table have 20 chunks, one a millisecond; slow ones ten, one a second."""


def speed(rows: Sequence[Measured]) -> str:
    """CPU and latency."""
    head = ("", "CPU ms", "x", "CPU ms, 8 conn.", "x", "CPU ms, stream", "x")
    cells: list[Sequence[str]] = [(*head, "added p50 ms", "added p99 ms", "first byte ms", "requests", "problems")]
    for one in rows:
        found = one.speed
        if found is None:
            continue
        costs = [_number(value) for value in _costs(found)]
        added = (_number(found.p50), _number(found.p99), _number(found.first_byte))
        cells.append((one.label, *costs, *added, f"{found.requests:,}", _problems(found.problems)))
    return _lines(cells)


def _costs(found: Summary) -> list[float]:
    return [value for kind in found.cpu for value in (found.cpu[kind], found.times_plain[kind])]


def memory(rows: Sequence[Measured]) -> str:
    """Start and memory."""
    head = ("", "first answer s", "CPU s until then", "idle MB", "after", "MB")
    cells: list[Sequence[str]] = [(*head, "slow streams complete", "problems", "peak MB", "first byte s", "CPU s")]
    for one in rows:
        soaked = (f"{one.soaked.requests:,}", f"{one.soaked.memory / _MB:.0f}") if one.soaked else ("", "")
        streams = ("", "", "", "", "")
        if one.streams is not None:
            found = one.streams
            numbers = (f"{found.peak / _MB:.0f}", _number(found.first_byte), f"{found.cpu:.1f}")
            streams = (f"{found.complete:,}", _problems(found.problems), *numbers)
        start = (_number(one.first_served), _number(one.first_cpu), f"{one.idle / _MB:.0f}")
        cells.append((one.label, *start, *soaked, *streams))
    return _lines(cells)


def long(rows: Sequence[Measured]) -> str:
    """Memory over many requests; "" where that was not measured."""
    cells = [("", f"requests, {SHORT} a unit", "MB")]
    for one in rows:
        total = 0
        for step in one.long:
            total += step.requests
            cells.append((one.label, f"{total:,}", f"{step.memory / _MB:.1f}"))
    return _lines(cells) if len(cells) > 1 else ""


def notes(rows: Sequence[Measured], missing: Mapping[str, str]) -> str:
    """What each is, and who is missing."""
    said = [f"- {one.label}: {one.how}{f' First request served by {one.served}.' if one.served else ''}" for one in rows]
    return "\n".join([*said, *(f"- {label}: does not take part: {reason}." for label, reason in missing.items())])


def as_json(rows: Sequence[Measured], missing: Mapping[str, str]) -> str:
    """Everything for programs."""
    return msgspec.json.format(msgspec.json.encode({"subjects": rows, "missing": missing}), indent=2).decode()


def _number(value: float) -> str:
    """With three digits; "" where there is none."""
    return "" if math.isnan(value) else f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _problems(problems: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {problem}" for problem, times in problems.items())


def _lines(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    lines = [
        f"| {row[0].ljust(widths[0])} | "
        + " | ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
