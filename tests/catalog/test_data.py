"""The facts themselves: complete, sourced, consistent, and generated files unedited."""

import datetime as dt
import shutil
import subprocess
import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from stepdown.catalog import Catalog, Model
from stepdown.catalog.compiled import DATA, read
from stepdown.catalog.records import FEATURES, PROTOCOLS, STATUSES
from stepdown.errors import CatalogError
from stepdown.providers import KNOWN

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prices.py"
TODAY = dt.datetime.now(dt.UTC).date()
VENDORS = {"anthropic", "openai", "google", "deepseek", "moonshot", "zai", "alibaba", "minimax", "mistral", "xai"}
LOCAL = {"ollama", "lmstudio", "vllm"}

DEARER_THAN_A_STRONGER = {
    # The vendor's newer generation costs less than its older one a tier below.
    ("openai/gpt-5.6-terra", "openai/gpt-6.1-sol"),
    ("openai/gpt-5.6-terra", "openai/gpt-6-sol"),
    ("openai/gpt-5.4", "openai/gpt-6.1-sol"),
    ("openai/gpt-5.4", "openai/gpt-6-sol"),
    # An introductory price, until 2026-11-30.
    ("google/gemini-3.1-pro-preview", "google/gemini-4-argon"),
}


def run(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments, "--directory", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("models.yaml", "prices.yaml", "data.json"):
        shutil.copy(DATA.with_name(name), tmp_path / name)
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_generated_files_are_what_the_script_writes() -> None:
    checked = run("--check", directory=DATA.parent)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_price_edited_by_hand_is_noticed(copy: Path) -> None:
    replace(copy / "prices.yaml", "{input: 1, output: 5,", "{input: 1, output: 4,")
    checked = run("--check", directory=copy)
    assert checked.returncode == 1
    assert "prices.yaml was edited by hand" in checked.stderr


def test_a_correction_is_noticed_until_it_is_compiled(copy: Path) -> None:
    replace(
        copy / "models.yaml",
        "claude-haiku-4-5:\n        {tier: light, context: 200000",
        "claude-haiku-4-5:\n        {tier: light, context: 190000",
    )
    stale = run("--check", directory=copy)
    assert stale.returncode == 1
    assert "data.json is out of date" in stale.stderr
    assert run("--compile", directory=copy).returncode == 0
    assert run("--check", directory=copy).returncode == 0
    assert {entry.model.context for entry in read(copy / "data.json").entries if entry.model.id == "claude-haiku-4-5"} == {
        190000
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "features: [claude, thinking, sampling, prefill",
            "features: [claude, thinkin, sampling, prefill",
            "anthropic/claude-haiku-4-5: thinkin is no feature",
        ),
        ("{of: anthropic/claude-haiku-5-5}", "{of: anthropic/claude-haiku-6}", "of: anthropic/claude-haiku-6 is not above it"),
        ("{tier: light, context: 200000", "{tier: light, contxt: 200000", "anthropic/claude-haiku-4-5: unknown key contxt"),
    ],
)
def test_a_mistake_in_the_reviewed_file_is_named(copy: Path, old: str, new: str, message: str) -> None:
    replace(copy / "models.yaml", old, new)
    compiled = run("--compile", directory=copy)
    assert compiled.returncode == 1
    assert message in compiled.stderr
    assert "Traceback" not in compiled.stderr


def test_a_broken_data_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="reinstall stepdown"):
        read(tmp_path / "data.json")
    (tmp_path / "data.json").write_bytes(b"{")
    with pytest.raises(CatalogError, match="reinstall stepdown"):
        read(tmp_path / "data.json")


def test_there_are_current_models_of_every_vendor_resold_and_local(catalog: Catalog) -> None:
    current = Counter(model.provider for model in catalog if model.status == "current")
    assert sum(current[vendor] for vendor in VENDORS) >= 70
    assert VENDORS | LOCAL | {"openrouter"} == set(current) == set(KNOWN)


def test_every_fact_has_a_source_and_a_date(catalog: Catalog) -> None:
    for model in catalog:
        assert model.source, model.ref
        assert dt.date.fromisoformat(model.checked) <= TODAY, model.ref
        assert model.family, model.ref
        assert model.tier is not None, model.ref
        assert "tools" in model.features, model.ref
        assert model.features <= FEATURES, model.ref
        assert model.protocols, model.ref
        assert set(model.protocols) <= set(PROTOCOLS) & set(KNOWN[model.provider].protocols), model.ref
        assert model.status in STATUSES, model.ref


def test_every_price_has_a_source_and_a_date() -> None:
    for entry in read().entries:
        assert entry.prices, entry.model.ref
        assert [price.since for price in entry.prices] == sorted({price.since for price in entry.prices}), entry.model.ref
        for price in entry.prices:
            assert price.source, entry.model.ref
            assert dt.date.fromisoformat(price.checked) <= TODAY, entry.model.ref
            above = [tier.above for tier in price.long_context]
            assert above == sorted(set(above)), entry.model.ref


def test_todays_rates_are_plausible(catalog: Catalog) -> None:
    for model in catalog:
        assert model.price is not None
        for rates in (model.price.rates, *(tier.rates for tier in model.price.long_context)):
            assert 0 <= rates.input <= rates.output, model.ref
            assert rates.cache_read is None or rates.cache_read <= rates.input, model.ref
            assert rates.cache_write is None or rates.cache_write >= rates.input, model.ref


def test_only_a_local_model_costs_nothing_and_says_why(catalog: Catalog) -> None:
    for model in catalog:
        assert model.price is not None
        assert (model.price.rates.input == 0) == KNOWN[model.provider].local, model.ref
        if model.provider in LOCAL:
            assert model.price.source == "local: nothing is billed"
            assert model.context is None


def test_limits_are_possible(catalog: Catalog) -> None:
    for model in catalog:
        if model.context is not None and model.output is not None:
            assert 4_000 <= model.output <= model.context, model.ref


def test_no_name_stands_for_two_models_of_one_seller_or_of_two_vendors(catalog: Catalog) -> None:
    for group in ([vendor] for vendor in KNOWN):
        names = Counter(name.lower() for model in catalog if model.provider in group for name in (model.id, *model.aliases))
        assert [name for name, count in names.items() if count > 1] == []
    names = Counter(name.lower() for model in catalog if model.provider in VENDORS for name in (model.id, *model.aliases))
    assert [name for name, count in names.items() if count > 1] == []


def test_refs_are_unique(catalog: Catalog) -> None:
    assert len({model.ref for model in catalog}) == len(catalog)


def dearer(weaker: Model, stronger: Model) -> bool:
    """At both rates at least as dear, and at one of them dearer."""
    assert weaker.price is not None
    assert stronger.price is not None
    weak, strong = weaker.price.rates, stronger.price.rates
    return (
        (weak.input, weak.output) != (strong.input, strong.output)
        and weak.input >= strong.input
        and weak.output >= strong.output
    )


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_a_lower_tier_is_never_dearer_than_a_higher_one_of_its_vendor(catalog: Catalog, vendor: str) -> None:
    current = [model for model in catalog if model.provider == vendor and model.status == "current"]
    found = {
        (weaker.ref, stronger.ref)
        for weaker, stronger in permutations(current, 2)
        if weaker.tier is not None and stronger.tier is not None and weaker.tier < stronger.tier and dearer(weaker, stronger)
    }
    assert found == {pair for pair in DEARER_THAN_A_STRONGER if pair[0].startswith(f"{vendor}/")}


def test_haiku_4_5_is_what_its_users_found_it_to_be(catalog: Catalog) -> None:
    haiku = catalog.resolve("claude-haiku-4-5")
    assert haiku is not None
    assert (haiku.context, haiku.output) == (200_000, 64_000)
    assert not haiku.features & {"adaptive_thinking", "effort", "system_role"}
    assert "thinking" in haiku.features


def test_every_feature_is_explained_to_the_user() -> None:
    reference = (SCRIPT.parents[1] / "docs/reference/catalogue.md").read_text(encoding="utf-8")
    assert [feature for feature in sorted(FEATURES) if f"`{feature}`" not in reference] == []


def having(catalog: Catalog, feature: str, provider: str) -> set[str]:
    """Who of a provider's current models has a feature."""
    return {
        model.id for model in catalog if model.provider == provider and model.status == "current" and feature in model.features
    }


CLAUDE_5_5 = {"claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2"}
CLAUDE_4_6 = {"claude-opus-4-6", "claude-sonnet-4-6"}
FROM_GPT_5_6 = {
    *("gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.6-sol"),
    *("gpt-6-luna", "gpt-6-sol", "gpt-6-astra", "gpt-6.1-terra", "gpt-6.1-sol"),
}


@pytest.mark.parametrize(
    ("feature", "ids"),
    [
        ("turn_effort", CLAUDE_5_5 | {"claude-opus-5"}),
        ("tool_changes", CLAUDE_5_5 | {"claude-opus-5", "claude-opus-4-8"}),
        ("system_role", CLAUDE_5_5 | {"claude-opus-5", "claude-opus-4-8"}),
        ("effort:xhigh", CLAUDE_5_5 | {"claude-opus-5", "claude-sonnet-5", "claude-opus-4-8", "claude-opus-4-7"}),
        ("effort:max", CLAUDE_5_5 | CLAUDE_4_6 | {"claude-opus-5", "claude-sonnet-5", "claude-opus-4-8", "claude-opus-4-7"}),
        ("sampling", CLAUDE_4_6 | {"claude-haiku-4-5"}),
        ("prefill", {"claude-haiku-4-5"}),
    ],
)
def test_the_newer_features_of_claude_are_where_the_vendor_says(catalog: Catalog, feature: str, ids: set[str]) -> None:
    assert having(catalog, feature, "anthropic") == ids


def test_models_that_always_think_cannot_be_told_not_to_or_be_forced(catalog: Catalog) -> None:
    always = {"claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2"}
    assert not (having(catalog, "thinking_off", "anthropic") | having(catalog, "forced_tools", "anthropic")) & always


@pytest.mark.parametrize("feature", ["additional_tools", "reasoning_context", "effort:max"])
def test_what_codex_asks_of_its_newest_models_is_theirs_alone(catalog: Catalog, feature: str) -> None:
    assert having(catalog, feature, "openai") == FROM_GPT_5_6


@pytest.mark.parametrize("feature", ["verbosity", "tool_search"])
def test_codex_models_before_5_4_take_neither_verbosity_nor_tool_search(catalog: Catalog, feature: str) -> None:
    found = having(catalog, feature, "openai")
    assert FROM_GPT_5_6 | {"gpt-5.5", "gpt-5.4", "gpt-5.4-mini"} <= found
    assert "gpt-5.3-codex" not in found


def test_an_effort_beyond_the_ordinary_is_an_effort(catalog: Catalog) -> None:
    for model in catalog:
        assert "effort" in model.features or not any(name.startswith("effort:") for name in model.features), model.ref
        assert "system_role" in model.features or "turn_effort" not in model.features, model.ref


def test_a_reseller_passes_on_no_more_than_is_known(catalog: Catalog) -> None:
    """It may drop a parameter without a word, and then the answer is another."""
    resold = {model.ref: model for model in catalog if model.provider == "openrouter"}
    opus = resold["openrouter/anthropic/claude-opus-5.5"]
    assert {"adaptive_thinking", "effort", "tools"} <= opus.features
    unknown = {"server_tools", "system_role", "turn_effort", "tool_changes", "effort:max", "sampling", "verbosity"}
    assert not any(model.features & unknown for model in resold.values())
