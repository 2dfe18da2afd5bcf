"""Budgets filled by a replay."""

import pytest

from stepdown.preferences import Budget, DynamicRouting, Preferences
from stepdown.replay.purse import EMPTY, Purse

DAY = 24 * 3600.0


def test_without_a_budget_there_is_nothing_to_fill() -> None:
    purse = Purse(Preferences(budgets=(Budget(unit="plan", limit=1, window="5h"),)))
    purse.pay("p", 1.0, 2.0, 5.0, 100, 1)
    assert purse.fill("p", 3.0) == ((), EMPTY)


def test_each_project_fills_its_own_and_a_window_forgets() -> None:
    purse = Purse(Preferences(budget_ceiling=10, budgets=(Budget(unit="tokens", limit=100, window="day"),)))
    purse.pay("one", DAY + 1, DAY + 2, 4.0, 30, 1)
    purse.pay("one", 2 * DAY + 1, 2 * DAY + 2, 2.0, 50, 1)
    assert [meter.used for meter in purse.meters("one", 2 * DAY + 3)] == pytest.approx([0.6, 0.5])
    assert [meter.used for meter in purse.meters("other", 2 * DAY + 3)] == [0.0, 0.0]


def test_a_full_budget_refuses_unless_it_only_warns_and_never_in_a_meter() -> None:
    for enforcement, refuses in (("pause", True), ("halt", True), ("warn", False)):
        purse = Purse(Preferences(budget_ceiling=1, budget_enforcement=enforcement))  # type: ignore[arg-type]  # a literal each
        purse.pay("p", 1.0, 2.0, 1.5, 0, 0)
        meters, fill = purse.fill("p", 3.0)
        assert fill[1] is refuses
        assert not any(meter.hard for meter in meters)


def test_pacing_rises_where_spending_is_ahead_and_starts_anew_with_the_window() -> None:
    paced = Preferences(
        dynamic_routing=DynamicRouting(pressure="pacing"), budgets=(Budget(unit="usd", limit=10, window="day"),)
    )
    purse = Purse(paced)
    for number in range(5):
        purse.pay("p", DAY + 60.0 * number, DAY + 60.0 * number + 30, 1.0, 0, 0)
    assert purse.fill("p", DAY + 600)[1][2] > 0
    assert purse.fill("p", 2 * DAY + 1)[1][2] == 0
