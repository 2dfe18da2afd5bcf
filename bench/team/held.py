"""What a team's gateways hold: asked as fast as they answer, then at a steady rate, while every process is looked at."""

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec

from bench.gateway.load import Order, Result
from bench.gateway.process import cpu_seconds, memory_bytes
from bench.gateway.running import Load, Running, loading
from bench.team.agree import Agreement, agree
from bench.team.gateways import Team, address_of, gateways, headers
from bench.team.servers import DIRECT, Provider, clustered, pid_of, practising
from stepdown.practice.faults import Fault

UNIT: Final = 20
"""Requests of a unit: 22 in the mean of 937 recorded ones."""
STREAMED: Final = (False, True, True, True)
"""Of a gateway's connections: agents ask for streams, and for a whole answer now and then."""

_LOOK: Final = 2.0
"""Seconds between two looks at the memory."""
_FAULT: Final = 3.0
"""Seconds between two requests that go wrong at the provider."""
_PROBES: Final = 2.0
"""Requests a second that pass no gateway, to compare with."""
_SHARE: Final = 0.6
"""Of what was held, the steady rate."""
_WARM: Final = 0.3
"""Of the time of a phase, what passes before memory counts: caches fill up to their bounds."""
_BUSY: Final = 10**9


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """So many seconds of one load.

    Attributes:
        seconds: that it lasted.
        rate: requests a second that were asked for; 0 is as fast as they are answered.
        requests: that were answered, whole.
        latencies: of the whole answers, seconds until the last byte: p50 and p99.
        direct: the same of requests that passed no gateway meanwhile; () without.
        problems: what clients saw go wrong, and how often.
        cpu: CPU seconds of each: ``gateways``, ``postgresql``, ``provider``, ``load``.
        memory: of each gateway, seconds since the beginning and bytes.
    """

    seconds: float
    rate: float
    requests: int
    latencies: tuple[float, float]
    direct: tuple[float, float] | tuple[()]
    problems: dict[str, int]
    cpu: dict[str, float]
    memory: list[list[tuple[float, int]]]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A team under load.

    Attributes:
        team: which.
        fast: asked as fast as they answer.
        steady: asked at a rate.
        faults: requests that the provider failed on purpose.
        agreement: the ledger beside the provider's log.
    """

    team: Team
    fast: Phase
    steady: Phase
    faults: int
    agreement: Agreement


def held(team: Team, scratch: Path, seconds: float, connections: int, say: Callable[[str], None]) -> Held:
    """Both phases, then the ledger compared with the provider's log.

    Args:
        team: whose gateways.
        scratch: for everything; made.
        seconds: of the first phase; the second takes a fifth of it.
        connections: to each gateway.
        say: told of progress.
    """
    scratch.mkdir()
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(practising(scratch))
        cluster = stack.enter_context(clustered()) if team.ledger == "postgresql" else None
        loads = [stack.enter_context(loading()) for _ in range(2 * team.gateways + 1)]
        address = address_of(team, scratch, cluster)
        with gateways(team, address, scratch, provider.port, loads[0]) as up:
            pids = {"provider": [provider.pid], "load": [one.pid for one in loads], "gateways": [one.pid for one in up]}
            if cluster is not None:
                pids["postgresql"] = [pid_of(cluster)]
            lasting = _Lasting(up, loads, provider, pids, connections)
            say(f"{team.label}: {seconds:.0f} s as fast as it goes")
            fast = lasting.phase(seconds, 0.0)
            rate = _SHARE * fast.requests / fast.seconds
            say(f"{team.label}: {seconds / 5:.0f} s at {rate:.0f} requests/s")
            steady = lasting.phase(seconds / 5, rate)
        say(f"{team.label}: the ledger beside the provider's log")
        return Held(team=team, fast=fast, steady=steady, faults=lasting.faults, agreement=agree(address, provider))


class _Lasting:
    """A load while it lasts."""

    def __init__(
        self,
        up: Sequence[Running],
        loads: Sequence[Load],
        provider: Provider,
        pids: dict[str, list[int]],
        connections: int,
    ) -> None:
        self._up = up
        self._loads = loads
        self._provider = provider
        self._pids = pids
        self._connections = connections
        self._kinds = cycle((Fault(kind="status", status=529), Fault(kind="sse_error", status=529), Fault(kind="cut")))
        self.faults = 0

    def phase(self, seconds: float, rate: float) -> Phase:
        """One of them; at a rate, the provider itself is asked beside it."""
        orders = list(self._orders(seconds, rate))
        if rate:
            orders.append(self._order(self._provider.port, DIRECT, seconds, _PROBES, connections=2, stream=True))
        before, began = self._cpu(), time.monotonic()
        for load, order in zip(self._loads, orders, strict=False):
            load.begin(order)
        memory = self._watch(began, seconds)
        results = [load.ended() for load, _ in zip(self._loads, orders, strict=False)]
        took, after = time.monotonic() - began, self._cpu()
        through = results[: 2 * len(self._up)]
        problems: Counter[str] = Counter()
        for result in results:
            problems.update(result.problems)
        return Phase(
            seconds=took,
            rate=rate,
            requests=sum(len(result.latencies) for result in through),
            latencies=_percentiles(through),
            direct=_percentiles(results[len(through) :]) if rate else (),
            problems=dict(problems),
            cpu={name: after[name] - before[name] for name in before},
            memory=memory,
        )

    def _orders(self, seconds: float, rate: float) -> Iterator[Order]:
        """Of each gateway, one for streams and one for whole answers."""
        for number, one in enumerate(self._up):
            for stream in (False, True):
                share = STREAMED.count(stream) / len(STREAMED)
                yield self._order(
                    one.port,
                    headers(f"{number}{int(stream)}"),
                    seconds,
                    rate * share / len(self._up),
                    connections=max(1, round(self._connections * share)),
                    stream=stream,
                )

    @staticmethod
    def _order(port: int, said: dict[str, str], seconds: float, rate: float, *, connections: int, stream: bool) -> Order:
        asked = round(rate * seconds) if rate else _BUSY
        return Order(
            port=port,
            headers=said,
            stream=stream,
            connections=connections,
            requests=max(1, asked),
            seconds=seconds,
            unit=UNIT,
            rate=rate,
        )

    def _watch(self, began: float, seconds: float) -> list[list[tuple[float, int]]]:
        """The gateways' memory, now and then; a request goes wrong now and then, too."""
        memory: list[list[tuple[float, int]]] = [[] for _ in self._up]
        models = {one.served.rpartition("/")[2] for one in self._up}
        due = began + _FAULT / 2
        while (now := time.monotonic()) < began + seconds:
            for one, seen in zip(self._up, memory, strict=True):
                seen.append((now - began, memory_bytes(one.pid)))
            if now >= due:  # of models that routing chooses: what is asked for directly is another
                due += _FAULT
                kind = next(self._kinds)
                self._provider.fail([msgspec.structs.replace(kind, model=model) for model in sorted(models)])
                self.faults += len(models)
            time.sleep(max(0.0, min(_LOOK, began + seconds - time.monotonic())))
        return memory

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items()}


def slope(seen: Sequence[tuple[float, int]]) -> float:
    """Bytes a second that a gateway grew by once it was warm: the line through what was seen; NaN of too few."""
    last = seen[-1][0] if seen else 0.0
    warm = [one for one in seen if one[0] >= _WARM * last]
    if len(warm) < 2 or warm[0][0] == warm[-1][0]:
        return float("nan")
    return statistics.linear_regression([at for at, _ in warm], [float(size) for _, size in warm]).slope


def _percentiles(results: Sequence[Result]) -> tuple[float, float]:
    found = sorted(latency for result in results for latency in result.latencies)
    if not found:
        return (float("nan"), float("nan"))
    return found[len(found) // 2], found[min(len(found) - 1, len(found) * 99 // 100)]
