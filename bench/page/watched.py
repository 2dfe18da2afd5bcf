"""What open pages cost the gateway: turns with and without them, alternating, under the same load."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from bench.gateway.load import Order
from bench.gateway.process import cpu_seconds, memory_bytes
from bench.gateway.running import Load, Running
from bench.page.followers import Heard, open_pages
from bench.page.gateway import QUERY

RATES: Final = (0.0, 20.0, 100.0)
"""Requests a second, every other one streamed; 0 is none."""
PAGES: Final = (0, 50)
CONNECTIONS: Final = 8
"""Of each of the two kinds."""

_SETTLE: Final = 1.5
"""Seconds from when pages are open until it is counted: opening is not what is measured."""
_AFTER: Final = 0.5
"""Seconds after the load until counting ends: what is written to the ledger then belongs to it."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One rate with so many pages open, in one round.

    Attributes:
        cpu: CPU seconds of the gateway.
        seconds: of the clock.
        requests: that were answered, whole.
        problems: what went wrong.
        memory: of the gateway at the end, bytes.
        heard: what a page was told; None without pages.
    """

    cpu: float
    seconds: float
    requests: int
    problems: dict[str, int]
    memory: int
    heard: Heard | None


Turns = dict[tuple[float, int], list[Turn]]
"""By rate and pages, one a round."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One rate with so many pages; medians of rounds.

    Attributes:
        rate: requests a second.
        pages: that are open.
        core: CPU seconds a second of the clock.
        request: CPU seconds a request, everything included; None without requests.
        more_core: CPU seconds a second more than without pages, taken round by round.
        more_share: the same as a share of what the gateway takes without pages; None without requests.
        shares: of all rounds, the least and the most.
        memory: the most in any round, bytes.
        told: how often a page was told something, a second.
        size: bytes that it was told, a second.
        requests: in all rounds.
        problems: what went wrong, and how often.
    """

    rate: float
    pages: int
    core: float
    request: float | None
    more_core: float
    more_share: float | None
    shares: tuple[float, float] | None
    memory: int
    told: float
    size: float
    requests: int
    problems: dict[str, int]


def watched(
    one: Running,
    loads: tuple[Load, Load],
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    rates: Sequence[float] = RATES,
    pages: Sequence[int] = PAGES,
) -> Turns:
    """Every rate with every number of pages in every round; every other round in the opposite order."""
    turns: Turns = {(rate, many): [] for rate in rates for many in pages}
    _ask(one, loads, 40.0, 2.0)  # what is done for the first time is not what is measured
    for number in range(rounds):
        say(f"open pages: round {number + 1} of {rounds}")
        for rate in rates:
            for many in pages if number % 2 == 0 else tuple(reversed(pages)):
                turns[rate, many].append(_turn(one, loads, rate, many, seconds))
    return turns


def _turn(one: Running, loads: tuple[Load, Load], rate: float, many: int, seconds: float) -> Turn:
    with open_pages(one.port, f"/page/events{QUERY}", many) as opened:
        time.sleep(_SETTLE)
        opened.count()
        begun, before = time.perf_counter(), cpu_seconds(one.pid)
        requests, problems = _ask(one, loads, rate, seconds)
        time.sleep(_AFTER)
        cpu, took, memory = cpu_seconds(one.pid) - before, time.perf_counter() - begun, memory_bytes(one.pid)
    return Turn(cpu=cpu, seconds=took, requests=requests, problems=problems, memory=memory, heard=opened.heard)


def _ask(one: Running, loads: tuple[Load, Load], rate: float, seconds: float) -> tuple[int, dict[str, int]]:
    """Half of them streamed; how many were answered, and what went wrong."""
    if not rate:
        time.sleep(seconds)
        return 0, {}
    each = rate / len(loads)
    orders = [
        Order(
            port=one.port,
            headers=one.headers,
            stream=stream,
            connections=CONNECTIONS,
            requests=round(each * seconds),
            rate=each,
        )
        for stream in (False, True)
    ]
    with ThreadPoolExecutor(len(loads)) as pool:
        results = list(pool.map(lambda load, order: load(order), loads, orders))
    problems: Counter[str] = Counter()
    for result in results:
        problems.update(result.problems)
    return sum(len(result.latencies) for result in results), dict(problems)


def rows(turns: Turns) -> list[Row]:
    """What the rounds say, each compared with the turn without pages of the same round."""
    return [_row(rate, many, own, turns[rate, 0]) for (rate, many), own in turns.items()]


def _row(rate: float, many: int, own: Sequence[Turn], without: Sequence[Turn]) -> Row:
    pairs = list(zip(own, without, strict=True))
    clock = sum(turn.seconds for turn in own)
    heard = [turn.heard for turn in own if turn.heard is not None]
    problems: Counter[str] = Counter()
    for turn in own:
        problems.update(turn.problems)
    lost = sum(one.lost for one in heard)
    shares = [turn.cpu / base.cpu - 1 for turn, base in pairs]
    return Row(
        rate=rate,
        pages=many,
        core=statistics.median(turn.cpu / turn.seconds for turn in own),
        request=statistics.median(turn.cpu / max(1, turn.requests) for turn in own) if rate else None,
        more_core=statistics.median(turn.cpu / turn.seconds - base.cpu / base.seconds for turn, base in pairs),
        more_share=statistics.median(shares) if rate else None,
        shares=(min(shares), max(shares)) if rate else None,
        memory=max(turn.memory for turn in own),
        told=sum(one.told for one in heard) / clock,
        size=sum(one.size for one in heard) / clock,
        requests=sum(turn.requests for turn in own),
        problems={**problems, **({"pages lost": lost} if lost else {})},
    )
