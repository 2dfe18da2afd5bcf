"""Replays of pasts that were really decided: the same again, other models, other prices, other outcomes."""

import random

import msgspec
import pytest
from history import HAIKU, NAMED, OPUS, PROJECT, SONNET, USED, Fails, lived, mixed, past_of, preferences, record
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.classify import classify
from stepdown.dispatch.walk import Go
from stepdown.ledger import Attempt, Ledger, Outcome
from stepdown.ledger.memory import MemoryLedger
from stepdown.preferences import Budget, ModelChoice, Preferences
from stepdown.replay.compare import Comparison, Way, compare, recorded_way, replay, spread
from stepdown.replay.course import Follower
from stepdown.replay.world import World
from stepdown.routing import Router
from stepdown.signals import Signals
from stepdown.units import Tier, Tokens, Unit

CATALOG = Catalog.load()
STANDARD = ("execute-task", Signals(files=4, steps=5))
LIGHT = ("execute-task", Signals(files=1, steps=1, tags=("docs",)))
HEAVY = ("execute-task", Signals(files=9, steps=12))


def simulate(ledger: Ledger, present: Preferences, other: Preferences | None = None) -> tuple[Comparison, list[Way]]:
    past = past_of(ledger)
    world = World(past, ledger.expectations(), Catalog.load(present.catalog), present.policy)
    other = present if other is None else other
    follower = Follower(Router(other), world, present.dynamic_routing)
    ways = replay(past, follower)
    then = [recorded_way(run, number, world) for number, run in enumerate(past.runs)]
    return compare(past, then, ways), ways


def cost(model: str, tokens: Tokens = USED) -> float:
    found = CATALOG.find_ref(model)
    assert found is not None
    usd = found.cost(tokens)
    assert usd is not None
    return usd


def below(tier: Tier, kind: str = "quality") -> Fails:
    return lambda _, at: kind if at <= tier else None


class TestTheSameAgain:
    @given(
        st.integers(0, 40),
        st.integers(0, 1000),
        st.sampled_from([0.0, 0.2, 0.6]),
        st.sampled_from([None, 0.5, 3.0]),
        st.sampled_from(["next", "ceiling"]),
        st.sampled_from(["threshold", "expected_cost"]),
    )
    def test_it_costs_what_it_cost(
        self, count: int, seed: int, rate: float, budget: float | None, escalate_to: str, learning: str
    ) -> None:
        draw = random.Random(seed)
        wanted = preferences(escalate_to=escalate_to, learning=learning)
        # A full budget would stop the run; here it only presses.
        wanted = msgspec.structs.replace(wanted, budget_ceiling=budget, budget_enforcement="warn")
        ledger = lived(wanted, mixed(count, seed), lambda *_: "quality" if draw.random() < rate else None)
        compared, ways = simulate(ledger, wanted)
        assert all(way.same for way in ways)
        assert compared.recorded.now_usd == pytest.approx(compared.recorded.then_usd, abs=1e-9)
        assert compared.escalations_now == compared.escalations_then
        assert compared.failed_now == compared.failed_then
        assert (compared.moved, compared.unknown, compared.missed_now) == (0, 0, 0)

    def test_a_fallback_after_a_provider_failed_is_what_happened(self) -> None:
        ledger = MemoryLedger()
        wanted = preferences()
        router, unit = Router(wanted), Unit("execute-task", "T01")
        nature = classify(unit, STANDARD[1], wanted.policy)
        decision = router.decide(unit, nature=nature)
        go = Go(decision, decision.ref, "first")
        record(ledger, unit, go, nature, router, 1.0, lambda *_: "provider", Tokens(), number=1)
        record(ledger, unit, Go(decision, OPUS, "fallback"), nature, router, 2.0, lambda *_: None, USED, number=2)
        compared, _ = simulate(ledger, wanted)
        assert compared.recorded.now_usd == compared.recorded.then_usd == cost(OPUS)

    def test_a_unit_taken_up_again_after_it_was_given_up(self) -> None:
        ledger = lived(preferences(escalate_on_failure=False), [STANDARD], below(Tier.STANDARD))
        wanted = preferences(escalate_on_failure=False)
        router, unit = Router(wanted), Unit("execute-task", "M001/S01/T000")
        nature = classify(unit, STANDARD[1], wanted.policy)
        decision = router.decide(unit, nature=nature)
        record(ledger, unit, Go(decision, decision.ref, "first"), nature, router, 2e6, lambda *_: None, USED, number=1)
        compared, ways = simulate(ledger, wanted)
        assert len(ways) == 1
        assert compared.recorded.now_usd == pytest.approx(2 * cost(SONNET))
        # On the ceiling a first pass might have done it, and then the second would not have been needed.
        up = msgspec.structs.replace(wanted, pin="claude-opus-4-6")
        assert simulate(ledger, wanted, up)[1][0].usd == pytest.approx(
            cost(OPUS)
            * (1 + World(past_of(ledger), {}, CATALOG, wanted.policy).failing(past_of(ledger).runs[0].passes[0], Tier.HEAVY))
        )


class TestOtherModels:
    def test_off_everything_runs_on_the_ceiling(self) -> None:
        ledger = lived(preferences(), [LIGHT, STANDARD, HEAVY])
        compared, ways = simulate(ledger, preferences(), preferences(enabled=False))
        assert compared.recorded.then_usd == pytest.approx(cost(HAIKU) + cost(SONNET) + cost(OPUS))
        assert compared.recorded.now_usd == pytest.approx(3 * cost(OPUS))
        assert [way.model for way in ways] == [OPUS] * 3
        assert (compared.moved, compared.guessed, compared.failed_now) == (2, 0, 0)
        assert [(line.tier, line.then, line.now) for line in compared.tiers] == [
            ("light", 1, 0),
            ("standard", 1, 0),
            ("heavy", 1, 3),
        ]

    def test_what_a_tier_did_it_does(self) -> None:
        """A light model failed and a standard one did it: started on standard, it is done at once."""
        ledger = lived(preferences(), [LIGHT], below(Tier.LIGHT))
        named = {**NAMED, Tier.LIGHT: ModelChoice("claude-sonnet-4-6")}
        compared, _ = simulate(ledger, preferences(), preferences(tier_models=named))
        assert compared.recorded.then_usd == pytest.approx(cost(HAIKU) + cost(SONNET))
        assert compared.recorded.now_usd == pytest.approx(cost(SONNET))
        assert (compared.escalations_then, compared.escalations_now, compared.guessed) == (1, 0, 0)

    def test_what_a_stronger_tier_did_not_do_a_weaker_fails(self) -> None:
        ledger = lived(preferences(), [STANDARD], below(Tier.STANDARD))
        named = {**NAMED, Tier.STANDARD: ModelChoice("claude-haiku-4-5")}
        light = msgspec.structs.replace(preferences(), pin="light")
        compared, _ = simulate(ledger, preferences(), light)
        # A pin is kept to: it fails, and that is all.
        assert compared.failed_now == 1
        assert compared.recorded.now_usd == pytest.approx(cost(HAIKU))
        assert simulate(ledger, preferences(), preferences(tier_models=named))[0].guessed == 0

    def test_what_was_not_tried_fails_as_often_as_is_believed_and_is_rescued(self) -> None:
        ledger = lived(preferences(), [HEAVY])
        policy = preferences().policy.with_overrides({"heavy_steps": 99, "heavy_files": 99})
        compared, _ = simulate(ledger, preferences(), msgspec.structs.replace(preferences(), policy=policy))
        chance = policy.failure_heavy + policy.failure_below
        assert compared.escalations_now == pytest.approx(chance)
        assert compared.recorded.now_usd == pytest.approx(cost(SONNET) + chance * cost(OPUS))
        assert (compared.failed_now, compared.guessed) == (0, 1)
        assert 0 < compared.missed_now < chance

    def test_without_stepping_up_what_fails_has_failed(self) -> None:
        ledger = lived(preferences(), [STANDARD, STANDARD], below(Tier.STANDARD))
        compared, _ = simulate(ledger, preferences(), preferences(escalate_on_failure=False))
        assert (compared.failed_then, compared.failed_now) == (0, 2)
        assert compared.recorded.now_usd == pytest.approx(2 * cost(SONNET))

    def test_what_was_stopped_is_stopped_on_any_model(self) -> None:
        ledger = lived(preferences(), [STANDARD], lambda *_: "cancelled")
        compared, _ = simulate(ledger, preferences(), preferences(enabled=False))
        assert compared.recorded.now_usd == pytest.approx(cost(OPUS))
        assert (compared.failed_now, compared.escalations_now) == (0, 0)

    def test_tokens_are_scaled_where_both_models_are_known(self) -> None:
        ledger = MemoryLedger()
        twice = Tokens(input=2 * USED.input, output=2 * USED.output)
        for number in range(10):
            model, tokens = (OPUS, Tokens(input=USED.input, output=USED.output)) if number % 2 else (SONNET, twice)
            imported(ledger, number, model, tokens, cost(model, tokens))
        off = Preferences(models={"default": ModelChoice("claude-opus-4-6")})
        compared, _ = simulate(ledger, off)
        # What took Sonnet twice the tokens takes Opus half of them.
        assert compared.recorded.now_usd == pytest.approx(10 * cost(OPUS, Tokens(input=USED.input, output=USED.output)))


def imported(ledger: Ledger, number: int, model: str, tokens: Tokens | None, usd: float | None) -> None:
    attempt = Attempt(
        project=PROJECT, unit_type="execute-task", unit_id=f"T{number}", model=model, agent="gsd", started=100.0 + number
    )
    ledger.import_records(PROJECT, "gsd", [(attempt, Outcome(tokens=tokens, cost_usd=usd, finished=100.5 + number))])


class TestPrices:
    def test_twice_the_price_is_twice_the_cost_of_what_was_billed_differently_too(self) -> None:
        ledger = MemoryLedger()
        imported(ledger, 1, SONNET, USED, 1.0)
        present = Preferences(models={"default": ModelChoice("claude-sonnet-4-6")})
        sonnet = CATALOG.find_ref(SONNET)
        assert sonnet is not None
        assert sonnet.price is not None
        doubled = {name: 2 * value for name, value in msgspec.structs.asdict(sonnet.price.rates).items()}
        other = msgspec.structs.replace(present, catalog={"claude-sonnet-4-6": {"price": doubled}})
        compared, _ = simulate(ledger, present, other)
        assert compared.recorded.then_usd == 1.0
        assert compared.recorded.now_usd == pytest.approx(2.0)

    def test_without_a_recorded_cost_both_sides_are_at_list_prices(self) -> None:
        ledger = MemoryLedger()
        imported(ledger, 1, OPUS, USED, None)
        compared, _ = simulate(ledger, preferences())
        assert compared.recorded.runs == 0
        assert compared.listed.then_usd == pytest.approx(cost(OPUS))
        assert compared.listed.now_usd < compared.listed.then_usd

    @pytest.mark.parametrize(("model", "tokens"), [("somewhere/unheard-of", USED), (OPUS, None), (OPUS, Tokens())])
    def test_unknown_is_counted_and_never_zero(self, model: str, tokens: Tokens | None) -> None:
        ledger = MemoryLedger()
        imported(ledger, 1, model, tokens, None)
        imported(ledger, 2, OPUS, USED, cost(OPUS))
        compared, _ = simulate(ledger, preferences())
        assert (compared.runs, compared.unknown, compared.recorded.runs, compared.listed.runs) == (2, 1, 1, 0)

    def test_a_known_cost_with_a_model_whose_price_is_unknown_now(self) -> None:
        ledger = MemoryLedger()
        imported(ledger, 1, OPUS, USED, cost(OPUS))
        named = Preferences(models={"default": ModelChoice("unheard-of")})
        compared, _ = simulate(ledger, named)
        assert (compared.unknown, compared.recorded.runs) == (1, 0)


class TestBudgets:
    def test_a_small_budget_presses_and_what_it_would_refuse_is_counted(self) -> None:
        ledger = lived(preferences(), [STANDARD] * 6)
        small = msgspec.structs.replace(preferences(), budget_ceiling=2.5 * cost(SONNET))
        compared, ways = simulate(ledger, preferences(), small)
        assert [way.model for way in ways][:2] == [SONNET, SONNET]
        assert ways[2].model == HAIKU
        assert compared.refused > 0

    def test_a_window_starts_anew(self) -> None:
        ledger = lived(preferences(), [STANDARD] * 6)
        rolling = Budget(unit="usd", limit=1e9, window="5h")
        wanted = msgspec.structs.replace(preferences(), budgets=(rolling,))
        assert simulate(ledger, preferences(), wanted)[0].moved == 0

    def test_pacing_presses_as_well(self) -> None:
        ledger = lived(preferences(), [STANDARD] * 8)
        paced = msgspec.structs.replace(
            preferences(pressure="pacing"), budgets=(Budget(unit="usd", limit=0.01, window="day"),), budget_enforcement="warn"
        )
        compared, ways = simulate(ledger, preferences(), paced)
        assert ways[-1].model == HAIKU
        assert compared.refused == 0


class TestSpread:
    @given(st.lists(st.floats(-100, 100), min_size=1, max_size=60))
    def test_it_is_the_same_every_time_and_lies_around_the_sum(self, differences: list[float]) -> None:
        low, high = spread(differences)
        assert (low, high) == spread(differences)
        assert low <= high
        assert len(differences) * min(differences) - 1e-6 <= low
        assert high <= len(differences) * max(differences) + 1e-6

    def test_many_runs_give_the_range_that_few_at_a_time_give(self) -> None:
        draw = random.Random(3)
        differences = [draw.gauss(1.0, 2.0) for _ in range(4_000)]
        low, high = spread(differences)
        expected = 1.96 * 2.0 * 4_000**0.5
        assert low < sum(differences) < high
        assert high - low == pytest.approx(2 * expected, rel=0.15)

    def test_no_difference_has_no_range(self) -> None:
        assert spread([0.0, 0.0]) == (0.0, 0.0)
        assert spread([]) == (0.0, 0.0)
