import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.learning import Experience
from stepdown.ledger.records import Evidence
from stepdown.odds import Odds, Rates, faded
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.units import TIERS, Tier

TASK = "execute-task"
DOCS = "execute-task:docs"
STEADY = Policy(failure_fading=1.0)

events = st.lists(
    st.builds(
        Evidence,
        at=st.floats(0, 1e9),
        pattern=st.sampled_from([DOCS, TASK, "plan-slice"]),
        tier=st.sampled_from(TIERS),
        success=st.booleans(),
        weight=st.sampled_from([1.0, 2.0]),
    ),
    max_size=120,
)


def seen(failed: int, good: int, *, pattern: str = TASK, tier: Tier = Tier.LIGHT, at: float = 0.0) -> list[Evidence]:
    return [
        Evidence(at=at + number, pattern=pattern, tier=tier, success=number >= failed, unit_id=str(number))
        for number in range(failed + good)
    ]


def odds(pattern: str, needed: Tier, evidence: list[Evidence], policy: Policy = STEADY) -> Rates:
    patterns: dict[str, list[Evidence]] = {}
    for event in evidence:
        patterns.setdefault(event.pattern, []).append(event)
    return Odds(Experience(patterns, policy), policy).of(pattern, needed)


def test_without_evidence_they_are_the_priors() -> None:
    assert odds(TASK, Tier.LIGHT, []) == pytest.approx((0.1, 0.1, 0.1))
    assert odds(TASK, Tier.STANDARD, []) == pytest.approx((0.3, 0.1, 0.1))
    assert odds(TASK, Tier.HEAVY, []) == pytest.approx((0.5, 0.3, 0.1))


def test_each_policy_has_its_own() -> None:
    assert odds(TASK, Tier.HEAVY, [], Policy(failure_below=0.1)) == pytest.approx((0.3, 0.2, 0.1))
    assert odds(TASK, Tier.LIGHT, [], Policy(failure_light=0.4)) == pytest.approx((0.4, 0.4, 0.4))
    assert odds(TASK, Tier.HEAVY, [], Policy(failure_below=5)) == pytest.approx((0.95, 0.95, 0.1))


def test_evidence_moves_them() -> None:
    light, standard, heavy = odds(TASK, Tier.STANDARD, seen(30, 10))
    assert light > 0.6
    assert (standard, heavy) == pytest.approx((0.1, 0.1))
    assert odds(TASK, Tier.STANDARD, seen(0, 40))[0] < 0.1


def test_a_tag_with_few_events_stands_near_its_type() -> None:
    base = [*seen(0, 40), *seen(3, 0, pattern=DOCS, at=100)]
    assert odds(TASK, Tier.STANDARD, base)[0] < odds(DOCS, Tier.STANDARD, base)[0] < 0.5
    many = [*seen(0, 40), *seen(40, 0, pattern=DOCS, at=100)]
    assert odds(DOCS, Tier.STANDARD, many)[0] > 0.8


def test_how_all_work_goes_corrects_the_priors_of_what_is_new() -> None:
    elsewhere = seen(0, 50, pattern="plan-slice", tier=Tier.STANDARD)
    assert odds(TASK, Tier.STANDARD, elsewhere)[1] < 0.1
    failing = seen(50, 0, pattern="plan-slice", tier=Tier.STANDARD)
    assert odds(TASK, Tier.STANDARD, failing)[1] > 0.2


def test_older_events_fade() -> None:
    past, lately = seen(20, 0), seen(0, 20, at=100)
    assert odds(TASK, Tier.STANDARD, [*past, *lately], DEFAULT_POLICY)[0] < odds(TASK, Tier.STANDARD, [*past, *lately])[0]
    failed, total = faded(seen(0, 50), Policy(failure_fading=0.5))
    assert failed == 0.0
    assert total == pytest.approx(2.0)


def test_a_strong_tier_with_much_evidence_pulls_a_weak_guess_up() -> None:
    """A light model nobody tried is not believed to be better than a standard one that was seen to fail."""
    light, standard, _ = odds(TASK, Tier.LIGHT, seen(40, 10, tier=Tier.STANDARD))
    assert light == standard > 0.3


def test_what_the_user_called_too_weak_is_counted_apart() -> None:
    said = [Evidence(at=100 + n, pattern=TASK, tier=Tier.LIGHT, success=n == 0, weight=2.0, source="rating") for n in range(4)]
    patterns = {TASK: [*seen(5, 5), *said]}
    assert Odds(Experience(patterns, STEADY), STEADY).blamed(TASK) == pytest.approx((6 / 28, 0, 0))


def test_what_was_too_weak_on_a_tier_would_have_been_below_it() -> None:
    said = [Evidence(at=n, pattern=TASK, tier=Tier.STANDARD, success=False, weight=2.0, source="rating") for n in range(14)]
    light, standard, heavy = Odds(Experience({TASK: said}, STEADY), STEADY).blamed(TASK)
    assert light == standard > 0.7
    assert heavy == 0


@given(events, st.sampled_from(TIERS), st.sampled_from([TASK, DOCS, "hook/x"]))
def test_a_stronger_tier_never_fails_more(evidence: list[Evidence], needed: Tier, pattern: str) -> None:
    rates = odds(pattern, needed, evidence, DEFAULT_POLICY)
    assert list(rates) == sorted(rates, reverse=True)
    assert all(0 <= rate <= 0.95 for rate in rates)


@given(events, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_given_does_not_matter(evidence: list[Evidence], chance: random.Random) -> None:
    dated = [
        Evidence(at=number, pattern=event.pattern, tier=event.tier, success=event.success)
        for number, event in enumerate(evidence)
    ]
    assert odds(TASK, Tier.LIGHT, chance.sample(dated, len(dated))) == pytest.approx(odds(TASK, Tier.LIGHT, dated))
