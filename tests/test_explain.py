"""What would flip a decision: every statement is checked against a decision."""

import re

from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.decision import Context, Meter, Retry
from stepdown.explain import flips
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import KNOWN_TYPES, PlanText, Tier, Unit

CATALOG = Catalog.load()
PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6")},
    dynamic_routing=DynamicRouting(
        enabled=True,
        tier_models={Tier.LIGHT: ModelChoice("claude-haiku-4-5"), Tier.STANDARD: ModelChoice("claude-sonnet-4-6")},
    ),
)
ROUTER = Router(PREFERENCES, CATALOG)


def test_a_standard_unit_names_every_way_out() -> None:
    unit = Unit("execute-task", plan=PlanText(task="---\nestimated_steps: 5\nestimated_files: 4\n---\n"))
    said = flips(ROUTER, unit, Context())
    assert "a budget 50% used: [L] claude-haiku-4-5" in said
    assert "a failure at standard: [H] claude-opus-4-6" in said
    assert "a pin to light: [L] claude-haiku-4-5" in said
    assert any("8" in line and "heavy" in line for line in said)


def test_under_pressure_it_says_what_relief_would_do() -> None:
    context = Context(meters=(Meter(name="budget_ceiling", used=0.95),))
    assert "less than half of every budget used: [H] claude-opus-4-6" in flips(ROUTER, Unit("plan-milestone"), context)


@given(st.sampled_from(KNOWN_TYPES), st.floats(0, 1.2))
def test_what_is_said_of_failures_and_pins_is_true(unit_type: str, used: float) -> None:
    unit, context = Unit(unit_type), Context(meters=(Meter(name="m", used=used),))
    now = ROUTER.decide(unit, context).model
    for line in flips(ROUTER, unit, context):
        failed = re.fullmatch(r"a failure at (\w+): \[\w\] (\S+)", line)
        pinned = re.fullmatch(r"a pin to (\w+): \[\w\] (\S+)", line)
        if failed:
            other = Context(meters=context.meters, retry=Retry(tier=Tier(failed[1])))
            assert ROUTER.decide(unit, other).model == failed[2] != now
        if pinned:
            other = Context(meters=context.meters, pin=pinned[1])
            assert ROUTER.decide(unit, other).model == pinned[2] != now
