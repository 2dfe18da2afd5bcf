import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.balance import missed, start
from stepdown.candidates import Offer
from stepdown.catalog import Model
from stepdown.learning import Adjustment, Experience
from stepdown.ledger.records import Evidence
from stepdown.odds import Odds, Rates
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.units import TIERS, Tier

TASK = "execute-task"


def seen(tier: Tier, count: int, *, failed: int = 0, at: float = 0.0, source: str = "outcome") -> list[Evidence]:
    return [
        Evidence(at=at + number, pattern=TASK, tier=tier, success=number >= failed, source=source) for number in range(count)
    ]


class Known(Odds):
    """Failure rates that are given instead of worked out."""

    __slots__ = ("_rates",)

    def __init__(self, rates: Rates, experience: Experience, policy: Policy) -> None:
        super().__init__(experience, policy)
        self._rates = rates

    def of(self, pattern: str, needed: Tier) -> Rates:
        return self._rates


def answer(
    needed: Tier, costs: list[float | None], failing: Rates, evidence: list[Evidence], policy: Policy = DEFAULT_POLICY
) -> Adjustment:
    ceiling = next(cost for cost in reversed(costs) if cost is not None)
    offers = [
        None if cost is None else Offer(Model(id=tier.value, provider="p", tier=tier), tier.value, cost, cost + rate * ceiling)
        for tier, cost, rate in zip(TIERS, costs, failing, strict=False)
    ]
    experience = Experience({TASK: evidence}, policy)
    return start(TASK, needed, offers, Known(failing, experience, policy), experience, policy)


def test_nothing_moves_before_failing_is_seen_to_be_noticed() -> None:
    assert answer(Tier.STANDARD, [0.01, 0.5, 1.0], (0.1, 0.1, 0.1), seen(Tier.STANDARD, 9)).tier is Tier.STANDARD
    moved = answer(Tier.STANDARD, [0.01, 0.5, 1.0], (0.1, 0.1, 0.1), seen(Tier.STANDARD, 10))
    assert moved.tier is Tier.LIGHT


def test_the_reason_gives_both_sums() -> None:
    moved = answer(Tier.STANDARD, [0.01, 0.5, 1.0], (0.1, 0.1, 0.1), seen(Tier.STANDARD, 30) + seen(Tier.LIGHT, 1, at=99))
    assert moved.reason == (
        "execute-task starts at light, where it costs least when failing is counted ($0.11; at standard $0.60)"
    )


def test_a_cheap_model_that_fails_much_is_left() -> None:
    evidence = seen(Tier.LIGHT, 30, failed=24)
    assert answer(Tier.LIGHT, [0.3, 0.4, 1.0], (0.8, 0.1, 0.1), evidence).tier is Tier.STANDARD


def test_what_was_called_too_weak_is_no_reason_to_go_down() -> None:
    said = seen(Tier.HEAVY, 20, failed=20, source="rating")
    assert answer(Tier.STANDARD, [0.01, 0.5, 1.0], (0.3, 0.3, 0.3), said).tier >= Tier.STANDARD


def test_what_fails_quietly_is_dear() -> None:
    """A failure that nothing notices costs no dollars. Priced at nothing, it would make the cheap model win."""
    evidence = [*seen(Tier.STANDARD, 30), *seen(Tier.LIGHT, 1, at=25.5)]
    careless = Policy(missed_failure=0.0)
    costs: list[float | None] = [0.2, 0.6, 1.0]
    assert answer(Tier.STANDARD, costs, (0.4, 0.1, 0.1), evidence, careless).tier is Tier.LIGHT
    assert answer(Tier.STANDARD, costs, (0.4, 0.1, 0.1), evidence, Policy(missed_failure=5.0)).tier is Tier.STANDARD


def test_a_light_model_as_dear_as_the_ceiling_is_not_used() -> None:
    evidence = seen(Tier.STANDARD, 30)
    assert answer(Tier.STANDARD, [1.0, 0.5, 1.0], (0.1, 0.1, 0.1), evidence).tier is Tier.STANDARD


def test_a_stronger_tier_has_to_be_clearly_better_and_a_weaker_one_only_better() -> None:
    on_standard = [*seen(Tier.STANDARD, 30), *seen(Tier.LIGHT, 1, at=25.5)]
    assert answer(Tier.STANDARD, [0.58, 0.6, 1.0], (0.1, 0.1, 0.1), on_standard).tier is Tier.LIGHT
    on_light = [*on_standard, *seen(Tier.LIGHT, 1, at=40)]
    assert answer(Tier.STANDARD, [0.6, 0.58, 1.0], (0.1, 0.1, 0.1), on_light).tier is Tier.LIGHT
    assert answer(Tier.STANDARD, [0.6, 0.5, 1.0], (0.1, 0.1, 0.1), on_light).tier is Tier.STANDARD


def test_what_the_user_called_too_weak_weighs_as_much_as_what_was_missed() -> None:
    outcomes = [*seen(Tier.STANDARD, 30), *seen(Tier.LIGHT, 9, at=25.5)]
    costs: list[float | None] = [0.2, 0.6, 1.0]
    assert answer(Tier.STANDARD, costs, (0.1, 0.1, 0.1), outcomes).tier is Tier.LIGHT
    said = seen(Tier.LIGHT, 9, failed=9, at=50, source="rating")
    assert answer(Tier.STANDARD, costs, (0.1, 0.1, 0.1), [*outcomes, *said]).tier is Tier.STANDARD


def test_the_tier_below_is_tried_now_and_then() -> None:
    evidence = [*seen(Tier.LIGHT, 10, failed=10), *seen(Tier.STANDARD, 8, at=100)]
    costs: list[float | None] = [0.3, 0.4, 1.0]
    assert not answer(Tier.STANDARD, costs, (0.9, 0.1, 0.1), evidence).probe
    tried = answer(Tier.STANDARD, costs, (0.9, 0.1, 0.1), [*evidence, *seen(Tier.STANDARD, 1, at=200)])
    assert (tried.tier, tried.probe) == (Tier.LIGHT, True)
    assert tried.reason == "execute-task tries light again: 9 units have been verified above it since the last time"
    dear: list[float | None] = [0.52, 0.4, 1.0]
    assert not answer(Tier.STANDARD, dear, (0.9, 0.1, 0.1), [*evidence, *seen(Tier.STANDARD, 1, at=200)]).probe


@pytest.mark.parametrize(("noticed", "missing"), [(0.0, 0.0), (0.1, 0.0), (0.4, 0.15), (0.7, 0.3), (0.9, 0.3)])
def test_what_is_missed(noticed: float, missing: float) -> None:
    assert missed(noticed, DEFAULT_POLICY) == pytest.approx(missing)


def test_a_verifier_no_better_than_chance_misses_as_much_as_it_notices() -> None:
    assert missed(0.3, Policy(verifier_recall=0.1)) == 0.3


@given(
    st.sampled_from(TIERS),
    st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=3).filter(lambda costs: any(c is not None for c in costs)),
    st.tuples(st.floats(0, 0.95), st.floats(0, 0.95), st.floats(0, 0.95)),
    st.integers(0, 60),
)
def test_never_above_the_ceilings_tier(needed: Tier, costs: list[float | None], rates: Rates, count: int) -> None:
    falling = sorted(rates, reverse=True)
    moved = answer(needed, costs, (falling[0], falling[1], falling[2]), seen(Tier.LIGHT, count))
    assert moved.tier is needed or (moved.tier.rank < len(costs) and costs[moved.tier.rank] is not None)
