"""What of a request's CPU is the ledger's: teams on each ledger beside the same gateways that remember in memory only."""

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.gateway.load import Order
from bench.gateway.process import cpu_seconds
from bench.gateway.running import Load, Running, loading
from bench.team.gateways import Team, address_of, gateways, headers
from bench.team.held import UNIT
from bench.team.servers import clustered, pid_of, practising

TEAMS: Final = tuple(
    Team(ledger=ledger, gateways=many, budgets=budgets)
    for many, ledgers in ((2, ("memory", "postgresql")), (1, ("memory", "sqlite")))
    for budgets in (False, True)
    for ledger in ledgers
)
"""Each ledger follows the memory that it is compared with."""

_SETTLE: Final = 0.6
"""Seconds after a turn until CPU time is read: what is written later belongs to it."""
_CONNECTIONS: Final = 8


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One team in one round.

    Attributes:
        cpu: CPU seconds of its gateways a request.
        server: CPU seconds of PostgreSQL a request.
        requests: that were answered, whole.
        problems: what went wrong, and how often.
    """

    cpu: float
    server: float
    requests: int
    problems: dict[str, int]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One team over all rounds, medians.

    Attributes:
        team: which.
        cpu: CPU seconds of its gateways a request.
        share: of that, what the same gateways do not take on a ledger in memory; None of those themselves.
        shares: the least and the most of any round.
        server: CPU seconds of PostgreSQL a request.
        requests: in all rounds.
        problems: what went wrong, and how often.
    """

    team: Team
    cpu: float
    share: float | None
    shares: tuple[float, float] | None
    server: float
    requests: int
    problems: dict[str, int]


def shares(scratch: Path, rate: float, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Every team in every round at the same rate, every other round in the opposite order."""
    scratch.mkdir()
    turns: dict[Team, list[Turn]] = {team: [] for team in TEAMS}
    with contextlib.ExitStack() as stack:
        provider, cluster = stack.enter_context(practising(scratch)), stack.enter_context(clustered())
        loads = [stack.enter_context(loading()) for _ in range(2)]
        up: dict[Team, list[Running]] = {}
        for number, team in enumerate(TEAMS):
            folder = scratch / f"team_{number}"
            folder.mkdir()
            address = address_of(team, folder, cluster)
            up[team] = stack.enter_context(gateways(team, address, folder, provider.port, loads[0]))
            _turn(up[team], loads, rate, 2.0, pid_of(cluster))  # what is done for the first time is not what is measured
        for number in range(rounds):
            say(f"the ledger's share: round {number + 1} of {rounds}")
            for team in TEAMS if number % 2 == 0 else tuple(reversed(TEAMS)):
                turns[team].append(_turn(up[team], loads, rate, seconds, pid_of(cluster)))
    return rows(turns)


def _turn(up: Sequence[Running], loads: Sequence[Load], rate: float, seconds: float, server: int) -> Turn:
    pids = [one.pid for one in up]
    before, base = sum(map(cpu_seconds, pids)), cpu_seconds(server)
    asked = []
    for number, load in enumerate(loads):  # two gateways have one each, one gateway has both
        order = Order(
            port=up[number % len(up)].port,
            headers=headers(str(number)),
            stream=True,
            connections=_CONNECTIONS,
            requests=round(rate * seconds / len(loads)),
            unit=UNIT,
            rate=rate / len(loads),
        )
        load.begin(order)
        asked.append(load)
    results = [load.ended() for load in asked]
    time.sleep(_SETTLE)
    problems: Counter[str] = Counter()
    for result in results:
        problems.update(result.problems)
    requests = sum(len(result.latencies) for result in results)
    return Turn(
        cpu=(sum(map(cpu_seconds, pids)) - before) / max(1, requests),
        server=(cpu_seconds(server) - base) / max(1, requests),
        requests=requests,
        problems=dict(problems),
    )


def rows(turns: dict[Team, list[Turn]]) -> list[Row]:
    """What the rounds say, each compared with the turn in memory of the same round."""
    return [_row(team, own, turns[msgspec.structs.replace(team, ledger="memory")]) for team, own in turns.items()]


def _row(team: Team, own: Sequence[Turn], memory: Sequence[Turn]) -> Row:
    found = [1 - base.cpu / turn.cpu for turn, base in zip(own, memory, strict=True)]
    problems: Counter[str] = Counter()
    for turn in own:
        problems.update(turn.problems)
    is_base = team.ledger == "memory"
    return Row(
        team=team,
        cpu=statistics.median(turn.cpu for turn in own),
        share=None if is_base else statistics.median(found),
        shares=None if is_base else (min(found), max(found)),
        server=statistics.median(turn.server for turn in own),
        requests=sum(turn.requests for turn in own),
        problems=dict(problems),
    )
