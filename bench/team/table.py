"""What was found, as tables of Markdown. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from bench.team.held import Held, Phase, slope
from bench.team.shares import Row

_MB: Final = 1_000_000
_TEN_MINUTES: Final = 600.0

GOAL_SHARE: Final = 0.10


def loaded(found: Sequence[Held]) -> str:
    """What each team held, and what a request took of whom."""
    head = ("", "load", "seconds", "requests/s", "p50 ms", "p99", "direct p50", "p99", "added p50", "p99")
    return lines(
        (*head, "clients' errors"), [_phase(one.team.label, phase) for one in found for phase in (one.fast, one.steady)]
    )


def _phase(label: str, phase: Phase) -> Sequence[str]:
    load = f"{phase.rate:.0f} requests/s" if phase.rate else "as fast as it goes"
    own = [_ms(value) for value in phase.latencies]
    others = [""] * 4
    if phase.direct:
        added = [mine - theirs for mine, theirs in zip(phase.latencies, phase.direct, strict=True)]
        others = [_ms(value) for value in (*phase.direct, *added)]
    held = f"{phase.requests / phase.seconds:.1f}"
    return (label, load, f"{phase.seconds:.0f}", held, *own, *others, _problems(phase.problems) or "none")


def costs(found: Sequence[Held]) -> str:
    """CPU a request of each process, and the gateways' memory."""
    names = ("gateways", "postgresql", "provider", "load")
    head = ("", "load", *(f"{name}: CPU ms/request" for name in names), "memory MB, first", "last", "MB/10 min once warm")
    cells = []
    for one in found:
        for phase in (one.fast, one.steady):
            cpu = [_ms(phase.cpu[name] / max(1, phase.requests)) if name in phase.cpu else "" for name in names]
            first, last = ([f"{seen[at][1] / _MB:.0f}" for seen in phase.memory] for at in (0, -1))
            grown = [_signed(slope(seen) * _TEN_MINUTES / _MB) for seen in phase.memory]
            load = f"{phase.rate:.0f} requests/s" if phase.rate else "as fast as it goes"
            cells.append((one.team.label, load, *cpu, ", ".join(first), ", ".join(last), ", ".join(grown)))
    return lines(head, cells)


def agreed(found: Sequence[Held]) -> str:
    """The ledger beside the provider's own log."""
    head = ("", "requests served", "in the ledger", "tokens billed", "in the ledger", "added up there", "units' attempts")
    cells = []
    for one in found:
        that = one.agreement
        numbers = (that.served, that.requests, that.billed.total, that.tokens.total, that.summed, that.attempts)
        is_same = "holds" if that.holds else "MISSED"
        cells.append((one.team.label, *(f"{number:,}" for number in numbers), str(one.faults), is_same))
    return lines((*head, "faults of the provider", "to the token"), cells)


def shared(rows: Sequence[Row]) -> str:
    """The ledger's share."""
    head = (
        "",
        "CPU ms/request",
        "the ledger's share, %",
        "least to most",
        "PostgreSQL: CPU ms/request",
        "requests",
        "problems",
    )
    cells = []
    for row in rows:
        share = ("", "")
        if row.share is not None and row.shares is not None:
            share = (_percent(row.share), f"{_percent(row.shares[0])} to {_percent(row.shares[1])}")
        server = _ms(row.server) if row.team.ledger == "postgresql" else ""
        cells.append((row.team.label, _ms(row.cpu), *share, server, f"{row.requests:,}", _problems(row.problems)))
    return lines(head, cells)


def goals(found: Sequence[Held], rows: Sequence[Row]) -> list[str]:
    """Each goal, and whether it was reached."""
    said = []
    for one in found:
        wrong = {**one.fast.problems, **one.steady.problems}
        said.append(_verdict(f"{one.team.label}: no errors", held=not wrong, why=_problems(wrong) or "none"))
        why = f"{one.agreement.billed.total:,} billed, {one.agreement.tokens.total:,} recorded"
        said.append(_verdict(f"{one.team.label}: rows correct, to the token", held=one.agreement.holds, why=why))
    for row in rows:
        if row.share is not None:
            why = f"{_percent(row.share)} %"
            said.append(_verdict(f"{row.team.label}: ledger under 10 % of a request", held=row.share < GOAL_SHARE, why=why))
    return said


def _verdict(what: str, *, held: bool, why: str) -> str:
    return f"- {what}: {'holds' if held else 'MISSED'} ({why})"


def _problems(problems: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {problem}" for problem, times in problems.items())


def _percent(share: float) -> str:
    return f"{share * 100:.1f}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.1f}"


def _ms(seconds: float) -> str:
    found = seconds * 1000
    return f"{found:.0f}" if abs(found) >= 100 else f"{found:.1f}" if abs(found) >= 10 else f"{found:.2f}"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])
