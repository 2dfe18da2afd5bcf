"""Windows of plans: when each began and ended, what was used in it, and when it was full. Pure.

**Codex** logs its provider's meter: a window is (reset - length, reset). Provider and client shift that moment: by seconds all
the time, by days when the provider resets early (openai/codex#23190) or while nothing has been used (openai/codex#36313).

**Claude Code** logs no meter, only refusals, often with the moment of the reset. The 5-hour windows in between are rebuilt: one
begins with the first request after the last one ended, rounded down, and lasts 5 hours. Until April 2026 resets fell on full
hours (ccusage#133, claude-code#52469), since May 2026 on every tenth minute (claude-code#56801, #74079, #83042). Other tools
still assume hours. It is rounded in UTC, so that no zone matters. Use of the same plan elsewhere (the web, another machine)
is in no log: a window may have begun earlier than it seems.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from stepdown.audit.history import History
from stepdown.audit.records import Window
from stepdown.sessions.records import Limit

_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE
_LENGTHS: Final = {"5h": 5 * _HOUR, "week": 7 * 24 * _HOUR}
_REBUILT: Final = {"claude": "5h"}
"""Agents whose windows can be told from when requests were made, and which of them."""
_PLANS: Final = ("claude", "codex")
_TEN_MINUTES_SINCE: Final = 1_777_593_600.0
"""2026-05-01, UTC: Anthropic's windows begin at every tenth minute since about then, at full hours before."""
_SAME: Final = 5 * _MINUTE
"""Resets that are no further apart are one. Clients count them from their own clock, or say them to the minute."""


class _Span(msgspec.Struct):
    """One window in the making.

    Attributes:
        start: seconds since the epoch.
        end: likewise.
        source: as in `Window`.
        opened: when a log first spoke of it, seconds since the epoch.
        said: when one last did.
        first: the fraction used that was said first; None where none was.
        used: the highest; likewise.
        full: when it was first full; None where it was not.
    """

    start: float
    end: float
    source: str = "estimated"
    opened: float = math.inf
    said: float = -math.inf
    first: float | None = None
    used: float | None = None
    full: float | None = None

    def fill(self, at: float) -> None:
        """Note that it was full at a time."""
        self.full = at if self.full is None else min(self.full, at)


class _Sums(msgspec.Struct):
    """What fell into one window, or into its time until it was full.

    Attributes:
        usd: what each request cost; a list, because the order of floats in a sum changes it.
        routed: likewise under routing.
        requests: how many.
        unknown: of those, how many without a known price.
    """

    usd: list[float] = []
    routed: list[float] = []
    requests: int = 0
    unknown: int = 0

    def add(self, usd: float | None, share: float, count: int) -> None:
        self.requests += count
        if usd is None:
            self.unknown += count
        else:
            self.usd.append(usd)
            self.routed.append(usd * share)

    def of(self, amounts: Iterable[float]) -> float | None:
        """The sum of what is known; None where nothing is."""
        return None if self.requests and self.unknown == self.requests else math.fsum(amounts)


_Spend = tuple[float, float | None, float, int]
"""One request: when, dollars (None is unknown), those under routing as a multiple, how many requests it stands for."""


def windows(history: History, routed_share: Sequence[float]) -> tuple[Window, ...]:
    """The windows of all plans in which anything was used, in order.

    Windows of one agent and kind never overlap. Each request of Claude Code falls into exactly one of its 5-hour windows. What
    has no known price is in no sum of dollars, and counted. A history of one project has a part of a plan's use: no windows
    can be told from it.

    Args:
        history: everything that the logs say.
        routed_share: per unit of `history.units`, what it would have cost under routing as a multiple of what it cost; 1.0 is
            unchanged.

    Raises:
        ValueError: there are not as many shares as units.
    """
    spends: defaultdict[str, list[_Spend]] = defaultdict(list)
    for work, share in zip(history.units, routed_share, strict=True):
        if work.agent in _PLANS:
            spends[work.agent] += [
                (request.at, cost, share, request.count or 1) for request, cost in zip(work.requests, work.costs, strict=True)
            ]
    found = [
        one
        for agent in _PLANS
        for window, spans in _spans(agent, history.limits.get(agent, ()), spends[agent]).items()
        for one in _summed(agent, window, spans, spends[agent])
    ]
    return tuple(sorted(found, key=lambda one: (one.start, one.end, one.agent, one.window)))


def typical_limit(found: Iterable[Window], agent: str, window: str) -> tuple[float, float] | None:
    """The least and the most that was used before a window was full, US dollars at API prices; None below two such windows.

    An estimate of the plan's limit, and a range for a reason: models weigh differently in a plan than in dollars, and use
    elsewhere is not seen. Windows that were full without any use of ours say nothing and are left out, and so are those with
    use of unknown cost.
    """
    seen = [one.full_usd for one in _full(found, agent, window) if one.full_usd and not one.unknown]
    return (min(seen), max(seen)) if len(seen) > 1 else None


def spared(found: Sequence[Window], agent: str, window: str) -> tuple[int, int]:
    """How many windows were full, and how many of them would not have been under routing.

    An estimate on the careful side: a window counts as spared where what routing would have used by the moment it was full is
    below the least that ever filled one, and all of it is known.
    """
    full = _full(found, agent, window)
    limit = typical_limit(found, agent, window)
    known = [one.routed_usd for one in full if one.full_usd and one.routed_usd is not None and not one.unknown]
    return len(full), sum(1 for routed in known if limit and routed < limit[0])


def _full(found: Iterable[Window], agent: str, window: str) -> list[Window]:
    return [one for one in found if one.agent == agent and one.window == window and one.full is not None]


def _summed(agent: str, window: str, spans: Sequence[_Span], spends: Iterable[_Spend]) -> Iterator[Window]:
    """The windows with what was used in them; without those of which nothing says that they were used."""
    starts = [span.start for span in spans]
    sums: dict[int, tuple[_Sums, _Sums]] = {}
    for at, usd, share, count in spends:
        place = bisect_right(starts, at) - 1
        if place < 0 or at >= spans[place].end:
            continue
        whole, by_then = sums.setdefault(place, (_Sums(), _Sums()))
        whole.add(usd, share, count)
        full = spans[place].full
        if full is None or at <= full:
            by_then.add(usd, share, count)
    for place, span in enumerate(spans):
        if place in sums or span.used or span.full is not None:
            whole, by_then = sums.get(place, (_Sums(), _Sums()))
            yield Window(
                agent=agent,
                window=window,
                start=span.start,
                end=span.end,
                usd=whole.of(whole.usd),
                requests=whole.requests,
                unknown=whole.unknown,
                used=span.used,
                full=span.full,
                full_usd=None if span.full is None else by_then.of(by_then.usd),
                source=span.source,
                routed_usd=by_then.of(by_then.routed),
            )


def _spans(agent: str, states: Iterable[Limit], spends: Iterable[_Spend]) -> dict[str, list[_Span]]:
    """Per kind of window the windows in order, none overlapping another."""
    rebuilt = _REBUILT.get(agent, "")
    kinds: defaultdict[str, list[Limit]] = defaultdict(list)
    for state in states:
        kinds[_kind(state)].append(state)
    if rebuilt:
        kinds[rebuilt] += []
    found: dict[str, list[_Span]] = {}
    for kind, said in kinds.items():
        length = _length(kind)
        if length is None:
            continue
        timed = [state for state in said if _reset_is_credible(state, length)]
        refusals = sorted(state.at for state in said if state.reached and not _reset_is_credible(state, length))
        spans = _settled(_reported(timed, length), length)
        if kind == rebuilt:
            spans = _filled(spans, sorted({spend[0] for spend in spends}.union(refusals)), length)
        found[kind] = _refused(spans, refusals, length)
    return found


def _kind(state: Limit) -> str:
    """Which window a state speaks of; "" where that is unknown.

    A mere refusal that does not say means the short one; if its reset is too far off for that, it may be the plan's week or a
    limit of one model.
    """
    if state.window or state.used is not None:
        return state.window
    return "" if state.resets is not None and state.resets - state.at > _LENGTHS["5h"] + _SAME else "5h"


def _length(kind: str) -> float | None:
    """Seconds; None where the name says nothing."""
    if kind.endswith("m") and kind[:-1].isdecimal():
        return int(kind[:-1]) * _MINUTE or None
    return _LENGTHS.get(kind)


def _reset_is_credible(state: Limit, length: float) -> bool:
    """Whether a state says when its window ends, and can be right: not further off than a window is long.

    A meter may speak of a window that is over (clients repeat what they heard last), a refusal may not.
    """
    if state.resets is None or not state.resets - state.at <= length + _SAME:
        return False
    return math.isfinite(state.resets) and (state.used is not None or state.resets > state.at)


def _reported(states: Iterable[Limit], length: float) -> list[_Span]:
    """One window per moment of reset, in order; they may overlap."""
    spans: list[_Span] = []
    earliest = -math.inf
    for state in sorted(states, key=lambda one: (one.resets or 0.0, one.at, one.used or 0.0)):
        resets = state.resets or 0.0
        if not spans or resets - earliest > _SAME:
            earliest = resets
            spans.append(_Span(resets - length, resets, source="reported"))
        span = spans[-1]
        span.start, span.end = resets - length, resets
        span.said = max(span.said, state.at)
        if state.used is not None:
            span.used = max(span.used or 0.0, state.used)
            if state.at < span.opened or span.first is None:
                span.first = state.used
        span.opened = min(span.opened, state.at)
        if state.at < resets and (state.reached or (state.used or 0.0) >= 1.0):
            span.fill(state.at)
    return spans


def _settled(spans: Sequence[_Span], length: float) -> list[_Span]:
    """The same, so that none overlaps another.

    A window that nothing was used of had not begun: its reset moves along with the clock. One whose use did not fall when its
    reset moved is still the same. Else the provider began a new one: the old one ends there, at the latest when the new one
    was first heard of.

    Args:
        spans: in order of their ends.
        length: of a window as the provider gives it, seconds.
    """
    begun = [one for one, after in pairwise(spans) if one.used != 0.0 or one.full is not None or after.start >= one.end]
    kept: list[_Span] = []
    for span in [*begun, *spans[-1:]]:
        last = kept[-1] if kept else None
        if last is None or span.start >= last.end:
            kept.append(span)
        elif _goes_on(last, span) and span.start < last.start + length:
            _join(last, span)
        else:
            new = max(span.start, min(last.said, span.opened), -math.inf if last.full is None else last.full)
            last.end = span.start = max(last.start, min(last.end, new))
            kept.append(span)
    for span in kept:
        span.full = None if span.full is None else max(span.full, span.start)
    return [span for span in kept if span.start < span.end]


def _goes_on(span: _Span, later: _Span) -> bool:
    """Whether the use said of a window that ends later does not fall below what was said of this one."""
    return span.used is not None and later.first is not None and later.first >= span.used


def _join(span: _Span, more: _Span) -> None:
    """Put what was said of the same window later, with another reset, to what was said before."""
    span.end = more.end
    span.said = max(span.said, more.said)
    span.used = max(span.used or 0.0, more.used or 0.0)
    if more.full is not None:
        span.fill(more.full)


def _filled(reported: Sequence[_Span], moments: Iterable[float], length: float) -> list[_Span]:
    """Reported windows, and rebuilt ones for all moments outside of them.

    Args:
        reported: in order, none overlapping another.
        moments: when anything was asked for, in order.
        length: of a window, seconds.
    """
    starts = [span.start for span in reported]
    rebuilt: list[_Span] = []
    end = -math.inf
    for at in moments:
        after = bisect_right(starts, at)
        over = max(end, reported[after - 1].end) if after else end
        if at < over:
            continue
        start = max(_rounded_down(at), over)
        end = min(start + length, starts[after]) if after < len(starts) else start + length
        rebuilt.append(_Span(start, end))
    return sorted([*reported, *rebuilt], key=lambda span: span.start)


def _rounded_down(at: float) -> float:
    """Where a window of Anthropic's begins that begins with a request at this time."""
    step = 10 * _MINUTE if at >= _TEN_MINUTES_SINCE else _HOUR
    return at - at % step


def _refused(spans: Sequence[_Span], refusals: Iterable[float], length: float) -> list[_Span]:
    """The windows with the refusals that named no reset.

    One that falls into no window stands for one of which only the length is known: the time of that length up to it. Refusals
    within that length after it may mean the same window, and make no other.

    Args:
        spans: in order, none overlapping another.
        refusals: when requests were refused, in order.
        length: of a window, seconds.
    """
    found = list(spans)
    heard = -math.inf
    for at in refusals:
        place = bisect_right([span.start for span in found], at)
        last = found[place - 1] if place else None
        if last is not None and at < last.end:
            last.fill(at)
        elif at >= heard + length:
            heard = at
            start = max(at - length, last.end) if last is not None else at - length
            if start < at:
                found.insert(place, _Span(start, at, full=at))
    return found
