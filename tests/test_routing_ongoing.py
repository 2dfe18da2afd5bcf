"""Deciding in the middle of a conversation: its model is left where that pays, and only then (SPEC 12)."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.decision import Classification, Context, Decision, Needs, Ongoing, Retry
from stepdown.ledger.records import Expectation
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.preferences import Preferences
from stepdown.preferences.schema import DynamicRouting, ModelChoice
from stepdown.routing import Router
from stepdown.units import TIERS, Tier, Tokens, Unit

CATALOG = Catalog.load(on="2026-11-01")
OPUS, SONNET, HAIKU = "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"
ROUTING = DynamicRouting(enabled=True, tier_models={Tier.LIGHT: ModelChoice(HAIKU), Tier.STANDARD: ModelChoice(SONNET)})
TURN = Unit("execute-task", "s#2")


def decided(
    *,
    holder: str = OPUS,
    cached: int = 100_000,
    tier: Tier = Tier.STANDARD,
    ceiling: str = OPUS,
    warm: Mapping[str, int] = {},
    turns: float | None = None,
    retry: Retry | None = None,
    prompt: int = 100_000,
    policy: Policy = DEFAULT_POLICY,
) -> Decision:
    ongoing = Ongoing(
        holder=f"anthropic/{holder}",
        cached=cached,
        warm={f"anthropic/{name}": tokens for name, tokens in warm.items()},
        fresh=2_000,
        output=600,
    )
    used = Tokens(input=1_000, output=5_000, cache_read=800_000, cache_write=20_000)
    seen = {} if turns is None else {("execute-task", f"anthropic/{OPUS}"): Expectation(tokens=used, requests=turns, units=50)}
    context = Context(
        ceiling=ModelChoice(ceiling),
        providers=frozenset({"anthropic"}),
        needs=Needs(prompt=prompt, output=8_000),
        ongoing=ongoing,
        expectations=seen,
        retry=retry,
    )
    nature = Classification(tier=tier, reason="as said")
    return Router(Preferences(dynamic_routing=ROUTING, policy=policy), CATALOG).decide(TURN, context, nature=nature)


def test_a_long_conversation_with_few_requests_to_come_stays() -> None:
    decision = decided(turns=3)
    assert (decision.model, decision.downgraded, decision.unchanged) == (OPUS, False, "switching")
    assert "would not pay: 3 requests x $" in decision.reason
    assert "to write its cache" in decision.reason


def test_with_many_to_come_it_moves_and_the_sum_can_be_read() -> None:
    decision = decided(turns=80)
    assert (decision.model, decision.downgraded) == (SONNET, True)
    assert "leaving claude-opus-4-6 pays: 80 requests x $" in decision.reason


def test_without_a_cache_it_moves_at_once() -> None:
    assert decided(cached=0, turns=1).model == SONNET


def test_what_the_other_has_warm_costs_nothing_to_take_up_again() -> None:
    policy = Policy(switch_returns=0.0)
    assert decided(turns=6, warm={SONNET: 0}, policy=policy).model == OPUS
    assert decided(turns=6, warm={SONNET: 100_000}, policy=policy).model == SONNET


def test_heavy_work_leaves_a_cheaper_model_whatever_that_costs() -> None:
    decision = decided(holder=SONNET, tier=Tier.HEAVY, turns=1)
    assert (decision.model, decision.unchanged) == (OPUS, "at ceiling")


def test_a_conversation_that_was_moved_stays_where_it_is() -> None:
    decision = decided(holder=SONNET, turns=1)
    assert (decision.model, decision.downgraded) == (SONNET, True)


def test_light_work_may_stay_on_the_standard_model_that_holds_it() -> None:
    decision = decided(holder=SONNET, tier=Tier.LIGHT, turns=2)
    assert (decision.model, decision.downgraded) == (SONNET, True)
    assert "would not pay" in decision.reason


def test_a_step_up_is_no_question_of_money() -> None:
    retry = Retry(tier=Tier.STANDARD, model=f"anthropic/{SONNET}")
    assert decided(holder=SONNET, retry=retry, turns=1).model == OPUS


@pytest.mark.parametrize(
    ("holder", "ceiling", "cached"), [(OPUS, SONNET, 100_000), (OPUS, SONNET, 900_000), (SONNET, HAIKU, 100_000)]
)
def test_what_holds_it_but_is_dearer_than_what_the_user_chose_now_is_left(holder: str, ceiling: str, cached: int) -> None:
    decision = decided(
        holder=holder, ceiling=ceiling, cached=cached, tier=Tier.LIGHT, turns=1, policy=Policy(switch_returns=1.0)
    )
    assert decision.model in {SONNET, HAIKU}
    assert decision.ref != f"anthropic/{holder}"


def test_a_holder_that_cannot_take_the_prompt_is_left() -> None:
    assert decided(holder=HAIKU, tier=Tier.LIGHT, prompt=250_000, turns=1).model != HAIKU


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([OPUS, SONNET, HAIKU]),
    st.sampled_from([OPUS, SONNET, HAIKU]),
    st.integers(0, 190_000),
    st.sampled_from(TIERS),
    st.floats(1, 100),
    st.integers(0, 190_000),
)
def test_never_above_the_ceiling_and_never_below_what_is_needed_there(
    holder: str, ceiling: str, cached: int, tier: Tier, turns: float, warm: int
) -> None:
    decision = decided(holder=holder, ceiling=ceiling, cached=cached, tier=tier, turns=turns, warm={SONNET: warm, HAIKU: warm})
    order = [HAIKU, SONNET, OPUS]
    assert order.index(decision.model) <= order.index(ceiling)
    needed = min(tier.rank, order.index(ceiling))
    assert order.index(decision.model) >= needed
    if decision.expected_cost is not None and decision.ceiling_cost is not None:
        assert decision.expected_cost <= decision.ceiling_cost + 1e-9
