"""Rules of when to change models, on conversations of which everything is known: what is reckoned twice must agree."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from works import CATALOG, HAIKU, OPUS, SONNET, START, history, request, turn

from bench.switching.__main__ import main
from bench.switching.families import FAMILIES, Family, generate
from bench.switching.hindsight import Hindsight
from bench.switching.rules import Ahead, Always, Every, Keep, Mistaken, Noted, Numbers, OnlyUp, Planned
from bench.switching.study import KEEP, KNOWING, NONE, ONLY_UP, OURS, Result, compared, router, study
from stepdown.audit.history import History
from stepdown.audit.price import Prices
from stepdown.audit.projection import Fate, Priced, Projector, Rule
from stepdown.catalog import Model
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.sessions.records import Request
from stepdown.signals import Signals
from stepdown.switching import Sum, Talk, switch
from stepdown.units import Tier

PRICES = Prices(CATALOG)
TIERS = {Tier.LIGHT: HAIKU, Tier.STANDARD: SONNET}
BIG = Signals(files=9)
NEVER_FAILS = msgspec.structs.replace(DEFAULT_POLICY, failure_standard=0.0, failure_below=0.0, switch_returns=0.0)
SMALL = msgspec.structs.replace(FAMILIES[0], turns=5, requests=4)


def model(name: str) -> Model:
    found = CATALOG.resolve(name)
    assert found is not None
    return found


def follow(past: History, rule: Rule, policy: Policy = DEFAULT_POLICY) -> list[Fate | None]:
    return Projector(router(TIERS, CATALOG, policy), PRICES, past, rule).follow("full")


def models(fates: Sequence[Fate | None]) -> list[str]:
    return [fate.model.id if fate is not None and fate.model is not None else OPUS for fate in fates]


def steady(unit: int, at: float, cached: int, requests: int = 1, fresh: int = 1_000, output: int = 200) -> list[Request]:
    """Requests of which each reads the same from the cache: what the sum of a switch takes them to be."""
    return [
        request(turn=unit, at=at + index, input=0, cache_read=cached, cache_write=fresh, output=output)
        for index in range(requests)
    ]


def story(*asked: tuple[Signals | None, float], cached: int = 60_000) -> History:
    """A conversation of turns of three requests each: what they say, and the seconds before they come."""
    at, turns, requests = START, [], []
    for number, (signals, pause) in enumerate(asked):
        at += pause
        turns.append(turn(at=at, signals=signals))
        requests += steady(number, at, cached if number and pause < 300 else 0, 3)
        at += 10
    return history(turns, requests)


TALKS = st.builds(
    Talk,
    cached=st.integers(1, 180_000),
    warm=st.just(0),
    fresh=st.integers(1, 20_000),
    output=st.integers(1, 8_000),
    turns=st.integers(1, 60),
    hour=st.booleans(),
)


def one_switch(talk: Talk) -> tuple[Sum, Fate]:
    """A heavy turn on the user's model, then one that is moved: the sum beforehand, and what came of it."""
    turns = [turn(signals=BIG), turn(at=START + 10)]
    requests = [*steady(0, START, 0), *steady(1, START + 10, talk.cached, int(talk.turns), talk.fresh, talk.output)]
    if talk.hour:
        requests = [msgspec.structs.replace(one, written_1h=one.cache_write) for one in requests]
    past = history(turns, requests)
    _, fate = follow(past, Always(), NEVER_FAILS)
    found = switch(model(OPUS), model(SONNET), talk)
    assert found is not None
    assert fate is not None
    return found, fate


@settings(max_examples=60, deadline=None)
@given(TALKS)
def test_the_sum_of_a_switch_is_what_it_saves(talk: Talk) -> None:
    found, fate = one_switch(talk)
    assert fate.net == pytest.approx(found.net, abs=1e-9)
    assert fate.cache == pytest.approx(found.rewrite)
    if abs(found.net) > 1e-9:
        assert (fate.net > 0) == found.pays


@settings(max_examples=60, deadline=None)
@given(st.integers(1_000, 180_000), st.integers(1, 5_000), st.integers(1, 2_000), st.integers(1, 40))
def test_where_the_prompt_grows_the_sum_is_on_the_careful_side(cached: int, fresh: int, output: int, many: int) -> None:
    growing = [
        request(turn=1, at=START + 10 + index, input=0, cache_read=cached + index * fresh, cache_write=fresh, output=output)
        for index in range(many)
    ]
    past = history([turn(signals=BIG), turn(at=START + 10)], [*steady(0, START, 0), *growing])
    _, fate = follow(past, Always(), NEVER_FAILS)
    found = switch(model(OPUS), model(SONNET), Talk(cached=cached, fresh=fresh, output=output, turns=many))
    assert fate is not None
    assert found is not None
    assert fate.net >= found.net - 1e-9


@pytest.mark.parametrize(("pause", "kept"), [(100.0, 61_200), (400.0, 0)])
def test_going_back_costs_what_the_own_model_no_longer_has(pause: float, kept: int) -> None:
    """The sum takes all of it for lost; where the cache is still kept, only what came since is."""
    turns = [turn(signals=BIG), turn(at=START + 10), turn(at=START + 10 + pause, signals=BIG)]
    back = request(turn=2, at=START + 10 + pause, input=0, cache_read=90_000, cache_write=10)
    past = history(turns, [*steady(0, START, 60_000), *steady(1, START + 10, 60_000), back])
    last = follow(past, Always())[-1]
    assert last is not None
    assert last.cache == pytest.approx((90_000 - kept) * (6.25 - 0.5) / 1e6)


STANDARD, HEAVY, STANDARD_LATER = (None, 10.0), (BIG, 10.0), (None, 1_000.0)
RULES: list[tuple[str, Callable[[Numbers], Rule], list[str]]] = [
    ("keep", Keep, [SONNET, SONNET, SONNET, SONNET]),
    ("only up", OnlyUp, [SONNET, OPUS, OPUS, SONNET]),
    ("always", lambda _: Always(), [SONNET, OPUS, SONNET, SONNET]),
    ("each second", lambda numbers: Every(numbers, 2), [SONNET, OPUS, SONNET, SONNET]),
    ("each third", lambda numbers: Every(numbers, 3), [SONNET, OPUS, OPUS, SONNET]),
    ("priced", lambda _: Priced(0.2), [SONNET, OPUS, OPUS, SONNET]),
    ("many expected", lambda _: Mistaken(0.2, requests=100), [SONNET, OPUS, SONNET, SONNET]),
    ("nothing planned", lambda _: Planned({}), [OPUS, OPUS, OPUS, OPUS]),
    ("returns surely", lambda _: Ahead(1.0, 0.0), [OPUS, OPUS, OPUS, OPUS]),
]


@pytest.mark.parametrize(("rule", "goes"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_where_each_rule_goes(rule: Callable[[Numbers], Rule], goes: list[str]) -> None:
    past = story(STANDARD, HEAVY, STANDARD, STANDARD_LATER)
    assert models(follow(past, rule(Numbers(past)))) == goes


def test_a_conversation_that_is_kept_takes_heavy_work_along_until_its_cache_has_gone() -> None:
    past = story(STANDARD, HEAVY, (BIG, 1_000.0), STANDARD)
    assert models(follow(past, Keep(Numbers(past)))) == [SONNET, SONNET, OPUS, OPUS]
    kept = follow(past, Keep(Numbers(past)))[1]
    assert kept is not None
    assert kept.failing == pytest.approx(DEFAULT_POLICY.failure_heavy + DEFAULT_POLICY.failure_below)


def test_who_goes_to_a_model_of_ones_own_is_not_kept_on_a_dearer_one() -> None:
    turns = [turn(), turn(at=START + 20, signals=BIG)]
    past = history(turns, [*steady(0, START, 0, 3), request(turn=1, at=START + 20, model=HAIKU, cache_read=60_000)])
    assert [fate.model for fate in follow(past, Keep(Numbers(past))) if fate is not None][1] is None


def test_what_failing_costs_speaks_against_a_move() -> None:
    """The same turn in mid-conversation, on tiers that never fail and on tiers that often do."""
    asked = (BIG, 10.0), (None, 10.0)
    past = story(*asked, cached=2_000)
    fails = msgspec.structs.replace(NEVER_FAILS, failure_standard=0.39)
    assert models(follow(past, Priced(0.0), NEVER_FAILS)) == [OPUS, SONNET]
    assert models(follow(past, Priced(0.0), fails)) == [OPUS, OPUS]


FAMILY = st.builds(
    Family,
    name=st.text("abc", min_size=1, max_size=4),
    turns=st.floats(2, 6),
    requests=st.floats(1, 15),
    first=st.integers(5_000, 150_000),
    pause=st.floats(10, 900),
    hour=st.booleans(),
    heavy=st.floats(0, 0.7),
)


def planned(past: History, policy: Policy = DEFAULT_POLICY) -> Hindsight:
    noted = Noted()
    follow(past, noted, policy)
    return Hindsight(past, noted.openings, PRICES, policy)


@settings(max_examples=25, deadline=None)
@given(FAMILY, st.integers(0, 1_000))
def test_hindsight_costs_what_it_says_and_no_rule_that_honours_tiers_is_cheaper(family: Family, seed: int) -> None:
    past = generate(family, PRICES, 4, seed)
    hindsight = planned(past)
    dollars = [fate.spent - fate.net for fate in follow(past, Planned(hindsight.plan())) if fate is not None]
    assert sum(dollars) == pytest.approx(hindsight.usd())
    numbers = Numbers(past)
    others: list[Rule] = [Priced(0.2), Always(), OnlyUp(numbers), Every(numbers, 2), Planned({}), Ahead(0.2, 0.2)]
    for rule in others:
        assert sum(fate.spent - fate.net for fate in follow(past, rule) if fate is not None) >= hindsight.usd() - 1e-9


def test_hindsight_knows_who_goes_back_and_how_often_a_stay_ends() -> None:
    past = story(STANDARD, HEAVY, STANDARD, STANDARD_LATER)
    hindsight = planned(past)
    assert list(hindsight.returning().values()) == [True, False, False]
    assert hindsight.stays() == (0.25, 0.5)


def test_a_generated_family_is_the_same_every_time_and_reads_what_it_wrote() -> None:
    past = generate(SMALL, PRICES, 5, 1)
    assert generate(SMALL, PRICES, 5, 1).units == past.units != generate(SMALL, PRICES, 5, 2).units
    for work in past.units:
        for before, after in zip(work.requests, work.requests[1:], strict=False):
            assert (after.cache_read, after.cache_write) == (before.prompt, after.prompt - before.prompt)
    pauses = msgspec.structs.replace(SMALL, pause=400.0)
    first = [work.requests[0] for work in generate(pauses, PRICES, 20, 1).units]
    assert {one.cache_read > 0 for one in first} == {True, False}
    assert all(one.cache_read + one.cache_write == one.prompt for one in first)
    never = generate(msgspec.structs.replace(SMALL, pause=1e9), PRICES, 5, 1)
    assert not any(work.requests[0].cache_read for work in never.units)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert all(0 <= family.light + family.heavy <= 1 for family in FAMILIES)


def result() -> Result:
    return study("small", generate(SMALL, PRICES, 12, 1), PRICES, router(TIERS, CATALOG, DEFAULT_POLICY))


def test_a_study_holds_every_rule_in_dollars_per_conversation() -> None:
    found = result()
    assert {len(one.assumed) for one in found.rules.values()} == {12}
    assert found.saving(NONE) == 0.0
    assert found.rules[NONE].moved == found.rules[NONE].switches == 0
    assert found.saving(KNOWING) >= found.saving(OURS) - 1e-9
    assert found.saving(OURS, hard=True) < found.saving(OURS)
    share, (low, high) = found.beside(OURS, ONLY_UP)
    assert low <= share <= high
    assert found.dearer(OURS, KEEP) == pytest.approx(sum(found.rules[OURS].assumed) / sum(found.rules[KEEP].assumed) - 1)


def test_draws_are_of_conversations_for_both_alike() -> None:
    theirs = [1.0, 5.0, 20.0]
    share, ends = compared([0.9 * usd for usd in theirs], theirs)
    assert (share, *ends) == pytest.approx((-0.1, -0.1, -0.1))
    assert compared([], []) == (0.0, (0.0, 0.0))


def test_the_tables_name_what_they_compare(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--conversations", "3", "--family", "slow growth", "--details"])
    said = capsys.readouterr().out
    assert said.count("| slow growth |") == 1
    for rule in (NONE, KEEP, ONLY_UP, OURS, KNOWING):
        assert f"\n| {rule} | " in said


def test_recorded_logs_are_followed_as_well_and_a_home_without_any_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    main(["--conversations", "2", "--megabytes", "1", "--home", str(tmp_path), "--mode", "delegated"])
    said = capsys.readouterr()
    assert "| the audit's sample |" in said.out
    assert "| 1 MB of invented logs |" in said.out
    assert f"{tmp_path}: no log speaks of any work" in said.err
