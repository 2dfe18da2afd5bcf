import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.budget import (
    Band,
    Pace,
    band,
    due_alerts,
    exhausted,
    fullest,
    pace,
    pressure,
    unreadable,
    window_start,
)
from stepdown.decision import Meter
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import KNOWN_TYPES, TIERS, Tier

POLICY = DEFAULT_POLICY
fractions = st.floats(0, 3)
anything = st.floats(allow_nan=True, allow_infinity=True)


def meter(used: float, *, hard: bool = False, name: str = "budget_ceiling") -> Meter:
    return Meter(name=name, used=used, hard=hard)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (-1.0, Band.NONE),
        (0.0, Band.NONE),
        (0.4999, Band.NONE),
        (0.5, Band.LIGHT),
        (0.7499, Band.LIGHT),
        (0.75, Band.CHEAPEST),
        (0.9, Band.CHEAPEST),
        (0.9001, Band.ALL),
        (7.0, Band.ALL),
        (math.nan, Band.NONE),
        (math.inf, Band.NONE),
    ],
)
def test_bands_at_their_edges(used: float, expected: Band) -> None:
    assert band(used, POLICY) is expected


class TestPressure:
    @pytest.mark.parametrize(
        ("used", "tier", "light_ok", "expected", "cheapest"),
        [
            (0.49, Tier.STANDARD, True, Tier.STANDARD, False),
            (0.5, Tier.STANDARD, True, Tier.LIGHT, False),
            (0.5, Tier.STANDARD, False, Tier.STANDARD, False),
            (0.5, Tier.HEAVY, True, Tier.HEAVY, False),
            (0.75, Tier.STANDARD, False, Tier.LIGHT, True),
            (0.75, Tier.LIGHT, False, Tier.LIGHT, True),
            (0.9, Tier.HEAVY, True, Tier.HEAVY, False),
            (0.91, Tier.HEAVY, False, Tier.LIGHT, True),
        ],
    )
    def test_the_bands_as_specified(self, used: float, tier: Tier, light_ok: bool, expected: Tier, cheapest: bool) -> None:
        pressed = pressure(tier, "execute-task", (meter(used),), POLICY, light_ok=light_ok)
        assert (pressed.tier, pressed.cheapest) == (expected, cheapest)

    def test_replanning_keeps_its_tier_to_the_end(self) -> None:
        assert pressure(Tier.HEAVY, "replan-slice", (meter(0.99),), POLICY, light_ok=True).tier is Tier.HEAVY
        assert pressure(Tier.HEAVY, "plan-milestone", (meter(0.99),), POLICY, light_ok=True).tier is Tier.LIGHT

    def test_the_fullest_meter_decides_and_is_named(self) -> None:
        meters = (meter(0.2, name="day"), meter(0.8, name="5h plan (anthropic)"))
        pressed = pressure(Tier.STANDARD, "execute-task", meters, POLICY, light_ok=True)
        assert pressed.reason == "5h plan (anthropic) is 80% used: only heavy work keeps its model"

    @given(fractions, fractions, st.sampled_from(TIERS), st.sampled_from(KNOWN_TYPES), st.booleans())
    def test_more_used_is_never_a_higher_tier(
        self, one: float, other: float, tier: Tier, unit_type: str, light_ok: bool
    ) -> None:
        less, more = sorted((one, other))
        before = pressure(tier, unit_type, (meter(less),), POLICY, light_ok=light_ok)
        after = pressure(tier, unit_type, (meter(more),), POLICY, light_ok=light_ok)
        assert after.tier <= before.tier <= tier
        assert after.cheapest >= before.cheapest

    @given(st.lists(anything.map(meter)), anything, st.sampled_from(TIERS), st.booleans())
    def test_one_more_meter_never_relieves(self, meters: list[Meter], used: float, tier: Tier, light_ok: bool) -> None:
        before = pressure(tier, "execute-task", meters, POLICY, light_ok=light_ok)
        after = pressure(tier, "execute-task", [*meters, meter(used)], POLICY, light_ok=light_ok)
        assert after.tier <= before.tier
        assert bool(after.reason) >= bool(before.reason)

    def test_what_is_unknown_exerts_none_and_is_said(self) -> None:
        meters = (meter(math.nan, name="odd"), meter(math.inf), meter(0.6))
        assert fullest(meters) == meters[2]
        assert fullest(meters[:2]) is None
        assert unreadable(meters) == (
            "odd is unknown and exerts no pressure",
            "budget_ceiling is unknown and exerts no pressure",
        )


class TestExhausted:
    def test_only_a_hard_meter_refuses(self) -> None:
        assert exhausted((meter(1.5), meter(0.999, hard=True))) is None
        assert exhausted((meter(1.5), meter(1.0, hard=True, name="x"))) == meter(1.0, hard=True, name="x")
        assert exhausted(()) is None


class TestAlerts:
    def test_each_once_as_it_is_crossed(self) -> None:
        assert due_alerts(0.7, 0.82, POLICY) == (0.75, 0.8)
        assert due_alerts(0.75, 0.79, POLICY) == ()
        assert due_alerts(0.95, 1.4, POLICY) == (1.0,)
        assert due_alerts(0.9, 0.1, POLICY) == ()
        assert due_alerts(math.nan, 0.76, POLICY) == (0.75,)
        assert due_alerts(0.1, math.nan, POLICY) == ()

    @given(st.lists(fractions, min_size=1).map(sorted))
    def test_a_filling_window_gives_every_alert_at_most_once(self, readings: list[float]) -> None:
        told = [alert for a, b in zip([0.0, *readings], readings, strict=False) for alert in due_alerts(a, b, POLICY)]
        assert told == [alert for alert in POLICY.alerts if alert <= readings[-1]]


class TestWindows:
    NOW = datetime(2026, 3, 18, 14, 30, tzinfo=UTC).timestamp()  # a Wednesday

    @pytest.mark.parametrize(
        ("window", "start"),
        [
            ("5h", datetime(2026, 3, 18, 9, 30, tzinfo=UTC)),
            ("day", datetime(2026, 3, 18, tzinfo=UTC)),
            ("week", datetime(2026, 3, 16, tzinfo=UTC)),
            ("month", datetime(2026, 3, 1, tzinfo=UTC)),
            ("project", datetime(1970, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_where_they_begin(self, window: str, start: datetime) -> None:
        assert window_start(window, self.NOW) == start.timestamp()

    @given(st.sampled_from(["5h", "day", "week", "month", "project"]), st.floats(1e6, 4e9), st.floats(0, 1e7))
    def test_they_only_move_forward(self, window: str, now: float, later: float) -> None:
        assert window_start(window, now) <= now
        assert window_start(window, now) <= window_start(window, now + later)


class TestPace:
    def run(self, costs: list[float], budget: float) -> list[Pace]:
        states = [Pace()]
        for number, cost in enumerate(costs):
            left = budget - sum(costs[:number])
            remains = float(len(costs) - number)
            states.append(pace(states[-1], spent=cost, took=1.0, left=left, remains=remains, policy=POLICY))
        return states

    def test_on_pace_costs_nothing(self) -> None:
        assert all(state.price == pytest.approx(0) for state in self.run([1.0] * 20, 20.0))

    def test_overspending_raises_the_price_and_thrift_lowers_it(self) -> None:
        dear = self.run([2.0] * 8 + [0.1] * 12, 20.0)
        assert dear[8].price > dear[4].price > 0
        assert dear[20].average < 1
        assert dear[20].price < max(state.price for state in dear)

    def test_an_empty_budget_is_the_cap(self) -> None:
        assert pace(Pace(), spent=1, took=1, left=0, remains=5, policy=POLICY).price == POLICY.pacing_price_cap

    @given(anything, anything, anything, anything, st.floats(0, 10), st.floats(0, 10))
    def test_never_negative_and_never_beyond_the_cap(
        self, spent: float, took: float, left: float, remains: float, average: float, price: float
    ) -> None:
        state = pace(Pace(average=average, price=price), spent=spent, took=took, left=left, remains=remains, policy=POLICY)
        assert 0 <= state.price <= POLICY.pacing_price_cap
        assert math.isfinite(state.average)
