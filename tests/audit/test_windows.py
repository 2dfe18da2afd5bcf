import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from works import request, turn

from stepdown.audit.history import History, Work
from stepdown.audit.records import Window
from stepdown.audit.windows import spared, typical_limit, windows
from stepdown.sessions.records import Limit

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
NOON = 1_793_534_400.0  # 2026-11-01 12:00 UTC
OLD = 1_767_268_800.0  # 2026-01-01 12:00 UTC, when windows began at full hours


def spent(at: float, usd: float | None = 1.0, agent: str = "claude", count: int = 1) -> Work:
    return Work(agent, turn(at=at), (request(at=at, count=count),), (usd,), (None,))


def told(works: Sequence[Work], limits: Sequence[Limit] = (), agent: str = "claude", share: float = 1.0) -> tuple[Window, ...]:
    ordered = sorted(limits, key=lambda state: state.at)
    return windows(History(tuple(works), {agent: ordered}, {}, 0, {}), [share] * len(works))


def refused(at: float, window: str = "5h", resets: float | None = None) -> Limit:
    return Limit(at, window, None, resets, reached=True)


def meter(at: float, used: float, resets: float, window: str = "5h") -> Limit:
    return Limit(at, window, used, resets)


def hours(found: Sequence[Window], since: float = NOON) -> list[tuple[float, float]]:
    return [((one.start - since) / HOUR, (one.end - since) / HOUR) for one in found]


class TestRebuilt:
    """Claude Code logs no meter: its windows are told from when requests were made."""

    def test_one_begins_with_the_first_request_after_the_last_one_ended_and_lasts_5_hours(self) -> None:
        found = told([spent(NOON), spent(NOON + 4.9 * HOUR), spent(NOON + 5 * HOUR), spent(NOON + 30 * HOUR)])
        assert hours(found) == [(0, 5), (5, 10), (30, 35)]
        assert [one.requests for one in found] == [2, 1, 1]
        assert {(one.agent, one.window, one.source, one.used, one.full) for one in found} == {
            ("claude", "5h", "estimated", None, None)
        }

    def test_its_start_is_rounded_down_to_ten_minutes_and_before_may_2026_to_the_hour(self) -> None:
        # claude-code#56801: 5:20 to 10:20; ccusage#133: begun at 11:55, it ended at 4 pm.
        assert [one.start for one in told([spent(NOON + 29 * MINUTE)])] == [NOON + 20 * MINUTE]
        assert hours(told([spent(OLD + 55 * MINUTE)]), OLD) == [(0, 5)]

    def test_a_reported_reset_overrules_what_was_rebuilt(self) -> None:
        works = [spent(NOON), spent(NOON + 3 * HOUR), spent(NOON + 7 * HOUR), spent(NOON + 7.5 * HOUR)]
        found = told(works, [refused(NOON + 6 * HOUR, resets=NOON + 7.25 * HOUR)])
        assert hours(found) == [(0, 2.25), (2.25, 7.25), (7.5, 12.5)]
        assert [(one.source, one.requests) for one in found] == [("estimated", 1), ("reported", 2), ("estimated", 1)]
        assert found[1].full == NOON + 6 * HOUR

    def test_nothing_begins_before_what_went_before_has_ended(self) -> None:
        found = told([spent(NOON + 3 * MINUTE)], [refused(NOON, resets=NOON + 2 * MINUTE)])
        assert [one.end for one in found][:1] == [found[1].start]

    def test_resets_that_overlap_by_the_rounding_leave_each_refusal_with_its_own_window(self) -> None:
        # claude-code#79136: "resets 5:40pm", and after it "resets 10:30pm": a window from 5:30 pm.
        first, second = (
            refused(NOON + 5 * MINUTE, resets=NOON + 10 * MINUTE),
            refused(NOON + 12 * MINUTE, resets=NOON + 5 * HOUR),
        )
        found = told([spent(NOON - HOUR, 10.0), spent(NOON + 7 * MINUTE)], [first, second])
        assert [one.full for one in found] == [first.at, second.at]
        assert [one.requests for one in found] == [1, 1]

    def test_a_refusal_without_a_reset_fills_the_window_it_falls_into(self) -> None:
        found = told([spent(NOON), spent(NOON + HOUR)], [refused(NOON + HOUR), refused(NOON + 2 * HOUR, "")])
        assert [(one.full, one.source, one.requests) for one in found] == [(NOON + HOUR, "estimated", 2)]

    def test_a_refusal_with_nothing_before_it_makes_a_window_without_use(self) -> None:
        (found,) = told([], [refused(NOON + HOUR)])
        assert (found.usd, found.requests, found.full, found.full_usd) == (0.0, 0, NOON + HOUR, 0.0)
        assert (found.start, found.end) == (NOON + HOUR, NOON + 6 * HOUR)

    @pytest.mark.parametrize("resets", [NOON - 1, NOON, NOON + 13.6 * HOUR, math.inf, math.nan])
    def test_a_reset_that_cannot_be_is_not_believed(self, resets: float) -> None:
        # claude-code#86068: a 5-hour limit that resets in 13 hours.
        (found,) = told([spent(NOON)], [refused(NOON, resets=resets)])
        assert (found.source, found.start, found.full) == ("estimated", NOON, NOON)


class TestWeeks:
    def test_none_is_invented(self) -> None:
        found = told([spent(NOON + day * DAY) for day in range(30)], [refused(NOON)])
        assert {one.window for one in found} == {"5h"}

    def test_a_refusal_tells_of_one(self) -> None:
        works = [spent(NOON + day * DAY) for day in range(9)]
        resets = NOON + 8 * DAY
        (week,) = (one for one in told(works, [refused(NOON + 7.5 * DAY, "week", resets)]) if one.window == "week")
        assert (week.start, week.end, week.source, week.requests) == (NOON + DAY, resets, "reported", 7)
        assert week.full == NOON + 7.5 * DAY

    def test_a_refusal_that_does_not_say_which_and_resets_too_late_for_5_hours_is_of_no_known_window(self) -> None:
        """It may be the plan's week as well as a limit of one model."""
        found = told([spent(NOON)], [refused(NOON, "", NOON + 2 * DAY)])
        assert [(one.window, one.full) for one in found] == [("5h", None)]

    def test_of_one_without_a_reset_only_the_seven_days_up_to_it_are_known(self) -> None:
        works = [spent(NOON + day * DAY) for day in range(-9, 2)]
        twice = [refused(NOON, "week"), refused(NOON + 2 * DAY, "week")]
        (week,) = (one for one in told(works, twice) if one.window == "week")
        assert (week.start, week.end, week.full, week.source) == (NOON - 7 * DAY, NOON, NOON, "estimated")
        assert week.requests == 7

    def test_one_without_a_reset_does_not_reach_into_the_week_before(self) -> None:
        limits = [refused(NOON - 3 * DAY, "week", NOON - 2 * DAY), refused(NOON, "week")]
        weeks = [one for one in told([], limits) if one.window == "week"]
        assert [(one.start, one.end) for one in weeks] == [(NOON - 9 * DAY, NOON - 2 * DAY), (NOON - 2 * DAY, NOON)]


class TestReported:
    """Codex logs the provider's own meter."""

    def test_states_of_one_reset_are_one_window_though_it_wobbles(self) -> None:
        states = [meter(NOON + n * MINUTE, n / 100, NOON + 5 * HOUR + n % 3) for n in range(60)]
        (found,) = told([spent(NOON + HOUR, agent="codex")], states, "codex")
        assert (found.start, found.end) == (NOON + 2, NOON + 5 * HOUR + 2)
        assert (found.used, found.full, found.source, found.requests) == (0.59, None, "reported", 1)

    def test_without_a_meter_there_are_none(self) -> None:
        assert told([spent(NOON, agent="codex")], [], "codex") == ()

    def test_a_request_outside_of_every_reported_window_is_in_none(self) -> None:
        works = [spent(NOON - HOUR, agent="codex"), spent(NOON, agent="codex")]
        (found,) = told(works, [meter(NOON, 0.1, NOON + 5 * HOUR)], "codex")
        assert found.requests == 1

    def test_it_is_full_at_a_refusal_or_when_the_meter_says_so(self) -> None:
        resets = NOON + 5 * HOUR
        by_meter = [meter(NOON, 0.9, resets), meter(NOON + HOUR, 1.0, resets), meter(NOON + 2 * HOUR, 1.0, resets)]
        assert told([], by_meter, "codex")[0].full == NOON + HOUR
        assert told([], [meter(NOON, 0.9, resets), refused(NOON + 60, resets=resets)], "codex")[0].full == NOON + 60
        assert told([], [meter(NOON, 0.9, resets), refused(NOON + 60)], "codex")[0].full == NOON + 60

    def test_what_is_said_of_a_window_after_its_end_still_counts_for_it(self) -> None:
        states = [meter(NOON, 0.2, NOON + HOUR), meter(NOON + 2 * HOUR, 0.4, NOON + HOUR)]
        (found,) = told([], states, "codex")
        assert (found.end, found.used) == (NOON + HOUR, 0.4)

    def test_a_window_of_which_nothing_was_used_has_not_begun(self) -> None:
        # openai/codex#36313: the reset is always a week from now.
        states = [meter(NOON + n * HOUR, 0.0, NOON + n * HOUR + 7 * DAY, "week") for n in range(9)]
        states.append(meter(NOON + 9 * HOUR, 0.1, NOON + 8 * HOUR + 7 * DAY, "week"))
        (found,) = told([], states, "codex")
        assert (found.start, found.used) == (NOON + 8 * HOUR, 0.1)

    def test_a_use_that_falls_is_a_new_window_which_ends_the_old_one(self) -> None:
        # openai/codex#23190: the week was reset days before its time.
        states = [
            meter(NOON, 0.0, NOON + 7 * DAY, "week"),
            meter(NOON + 2 * DAY, 1.0, NOON + 7 * DAY, "week"),
            meter(NOON + 2.25 * DAY, 0.0, NOON + 9.25 * DAY, "week"),
            meter(NOON + 4 * DAY, 0.96, NOON + 9.25 * DAY, "week"),
        ]
        works = [spent(NOON + day * DAY, agent="codex") for day in (1, 2.2, 2.3, 8)]
        first, second = told(works, states, "codex")
        assert (first.start, first.end, first.used, first.full) == (NOON, NOON + 2.25 * DAY, 1.0, NOON + 2 * DAY)
        assert (second.start, second.end, second.used, second.full) == (NOON + 2.25 * DAY, NOON + 9.25 * DAY, 0.96, None)
        assert (first.requests, second.requests) == (2, 2)

    def test_a_reset_that_moves_while_the_use_grows_is_the_same_window(self) -> None:
        states = [meter(NOON, 0.2, NOON + 4 * HOUR), meter(NOON + HOUR, 0.3, NOON + 5 * HOUR)]
        (found,) = told([], states, "codex")
        assert (found.start, found.end, found.used) == (NOON - HOUR, NOON + 5 * HOUR, 0.3)

    def test_a_reset_that_moves_on_and_on_makes_new_windows_after_one_length(self) -> None:
        states = [meter(NOON + n * HOUR, 0.1, NOON + (n + 5) * HOUR) for n in range(12)]
        found = told([spent(NOON + n * HOUR, agent="codex") for n in range(12)], states, "codex")
        assert hours(found) == [(0, 5), (5, 10), (10, 16)]
        assert [one.requests for one in found] == [5, 5, 2]

    def test_an_old_window_ends_when_the_new_one_was_heard_of_and_not_before_it_was_last_spoken_of(self) -> None:
        old, new = [meter(NOON, 0.5, NOON + 2 * HOUR)], [meter(NOON + HOUR, 0.1, NOON + 4 * HOUR)]
        spoken = meter(NOON + 0.5 * HOUR, 0.5, NOON + 2 * HOUR)
        stale = meter(NOON + 1.5 * HOUR, 0.5, NOON + 2 * HOUR)
        for more, border in (([], 0), ([spoken], 0.5), ([stale], 1), ([spoken, stale], 1)):
            found = told([], [*old, *more, *new], "codex")
            assert hours(found) == [(-3, border), (border, 4)]

    def test_a_window_that_was_full_does_not_end_before_whatever_else_is_said_meanwhile(self) -> None:
        """As two accounts would say it, whose meters nothing tells apart."""
        states = [
            meter(NOON + HOUR, 1.0, NOON + 2 * HOUR),
            meter(NOON + 10 * MINUTE, 0.5, NOON + 3 * HOUR),
            meter(NOON + 20 * MINUTE, 0.1, NOON + 4 * HOUR),
        ]
        found = told([], states, "codex")
        assert hours(found) == [(-3, 1), (1, 4)]
        assert [(one.used, one.full) for one in found] == [(1.0, NOON + HOUR), (0.1, None)]

    def test_nothing_is_full_before_it_begins(self) -> None:
        (found,) = told([], [meter(NOON, 1.0, NOON + 5 * HOUR + 3 * MINUTE)], "codex")
        assert found.full == found.start == NOON + 3 * MINUTE

    def test_lengths_other_than_the_usual_are_read_from_their_name(self) -> None:
        states = [
            meter(NOON, 0.2, NOON + HOUR, "90m"),
            meter(NOON, 0.2, NOON + HOUR, "soon"),
            meter(NOON, 0.2, NOON + HOUR, "0m"),
        ]
        (found,) = told([], states, "codex")
        assert (found.window, found.start) == ("90m", NOON - HOUR / 2)

    def test_a_meter_of_unknown_length_makes_no_window(self) -> None:
        assert told([], [meter(NOON, 0.5, NOON + HOUR, "")], "codex") == ()

    def test_a_window_without_use_is_left_out(self) -> None:
        assert told([], [meter(NOON, 0.0, NOON + HOUR)], "codex") == ()
        assert told([], [meter(NOON, 0.01, NOON + HOUR)], "codex") != ()


def test_agents_without_a_plan_have_no_windows() -> None:
    for agent in ("opencode", "pi", "gsd"):
        assert told([spent(NOON, agent=agent)], [refused(NOON), meter(NOON, 0.5, NOON + HOUR)], agent) == ()


def test_a_request_belongs_to_its_own_agents_windows() -> None:
    works = (spent(NOON), spent(NOON, 5.0, "codex"), spent(NOON, 7.0, "opencode"))
    found = windows(History(works, {"codex": [meter(NOON, 0.1, NOON + HOUR)]}, {}, 0, {}), [1.0] * 3)
    assert {one.agent: one.usd for one in found} == {"claude": 1.0, "codex": 5.0}


def test_what_has_no_price_counts_as_a_request_and_not_as_dollars() -> None:
    (found,) = told([spent(NOON, None, count=2), spent(NOON, 2.0, count=3)])
    assert (found.usd, found.routed_usd, found.requests, found.unknown) == (2.0, 2.0, 5, 2)


def test_a_window_without_any_known_price_is_of_unknown_use_and_not_of_none() -> None:
    (found,) = told([spent(NOON, None), spent(NOON + HOUR, None)])
    assert (found.usd, found.routed_usd, found.requests, found.unknown) == (None, None, 2, 2)
    (found,) = told([spent(NOON, None), spent(NOON + 2 * HOUR, 3.0)], [refused(NOON + HOUR)])
    assert (found.usd, found.full_usd, found.routed_usd, found.unknown) == (3.0, None, None, 1)
    (found,) = told([spent(NOON + 2 * HOUR, None)], [refused(NOON + HOUR, resets=NOON + 5 * HOUR)])
    assert (found.usd, found.full_usd, found.routed_usd, found.unknown) == (None, 0.0, 0.0, 1)


def test_requests_of_an_unknown_number_count_as_one() -> None:
    (found,) = told([spent(NOON, None, count=0), spent(NOON, 1.0, count=0)])
    assert (found.requests, found.unknown) == (2, 1)


def test_the_use_under_routing_is_that_by_the_time_it_was_full() -> None:
    works = (spent(NOON, 8.0), spent(NOON + HOUR, 4.0), spent(NOON + 3 * HOUR, 2.0))
    (found,) = windows(History(works, {"claude": [refused(NOON + 2 * HOUR)]}, {}, 0, {}), [0.25, 0.5, 0.5])
    assert (found.usd, found.full_usd, found.routed_usd) == (14.0, 12.0, 4.0)
    (found,) = windows(History(works, {}, {}, 0, {}), [0.25, 0.5, 0.5])
    assert (found.usd, found.full_usd, found.routed_usd) == (14.0, None, 5.0)


def test_a_share_is_missing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        windows(History((spent(NOON),), {}, {}, 0, {}), [])


class TestTypicalLimit:
    def full(self, usd: float, routed: float, at: float = NOON, window: str = "5h") -> Window:
        return Window(
            agent="claude",
            window=window,
            start=at,
            end=at + 5 * HOUR,
            usd=usd + 1,
            requests=1,
            full=at + HOUR,
            full_usd=usd,
            routed_usd=routed,
        )

    def test_it_is_a_range_and_needs_two(self) -> None:
        found = [self.full(20.0, 1.0), self.full(12.0, 1.0), self.full(90.0, 1.0, window="week")]
        assert typical_limit(found, "claude", "5h") == (12.0, 20.0)
        assert typical_limit(found, "claude", "week") is None
        assert typical_limit(found, "codex", "5h") is None

    def test_a_window_filled_by_others_says_nothing(self) -> None:
        found = [self.full(20.0, 1.0), self.full(0.0, 0.0)]
        assert typical_limit(found, "claude", "5h") is None
        assert spared(found, "claude", "5h") == (2, 0)
        found.append(self.full(10.0, 10.0))
        assert typical_limit(found, "claude", "5h") == (10.0, 20.0)
        assert spared(found, "claude", "5h") == (3, 1)

    def test_one_whose_use_is_not_all_known_says_nothing_of_the_limit_and_is_not_spared(self) -> None:
        part = msgspec.structs.replace(self.full(1.0, 0.1), unknown=3)
        none = msgspec.structs.replace(part, usd=None, full_usd=None, routed_usd=None)
        found = [self.full(20.0, 1.0), part, none]
        assert typical_limit(found, "claude", "5h") is None
        found.append(self.full(12.0, 11.0))
        assert typical_limit(found, "claude", "5h") == (12.0, 20.0)
        assert spared(found, "claude", "5h") == (4, 2)

    def test_one_is_spared_where_routing_stays_below_the_least_that_filled_one(self) -> None:
        found = [self.full(20.0, 11.9), self.full(12.0, 11.0), self.full(30.0, 12.0), self.full(40.0, 39.0)]
        assert spared(found, "claude", "5h") == (4, 2)
        assert spared([], "claude", "5h") == (0, 0)


Spends = list[tuple[str, list[tuple[float, float | None]]]]
World = tuple[Spends, list[Limit]]

# Times are whole minutes around noon, so that windows and resets meet at their edges.
minutes = st.integers(-30 * 60, 30 * 60).map(lambda number: NOON + number * MINUTE)
amounts = st.one_of(st.none(), st.floats(0, 1e3))
units = st.lists(st.tuples(st.sampled_from(["claude", "codex"]), st.lists(st.tuples(minutes, amounts), min_size=1, max_size=4)))
limits = st.builds(
    Limit,
    at=minutes,
    window=st.sampled_from(["", "5h", "week", "90m"]),
    used=st.one_of(st.none(), st.sampled_from([0.0, 0.01, 0.5, 1.0])),
    resets=st.one_of(st.none(), minutes, st.sampled_from([NOON + 5 * HOUR, NOON + 5 * HOUR + 7, NOON + 3 * DAY])),
    reached=st.booleans(),
)
worlds = st.tuples(units, st.lists(limits, max_size=12))


def world(units: Spends, limits: list[Limit], shift: float = 0.0) -> History:
    works = tuple(
        Work(
            agent,
            turn(),
            tuple(request(at=at + shift) for at, _ in spends),
            tuple(usd for _, usd in spends),
            (None,) * len(spends),
        )
        for agent, spends in units
    )
    moved = [
        Limit(one.at + shift, one.window, one.used, None if one.resets is None else one.resets + shift, one.reached)
        for one in limits
    ]
    return History(works, {"claude": moved, "codex": moved}, {}, 0, {})


@given(worlds)
def test_windows_of_one_agent_and_kind_never_overlap(given_world: World) -> None:
    history = world(*given_world)
    found = windows(history, [1.0] * len(history.units))
    for one in found:
        assert one.start < one.end
        assert one.full is None or one.start <= one.full <= one.end
    for agent in ("claude", "codex"):
        for window in ("5h", "week", "90m"):
            own = [one for one in found if (one.agent, one.window) == (agent, window)]
            assert all(before.end <= after.start for before, after in pairwise(own))


@given(worlds)
def test_every_request_of_claude_falls_into_exactly_one_5_hour_window(given_world: World) -> None:
    history = world(*given_world)
    found = [one for one in windows(history, [0.5] * len(history.units)) if (one.agent, one.window) == ("claude", "5h")]
    spends = [
        (one.at, usd)
        for work in history.units
        if work.agent == "claude"
        for one, usd in zip(work.requests, work.costs, strict=True)
    ]
    assert all(sum(one.start <= at < one.end for one in found) == 1 for at, _ in spends)
    assert sum(one.requests for one in found) == len(spends)
    assert sum(one.unknown for one in found) == sum(usd is None for _, usd in spends)
    assert math.isclose(sum(one.usd or 0.0 for one in found), sum(usd or 0.0 for _, usd in spends), abs_tol=1e-6)
    for one in found:
        assert (one.usd is None) == (one.requests == one.unknown > 0)
        by_then = one.usd if one.full is None else one.full_usd
        if by_then is None or one.routed_usd is None:
            assert (by_then, one.routed_usd) == (None, None)
            assert one.unknown
        else:
            assert math.isclose(one.routed_usd, by_then / 2, abs_tol=1e-6)
            assert by_then <= (one.usd or 0.0)


@given(worlds, st.randoms())
def test_the_order_of_units_and_of_what_is_said_does_not_matter(given_world: World, chance: Random) -> None:
    history = world(*given_world)
    shares = [number / 7 for number in range(len(history.units))]
    order = list(range(len(history.units)))
    chance.shuffle(order)
    said = list(history.limits["claude"])
    chance.shuffle(said)
    again = History(tuple(history.units[number] for number in order), {"claude": said, "codex": said}, {}, 0, {})
    assert windows(again, [shares[number] for number in order]) == windows(history, shares)


@given(worlds, st.integers(-52, 52))
def test_zones_do_not_matter(given_world: World, quarters: int) -> None:
    """A day that begins at another hour gives the same windows at other hours."""
    shift = quarters * HOUR
    found, moved = (
        windows(history, [1.0] * len(history.units)) for history in (world(*given_world), world(*given_world, shift))
    )
    assert [(one.start + shift, one.end + shift, one.requests) for one in found] == [
        (one.start, one.end, one.requests) for one in moved
    ]
