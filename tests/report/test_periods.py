import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.audit.records import Day, Line
from stepdown.report.periods import MOST_DAYS, MOST_WEEKS, between, span, zone

DATES = st.dates(dt.date(2024, 1, 1), dt.date(2027, 12, 31))


def day(date: dt.date, usd: float = 1.0) -> Day:
    return Day(day=date.isoformat(), total=Line(key=date.isoformat(), requests=1, usd=usd), tiers={"heavy": usd})


def test_days_without_requests_are_there() -> None:
    days = span([day(dt.date(2026, 2, 27)), day(dt.date(2026, 3, 2))])
    assert days.step == "day"
    assert [(one.label, one.usd) for one in days.periods] == [("27 Feb", 1), ("28 Feb", 0), ("1 Mar", 0), ("2 Mar", 1)]


@pytest.mark.parametrize(
    ("length", "step", "label", "periods"),
    [(63, "day", "1 Oct", 63), (64, "week", "28 Sep", 10), (500, "month", "Oct 2026", 17)],
)
def test_many_days_become_weeks_and_months(length: int, step: str, label: str, periods: int) -> None:
    first = dt.date(2026, 10, 1)
    days = span([day(first), day(first + dt.timedelta(days=length - 1))])
    assert (days.step, days.periods[0].label, len(days.periods)) == (step, label, periods)


@given(st.lists(DATES, unique=True).map(sorted))
def test_nothing_is_lost_and_the_columns_are_few(dates: list[dt.date]) -> None:
    days = span([day(date, usd=number + 1.0) for number, date in enumerate(dates)])
    assert sum(one.usd for one in days.periods) == sum(number + 1 for number in range(len(dates)))
    assert sum(one.requests for one in days.periods) == len(dates)
    assert len(days.periods) <= max(MOST_DAYS, MOST_WEEKS + 1)


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("UTC", 0),
        ("UTC+02:00", 2),
        ("UTC-05:30", -5.5),
        ("UTC+0530", 5.5),
        ("Asia/Tokyo", 9),
        ("../etc/passwd", 0),
        ("UTC+99:00", 0),
        ("", 0),
    ],
)
def test_zones_are_known_or_utc(name: str, hours: float) -> None:
    assert zone(name).utcoffset(dt.datetime(2026, 1, 1)) == dt.timedelta(hours=hours)  # noqa: DTZ001  # what a zone is asked with


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2026-11-03", "2026-11-03", "3 November 2026"),
        ("2026-11-03", "2026-11-22", "3 to 22 November 2026"),
        ("2026-09-28", "2026-11-22", "28 September to 22 November 2026"),
        ("2025-12-30", "2026-01-02", "30 December 2025 to 2 January 2026"),
    ],
)
def test_a_period_is_said_as_short_as_it_can_be(first: str, last: str, text: str) -> None:
    assert between(dt.date.fromisoformat(first), dt.date.fromisoformat(last)) == text
