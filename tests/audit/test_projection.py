from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from works import CATALOG, HAIKU, OPUS, SONNET, START, growing, history, request, turn

from stepdown.audit.history import History
from stepdown.audit.price import Prices
from stepdown.audit.projection import (
    HEAVY,
    NO_CHEAPER,
    PERSON,
    PLANNING,
    SWITCHING,
    UNKNOWN,
    Fate,
    Projector,
    summed,
)
from stepdown.audit.records import Projection
from stepdown.policy import Policy
from stepdown.preferences import Preferences
from stepdown.preferences.schema import DynamicRouting, ModelChoice
from stepdown.routing import Router
from stepdown.sessions.records import Request, Turn
from stepdown.signals import Signals
from stepdown.units import Tier

TIERS = {Tier.LIGHT: ModelChoice(HAIKU), Tier.STANDARD: ModelChoice(SONNET)}
PRICES = Prices(CATALOG)
BIG = Signals(files=9)


def projector(past: History) -> Projector:
    preferences = Preferences(dynamic_routing=DynamicRouting(enabled=True, tier_models=TIERS))
    return Projector(Router(preferences, CATALOG), PRICES, past)


def fates(turns: Sequence[Turn], requests: Sequence[Request], mode: str = "full") -> list[Fate | None]:
    return projector(history(turns, requests)).follow(mode)


def only(found: Sequence[Fate | None]) -> Fate:
    [fate] = found
    assert fate is not None
    return fate


def model(fate: Fate | None) -> str:
    assert fate is not None
    return fate.model.id if fate.model else fate.why


def total(turns: Sequence[Turn], requests: Sequence[Request], mode: str = "full") -> Projection:
    past = history(turns, requests)
    return summed(mode, past.units, projector(past).follow(mode))


def test_a_persons_turn_goes_one_tier_down_in_full_and_nowhere_in_delegated() -> None:
    assert model(only(fates([turn()], growing(8)))) == SONNET
    assert model(only(fates([turn()], growing(8), "delegated"))) == PERSON


def test_a_persons_light_work_still_runs_on_standard() -> None:
    typo = Signals(tags=("typo",), files=1, steps=1)
    assert model(only(fates([turn(signals=typo)], growing(8)))) == SONNET


@pytest.mark.parametrize("mode", ["delegated", "full"])
def test_sub_agents_errands_and_units_of_a_plan_are_routed_in_both_modes(mode: str) -> None:
    assert model(only(fates([turn(origin="subagent", type="subagent/Explore")], growing(8), mode))) == SONNET
    assert model(only(fates([turn(origin="agent", type="hook/title")], [request(cache_read=0, cache_write=0)], mode))) == HAIKU
    assert model(only(fates([turn(origin="plan", type="complete-slice")], growing(8), mode))) == HAIKU


def test_heavy_work_and_planning_stay() -> None:
    assert model(only(fates([turn(signals=BIG)], growing(8)))) == HEAVY
    assert model(only(fates([turn(type="plan-slice")], growing(8)))) == PLANNING


def test_what_runs_on_the_cheapest_or_on_something_unknown_stays() -> None:
    assert model(only(fates([turn()], growing(8, model=HAIKU)))) == NO_CHEAPER
    assert model(only(fates([turn()], [request(model="our-own", usd=1.0)]))) == UNKNOWN
    assert fates([turn()], [request(model="our-own")]) == [None]


def test_what_does_not_fit_the_cheaper_model_stays() -> None:
    long = [request(cache_read=0, cache_write=900_000)]
    assert model(only(fates([turn(origin="plan", type="complete-slice")], long))) != HAIKU


def test_in_the_middle_of_a_long_conversation_a_short_turn_stays_and_a_long_one_goes() -> None:
    first = growing(3, first=100_000)
    later = [
        request(turn=1, at=START + 100 + index * 10, input=0, cache_read=104_000 + index, cache_write=10, output=20)
        for index in range(2)
    ]
    short = fates([turn(signals=BIG), turn(at=START + 100)], [*first, *later])
    assert [model(fate) for fate in short] == [HEAVY, SWITCHING]
    more = [
        request(turn=1, at=START + 100 + index * 10, input=0, cache_read=104_000 + index * 2_000, cache_write=2_000, output=900)
        for index in range(60)
    ]
    long = fates([turn(signals=BIG), turn(at=START + 100)], [*first, *more])
    assert [model(fate) for fate in long] == [HEAVY, SONNET]
    moved = long[1]
    assert moved is not None
    assert moved.cache == pytest.approx(104_000 * (3.75 - 0.3) / 1e6)


def test_after_a_pause_or_a_compaction_the_cache_is_gone_and_moving_is_free() -> None:
    first = growing(3, first=100_000)
    for later, fresh in ((START + 10_000, False), (START + 100, True)):
        again = [request(turn=1, at=later, input=0, cache_read=0, cache_write=104_000, output=20)]
        found = fates([turn(signals=BIG), turn(at=later, fresh=fresh)], [*first, *again])
        assert [model(fate) for fate in found] == [HEAVY, SONNET]
        moved = found[1]
        assert moved is not None
        assert moved.cache == 0


def test_going_back_to_its_own_model_pays_for_its_cache_again() -> None:
    first = growing(10, first=50_000)
    heavy = [request(turn=1, at=START + 110, input=0, cache_read=68_000, cache_write=500)]
    found = fates([turn(), turn(at=START + 110, signals=BIG)], [*first, *heavy])
    assert [model(fate) for fate in found] == [SONNET, HEAVY]
    back = found[1]
    assert back is not None
    assert back.cache == pytest.approx(68_000 * (6.25 - 0.5) / 1e6)
    assert back.net == pytest.approx(-back.cache)


def test_what_conversations_begin_with_is_written_once_for_the_other_model() -> None:
    turns, requests = [], []
    for number in range(3):
        at = START + number * 100
        turns.append(turn(origin="subagent", type="subagent/x", conversation=f"c{number}", at=at))
        first, *more = growing(9, of=number, start=at, first=12_000)
        requests += [msgspec.structs.replace(first, cache_read=10_000, cache_write=2_000), *more]
    lost = [fate.cache for fate in fates(turns, requests) if fate is not None]
    assert lost == [pytest.approx(10_000 * (3.75 - 0.3) / 1e6), 0.0, 0.0]


def test_a_compaction_reads_the_whole_conversation_and_stays_with_it() -> None:
    first = growing(3, first=100_000)
    summing = request(turn=1, at=START + 400, cache_read=104_000, cache_write=500, output=2_000)
    found = fates([turn(signals=BIG), turn(at=START + 400, origin="agent", type="subagent/compaction")], [*first, summing])
    assert [model(fate) for fate in found] == [HEAVY, SWITCHING]


def test_a_sum_of_requests_is_no_conversation_that_could_be_left() -> None:
    whole = [request(cache_read=3_000_000, cache_write=100_000, count=30)]
    fate = only(fates([turn(origin="plan", type="complete-slice")], whole))
    assert (model(fate), fate.cache) == (HAIKU, 0.0)


def test_failing_costs_the_attempt_and_the_work_again() -> None:
    fate = only(fates([turn(origin="plan", type="execute-task")], growing(8)))
    assert fate.failing == Policy().failure_standard
    assert fate.there == pytest.approx(0.6 * fate.spent)
    assert fate.net == pytest.approx(fate.spent - (fate.there + 0.1 * fate.spent))
    found = total([turn(origin="plan", type="execute-task")], growing(8))
    assert found.cheaper_usd == pytest.approx(0.9 * 0.4 * fate.spent)
    assert found.failed_usd == pytest.approx(0.1 * 0.6 * fate.spent)
    assert found.low_usd == pytest.approx((0.4 - 0.3) * fate.spent)
    assert found.high_usd == pytest.approx(0.4 * fate.spent)


TURNS = st.lists(
    st.tuples(
        st.sampled_from(["human", "subagent", "plan", "agent"]),
        st.sampled_from(["execute-task", "plan-slice", "subagent/x", "hook/title", "complete-slice"]),
        st.sampled_from([OPUS, SONNET, HAIKU, "our-own"]),
        st.integers(1, 12),
        st.integers(1_000, 120_000),
        st.integers(10, 1_000),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(TURNS, st.sampled_from(["delegated", "full"]))
def test_the_split_adds_up_and_the_range_holds_the_estimate(
    rows: list[tuple[str, str, str, int, int, int, bool]], mode: str
) -> None:
    turns, requests, at = [], [], START
    for number, (origin, kind, name, many, first, pause, fresh) in enumerate(rows):
        turns.append(turn(origin=origin, type=kind, at=at, fresh=fresh))
        requests += growing(many, of=number, start=at, first=first, model=name)
        at += many * 10 + pause
    found = total(turns, requests, mode)
    assert found.spent_usd - found.routed_usd == pytest.approx(found.net_usd)
    assert found.low_usd <= found.net_usd + 1e-9 <= found.high_usd + 2e-9
    assert found.cache_usd >= 0
    assert found.failed_usd >= 0
    assert sum(move.units for move in found.moves) == found.moved
    assert found.moved + sum(kept.units for kept in found.kept) == found.units
    assert sum(move.net_usd for move in found.moves) + 1e-9 >= found.net_usd  # what stays can only lose cache
    persons = sum(row[0] == "human" and row[2] != "our-own" for row in rows)
    if mode == "delegated":
        assert sum(kept.units for kept in found.kept if kept.why == PERSON) == persons


@settings(max_examples=30, deadline=None)
@given(TURNS)
def test_with_routing_that_may_move_nothing_nothing_changes(rows: list[tuple[str, str, str, int, int, int, bool]]) -> None:
    turns = [turn(origin=origin, type=kind, at=START + number) for number, (origin, kind, *_) in enumerate(rows)]
    requests = [msgspec.structs.replace(request(turn=number), at=START + number, model=HAIKU) for number in range(len(rows))]
    found = total(turns, requests)
    assert (found.moved, found.net_usd, found.low_usd, found.high_usd) == (0, 0.0, 0.0, 0.0)
    assert found.routed_usd == pytest.approx(found.spent_usd)


def test_what_is_kept_for_an_hour_is_written_anew_at_that_price() -> None:
    for hour in (False, True):
        first = growing(3, first=100_000)
        more = [
            request(
                turn=1,
                at=START + 100 + index * 10,
                input=0,
                cache_read=104_000 + index * 2_000,
                cache_write=2_000,
                written_1h=2_000 if hour else 0,
                output=900,
            )
            for index in range(60)
        ]
        moved = fates([turn(signals=BIG), turn(at=START + 100)], [*first, *more])[1]
        assert model(moved) == SONNET
        assert moved is not None
        assert moved.cache == pytest.approx(104_000 * ((6.0 if hour else 3.75) - 0.3) / 1e6)


def test_a_fork_shares_no_more_with_other_conversations_than_their_beginning() -> None:
    other = turn(origin="subagent", type="subagent/x", conversation="c0", at=START - 60)
    warm = growing(6, of=0, start=START - 60, first=15_000)
    fork = request(turn=1, at=START + 10, input=0, cache_read=150_000, cache_write=500)
    stays = fates([other, turn(at=START + 10, conversation="fork")], [*warm, fork])
    assert [model(fate) for fate in stays] == [SONNET, SWITCHING]
    many = [msgspec.structs.replace(fork, at=START + 10 + index * 10, output=900) for index in range(80)]
    goes = fates([other, turn(at=START + 10, conversation="fork")], [*warm, *many])[1]
    assert goes is not None
    assert goes.cache == pytest.approx((150_000 - 15_000) * (3.75 - 0.3) / 1e6)
