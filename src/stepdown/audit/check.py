"""Our sums beside what agents counted themselves. Pure.

Codex sums up the tokens of a thread as it goes, Claude Code (2.1) tokens and dollars of a session when it ends, sub-agents
included. What that count holds was seen with the real program (2.1.325) against a provider whose own log says what it sent:

- it goes on when a session is resumed, and a fork begins with the count of what it was forked from;
- it begins anew when a session is resumed that was killed before it wrote its count;
- it holds requests that no log holds: the titles of conversations, those of a sub-agent whose log is lost;
- it goes by the model that was asked for (``claude-opus-4-6[1m]``), the log by the one that answered (``claude-opus-4-6``).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.audit.history import History
from stepdown.audit.records import Check
from stepdown.catalog.names import split_window, without_date
from stepdown.sessions.records import Counted, Request
from stepdown.units import Tokens

_CENT: Final = 0.01
"""Dollars of one session that differ by less are the same."""

_PARTIAL: Final = "{} left out: part of what its count holds is not in its log, or was not asked for (forks, a first day)"
_LATE: Final = "{} left out: made after the last count of its session"
_ABSENT: Final = "{} left out: no log has a request of it"
_RENAMED: Final = "{} answered by another model than the one it counts: compared over all its models, its dollars differ"
_MORE: Final = "{} with more in its count: it holds requests that are in no log, such as titles"
_LESS: Final = "{} with less in its count: it begins anew after a crash, or the session is older than it"
_REPRICED: Final = "{} with the same tokens and other dollars: counted by another list of prices"
_UNPRICED: Final = "{} without a known price: dollars are not compared"


class _Sums(msgspec.Struct):
    """One side of a comparison."""

    tokens: Tokens = Tokens()
    usd: list[float | None] = []

    def add(self, tokens: Tokens, usd: Iterable[float | None]) -> None:
        self.tokens += tokens
        self.usd += usd

    @property
    def dollars(self) -> float | None:
        """Their sum, in whatever order they came; None where one is unknown."""
        return None if None in self.usd else math.fsum(usd for usd in self.usd if usd is not None)


class _Pair(msgspec.Struct, frozen=True):
    """What both sides know of one session.

    Attributes:
        theirs: the agent's count, all of it.
        ours: what its logs add up to.
        unlogged: of `theirs`, the models that the logs have no request of.
    """

    theirs: _Sums
    ours: _Sums
    unlogged: _Sums


_Spend = tuple[Request, float | None]


def checks(history: History) -> tuple[Check, ...]:
    """Per agent that counts itself, what it counted beside what its logs add up to, by name of the agent.

    Compared are sessions of which both know something, with all that the agent counted for them. Sessions of which the history
    holds only a part (`History.partial`) are left out.
    """
    spends: defaultdict[tuple[str, str], list[_Spend]] = defaultdict(list)
    for work in history.units:
        spends[work.agent, work.turn.session] += zip(work.requests, work.costs, strict=True)
    found = []
    for agent, counted in sorted(history.counted.items()):
        sessions: defaultdict[str, list[Counted]] = defaultdict(list)
        for count in counted:
            sessions[count.session].append(count)
        check = _check(agent, sessions, {name: spends.get((agent, name), []) for name in sessions}, history.partial)
        found += [check] if check.sessions else []
    return tuple(found)


def _check(
    agent: str,
    sessions: Mapping[str, Sequence[Counted]],
    spends: Mapping[str, Sequence[_Spend]],
    partial: Mapping[str, Iterable[str]],
) -> Check:
    cut = frozenset(partial.get(agent, ()))
    theirs, ours, unlogged = _Sums(), _Sums(), _Sums()
    noted: Counter[str] = Counter()
    compared = differing = 0
    for session, counts in sorted(sessions.items()):
        if session in cut:
            noted[_PARTIAL] += bool(spends[session])
            continue
        pair = _pair(counts, spends[session], noted)
        if pair is None:
            continue
        compared += 1
        differing += pair.theirs.tokens != pair.ours.tokens
        for sums, one in ((theirs, pair.theirs), (ours, pair.ours), (unlogged, pair.unlogged)):
            sums.add(one.tokens, one.usd)
    return Check(
        agent=agent,
        sessions=compared,
        theirs=theirs.tokens,
        ours=ours.tokens,
        theirs_usd=theirs.dollars,
        ours_usd=ours.dollars,
        unlogged=unlogged.tokens,
        unlogged_usd=unlogged.dollars,
        differing=differing,
        notes=tuple(template.format(_many(template, number)) for template, number in sorted(noted.items()) if number),
    )


def _pair(counts: Sequence[Counted], spends: Sequence[_Spend], noted: Counter[str]) -> _Pair | None:
    """What both sides know of one session; None where one of them knows nothing.

    Where the logs have a model that the agent did not count, another answered than was asked for. Which of those that it did
    count that one stands for, nothing says: none is then said to be in no log.

    Args:
        counts: per model the agent's count.
        spends: all requests of the session.
        noted: what stands in the way is counted here.
    """
    until = max(count.at for count in counts) or math.inf
    in_time = [spend for spend in spends if spend[0].at <= until]
    theirs: defaultdict[str, _Sums] = defaultdict(_Sums)
    for count in counts:
        if _tokens(count).total:
            theirs[_folded(count.model)].add(_tokens(count), [count.usd])
    ours = _by_model(in_time)
    if not theirs or not ours:
        noted[_ABSENT] += bool(theirs) and not spends
        return None
    noted[_LATE] += len(spends) - len(in_time)
    renamed = not ours.keys() <= theirs.keys()
    noted[_RENAMED] += renamed
    unlogged = frozenset[str]() if renamed else theirs.keys() - ours.keys()
    pair = _Pair(_together(theirs, theirs), _together(ours, ours), _together(theirs, unlogged))
    _note(_together(theirs, theirs.keys() - unlogged), pair.ours, noted, renamed=renamed)
    return pair


def _by_model(spends: Iterable[_Spend]) -> dict[str, _Sums]:
    """Per model what its requests add up to; without answers that hold no tokens, such as an agent's own notices."""
    models: defaultdict[str, list[_Spend]] = defaultdict(list)
    for spend in spends:
        models[spend[0].model].append(spend)
    found: defaultdict[str, _Sums] = defaultdict(_Sums)
    for model, own in models.items():
        tokens = Tokens(
            input=sum([request.input for request, _ in own]),
            output=sum([request.output for request, _ in own]),
            cache_read=sum([request.cache_read for request, _ in own]),
            cache_write=sum([request.cache_write for request, _ in own]),
        )
        if tokens.total:
            found[_folded(model)].add(tokens, [usd for _, usd in own])
    return found


def _together(sums: Mapping[str, _Sums], models: Iterable[str]) -> _Sums:
    whole = _Sums()
    for model in sorted(models):
        whole.add(sums[model].tokens, sums[model].usd)
    return whole


def _note(theirs: _Sums, ours: _Sums, noted: Counter[str], *, renamed: bool) -> None:
    """Say why one session may differ in the models that both sides know."""
    noted[_UNPRICED] += ours.usd.count(None)
    if theirs.tokens != ours.tokens:
        noted[_MORE if theirs.tokens.total > ours.tokens.total else _LESS] += 1
    elif not renamed and theirs.dollars is not None and ours.dollars is not None:
        noted[_REPRICED] += abs(theirs.dollars - ours.dollars) >= _CENT


def _folded(model: str) -> str:
    """A model's name as both sides write it: without a window's or a date's suffix."""
    bare, _ = split_window(model)
    return without_date(bare) or bare


def _tokens(count: Counted) -> Tokens:
    return Tokens(input=count.input, output=count.output, cache_read=count.cache_read, cache_write=count.cache_write)


def _many(template: str, number: int) -> str:
    """``1 session``, ``3 requests``."""
    what = "request" if template in {_LATE, _UNPRICED} else "session"
    return f"{number} {what}{'' if number == 1 else 's'}"
