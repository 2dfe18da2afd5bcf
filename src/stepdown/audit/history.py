"""All logs together: each answer once, in units, in order. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import msgspec

from stepdown.audit.price import Prices
from stepdown.sessions.records import Counted, Limit, Log, Request, Turn


class Work(msgspec.Struct, frozen=True):
    """One unit with its requests.

    Attributes:
        agent: ``claude``, ...
        turn: what it was.
        requests: in order, at least one.
        costs: what each cost, US dollars; None is unknown.
    """

    agent: str
    turn: Turn
    requests: tuple[Request, ...]
    costs: tuple[float | None, ...]

    @property
    def usd(self) -> float | None:
        """What all of it cost; None where part of it is unknown."""
        return None if None in self.costs else sum(cost for cost in self.costs if cost is not None)


class History(msgspec.Struct, frozen=True):
    """Everything that the logs say.

    Attributes:
        units: in the order of their first request.
        limits: per agent, in order of time.
        counted: per agent, per session and model the last count.
        duplicates: copies of requests that were left out.
        troubles: what could not be read or made sense of, and how often.
        partial: per agent, the sessions that count themselves and of whose requests some are not among the units: they belong
            to another session, which had them first, or were not asked for.
    """

    units: tuple[Work, ...]
    limits: dict[str, Sequence[Limit]]
    counted: dict[str, Sequence[Counted]]
    duplicates: int
    troubles: dict[str, int]
    partial: dict[str, frozenset[str]] = {}


def gather(logs: Mapping[str, Sequence[Log]], prices: Prices, *, since: float = 0.0, project: str = "") -> History:
    """Put logs together.

    An answer that several files hold (resumed and forked sessions copy what went before) belongs to the one that began first.

    Args:
        logs: per agent.
        prices: says what requests cost.
        since: requests and meters before it are left out, seconds since the epoch.
        project: only units of this directory and those below it, or of directories of this name; "" is all.
    """
    units: list[Work] = []
    troubles: Counter[str] = Counter()
    limits: dict[str, Sequence[Limit]] = {}
    counted: dict[str, Sequence[Counted]] = {}
    partial: dict[str, frozenset[str]] = {}
    duplicates = 0
    for agent, files in logs.items():
        seen: set[str] = set()
        for log in sorted(files, key=_age):
            troubles.update(log.troubles)
            own, copies = _own(log, seen)
            duplicates += copies
            units += _units(agent, log, own, prices, since, project)
        states = {state for log in files for state in log.limits if state.at >= since}
        limits[agent] = sorted(states, key=lambda state: (state.at, state.window, state.used or 0.0))
        counted[agent] = _last_counts(files)
        partial[agent] = _partial(files, (work for work in units if work.agent == agent))
    units.sort(key=lambda work: (work.requests[0].at, work.turn.at, work.turn.conversation))
    return History(tuple(units), limits, counted, duplicates, dict(troubles), partial)


def _age(log: Log) -> tuple[float, float]:
    """What makes a log the first of several that hold the same: it began, or failing that ended, before them."""
    times = [request.at for request in log.requests]
    return (times[0], times[-1]) if times else (0.0, 0.0)


def _own(log: Log, seen: set[str]) -> tuple[list[Request], int]:
    """The requests of a log that no other log had before, and how many it copied."""
    own: list[Request] = []
    for request in log.requests:
        if request.key:
            if request.key in seen:
                continue
            seen.add(request.key)
        own.append(request)
    return own, len(log.requests) - len(own)


def _units(agent: str, log: Log, own: Sequence[Request], prices: Prices, since: float, project: str) -> list[Work]:
    turns: defaultdict[int, list[Request]] = defaultdict(list)
    for request in own:
        if request.at >= since:
            turns[request.turn].append(request)
    return [
        Work(agent, log.turns[number], tuple(requests), tuple([prices.cost(request) for request in requests]))
        for number, requests in turns.items()
        if not project or _belongs(log.turns[number].project, project)
    ]


def _belongs(directory: str, project: str) -> bool:
    path = PurePath(directory)
    return path.name == project or path == PurePath(project) or PurePath(project) in path.parents


def _last_counts(files: Sequence[Log]) -> Sequence[Counted]:
    last: dict[tuple[str, str], Counted] = {}
    for log in files:
        for one in log.counted:
            before = last.get((one.session, one.model))
            if before is None or before.at <= one.at:
                last[one.session, one.model] = one
    return list(last.values())


def _partial(files: Sequence[Log], units: Iterable[Work]) -> frozenset[str]:
    """The sessions that count themselves and of whose requests some are not among the units."""
    counting = {one.session for log in files for one in log.counted}
    read = {
        (log.turns[request.turn].session, _identity(request))
        for log in files
        for request in log.requests
        if log.turns[request.turn].session in counting
    }
    kept = {(work.turn.session, _identity(request)) for work in units for request in work.requests}
    return frozenset(session for session, _ in read - kept)


def _identity(request: Request) -> str:
    """What tells a request of one session from all others of it."""
    return request.key or f"{request.turn} {request.at}"
