"""Days put together to what a chart has room for, and times as people of a zone read them."""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.audit.records import Day

MOST_DAYS: Final = 63
"""Nine weeks. With more days than this a column is a week, else its bars are too thin to be told apart on a phone."""
MOST_WEEKS: Final = 66
"""A year and a quarter. Beyond it a column is a month."""
_STEP: Final = 7 * 86_400
"""Seconds in which no zone changes its clocks twice."""

Offsets = tuple[tuple[float, int], ...]
"""As `Audit.offsets`."""


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a chart over time.

    Attributes:
        label: ``28 Sep``, ``Oct 2026``; of a week its Monday.
        requests: how many in it.
        tiers: US dollars by the tier of the model, as in `Day.tiers`; nothing where nothing was asked.
    """

    label: str
    requests: int
    tiers: dict[str, float]

    @property
    def usd(self) -> float:
        """All tiers together."""
        return sum(self.tiers.values())

    @property
    def known(self) -> bool:
        """Whether it is known what anything in it cost, or that there was nothing."""
        return self.usd > 0 or not self.requests


class Span(msgspec.Struct, frozen=True):
    """Everything in equal steps, those without requests included.

    Attributes:
        step: ``day``, ``week`` or ``month``.
        periods: in order.
    """

    step: str
    periods: tuple[Period, ...]


def span(days: Sequence[Day]) -> Span:
    """The days of an audit in steps that give a readable number of columns. ISO dates are expected, in order."""
    return steps((day.day, day.total.requests, day.tiers) for day in days)


def steps(days: Iterable[tuple[str, int, Mapping[str, float]]]) -> Span:
    """Likewise of any days: date, requests (or whatever else may have cost something), US dollars by tier."""
    dated = [(dt.date.fromisoformat(day), requests, tiers) for day, requests, tiers in days]
    if not dated:
        return Span("day", ())
    first, last = dated[0][0], dated[-1][0]
    length = (last - first).days + 1
    step = "day" if length <= MOST_DAYS else "week" if length <= 7 * MOST_WEEKS else "month"
    members: defaultdict[dt.date, list[tuple[int, Mapping[str, float]]]] = defaultdict(list)
    for date, requests, tiers in dated:
        members[_start(date, step)].append((requests, tiers))
    return Span(step, tuple(_period(start, step, members[start]) for start in _starts(first, last, step)))


def offsets(shift: Callable[[float], int], start: float, end: float) -> Offsets:
    """How far a zone is ahead of UTC between two times.

    Args:
        shift: how many seconds it is ahead at a time.
        start: seconds since the epoch.
        end: likewise.
    """
    known, at = shift(start), start
    found = [(start, known)]
    while at < end:
        after = min(at + _STEP, end)
        if (new := shift(after)) != known:
            found.append((_change(shift, at, after), new))
            known = new
        at = after
    return tuple(found)


def offsets_name(offsets: Offsets) -> str:
    """``UTC``, ``UTC+02:00``, ``UTC+01:00 and UTC+02:00``: a zone without a name."""
    zones = [dt.timezone(dt.timedelta(seconds=seconds)) for seconds in sorted({seconds for _, seconds in offsets} or {0})]
    return " and ".join(str(zone) for zone in zones)


def ahead(at: float, offsets: Offsets) -> int:
    """How many seconds a zone is ahead of UTC at a time; 0 where nothing is known of it."""
    # A history has few of them, and most of it lies after the last.
    for since, seconds in reversed(offsets):
        if at >= since:
            return seconds
    return offsets[0][1] if offsets else 0


def local(at: float, offsets: Offsets) -> dt.datetime:
    """A time as the clocks of a zone show it.

    Raises:
        ValueError, OverflowError, OSError: no calendar has such a time.
    """
    return dt.datetime.fromtimestamp(at, dt.timezone(dt.timedelta(seconds=ahead(at, offsets))))


def date(at: dt.date) -> str:
    """``3 Nov 2026``."""
    return f"{at.day} {at:%b} {at.year}"


def between(first: dt.date, last: dt.date) -> str:
    """``28 September to 22 November 2026``: as short as it can be said."""
    end = f"{last.day} {last:%B} {last.year}"
    if first == last:
        return end
    if first.year != last.year:
        return f"{first.day} {first:%B} {first.year} to {end}"
    if first.month != last.month:
        return f"{first.day} {first:%B} to {end}"
    return f"{first.day} to {end}"


def _change(shift: Callable[[float], int], before: float, after: float) -> float:
    """The second from which a zone is as far ahead of UTC as `after`; `before` it is not."""
    low, high, new = math.floor(before), math.ceil(after), shift(after)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shift(middle) == new else (middle, high)
    return float(high)


def _start(date_: dt.date, step: str) -> dt.date:
    if step == "month":
        return date_.replace(day=1)
    return date_ - dt.timedelta(days=date_.weekday()) if step == "week" else date_


def _starts(first: dt.date, last: dt.date, step: str) -> Iterable[dt.date]:
    start = _start(first, step)
    while start <= last:
        yield start
        # The 32nd day after the first of a month is in the next one.
        after = start + dt.timedelta(days={"day": 1, "week": 7, "month": 32}[step])
        start = _start(after, step)


def _period(start: dt.date, step: str, days: Iterable[tuple[int, Mapping[str, float]]]) -> Period:
    spent: defaultdict[str, float] = defaultdict(float)
    asked = 0
    for requests, tiers in days:
        asked += requests
        for tier, usd in tiers.items():
            spent[tier] += usd
    label = f"{start:%b} {start.year}" if step == "month" else f"{start.day} {start:%b}"
    return Period(label=label, requests=asked, tiers=dict(spent))
