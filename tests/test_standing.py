import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.policy import DEFAULT_POLICY
from stepdown.savings import Savings
from stepdown.standing import Standing, stood_down

DOCS = "execute-task:docs"
CEILING = Savings(runs=1, spent_usd=2.0, counterfactual_usd=2.0)
FREE_OF_PRICE = Savings(unknown=1)
COLD = Savings(runs=1, spent_usd=2.0, counterfactual_usd=1.9, cache_usd=0.1)
"""On the ceiling, whose cache routing had made cold."""
UNKNOWN = Savings(unknown=1, downgraded=1)
RUNNING = Savings(running=1)


def down(net: float) -> Savings:
    return Savings(runs=1, downgraded=1, cheaper_usd=max(net, 0.0), failed_usd=max(-net, 0.0))


def judged(runs: Sequence[Savings], **thresholds: object) -> Standing | None:
    return stood_down({DOCS: runs}, DEFAULT_POLICY.with_overrides(thresholds)).get(DOCS)


def test_a_pattern_that_keeps_losing_stands_down_and_says_what_it_lost() -> None:
    standing = judged([down(-0.0625)] * 24)
    assert standing == Standing(pattern=DOCS, units=24, lost_usd=1.5, tries_again_after=41)
    assert standing.reason == (
        "routing lost $1.50 over the last 24 downgraded units of execute-task:docs (tries again after 41 more units)"
    )


def test_small_amounts_are_still_amounts_and_one_is_singular() -> None:
    standing = Standing(pattern=DOCS, units=12, lost_usd=0.0042, tries_again_after=1)
    assert "lost $0.0042 over" in standing.reason
    assert standing.reason.endswith("(tries again after 1 more unit)")


def test_nothing_is_known_of_nothing() -> None:
    assert stood_down({}, DEFAULT_POLICY) == {}
    assert judged([]) is None


@pytest.mark.parametrize(
    ("nets", "stands_down"),
    [
        ([-1.0] * 9, False),  # too few
        ([-1.0] * 10, True),
        ([0.0] * 50, False),
        ([-1e-12] * 50, False),  # what is left of adding up floats
        ([-1.0] * 5 + [0.98] * 5, False),  # below zero, but so by chance
        ([-1.0] * 9 + [0.98], True),
        ([-20.0] + [0.5] * 30, False),  # one accident
    ],
)
def test_noise_is_no_loss(nets: list[float], stands_down: bool) -> None:
    assert (judged([down(net) for net in nets]) is not None) is stands_down


def test_only_the_newest_runs_count() -> None:
    assert judged([*[down(0.5)] * 50, *[down(-9.0)] * 500]) is None
    standing = judged([*[down(-0.5)] * 50, *[down(9.0)] * 500])
    assert standing is not None
    assert standing.units == 50


def test_caches_that_have_to_be_written_anew_are_losses_wherever_the_unit_ran() -> None:
    going_and_coming = [COLD, down(0.05)] * 12
    standing = judged(going_and_coming)
    assert standing is not None
    assert (standing.units, round(standing.lost_usd, 9)) == (24, 0.6)
    assert judged([CEILING, down(0.05)] * 12) is None


def test_units_on_the_ceiling_roll_the_losses_out_until_it_tries_again() -> None:
    runs = [down(-0.1)] * 12
    standing = judged(runs)
    assert standing is not None
    for left in range(standing.tries_again_after, 0, -1):
        again = judged(runs)
        assert again is not None
        assert again.tries_again_after == left
        # On a subscription or an unknown model even the ceiling has no price; it nets nothing all the same.
        runs = [CEILING if left % 2 else FREE_OF_PRICE, *runs]
    assert judged(runs) is None
    # It is a new trial: each new unit takes the place of an old loss, so that the new ones decide.
    assert judged([*[down(-0.1)] * 9, *runs]) is None
    assert judged([*[down(-0.1)] * 10, *runs]) is not None
    assert judged([down(0.9), *[down(-0.1)] * 9, *runs]) is None


ceilings = st.lists(st.just(CEILING), max_size=10)
windows = st.tuples(st.lists(st.floats(-100, 100).map(down), min_size=10, max_size=30), ceilings).map(
    lambda both: [*both[0], *both[1]]
)
losing = st.tuples(st.lists(st.floats(-100, 1).map(down), min_size=10, max_size=30), ceilings).map(
    lambda both: [*both[0], *both[1]]
)
"""Mostly losses, so that there is something to find."""


def on_the_edge(nets: list[float]) -> list[Savings]:
    """Runs like these, but so that they lose just not enough: the upper end of the interval lies a hair above zero."""
    upper = fmean(nets) + NormalDist().inv_cdf(0.9) * stdev(nets) / math.sqrt(len(nets))
    return [down(net - upper + 1e-6) for net in nets]


edges = st.lists(st.floats(-100, 100), min_size=10, max_size=49).map(on_the_edge)


@given(windows)
def test_what_saved_in_all_never_stands_down(runs: list[Savings]) -> None:
    standing = judged(runs)
    assert standing is None or sum(run.net_usd for run in runs) < 0


@given(edges, st.floats(0, 1000), st.integers(0, 49))
def test_one_more_saving_never_makes_it_stand_down(runs: list[Savings], net: float, place: int) -> None:
    assert judged(runs) is None
    assert judged([*runs[:place], down(net), *runs[place:]]) is None


@given(edges, st.floats(0, 1000))
def test_losing_less_everywhere_never_makes_it_stand_down(runs: list[Savings], more: float) -> None:
    assert judged([down(run.net_usd + more) for run in runs]) is None
    losing_more = [down(run.net_usd - 1e-5) for run in runs]
    assert judged(losing_more) is not None or sum(run.net_usd for run in losing_more) >= 0


@given(losing, st.lists(st.tuples(st.sampled_from([UNKNOWN, RUNNING]), st.integers(0, 60)), max_size=60))
def test_what_is_not_known_changes_nothing(runs: list[Savings], unknown: list[tuple[Savings, int]]) -> None:
    mixed = list(runs)
    for one, place in unknown:
        mixed.insert(place, one)
    assert judged(mixed) == judged(runs)


@given(losing, st.floats(0, 1))
def test_it_always_comes_back(runs: list[Savings], confidence: float) -> None:
    standing = judged(runs, stand_down_confidence=confidence)
    if standing is None:
        return
    assert 1 <= standing.tries_again_after <= DEFAULT_POLICY.stand_down_window
    assert math.isclose(standing.lost_usd, -sum(run.net_usd for run in runs))
    rolled = [*[CEILING] * standing.tries_again_after, *runs]
    assert judged(rolled[1:], stand_down_confidence=confidence) is not None
    assert judged(rolled, stand_down_confidence=confidence) is None
