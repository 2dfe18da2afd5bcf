import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.audit.records import Day, Line
from stepdown.report.periods import MOST_DAYS, MOST_WEEKS, ahead, between, local, offsets, offsets_name, span

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


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Casablanca", "Australia/Lord_Howe")
MOMENTS = st.integers(1_400_000_000, 1_900_000_000).map(float)


def shift(name: str) -> Callable[[float], int]:
    def seconds(at: float) -> int:
        ahead_of_utc = dt.datetime.fromtimestamp(at, ZoneInfo(name)).utcoffset()
        assert ahead_of_utc is not None
        return int(ahead_of_utc.total_seconds())

    return seconds


@settings(deadline=None)
@given(st.sampled_from(ZONES), MOMENTS, st.floats(0, 9e7), st.floats(0, 1))
def test_offsets_are_those_of_the_zone_at_each_second(name: str, start: float, length: float, part: float) -> None:
    known = offsets(shift(name), start, start + length)
    at = start + part * length
    assert ahead(at, known) == shift(name)(at)
    assert local(at, known).replace(tzinfo=None) == dt.datetime.fromtimestamp(at, ZoneInfo(name)).replace(tzinfo=None)
    for since, seconds in known[1:]:
        assert (shift(name)(since - 1), shift(name)(since)) == (ahead(since - 1, known), seconds)
        assert shift(name)(since - 1) != seconds


def test_before_and_after_what_is_known_the_clocks_stay() -> None:
    known = ((100.0, 7200), (200.0, 3600))
    assert [ahead(at, known) for at in (0, 100, 199.9, 200, 1e9)] == [7200, 7200, 7200, 3600, 3600]
    assert ahead(0, ()) == 0


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ((), "UTC"),
        (((0.0, 0),), "UTC"),
        (((0.0, -19_800),), "UTC-05:30"),
        (((0.0, 7200), (1.0, 3600), (2.0, 7200)), "UTC+01:00 and UTC+02:00"),
    ],
)
def test_a_zone_without_a_name_is_called_by_its_hours(known: tuple[tuple[float, int], ...], name: str) -> None:
    assert offsets_name(known) == name


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
