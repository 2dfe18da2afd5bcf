"""The comparison as tables of Markdown that also read well on a terminal, and as JSON. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from bench.gateway.bodies import SIZE, TOOLS
from bench.gateway.measure import Soaked, Streams, Summary

_MB = 1_000_000


class Measured(msgspec.Struct, kw_only=True):
    """Everything about one subject.

    Attributes:
        name: as on the command line.
        label: in the tables.
        how: what it was told to do.
        served: the model that it says it put the first request on.
        first_served: seconds from its start to its first answer.
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
    idle: int
    speed: Summary | None = None
    soaked: Soaked | None = None
    long: list[Soaked] = []
    streams: Streams | None = None


NOTES = f"""\
Messages requests of {SIZE / 1000:.0f} KB with {TOOLS} tools, over loopback, to a provider that answers from memory. Asking and
answering are processes of their own and share the machine's cores with the subject, so times of day are worth less than CPU time,
and p99 is mostly the machine's. CPU is the whole process tree's, work after the answer included. "x" is the multiple of the
pass-through's CPU, median of rounds. "added" is above asking the provider directly, at one connection. Memory is proportional set
size, without what the kernel holds for sockets. Streams of the first table have 20 chunks, one a millisecond."""


def speed(rows: Sequence[Measured]) -> str:
    """CPU and latency."""
    head = ("", "CPU ms", "x", "CPU ms, 8 conn.", "x", "CPU ms, stream", "x")
    cells = [(*head, "added p50 ms", "added p99 ms", "first byte ms", "requests", "problems")]
    for one in rows:
        found = one.speed
        if found is None:
            continue
        costs = [f"{value:.{2 if place % 2 == 0 else 2}f}" for place, value in enumerate(_costs(found))]
        added = (f"{found.p50:.2f}", f"{found.p99:.2f}", f"{found.first_byte:.2f}")
        cells.append((one.label, *costs, *added, f"{found.requests:,}", _problems(found.problems)))
    return _lines(cells)


def _costs(found: Summary) -> list[float]:
    return [value for kind in found.cpu for value in (found.cpu[kind], found.times_plain[kind])]


def memory(rows: Sequence[Measured]) -> str:
    """Start and memory."""
    cells = [("", "first answer s", "idle MB", "after", "MB", "slow streams complete", "problems", "peak MB", "first byte s", "CPU s")]
    for one in rows:
        soaked = (f"{one.soaked.requests:,}", f"{one.soaked.memory / _MB:.0f}") if one.soaked else ("", "")
        streams = ("", "", "", "", "")
        if one.streams is not None:
            found = one.streams
            numbers = (f"{found.peak / _MB:.0f}", f"{found.first_byte:.2f}", f"{found.cpu:.1f}")
            streams = (f"{found.complete:,}", _problems(found.problems), *numbers)
        cells.append((one.label, f"{one.first_served:.2f}", f"{one.idle / _MB:.0f}", *soaked, *streams))
    return _lines(cells)


def long(rows: Sequence[Measured]) -> str:
    """Memory over many requests; "" where that was not measured."""
    cells = [("", "requests", "MB")]
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


def _problems(problems: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {problem}" for problem, times in problems.items())


def _lines(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
