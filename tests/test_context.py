"""From ledger and preferences to a context: the meters above all."""

import pytest

from stepdown.context import build_context
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.records import Attempt, Block, Evidence, Outcome, PlanMeter
from stepdown.preferences import Budget, DynamicRouting, Preferences
from stepdown.units import Tier, Tokens

NOW = 1_700_000_000.0
HOUR = 3600.0


def spend(ledger: MemoryLedger, usd: float | None, *, ago: float = 0.0, project: str = "/p", tokens: int = 1000) -> None:
    attempt = Attempt(project=project, unit_type="execute-task", unit_id=f"T{ago}{usd}", started=NOW - ago)
    used = Tokens(input=tokens)
    ledger.settle(ledger.begin(attempt), Outcome(tokens=used, cost_usd=usd, requests=2, finished=NOW - ago + 1))


def test_the_ceiling_counts_the_projects_dollars_of_all_time() -> None:
    ledger = MemoryLedger()
    spend(ledger, 5.0, ago=90 * 24 * HOUR)
    spend(ledger, 4.0)
    spend(ledger, 100.0, project="/other")
    (meter,) = build_context(ledger, Preferences(budget_ceiling=12.0), project="/p", now=NOW).meters
    assert meter.used == pytest.approx(0.75)
    assert meter.hard
    assert meter.remaining == pytest.approx(3.0)
    assert meter.detail == "$9.00 of $12.00"


def test_a_window_forgets_what_was_before_it_and_warn_is_not_hard() -> None:
    ledger = MemoryLedger()
    spend(ledger, 5.0, ago=6 * HOUR)
    spend(ledger, 1.0, ago=HOUR, tokens=4000)
    budgets = (Budget(unit="usd", limit=2, window="5h"), Budget(unit="tokens", limit=8000, window="5h"))
    preferences = Preferences(budgets=budgets, budget_enforcement="warn")
    dollars, tokens = build_context(ledger, preferences, project="/p", now=NOW).meters
    assert dollars.used == pytest.approx(0.5)
    assert tokens.used == pytest.approx(0.5)
    assert not dollars.hard


def test_an_unknown_cost_makes_the_meter_an_estimate_and_says_so() -> None:
    ledger = MemoryLedger()
    spend(ledger, None)
    (meter,) = build_context(ledger, Preferences(budget_ceiling=10.0), project="/p", now=NOW).meters
    assert meter.provenance == "estimated"
    assert "1 attempts of unknown cost" in meter.detail


def test_what_is_running_is_reserved() -> None:
    ledger = MemoryLedger()
    ledger.begin(Attempt(project="/p", unit_type="execute-task", unit_id="T1", started=NOW, reserved_usd=2.5))
    (meter,) = build_context(ledger, Preferences(budget_ceiling=10.0), project="/p", now=NOW).meters
    assert meter.used == pytest.approx(0.25)


def test_a_plans_own_meter_counts_until_its_window_begins_anew() -> None:
    ledger = MemoryLedger()
    ledger.set_plan_meter(PlanMeter(provider="anthropic", window="5h", used=0.62, resets=NOW + HOUR, at=NOW))
    ledger.set_plan_meter(PlanMeter(provider="anthropic", window="week", used=0.31, resets=NOW - 1, at=NOW - HOUR))
    budgets = (Budget(unit="plan", limit=1, window="5h"), Budget(unit="plan", limit=1, window="week"))
    (meter,) = build_context(ledger, Preferences(budgets=budgets), project="/p", now=NOW).meters
    assert meter.used == pytest.approx(0.62)
    assert meter.seconds_left == pytest.approx(HOUR)


def test_blocks_and_evidence_come_along() -> None:
    ledger = MemoryLedger()
    ledger.block(Block(model="anthropic/claude-opus-4-6", reason="not for this account", until=NOW + HOUR))
    ledger.block(Block(model="anthropic/claude-haiku-4-5", reason="over", until=NOW - HOUR))
    ledger.add_evidence([Evidence(at=NOW, pattern="execute-task", tier=Tier.LIGHT, success=False)])
    context = build_context(ledger, Preferences(), project="/p", now=NOW)
    assert context.blocked == {"anthropic/claude-opus-4-6": "not for this account"}
    assert len(context.evidence["execute-task"]) == 1


def test_pacing_raises_its_price_when_spending_runs_ahead() -> None:
    routing = DynamicRouting(enabled=True, pressure="pacing")
    preferences = Preferences(dynamic_routing=routing, budgets=(Budget(unit="usd", limit=20, window="week"),))
    ledger = MemoryLedger()
    assert build_context(ledger, preferences, project="/p", now=NOW).pace == 0
    for number in range(8):
        spend(ledger, 1.0, ago=(8 - number) * 60.0)
    assert build_context(ledger, preferences, project="/p", now=NOW).pace > 0
    assert build_context(ledger, Preferences(budgets=preferences.budgets), project="/p", now=NOW).pace == 0
