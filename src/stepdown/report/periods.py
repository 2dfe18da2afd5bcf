"""Days put together to what a chart has room for, and times as people of a zone read them."""

import datetime as dt
import re
import zoneinfo
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from stepdown.audit.records import Day

MOST_DAYS: Final = 63
"""Nine weeks. With more days than this a column is a week, else its bars are too thin to be told apart on a phone."""
MOST_WEEKS: Final = 66
"""A year and a quarter. Beyond it a column is a month."""
_OFFSET: Final = re.compile(r"UTC(?:([+-])(\d\d):?(\d\d))?")


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


class Span(msgspec.Struct, frozen=True):
    """Everything in equal steps, those without requests included.

    Attributes:
        step: ``day``, ``week`` or ``month``.
        periods: in order.
    """

    step: str
    periods: tuple[Period, ...]


def span(days: Sequence[Day]) -> Span:
    """The days in steps that give a readable number of columns. ISO dates are expected, in order."""
    dated = [(dt.date.fromisoformat(day.day), day) for day in days]
    if not dated:
        return Span("day", ())
    first, last = dated[0][0], dated[-1][0]
    length = (last - first).days + 1
    step = "day" if length <= MOST_DAYS else "week" if length <= 7 * MOST_WEEKS else "month"
    members: defaultdict[dt.date, list[Day]] = defaultdict(list)
    for date, day in dated:
        members[_start(date, step)].append(day)
    return Span(step, tuple(_period(start, step, members[start]) for start in _starts(first, last, step)))


def zone(name: str) -> dt.tzinfo:
    """The zone of `Audit.zone`; UTC where this machine does not know it."""
    match = _OFFSET.fullmatch(name)
    try:
        if match is not None:
            offset = dt.timedelta(hours=int(match[2] or 0), minutes=int(match[3] or 0))
            return dt.timezone(-offset if match[1] == "-" else offset)
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC


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


def _period(start: dt.date, step: str, days: Iterable[Day]) -> Period:
    tiers: defaultdict[str, float] = defaultdict(float)
    requests = 0
    for day in days:
        requests += day.total.requests
        for tier, usd in day.tiers.items():
            tiers[tier] += usd
    label = f"{start:%b} {start.year}" if step == "month" else f"{start.day} {start:%b}"
    return Period(label=label, requests=requests, tiers=dict(tiers))
