import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.learning import Adjustment, Experience, interval
from stepdown.ledger.records import Evidence
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.units import TIERS, Tier

DOCS = "execute-task:docs"
TASK = "execute-task"

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


def outcomes(
    failed: int, good: int, *, pattern: str = TASK, tier: Tier = Tier.LIGHT, weight: float = 1.0, at: float = 0.0
) -> list[Evidence]:
    """Failures and successes in a fixed mixture, one a second from `at` on."""
    results = [False] * failed + [True] * good
    random.Random(3).shuffle(results)
    return [
        Evidence(at=at + second, pattern=pattern, tier=tier, success=success, weight=weight)
        for second, success in enumerate(results)
    ]


def adjust(pattern: str, tier: Tier, evidence: Iterable[Evidence], policy: Policy) -> Adjustment:
    """The rule over a flat list of events."""
    return Experience(by_pattern(evidence), policy).adjust(pattern, tier)


def by_pattern(evidence: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    patterns: dict[str, list[Evidence]] = {}
    for event in evidence:
        patterns.setdefault(event.pattern, []).append(event)
    return patterns


class TestAdjust:
    def test_nothing_known_changes_nothing(self) -> None:
        assert adjust(TASK, Tier.LIGHT, (), DEFAULT_POLICY).tier is Tier.LIGHT

    def test_too_few_events_change_nothing(self) -> None:
        assert adjust(TASK, Tier.LIGHT, outcomes(9, 0), DEFAULT_POLICY).tier is Tier.LIGHT
        assert adjust(TASK, Tier.LIGHT, outcomes(10, 0), DEFAULT_POLICY).tier is Tier.STANDARD

    def test_more_than_a_fifth_is_not_enough_if_it_may_be_noise(self) -> None:
        assert adjust(TASK, Tier.LIGHT, outcomes(3, 7), DEFAULT_POLICY).tier is Tier.LIGHT
        assert adjust(TASK, Tier.LIGHT, outcomes(15, 35), DEFAULT_POLICY).tier is Tier.STANDARD

    def test_the_reason_can_be_read(self) -> None:
        answer = adjust(TASK, Tier.LIGHT, outcomes(20, 20), DEFAULT_POLICY)
        assert answer.reason == "execute-task on light failed 50% of the last 40 times, so it starts at standard"

    def test_only_the_newest_count(self) -> None:
        past = outcomes(50, 0)
        lately = outcomes(0, 50, at=1000.0)
        assert adjust(TASK, Tier.LIGHT, [*lately, *past], DEFAULT_POLICY).tier is Tier.LIGHT

    def test_other_tiers_and_patterns_do_not_count(self) -> None:
        others = outcomes(40, 0, tier=Tier.STANDARD) + outcomes(40, 0, pattern="plan-slice")
        assert adjust(TASK, Tier.LIGHT, others, DEFAULT_POLICY).tier is Tier.LIGHT

    def test_a_tag_with_too_few_events_takes_its_types(self) -> None:
        evidence = [*outcomes(0, 3, pattern=DOCS), *outcomes(30, 0, at=9), *outcomes(9, 9, pattern="plan-slice")]
        answer = adjust(DOCS, Tier.LIGHT, evidence, DEFAULT_POLICY)
        assert (answer.tier, answer.pattern, answer.events) == (Tier.STANDARD, TASK, 33)

    def test_a_tag_with_enough_events_speaks_for_itself(self) -> None:
        evidence = [*outcomes(0, 10, pattern=DOCS), *outcomes(40, 0)]
        assert adjust(DOCS, Tier.LIGHT, evidence, DEFAULT_POLICY).tier is Tier.LIGHT

    def test_ratings_weigh_more(self) -> None:
        automatic = outcomes(0, 12)
        ratings = outcomes(10, 0, weight=1.0, at=100.0)
        heavy_ratings = outcomes(10, 0, weight=2.0, at=100.0)
        light = adjust(TASK, Tier.LIGHT, automatic + ratings, DEFAULT_POLICY)
        double = adjust(TASK, Tier.LIGHT, automatic + heavy_ratings, DEFAULT_POLICY)
        assert light.failed == pytest.approx(10 / 22)
        assert double.failed == pytest.approx(20 / 32)

    @given(events, st.sampled_from(TIERS), st.sampled_from([DOCS, TASK, "hook/x"]))
    def test_never_lower_and_at_most_one_higher(self, evidence: list[Evidence], tier: Tier, pattern: str) -> None:
        answer = adjust(pattern, tier, evidence, DEFAULT_POLICY)
        assert answer.tier in {tier, tier.above}
        assert bool(answer.reason) is (answer.tier is not tier or answer.probe)

    @given(events, st.randoms(use_true_random=False))
    def test_the_order_of_events_does_not_matter(self, evidence: list[Evidence], chance: random.Random) -> None:
        dated = [Evidence(at=n, pattern=e.pattern, tier=e.tier, success=e.success) for n, e in enumerate(evidence)]
        mixed = chance.sample(dated, len(dated))
        assert adjust(TASK, Tier.LIGHT, mixed, DEFAULT_POLICY) == adjust(TASK, Tier.LIGHT, dated, DEFAULT_POLICY)

    @pytest.mark.parametrize(("rate", "least", "most"), [(0.05, 0, 0.02), (0.10, 0, 0.05), (0.15, 0, 0.15), (0.40, 0.8, 1)])
    def test_how_often_it_fires_within_50_outcomes(self, rate: float, least: float, most: float) -> None:
        chance = random.Random(11)
        fired = 0
        for _ in range(400):
            evidence: list[Evidence] = []
            for at in range(50):
                evidence.append(Evidence(at=at, pattern=TASK, tier=Tier.LIGHT, success=chance.random() >= rate))
                if adjust(TASK, Tier.LIGHT, evidence, DEFAULT_POLICY).tier is Tier.STANDARD:
                    fired += 1
                    break
        assert least <= fired / 400 <= most


class TestComingBack:
    def test_every_tenth_verified_unit_tries_the_lower_tier(self) -> None:
        evidence = outcomes(20, 0)
        tried = []
        for number in range(30):
            answer = adjust(TASK, Tier.LIGHT, evidence, DEFAULT_POLICY)
            tried.append(answer.tier is Tier.LIGHT)
            assert answer.probe is tried[-1]
            evidence.append(Evidence(at=100 + number, pattern=TASK, tier=answer.tier, success=not answer.probe))
        assert tried == ([False] * 9 + [True]) * 3

    def test_only_verified_units_count_towards_a_probe(self) -> None:
        said = [
            Evidence(at=100 + n, pattern=TASK, tier=Tier.STANDARD, success=True, source="rating", weight=2) for n in range(20)
        ]
        assert not adjust(TASK, Tier.LIGHT, [*outcomes(20, 0), *said], DEFAULT_POLICY).probe

    def test_it_comes_back_when_its_trouble_is_over(self) -> None:
        evidence, chance = outcomes(20, 30), random.Random(5)
        for number in range(200):
            answer = adjust(TASK, Tier.LIGHT, evidence, DEFAULT_POLICY)
            if answer.tier is Tier.LIGHT and not answer.probe:
                break
            evidence.append(Evidence(at=100 + number, pattern=TASK, tier=answer.tier, success=chance.random() > 0.02))
        assert number < 150

    def test_old_trouble_alone_is_not_enough(self) -> None:
        evidence = [*outcomes(20, 10), *outcomes(1, 19, at=100.0)]
        assert adjust(TASK, Tier.LIGHT, evidence, DEFAULT_POLICY).tier is Tier.LIGHT


def test_wilsons_interval_against_published_values() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 and 15 of 148 at 95 %.
    assert interval(81 / 263, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(15 / 148, 148, 0.95) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert interval(0.0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=5e-5)
