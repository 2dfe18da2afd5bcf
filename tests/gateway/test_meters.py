"""What subscriptions say of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.meters import plan_meters
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.records import PlanMeter

NOW = 1_790_000_000.0
UNIFIED = "anthropic-ratelimit-unified-"


def test_anthropics_two_windows() -> None:
    headers = {f"{UNIFIED}5h-utilization": "0.42", f"{UNIFIED}5h-reset": "1790001000", f"{UNIFIED}7d-utilization": "0.1"}
    assert plan_meters("anthropic", headers, NOW) == (
        PlanMeter(provider="anthropic", window="5h", used=0.42, resets=1_790_001_000, at=NOW),
        PlanMeter(provider="anthropic", window="week", used=0.1, at=NOW),
    )


@pytest.mark.parametrize(
    ("reset", "resets"),
    [({"reset-after-seconds": "60"}, NOW + 60), ({"reset-at": "1790000099"}, 1_790_000_099), ({}, None)],
)
def test_codex_counts_in_percent(reset: dict[str, str], resets: float | None) -> None:
    headers = {"x-codex-primary-used-percent": "12.5", "x-codex-primary-window-minutes": "299"}
    headers |= {"x-codex-secondary-used-percent": "80", "x-codex-secondary-window-minutes": "10079"}
    headers |= {f"x-codex-primary-{name}": value for name, value in reset.items()}
    short, long = plan_meters("openai", headers, NOW)
    assert (short.window, short.used, short.resets) == ("5h", 0.125, resets)
    assert (long.window, long.used, long.resets) == ("week", 0.8, None)


@pytest.mark.parametrize("value", ["", "much", "nan", "inf", "-0.1", "0,5"])
def test_what_is_no_number_says_nothing(value: str) -> None:
    assert plan_meters("anthropic", {f"{UNIFIED}5h-utilization": value}, NOW) == ()
    codex = {"x-codex-primary-used-percent": value, "x-codex-primary-window-minutes": "300"}
    assert plan_meters("openai", codex, NOW) == ()


def test_rate_limits_are_no_budgets() -> None:
    headers = {"anthropic-ratelimit-tokens-remaining": "0", "x-ratelimit-remaining-requests": "0"}
    assert plan_meters("anthropic", headers, NOW) == ()


numbers = st.floats(0, 1e6) | st.integers(0, 10**9) | st.text(max_size=5)


@given(st.fixed_dictionaries({}, optional={f"{UNIFIED}{name}": numbers.map(str) for name in ("5h-utilization", "5h-reset")}))
def test_whatever_is_found_a_ledger_takes(headers: dict[str, str]) -> None:
    with MemoryLedger() as ledger:
        for meter in plan_meters("anthropic", headers, NOW):
            ledger.set_plan_meter(meter)
