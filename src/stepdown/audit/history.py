"""All logs together: each answer once, in units, in order. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Final

import msgspec

from stepdown.audit.price import Prices, Terms, charged
from stepdown.sessions.records import Counted, Limit, Log, Request, Turn

LATE: Final = "answers that are dated in the future, and left out"


class Work(msgspec.Struct, frozen=True):
    """One unit with its requests.

    Attributes:
        agent: ``claude``, ...
        turn: what it was.
        requests: in order, at least one.
        costs: what each cost, US dollars; None is unknown.
        terms: what a token of each kind cost in each; None is unknown.
    """

    agent: str
    turn: Turn
    requests: tuple[Request, ...]
    costs: tuple[float | None, ...]
    terms: tuple[Terms | None, ...]

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


def gather(
    logs: Mapping[str, Sequence[Log]], prices: Prices, *, since: float = 0.0, until: float = math.inf, project: str = ""
) -> History:
    """Put logs together.

    An answer that several files hold (resumed and forked sessions copy what went before) belongs to the one that began first.

    Args:
        logs: per agent.
        prices: says what requests cost.
        since: requests and meters before it are left out, seconds since the epoch.
        until: likewise of those after it, which are counted as a trouble: no clock can have said so.
        project: only units of this directory and those below it, or of directories of this name; "" is all.
    """
    units: list[Work] = []
    troubles: Counter[str] = Counter()
    limits: dict[str, Sequence[Limit]] = {}
    counted: dict[str, Sequence[Counted]] = {}
    partial: dict[str, frozenset[str]] = {}
    duplicates = 0
    for agent, files in logs.items():
        first = len(units)
        lost: list[tuple[str, str]] = []
        for log, own in _once(files):
            late = sum(request.at > until for request in own)
            kept = _units(agent, log, own, prices, (since, until), project)
            if kept or not (since or project):  # what is odd in a log that was not asked for is nobody's question
                troubles.update(log.troubles)
                troubles.update({LATE: late} if late else {})
                duplicates += sum(since <= request.at <= until for request in log.requests) - sum(
                    since <= request.at <= until for request in own
                )
            if sum(len(work.requests) for work in kept) < len(log.requests):
                lost += _lost(log, kept)
            units += kept
        states = {state for log in files for state in log.limits if since <= state.at <= until}
        limits[agent] = sorted(states, key=lambda state: (state.at, state.window, state.used or 0.0))
        counted[agent] = _last_counts(files)
        partial[agent] = _partial(files, lost, units[first:])
    units.sort(key=lambda work: (work.requests[0].at, work.turn.at, work.turn.conversation))
    return History(tuple(units), limits, counted, duplicates, dict(troubles), partial)


def _age(log: Log) -> tuple[float, float]:
    """What makes a log the first of several that hold the same: it began, or failing that ended, before them."""
    times = [request.at for request in log.requests]
    return (times[0], times[-1]) if times else (0.0, 0.0)


def _once(files: Sequence[Log]) -> list[tuple[Log, list[Request]]]:
    """Each log with the requests that no log before it had.

    A copy may be the fuller one, where a session was forked in the middle of an answer: what was used is what most was said of.
    """
    first: dict[str, tuple[list[Request], int]] = {}
    found: list[tuple[Log, list[Request]]] = []
    for log in sorted(files, key=_age):
        own: list[Request] = []
        for request in log.requests:
            known = first.get(request.key) if request.key else None
            if known is None:
                if request.key:
                    first[request.key] = own, len(own)
                own.append(request)
            elif request.output > known[0][known[1]].output:
                kept, place = known
                kept[place] = msgspec.structs.replace(request, turn=kept[place].turn, at=kept[place].at)
        found.append((log, own))
    return found


def _units(agent: str, log: Log, own: Sequence[Request], prices: Prices, span: tuple[float, float], project: str) -> list[Work]:
    turns: defaultdict[int, list[Request]] = defaultdict(list)
    for request in own:
        if span[0] <= request.at <= span[1]:
            turns[request.turn].append(request)
    return [
        _priced(agent, log.turns[number], requests, prices)
        for number, requests in turns.items()
        if not project or _belongs(log.turns[number].project, project)
    ]


def _priced(agent: str, turn: Turn, requests: Sequence[Request], prices: Prices) -> Work:
    terms = prices.terms_of_all(requests)
    costs = [charged(request, known) for request, known in zip(requests, terms, strict=True)]
    if None in costs:
        costs = [request.usd if cost is None else cost for request, cost in zip(requests, costs, strict=True)]
    return Work(agent, turn, tuple(requests), tuple(costs), tuple(terms))


def _belongs(directory: str, project: str) -> bool:
    path = PurePath(directory)
    return path.name == project or path == PurePath(project) or PurePath(project) in path.parents


def _last_counts(files: Sequence[Log]) -> Sequence[Counted]:
    last: dict[tuple[str, str], Counted] = {}
    for log in files:
        for one in log.counted:
            before = last.get((one.session, one.model))
            if before is None or _newness(before) < _newness(one):
                last[one.session, one.model] = one
    return list(last.values())


def _newness(count: Counted) -> tuple[float, int]:
    return count.at, count.input + count.output + count.cache_read + count.cache_write


def _lost(log: Log, kept: Iterable[Work]) -> list[tuple[str, str]]:
    """The requests of a log that are not among its units, each by its session and what tells it from the session's others."""
    left = {(work.turn.session, _identity(request)) for work in kept for request in work.requests}
    read = [(log.turns[request.turn].session, _identity(request)) for request in log.requests]
    return [one for one in read if one not in left]


def _partial(files: Sequence[Log], lost: Iterable[tuple[str, str]], units: Iterable[Work]) -> frozenset[str]:
    """The sessions that count themselves and of whose requests some are not among the units."""
    counting = {one.session for log in files for one in log.counted}
    missing = {(session, one) for session, one in lost if session in counting}
    concerned = {session for session, _ in missing}
    kept = {
        (work.turn.session, _identity(request)) for work in units if work.turn.session in concerned for request in work.requests
    }
    return frozenset(session for session, _ in missing - kept)


def _identity(request: Request) -> str:
    """What tells a request of one session from all others of it."""
    return request.key or f"{request.turn} {request.at}"
