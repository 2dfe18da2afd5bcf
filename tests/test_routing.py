"""The invariants of routing, as properties over the real catalogue, and the pipeline's steps one by one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.decision import Context, Decision, Meter, Needs, Retry
from stepdown.ledger.records import Evidence
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences, ProviderSettings
from stepdown.routing import Router
from stepdown.units import KNOWN_TYPES, TIERS, PlanText, Tier, Unit

CATALOG = Catalog.load()
CURRENT = sorted(model.ref for model in CATALOG.models if model.tier is not None and model.status == "current")
PROVIDERS = sorted({model.provider for model in CATALOG.models})

LIGHT = Unit(
    "execute-task",
    "M001/S01/T01",
    "Fix a typo in the README",
    plan=PlanText(
        task="---\nestimated_steps: 1\nestimated_files: 1\n---\n# T01\n\n1. Fix it.\n\n## Expected Output\n\n- `README.md`\n"
    ),
)
STANDARD = Unit(
    "execute-task",
    "M001/S01/T02",
    "Add the endpoint",
    plan=PlanText(task="---\nestimated_steps: 5\nestimated_files: 4\n---\n# T02\n"),
)
HEAVY = Unit(
    "execute-task",
    "M001/S01/T03",
    "Move the store",
    plan=PlanText(task="---\nestimated_steps: 12\nestimated_files: 9\n---\n# T03\n"),
)


def preferences(ceiling: str = "claude-opus-4-6", **routing: object) -> Preferences:
    settings = msgspec.convert({"enabled": True, **routing}, DynamicRouting)
    return Preferences(models={"default": ModelChoice(ceiling)}, dynamic_routing=settings)


def router(ceiling: str = "claude-opus-4-6", **routing: object) -> Router:
    return Router(preferences(ceiling, **routing), CATALOG)


NAMED = {"light": {"model": "claude-haiku-4-5"}, "standard": {"model": "claude-sonnet-4-6"}}


def used(fraction: float, *, hard: bool = False) -> Context:
    return Context(meters=(Meter(name="budget_ceiling", used=fraction, hard=hard, detail="some of it"),))


# Properties.

choices = st.sampled_from(CURRENT)
units = st.one_of(
    st.sampled_from([LIGHT, STANDARD, HEAVY]),
    st.builds(Unit, st.sampled_from([*KNOWN_TYPES, "hook/review", "discuss-milestone", "subagent/explore", "something-else"])),
    st.builds(
        lambda steps, files, title: Unit(
            "execute-task", "T", title, plan=PlanText(task=f"---\nestimated_steps: {steps}\nestimated_files: {files}\n---\n")
        ),
        st.integers(0, 15),
        st.integers(0, 12),
        st.sampled_from(["Fix typos", "Migrate the schema and secure it", "Add a button", "설정 파일 수정"]),
    ),
)
routings = st.builds(
    DynamicRouting,
    enabled=st.booleans(),
    tier_models=st.dictionaries(st.sampled_from(TIERS), choices.map(ModelChoice)),
    cross_provider=st.booleans(),
    budget_pressure=st.booleans(),
    escalate_on_failure=st.booleans(),
    escalate_to=st.sampled_from(["next", "ceiling"]),
    learning=st.sampled_from(["threshold", "expected_cost"]),
)
all_preferences = st.builds(
    lambda default, planning, routing, providers: Preferences(
        models={"default": ModelChoice(default), "planning": ModelChoice(planning, fallbacks=("claude-sonnet-4-6",))},
        dynamic_routing=routing,
        providers={name: ProviderSettings() for name in providers},
    ),
    choices,
    choices,
    routings,
    st.lists(st.sampled_from(PROVIDERS), max_size=3),
)
evidence = st.lists(
    st.builds(
        lambda at, tier, success: Evidence(at=at, pattern="execute-task", tier=tier, success=success),
        st.floats(0, 1e6),
        st.sampled_from(TIERS),
        st.booleans(),
    ),
    max_size=40,
)
contexts = st.builds(
    lambda meters, events, blocked, retry, needs: Context(
        meters=tuple(Meter(name=f"m{number}", used=fraction) for number, fraction in enumerate(meters)),
        evidence={"execute-task": tuple(sorted(events, key=lambda event: event.at))},
        blocked=dict.fromkeys(blocked, "rejected"),
        retry=retry,
        needs=needs,
    ),
    st.lists(st.floats(0, 1.5), max_size=3),
    evidence,
    st.lists(choices, max_size=5),
    st.none() | st.builds(lambda tier: Retry(tier=tier), st.sampled_from(TIERS)),
    st.none()
    | st.builds(lambda prompt, output: Needs(prompt=prompt, output=output), st.integers(0, 2_000_000), st.integers(0, 200_000)),
)


@given(all_preferences, units, contexts)
def test_routing_never_goes_above_the_ceiling_nor_costs_more(wanted: Preferences, unit: Unit, context: Context) -> None:
    decision = Router(wanted, CATALOG).decide(unit, context)
    for each in filter(None, (decision, decision.would)):
        assert each.ceiling_tier is not None
        assert each.tier <= each.ceiling_tier
        if each.downgraded:
            model = CATALOG.resolve(each.model, each.provider)
            assert model is not None
            assert model.tier is not None
            assert model.tier <= each.ceiling_tier
            assert each.expected_cost is not None
            assert each.ceiling_cost is not None
            assert each.expected_cost <= each.ceiling_cost
            assert model.ref not in context.blocked
        else:
            assert each.unchanged


@given(all_preferences, units, contexts)
def test_the_same_inputs_give_the_same_decision(wanted: Preferences, unit: Unit, context: Context) -> None:
    assert Router(wanted, CATALOG).decide(unit, context) == Router(wanted, CATALOG).decide(unit, context)


@given(all_preferences, units, contexts, st.floats(0, 1.5), st.floats(0, 1.5))
def test_more_pressure_never_means_a_higher_tier(
    wanted: Preferences, unit: Unit, context: Context, one: float, other: float
) -> None:
    decide = Router(wanted, CATALOG).decide
    relaxed, tight = (
        decide(unit, msgspec.structs.replace(context, meters=(Meter(name="m", used=fraction),)))
        for fraction in sorted((one, other))
    )
    assert tight.tier <= relaxed.tier


@given(all_preferences, units, contexts)
def test_the_receipt_is_whole(wanted: Preferences, unit: Unit, context: Context) -> None:
    decision = Router(wanted, CATALOG).decide(unit, context)
    assert decision.reason
    assert "\n" not in decision.reason
    assert len(set(decision.fallbacks)) == len(decision.fallbacks)
    assert decision.fallbacks[0] == decision.ref
    assert f"{decision.ceiling_provider}/{decision.ceiling}" in decision.fallbacks
    assert all(candidate.why for candidate in decision.candidates)
    assert [candidate.model for candidate in decision.candidates if candidate.taken] == [decision.ref]


@given(all_preferences, units, contexts)
def test_only_providers_that_take_part_are_chosen(wanted: Preferences, unit: Unit, context: Context) -> None:
    decision = Router(wanted, CATALOG).decide(unit, context)
    named = [choice.model for choice in (*wanted.models.values(), *wanted.dynamic_routing.tier_models.values())]
    # The fallback of `all_preferences`, claude-sonnet-4-6, names its seller as well.
    allowed = {name.split("/", 1)[0] for name in named} | set(wanted.providers) | {"anthropic"}
    chosen = decision.would or decision
    if chosen.downgraded:
        assert chosen.provider in allowed
        if not wanted.dynamic_routing.cross_provider and chosen.ref not in named:
            assert chosen.provider == chosen.ceiling_provider


@given(all_preferences, units, contexts)
def test_with_routing_off_nothing_is_rerouted(wanted: Preferences, unit: Unit, context: Context) -> None:
    off = msgspec.structs.replace(wanted, dynamic_routing=msgspec.structs.replace(wanted.dynamic_routing, enabled=False))
    decision = Router(off, CATALOG).decide(unit, context)
    assert decision.unchanged == "disabled"
    assert not decision.downgraded
    if decision.ref not in {model for model in decision.fallbacks if model == "anthropic/claude-sonnet-4-6"}:
        assert decision.model == decision.ceiling


# The steps.


@pytest.mark.parametrize(
    ("unit", "tier", "model"),
    [
        (LIGHT, Tier.LIGHT, "claude-haiku-4-5"),
        (STANDARD, Tier.STANDARD, "claude-sonnet-4-6"),
        (HEAVY, Tier.HEAVY, "claude-opus-4-6"),
        (Unit("complete-slice"), Tier.LIGHT, "claude-haiku-4-5"),
        (Unit("plan-milestone"), Tier.HEAVY, "claude-opus-4-6"),
        (Unit("never-heard-of"), Tier.STANDARD, "claude-sonnet-4-6"),
    ],
)
def test_a_unit_runs_on_the_model_named_for_its_tier(unit: Unit, tier: Tier, model: str) -> None:
    decision = router(tier_models=NAMED).decide(unit)
    assert (decision.tier, decision.model) == (tier, model)


def test_at_the_ceilings_own_tier_the_ceiling_stays() -> None:
    decision = router().decide(HEAVY)
    assert (decision.model, decision.unchanged) == ("claude-opus-4-6", "at ceiling")


def test_without_tier_models_the_cheapest_of_the_ceilings_provider_serves() -> None:
    decision = router().decide(LIGHT)
    assert decision.provider == "anthropic"
    assert decision.downgraded
    light = [model for model in CATALOG.of_tier(Tier.LIGHT) if model.provider == "anthropic"]
    assert decision.model in {model.id for model in light}


def test_a_ceiling_of_the_lowest_tier_is_left_alone() -> None:
    for unit in (LIGHT, STANDARD, HEAVY):
        decision = router("claude-haiku-4-5", tier_models=NAMED).decide(unit)
        assert (decision.model, decision.tier, decision.unchanged) == ("claude-haiku-4-5", Tier.LIGHT, "at ceiling")


def test_a_named_model_above_the_ceiling_is_not_taken() -> None:
    decision = router("claude-haiku-4-5", tier_models={"light": {"model": "claude-opus-4-6"}}).decide(LIGHT)
    assert decision.model == "claude-haiku-4-5"
    assert any(candidate.why.endswith("above the ceiling's") for candidate in decision.candidates)


def test_no_ceiling_is_not_routed() -> None:
    decision = Router(Preferences(dynamic_routing=DynamicRouting(enabled=True)), CATALOG).decide(STANDARD)
    assert (decision.model, decision.unchanged, decision.tier) == ("", "no ceiling", Tier.STANDARD)


def test_the_agents_own_model_is_the_last_resort_for_a_ceiling() -> None:
    bare = Router(Preferences(dynamic_routing=DynamicRouting(enabled=True)), CATALOG)
    assert bare.decide(STANDARD, Context(agent_model="claude-opus-4-6")).ceiling == "claude-opus-4-6"


def test_an_unknown_ceiling_is_used_as_named() -> None:
    decision = router("house-model-9").decide(LIGHT)
    assert (decision.model, decision.unchanged, decision.expected_cost) == ("house-model-9", "unknown model", None)


def test_off_says_what_it_would_have_chosen() -> None:
    decision = router(enabled=False, tier_models=NAMED).decide(LIGHT)
    assert (decision.model, decision.unchanged) == ("claude-opus-4-6", "disabled")
    assert decision.would is not None
    assert decision.would.model == "claude-haiku-4-5"


@pytest.mark.parametrize(
    ("fraction", "unit", "model"),
    [
        (0.49, STANDARD, "claude-sonnet-4-6"),
        (0.5, STANDARD, "claude-haiku-4-5"),
        (0.74, HEAVY, "claude-opus-4-6"),
        (0.9, HEAVY, "claude-opus-4-6"),
        (0.91, HEAVY, "claude-haiku-4-5"),
        (0.99, Unit("replan-slice"), "claude-opus-4-6"),
        (0.8, Unit("plan-slice"), "claude-haiku-4-5"),
    ],
)
def test_the_bands_of_budget_pressure(fraction: float, unit: Unit, model: str) -> None:
    assert router(tier_models=NAMED).decide(unit, used(fraction)).model == model


def test_pressure_can_be_turned_off() -> None:
    assert router(tier_models=NAMED, budget_pressure=False).decide(STANDARD, used(0.95)).model == "claude-sonnet-4-6"


def test_the_first_band_spares_a_pattern_that_has_been_failing_on_light() -> None:
    failing = tuple(Evidence(at=float(i), pattern="execute-task", tier=Tier.LIGHT, success=False) for i in range(20))
    context = msgspec.structs.replace(used(0.6), evidence={"execute-task": failing})
    assert router(tier_models=NAMED).decide(STANDARD, context).model == "claude-sonnet-4-6"
    assert (
        router(tier_models=NAMED).decide(STANDARD, msgspec.structs.replace(context, meters=used(0.8).meters)).model
        == "claude-haiku-4-5"
    )


@pytest.mark.parametrize("fraction", [0.0, 0.6, 0.8, 0.99])
def test_a_retry_runs_one_tier_up_in_every_band(fraction: float) -> None:
    decide = router(tier_models=NAMED).decide
    for tier, model in ((Tier.LIGHT, "claude-sonnet-4-6"), (Tier.STANDARD, "claude-opus-4-6"), (Tier.HEAVY, "claude-opus-4-6")):
        assert decide(LIGHT, msgspec.structs.replace(used(fraction), retry=Retry(tier=tier))).model == model


def test_escalation_can_go_straight_to_the_ceiling() -> None:
    decision = router(tier_models=NAMED, escalate_to="ceiling").decide(LIGHT, Context(retry=Retry(tier=Tier.LIGHT)))
    assert decision.model == "claude-opus-4-6"


def test_a_hard_budget_refuses_and_a_soft_one_does_not() -> None:
    assert "budget_ceiling is used up" in router().decide(LIGHT, used(1.0, hard=True)).refused
    assert not router().decide(LIGHT, used(1.0)).refused
    assert router().decide(LIGHT, msgspec.structs.replace(used(1.2, hard=True), pin="heavy")).refused


def test_a_pin_may_exceed_the_ceiling_and_says_so() -> None:
    decision = router("claude-sonnet-4-6").decide(LIGHT, Context(pin="claude-opus-4-6"))
    assert (decision.model, decision.unchanged, decision.tier) == ("claude-opus-4-6", "pinned", Tier.HEAVY)
    assert "pinned to claude-opus-4-6" in decision.reason


def test_a_pinned_tier_is_served_by_the_tiers_model() -> None:
    assert router(tier_models=NAMED).decide(HEAVY, Context(pin="light")).model == "claude-haiku-4-5"
    assert router().decide(LIGHT, Context(pin="heavy")).model == "claude-opus-4-6"


def test_a_pin_does_not_override_fit_or_a_block() -> None:
    large = Context(pin="claude-haiku-4-5", needs=Needs(prompt=500_000, output=1000))
    decision = router().decide(LIGHT, large)
    assert decision.model != "claude-haiku-4-5"
    assert "cannot be used" in decision.reason
    blocked = Context(pin="claude-haiku-4-5", blocked={"anthropic/claude-haiku-4-5": "rejected by the account"})
    assert router().decide(LIGHT, blocked).model != "claude-haiku-4-5"


def test_a_model_that_a_pre_dispatch_hook_names_beats_routing_and_a_pin_beats_it() -> None:
    hooked = Context(hook_model="claude-opus-4-6")
    decision = router("claude-sonnet-4-6", tier_models=NAMED).decide(LIGHT, hooked)
    assert (decision.model, decision.unchanged) == ("claude-opus-4-6", "hook")
    both = msgspec.structs.replace(hooked, pin="claude-haiku-4-5")
    assert router("claude-sonnet-4-6").decide(LIGHT, both).model == "claude-haiku-4-5"


def test_a_hook_runs_below_its_own_model_or_its_triggers() -> None:
    own = router(tier_models=NAMED).decide(Unit("hook/review", model="claude-sonnet-4-6"))
    assert (own.ceiling, own.model, own.tier) == ("claude-sonnet-4-6", "claude-haiku-4-5", Tier.LIGHT)
    phases = Preferences(
        models={"planning": ModelChoice("claude-opus-4-6"), "execution": ModelChoice("claude-sonnet-4-6")},
        dynamic_routing=DynamicRouting(enabled=True),
    )
    assert Router(phases, CATALOG).decide(Unit("hook/review", trigger="plan-slice")).ceiling == "claude-opus-4-6"
    kept = router(hooks=False, tier_models=NAMED).decide(Unit("hook/review", model="claude-sonnet-4-6"))
    assert (kept.model, kept.unchanged) == ("claude-sonnet-4-6", "hook")


def test_a_candidate_that_does_not_fit_is_skipped_with_its_reason() -> None:
    decision = router(tier_models=NAMED).decide(LIGHT, Context(needs=Needs(prompt=300_000, output=1000)))
    assert decision.model == "claude-sonnet-4-6"
    haiku = next(candidate for candidate in decision.candidates if candidate.model == "anthropic/claude-haiku-4-5")
    assert not haiku.taken
    assert "holds 200,000 tokens" in haiku.why


def test_an_agent_that_cannot_reach_the_provider_says_so() -> None:
    decision = router("gpt-5.4").decide(STANDARD, Context(providers=frozenset({"anthropic"})))
    assert "cannot reach openai" in decision.refused


def test_a_blocked_ceiling_gives_way_to_the_next_of_the_users_fallbacks() -> None:
    wanted = Preferences(
        models={"default": ModelChoice("claude-opus-4-6", fallbacks=("no-such-model", "claude-sonnet-4-6"))},
        dynamic_routing=DynamicRouting(enabled=True),
    )
    decision = Router(wanted, CATALOG).decide(HEAVY, Context(blocked={"anthropic/claude-opus-4-6": "not for this account"}))
    assert decision.model == "claude-sonnet-4-6"
    assert decision.fallbacks == ("anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-6")


def test_the_chain_is_chosen_then_fallbacks_then_the_primary() -> None:
    wanted = Preferences(
        models={"default": ModelChoice("claude-opus-4-6", fallbacks=("gpt-5.4", "claude-haiku-4-5"))},
        dynamic_routing=msgspec.convert({"enabled": True, "tier_models": NAMED}, DynamicRouting),
    )
    assert Router(wanted, CATALOG).decide(LIGHT).fallbacks == (
        "anthropic/claude-haiku-4-5",
        "openai/gpt-5.4",
        "anthropic/claude-opus-4-6",
    )


def test_a_stood_down_pattern_keeps_its_ceiling() -> None:
    decision = router().decide(STANDARD, Context(stood_down={"execute-task": "routing lost $1.20 here"}))
    assert (decision.model, decision.unchanged) == ("claude-opus-4-6", "stood down")
    assert "lost $1.20" in decision.reason


def test_a_model_of_unknown_price_is_never_chosen() -> None:
    catalog = Catalog.load({"mystery": {"provider": "anthropic", "tier": "light", "context": 1_000_000, "output": 64_000}})
    decision = Router(preferences(tier_models={"light": {"model": "mystery"}}), catalog).decide(LIGHT)
    assert decision.model != "mystery"
    assert "has no known price" in {candidate.why for candidate in decision.candidates}


def test_the_same_model_sold_cheaper_elsewhere_replaces_the_ceiling_only_across_providers() -> None:
    extra = {
        "acme-one": {
            "provider": "acme",
            "tier": "heavy",
            "context": 400_000,
            "output": 64_000,
            "price": {"input": 10, "output": 50},
            "features": ["tools"],
        }
    }
    bargain = {
        "acme/acme-one": {
            "provider": "bazaar",
            "tier": "heavy",
            "context": 400_000,
            "output": 64_000,
            "price": {"input": 5, "output": 25},
            "features": ["tools"],
            "family": "acme-one",
        }
    }
    catalog = Catalog.load({**extra, **bargain, "acme-one": {**extra["acme-one"], "family": "acme-one"}})

    def decide(*, cross: bool) -> Decision:
        wanted = Preferences(
            models={"default": ModelChoice("acme-one")},
            dynamic_routing=DynamicRouting(enabled=True, cross_provider=cross),
            providers={"bazaar": ProviderSettings()},
        )
        return Router(wanted, catalog).decide(HEAVY)

    assert decide(cross=True).provider == "bazaar"
    assert decide(cross=False).provider == "acme"


def test_pacing_moves_down_when_a_dollar_is_dear_and_not_before() -> None:
    paced = router(tier_models=NAMED, pressure="pacing")
    assert paced.decide(STANDARD, Context(pace=0.0)).model == "claude-sonnet-4-6"
    assert paced.decide(STANDARD, Context(pace=10.0)).model == "claude-haiku-4-5"
    assert paced.decide(Unit("replan-slice"), Context(pace=10.0)).model == "claude-opus-4-6"
    assert paced.decide(STANDARD, msgspec.structs.replace(used(0.8), pace=0.0)).model == "claude-sonnet-4-6"


@given(st.sampled_from([LIGHT, STANDARD, HEAVY]), st.floats(0, 20), st.floats(0, 20))
def test_a_dearer_dollar_never_means_a_higher_tier(unit: Unit, one: float, other: float) -> None:
    paced = router(tier_models=NAMED, pressure="pacing")
    cheap, dear = (paced.decide(unit, Context(pace=price)).tier for price in sorted((one, other)))
    assert dear <= cheap
