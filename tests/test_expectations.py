import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog.records import Model
from stepdown.expectations import DEFAULTS, Expectations, default, expected_tokens
from stepdown.ledger.records import Expectation
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.units import KNOWN_TYPES, TIERS, Tier, Tokens

MODEL = Model(id="m", provider="p")
TYPES = [*KNOWN_TYPES, "hook/review", "subagent/explore", "discuss-milestone", "something-else"]


def seen(total: int, units: int, requests: float | None = None) -> Expectation:
    return Expectation(tokens=Tokens(input=total - 10, output=10), requests=requests, units=units)


@given(st.sampled_from(TYPES), st.sampled_from(TIERS))
def test_every_type_has_an_expectation(unit_type: str, tier: Tier) -> None:
    expected = expected_tokens(unit_type, tier, None, {}, DEFAULT_POLICY)
    assert expected.provenance == "estimated"
    assert expected.tokens.output > 0
    assert 0 < expected.prompt_peak <= expected.tokens.prompt
    assert expected == expected_tokens(unit_type, tier, MODEL, {}, DEFAULT_POLICY)


def test_pools() -> None:
    assert default("replan-slice") is DEFAULTS["planning/*"]
    assert default("gate-evaluate") is DEFAULTS["validation/*"]
    assert default("discuss-slice") is DEFAULTS["discuss/*"]
    assert default("something-else") is DEFAULTS["execution/*"]
    assert default("hook/review") is DEFAULTS["*"]
    assert default("subagent/explore") is DEFAULTS["*"]


def test_harder_tasks_are_expected_to_use_more() -> None:
    light, standard, heavy = (expected_tokens("execute-task", tier, None, {}, DEFAULT_POLICY) for tier in TIERS)
    assert light.tokens.total < standard.tokens.total < heavy.tokens.total
    assert light.prompt_peak == heavy.prompt_peak
    plans = {expected_tokens("plan-slice", tier, None, {}, DEFAULT_POLICY).tokens for tier in TIERS}
    assert len(plans) == 1


def test_the_ledger_is_believed_once_it_has_seen_enough() -> None:
    ref = ("execute-task", MODEL.ref)
    few = expected_tokens("execute-task", Tier.LIGHT, MODEL, {ref: seen(1000, 4, 2.0)}, DEFAULT_POLICY)
    enough = expected_tokens("execute-task", Tier.LIGHT, MODEL, {ref: seen(1000, 5, 2.0)}, DEFAULT_POLICY)
    assert few.provenance == "estimated"
    assert (enough.provenance, enough.tokens.total, enough.requests) == ("measured", 1000, 2.0)
    assert enough.prompt_peak == 990
    other = expected_tokens("execute-task", Tier.LIGHT, Model(id="x", provider="p"), {ref: seen(1000, 5)}, DEFAULT_POLICY)
    assert other.provenance == "estimated"


OTHER = Model(id="x", provider="p")

ledgers = st.dictionaries(
    st.tuples(st.sampled_from(TYPES), st.sampled_from([MODEL.ref, OTHER.ref, "p/y"])),
    st.builds(
        Expectation,
        tokens=st.builds(Tokens, input=st.integers(0, 10**6), output=st.integers(0, 10**5), cache_read=st.integers(0, 10**7)),
        requests=st.none() | st.floats(1, 100),
        units=st.integers(0, 40),
    ),
    max_size=20,
)


@given(
    st.sampled_from(TYPES), st.sampled_from(TIERS), st.integers(100, 10**8), st.integers(5, 100), st.none() | st.floats(1, 90)
)
def test_a_model_never_seen_uses_what_the_measured_one_does(
    unit_type: str, tier: Tier, total: int, units: int, requests: float | None
) -> None:
    ledger = {(unit_type, MODEL.ref): seen(total, units, requests)}
    measured = expected_tokens(unit_type, tier, MODEL, ledger, DEFAULT_POLICY)
    estimated = expected_tokens(unit_type, tier, OTHER, ledger, DEFAULT_POLICY)
    assert (measured.provenance, estimated.provenance) == ("measured", "estimated")
    assert (measured.tokens, measured.requests) == (estimated.tokens, estimated.requests)
    assert measured.prompt_peak == estimated.prompt_peak


@given(ledgers, st.sampled_from(TYPES), st.sampled_from(TIERS), st.sampled_from(["", MODEL.ref, OTHER.ref, "p/never"]))
def test_what_rests_on_the_ledger_scales_with_it(
    ledger: dict[tuple[str, str], Expectation], unit_type: str, tier: Tier, ref: str
) -> None:
    def times(factor: int) -> Expectations:
        scaled = {
            key: Expectation(tokens=one.tokens.scaled(factor), requests=one.requests, units=one.units)
            for key, one in ledger.items()
        }
        return Expectations(scaled, DEFAULT_POLICY)

    once, thrice = times(1000).of(unit_type, tier, ref), times(3000).of(unit_type, tier, ref)
    used = [(key, one) for key, one in ledger.items() if one.tokens.total]
    own = sum(one.units for (name, _), one in used if name == unit_type) >= DEFAULT_POLICY.expectation_minimum
    any_known = sum(one.units for (name, _), one in used if name in DEFAULTS) >= DEFAULT_POLICY.expectation_minimum
    factor = 3 if own or any_known else 1
    assert thrice.tokens.total == pytest.approx(factor * once.tokens.total, rel=1e-3, abs=8)
    assert thrice.provenance == once.provenance


@given(ledgers, st.sampled_from(TYPES), st.sampled_from(TIERS))
def test_measured_is_only_what_was_measured(ledger: dict[tuple[str, str], Expectation], unit_type: str, tier: Tier) -> None:
    prepared = Expectations(ledger, DEFAULT_POLICY)
    for ref in ("", MODEL.ref, OTHER.ref, "p/never"):
        own = ledger.get((unit_type, ref), Expectation(tokens=Tokens()))
        enough = own.units >= DEFAULT_POLICY.expectation_minimum and own.tokens.total > 0
        assert prepared.of(unit_type, tier, ref).provenance == ("measured" if enough else "estimated")


def test_a_type_is_expected_to_use_what_it_used_on_all_models() -> None:
    ledger = {
        ("execute-task", MODEL.ref): seen(4000, 30, 10.0),
        ("execute-task", OTHER.ref): seen(8000, 10, 30.0),
        ("execute-task", "p/idle"): seen(10**9, 0),
    }
    for tier in TIERS:
        expected = expected_tokens("execute-task", tier, Model(id="y", provider="p"), ledger, DEFAULT_POLICY)
        assert (expected.tokens.total, expected.requests, expected.provenance) == (5000, 15.0, "estimated")


def test_a_type_seen_on_many_models_needs_its_minimum_in_all() -> None:
    few = {("plan-slice", MODEL.ref): seen(4000, 2), ("plan-slice", OTHER.ref): seen(4000, 2)}
    enough = few | {("plan-slice", OTHER.ref): seen(4000, 3)}
    assert expected_tokens("plan-slice", Tier.HEAVY, None, few, DEFAULT_POLICY).tokens == DEFAULTS["plan-slice"].tokens
    assert expected_tokens("plan-slice", Tier.HEAVY, None, enough, DEFAULT_POLICY).tokens.total == 4000


def test_a_type_never_seen_is_as_small_as_the_others_are() -> None:
    tenth = {("plan-slice", MODEL.ref): seen(DEFAULTS["plan-slice"].tokens.total // 10, 8)}
    for model in (MODEL, OTHER, None):
        for tier in TIERS:
            plain = expected_tokens("execute-task", tier, model, {}, DEFAULT_POLICY)
            scaled = expected_tokens("execute-task", tier, model, tenth, DEFAULT_POLICY)
            assert scaled.tokens.total == pytest.approx(plain.tokens.total / 10, rel=1e-3)
            assert scaled.requests == plain.requests
    assert expected_tokens("execute-task", Tier.HEAVY, None, tenth, Policy(expectation_minimum=9)) == expected_tokens(
        "execute-task", Tier.HEAVY, None, {}, DEFAULT_POLICY
    )


def test_the_ledgers_scale_is_weighted_by_units() -> None:
    mixed = {
        ("plan-slice", MODEL.ref): seen(2 * DEFAULTS["plan-slice"].tokens.total, 30),
        ("run-uat", MODEL.ref): seen(DEFAULTS["run-uat"].tokens.total, 10),
    }
    expected = expected_tokens("research-slice", Tier.STANDARD, None, mixed, DEFAULT_POLICY)
    assert expected.tokens.total == pytest.approx(1.75 * DEFAULTS["research-slice"].tokens.total, rel=1e-4)


def test_a_model_carries_its_ratio_from_where_it_was_seen_beside_others() -> None:
    ledger = {
        ("plan-slice", MODEL.ref): seen(30_000, 8),
        ("plan-slice", OTHER.ref): seen(10_000, 8),
        ("run-uat", OTHER.ref): seen(5000, 8),
    }
    prepared = Expectations(ledger, DEFAULT_POLICY)
    assert prepared.of("run-uat", Tier.LIGHT, MODEL.ref).tokens.total == 7500  # 30,000 beside a mean of 20,000
    assert prepared.of("run-uat", Tier.LIGHT, "p/never").tokens.total == 5000
    wild = prepared.of("research-slice", Tier.LIGHT, "p/never").tokens.total
    assert prepared.of("research-slice", Tier.LIGHT, OTHER.ref).tokens.total == pytest.approx(wild / 2, rel=1e-3)


def test_a_model_seen_alone_or_hardly_has_no_ratio() -> None:
    alone = {("plan-slice", MODEL.ref): seen(30_000, 50), ("run-uat", OTHER.ref): seen(5000, 50)}
    hardly = {("plan-slice", MODEL.ref): seen(30_000, 4), ("plan-slice", OTHER.ref): seen(10_000, 50)}
    for ledger in (alone, hardly):
        prepared = Expectations(ledger, DEFAULT_POLICY)
        unseen = prepared.of("research-slice", Tier.LIGHT, "p/never")
        assert prepared.of("research-slice", Tier.LIGHT, MODEL.ref) == unseen


def test_asked_twice_it_answers_the_same() -> None:
    prepared = Expectations({("execute-task", MODEL.ref): seen(1000, 5)}, DEFAULT_POLICY)
    for unit_type in TYPES:
        for ref in ("", MODEL.ref):
            assert prepared.of(unit_type, Tier.HEAVY, ref) == prepared.of(unit_type, Tier.HEAVY, ref)
    assert prepared.of("execute-task", Tier.LIGHT, MODEL.ref).provenance == "measured"


def test_a_ledger_that_knows_no_requests_takes_the_defaults() -> None:
    ref = ("execute-task", MODEL.ref)
    expected = expected_tokens("execute-task", Tier.LIGHT, MODEL, {ref: seen(1000, 5, None)}, DEFAULT_POLICY)
    assert expected.requests == DEFAULTS["execute-task"].requests


def test_the_defaults_are_what_the_benchmark_prints() -> None:
    root = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("STEPDOWN_DATA") or root.parent / "shared" / "data")
    if not (data / "outcomes" / "gsd_units.csv").is_file():
        pytest.skip("no measurements: set STEPDOWN_DATA")
    command = [sys.executable, "-m", "bench.expectations", "--data", str(data)]
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    table = re.findall(r'"(.+)": _row\((.+), (.+), (.+), (.+), (.+)\),', printed)
    assert {name for name, *_ in table} == DEFAULTS.keys()
    for name, *numbers in table:
        fresh, output, read, write = map(int, numbers[:4])
        assert DEFAULTS[name].tokens == Tokens(input=fresh, output=output, cache_read=read, cache_write=write)
        assert DEFAULTS[name].requests == float(numbers[4])
