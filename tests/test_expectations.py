import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog.records import Model
from stepdown.expectations import DEFAULTS, Expectations, default, expected_tokens, token_ratios
from stepdown.ledger.port import Expectation
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


def test_a_model_carries_its_ratio_from_other_types() -> None:
    twice = {("plan-slice", MODEL.ref): seen(2 * DEFAULTS["plan-slice"].tokens.total, 8)}
    assert token_ratios(twice, DEFAULT_POLICY) == {MODEL.ref: pytest.approx(2.0)}
    plain = expected_tokens("research-slice", Tier.STANDARD, None, {}, DEFAULT_POLICY)
    scaled = expected_tokens("research-slice", Tier.STANDARD, MODEL, twice, DEFAULT_POLICY)
    assert scaled.tokens.total == pytest.approx(2 * plain.tokens.total, rel=1e-4)
    assert token_ratios(twice, Policy(expectation_minimum=9)) == {}
    unseen = expected_tokens("research-slice", Tier.STANDARD, Model(id="x", provider="p"), twice, DEFAULT_POLICY)
    assert unseen.tokens == plain.tokens


def test_the_ratio_is_weighted_by_units() -> None:
    mixed = {
        ("plan-slice", MODEL.ref): seen(2 * DEFAULTS["plan-slice"].tokens.total, 30),
        ("run-uat", MODEL.ref): seen(DEFAULTS["run-uat"].tokens.total, 10),
    }
    assert token_ratios(mixed, DEFAULT_POLICY) == {MODEL.ref: pytest.approx(1.75)}


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
