import csv
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog, Model
from stepdown.units import TIERS, Tier, Tokens

CATALOG = Catalog.load(on="2026-11-23")
MODELS = st.sampled_from(CATALOG.models)
NAMES = {name.lower() for model in CATALOG for name in (model.id, *model.aliases)}
COUNTS = st.integers(min_value=0, max_value=10**9)
TOKENS = st.builds(Tokens, input=COUNTS, output=COUNTS, cache_read=COUNTS, cache_write=COUNTS)


@given(MODELS)
def test_every_name_of_a_model_at_its_seller_finds_it(model: Model) -> None:
    for name in (model.id, *model.aliases):
        assert CATALOG.resolve(name, model.provider) is model
        assert CATALOG.resolve(name.upper(), model.provider) is model
    assert CATALOG.resolve(model.ref) is model
    assert CATALOG.find_ref(model.ref) is model


@given(MODELS)
def test_a_name_without_a_seller_means_the_model_or_its_vendors(model: Model) -> None:
    for name in (model.id, *model.aliases):
        found = CATALOG.resolve(name)
        assert found is not None
        # An OpenRouter id can also be read as vendor and model; then the vendor is meant.
        assert found is model or (found.ref == name and found.family == model.family)


@given(MODELS, st.sampled_from(["-20250929", "-2025-08-07"]))
def test_a_date_suffix_does_not_hide_a_model(model: Model, date: str) -> None:
    assert CATALOG.resolve(model.ref + date) is model


@given(MODELS, st.data())
def test_a_part_of_a_name_or_more_than_it_never_resolves(model: Model, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([model.id, *model.aliases]))
    start = data.draw(st.integers(0, len(name) - 1))
    part = name[start : data.draw(st.integers(start, len(name)))]
    longer = data.draw(st.text("abcxyz-.", min_size=1, max_size=3)) + name
    for guess in (part, longer, name + longer):
        if guess.strip().lower() in NAMES or "/" in guess:
            continue
        assert CATALOG.resolve(guess) is None, guess


@given(st.text())
def test_any_text_is_a_known_name_or_resolves_to_nothing(text: str) -> None:
    found = CATALOG.resolve(text)
    assert found is None or text.strip().lower().rpartition("/")[2].startswith(tuple(NAMES))
    CATALOG.find_ref(text)
    CATALOG.nearest(text)


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("claude-opus-4.6", "anthropic/claude-opus-4-6"),
        ("anthropic/claude-opus-4-6", "anthropic/claude-opus-4-6"),
        ("anthropic/claude-opus-4.6", "openrouter/anthropic/claude-opus-4.6"),
        ("openrouter/anthropic/claude-opus-4.6", "openrouter/anthropic/claude-opus-4.6"),
        ("moonshotai/kimi-k2.5", "openrouter/moonshotai/kimi-k2.5"),
        ("kimi-k2.5", "moonshot/kimi-k2.5"),
        ("openai/gpt-5.4", "openai/gpt-5.4"),
        ("deepseek-v3.2", "openrouter/deepseek/deepseek-v3.2"),
        ("minimax-m2.7", "minimax/MiniMax-M2.7"),
        ("x-ai/grok-4.5", "xai/grok-4.5"),
        (" claude-haiku-4-5-20251001 ", "anthropic/claude-haiku-4-5"),
        ("anthropic/claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("o3-20250416", "openai/o3"),
    ],
)
def test_names_as_people_write_them(catalog: Catalog, name: str, ref: str) -> None:
    found = catalog.resolve(name)
    assert found is not None
    assert found.ref == ref


@pytest.mark.parametrize(
    "name", ["", " ", "/", "haiku", "claude", "gpt", "claude-opus", "openai/", "openai/claude-opus-4-6", "[1m]"]
)
def test_what_names_no_model_resolves_to_nothing(catalog: Catalog, name: str) -> None:
    assert catalog.resolve(name) is None
    assert catalog.find_ref(name) is None


def test_a_named_seller_is_the_only_one_asked(catalog: Catalog) -> None:
    resold = catalog.resolve("openai/gpt-5.4", "openrouter")
    assert resold is not None
    assert resold.ref == "openrouter/openai/gpt-5.4"
    assert catalog.resolve("gpt-5.4", "anthropic") is None
    assert catalog.resolve("anthropic/claude-opus-4-6", "anthropic") is catalog.resolve("claude-opus-4-6")
    assert catalog.resolve("kimi-k2.6", "moonshotai") is catalog.resolve("kimi-k2.6")


def test_a_window_suffix_stays_in_the_id_where_the_model_has_that_window(catalog: Catalog) -> None:
    plain = catalog.resolve("claude-opus-4-6")
    wide = catalog.resolve("claude-opus-4.6[1M]")
    assert plain is not None
    assert wide is not None
    assert (wide.id, wide.bare_id, wide.context) == ("claude-opus-4-6[1m]", plain.id, 1_000_000)
    assert (wide.family, wide.tier, wide.price) == (plain.family, plain.tier, plain.price)
    assert catalog.find_ref(wide.ref) == wide
    assert catalog.price_on(wide, "2026-11-23") == plain.price
    assert catalog.resolve("claude-haiku-4-5[1m]") is None


def test_the_nearest_name_is_offered_for_a_typo(catalog: Catalog) -> None:
    assert catalog.nearest("claude-sonet-4-6") == "claude-sonnet-4-6"
    assert catalog.nearest("anthropic/claude-hiku-4-5") == "anthropic/claude-haiku-4.5"
    assert catalog.nearest("minimax-m2,7") == "MiniMax-M2.7"
    assert catalog.nearest("???") is None


def test_routing_chooses_among_current_models_that_use_tools(catalog: Catalog) -> None:
    for tier in TIERS:
        chosen = catalog.of_tier(tier)
        assert chosen
        assert all(model.tier is tier and model.status == "current" and "tools" in model.features for model in chosen)
    assert sum(len(catalog.of_tier(tier)) for tier in TIERS) == sum(model.status == "current" for model in catalog)


@given(MODELS, TOKENS, TOKENS, st.none() | COUNTS)
def test_cost_is_additive_and_never_negative(model: Model, one: Tokens, two: Tokens, prompt: int | None) -> None:
    first, second = model.cost(one, longest_prompt=prompt), model.cost(two, longest_prompt=prompt)
    together = model.cost(one + two, longest_prompt=prompt)
    assert first is not None
    assert second is not None
    assert min(first, second) >= 0
    assert together == pytest.approx(first + second)


@given(MODELS, TOKENS, COUNTS, COUNTS)
def test_a_longer_prompt_is_never_cheaper(model: Model, tokens: Tokens, one: int, two: int) -> None:
    short, long = model.cost(tokens, longest_prompt=min(one, two)), model.cost(tokens, longest_prompt=max(one, two))
    assert short is not None
    assert long is not None
    assert short <= long


def test_an_unknown_price_costs_an_unknown_amount() -> None:
    own = Catalog.load({"mine": {"provider": "acme", "tier": "light"}}, on="2026-11-23").resolve("mine")
    assert own is not None
    assert own.cost(Tokens(input=1)) is None


def test_prices_are_those_of_the_day() -> None:
    def price(day: str) -> float | None:
        model = Catalog.load(on=day).resolve("gemini-4-argon")
        assert model is not None
        return model.cost(Tokens(input=1_000_000))

    assert (price("2026-11-30"), price("2026-12-01")) == (2.0, 4.0)
    catalog = Catalog.load(on="2026-11-30")
    argon = catalog.resolve("gemini-4-argon")
    assert argon is not None
    later = catalog.price_on(argon, "2026-12-01")
    assert later is not None
    assert (later.rates.input, later.since) == (4.0, "2026-12-01")


def test_the_catalogue_can_be_walked_but_not_changed(catalog: Catalog) -> None:
    assert len(list(catalog)) == len(catalog) == len(catalog.models)
    with pytest.raises(AttributeError):
        catalog.more = 1  # type: ignore[attr-defined]  # that is what is tested
    with pytest.raises(AttributeError):
        catalog.models[0].id = "x"  # type: ignore[misc]  # that is what is tested


def test_models_of_real_runs_are_known(catalog: Catalog) -> None:
    data = Path(os.environ.get("STEPDOWN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
    files = [data / "outcomes" / name for name in ("gsd_units.csv", "swebench_verified_django.csv", "bashkit.csv")]
    if not all(file.exists() for file in files):
        pytest.skip(f"no recorded outcomes in {data}; set STEPDOWN_DATA")
    names = {row["model"] for file in files for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())}
    unknown = {name for name in names if catalog.resolve(name) is None}
    # A private fine-tune, and another reseller's free variant: no catalogue can know them.
    assert unknown <= {"Qwen3.5-35B-A3B-Claude-4.6-Opus", "oc/minimax-m2.5-free"}
    assert len(names) > 20


def test_tiers_are_ordered(catalog: Catalog) -> None:
    assert [catalog.models[n].tier for n in range(3)] == [Tier.LIGHT, Tier.STANDARD, Tier.HEAVY]
    assert all(re.fullmatch(r"\S+", model.id) for model in catalog)


def test_what_is_cached_for_an_hour_costs_twice_the_input() -> None:
    catalog = Catalog.load(on="2026-11-01")
    written = Tokens(cache_write=1_000_000)
    opus, gpt = catalog.resolve("claude-opus-4-6"), catalog.resolve("gpt-4.1")
    assert opus is not None
    assert gpt is not None
    assert [opus.cost(written), opus.cost(written, written_1h=1_000_000)] == [6.25, 10.0]
    assert gpt.cost(written, written_1h=1_000_000) == gpt.cost(written)
