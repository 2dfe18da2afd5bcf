"""Preferences with something else in them."""

from pathlib import Path

import pytest

from stepdown.catalog import Catalog
from stepdown.errors import CatalogError, PreferencesError
from stepdown.preferences.changed import load_changed
from stepdown.units import Tier

PRESENT = """models: {execution: claude-opus-4-6, planning: claude-opus-4-6}
dynamic_routing:
  enabled: true
  thresholds: {heavy_steps: 9, heavy_files: 7}
catalog:
  gpt-4.1: {price: {input: 1, output: 2}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "stepdown.yaml").write_text(PRESENT)
    return tmp_path


def test_nothing_changed_is_what_there_is(project: Path) -> None:
    same = load_changed(project, home=project / "home")
    assert (same.policy.heavy_steps, same.policy.heavy_files, same.dynamic_routing.enabled) == (9, 7, True)


@pytest.mark.parametrize("key", ["heavy_steps", "thresholds.heavy_steps", "dynamic_routing.thresholds.heavy_steps"])
def test_one_setting_leaves_the_others(project: Path, key: str) -> None:
    changed = load_changed(project, settings=[f"{key}=12"], home=project / "home")
    assert (changed.policy.heavy_steps, changed.policy.heavy_files, changed.dynamic_routing.enabled) == (12, 7, True)


def test_settings_of_every_depth_and_the_last_one_counts(project: Path) -> None:
    settings = [
        "tier_models.light=gpt-5-mini",
        "models.execution={model: claude-sonnet-4-6, fallbacks: [claude-opus-4-6]}",
        "escalate_to=ceiling",
        "dynamic_model_routing=false",
        "budgets=[{unit: usd, limit: 3, window: day}]",
        "budget_ceiling=4",
        "budget_ceiling=5",
        "heavy_files=",
    ]
    changed = load_changed(project, settings=settings, home=project / "home")
    assert changed.dynamic_routing.tier_models[Tier.LIGHT].model == "gpt-5-mini"
    assert changed.models["execution"].fallbacks == ("claude-opus-4-6",)
    assert changed.models["planning"].model == "claude-opus-4-6"
    assert (changed.dynamic_routing.escalate_to, changed.dynamic_routing.enabled) == ("ceiling", False)
    assert (changed.budget_ceiling, changed.budgets[0].limit) == (5, 3)
    assert changed.policy.heavy_files == 6  # nothing is the default


def test_a_models_name_may_have_dots(project: Path) -> None:
    settings = ["catalog.gpt-4.1.price.output=9", "catalog.gpt-4.1.tier=heavy"]
    changed = load_changed(project, settings=settings, home=project / "home")
    assert changed.catalog == {"gpt-4.1": {"price": {"input": 1, "output": 9}, "tier": "heavy"}}


def test_sections_of_another_file_replace_the_present_ones_whole(project: Path) -> None:
    other = project / "other.md"
    other.write_text("---\nversion: 1\nmodels: {execution: claude-sonnet-4-6}\ndynamic_model_routing: true\n---\n")
    changed = load_changed(project, replacing=other, home=project / "home")
    assert set(changed.models) == {"execution"}
    assert changed.policy.heavy_steps == 8
    assert changed.catalog  # what it does not mention stays


@pytest.mark.parametrize("text", ["gpt-4.1: {price: {output: 7}}\n", "catalog: {gpt-4.1: {price: {output: 7}}}\n"])
def test_a_price_list_changes_the_prices_it_names(project: Path, text: str) -> None:
    prices = project / "prices.yaml"
    prices.write_text(text)
    changed = load_changed(project, prices=prices, home=project / "home")
    assert changed.catalog == {"gpt-4.1": {"price": {"input": 1, "output": 7}}}
    model = Catalog.load(changed.catalog).resolve("gpt-4.1")
    assert model is not None
    assert model.price is not None
    assert model.price.rates.output == 7


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("foo.bar=1", "--set foo.bar: 'foo' is not a key that stepdown knows; there are agents, "),
        ("thresold.heavy_steps=1", "--set thresold.heavy_steps: 'thresold' is not a key that stepdown knows; did you mean"),
        ("thresholds.heavy_stepz=1", "--set thresholds.heavy_stepz: dynamic_routing.thresholds.heavy_stepz: there is no such"),
        ("dynamic_routing.learning=bayes", "--set dynamic_routing.learning: dynamic_routing.learning is one of "),
        ("heavy_steps=many", "--set heavy_steps: dynamic_routing.thresholds.heavy_steps is a whole number, not many"),
        ("heavy_steps", "--set heavy_steps: KEY=VALUE is meant, such as thresholds.heavy_steps=12"),
        ("=3", "--set =3: KEY=VALUE is meant, such as thresholds.heavy_steps=12"),
        ("catalog.gpt-4.1=3", "--set catalog.gpt-4.1: catalog.MODEL.FACT is meant, such as catalog.gpt-5-mini.price.input=0.2"),
        ("models.execution=[a", "--set models.execution: not valid YAML: "),
        ("models.execution=a: b", "--set models.execution: not valid YAML: "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_setting(project: Path, setting: str, said: str) -> None:
    with pytest.raises(PreferencesError) as error:
        load_changed(project, settings=[setting], home=project / "home")
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "{0}: there is no such price list file"),
        ("", "{0}: no prices in it; write 'MODEL: {{price: {{input: 0.5, output: 2}}}}'"),
        (
            "gpt-4.1: 3\n",
            "{0}:1: 'gpt-4.1' is a model with facts such as 'price: {{input: 0.5, output: 2}}', not a single value",
        ),
        ("- 1\n", "{0}:1: keys with values are expected here ('budget_ceiling: 25')"),
    ],
)
def test_what_is_wrong_with_a_price_list(project: Path, text: str | None, said: str) -> None:
    prices = project / "prices.yaml"
    if text is not None:
        prices.write_text(text)
    with pytest.raises(PreferencesError) as error:
        load_changed(project, prices=prices, home=project / "home")
    assert str(error.value) == said.format(prices)


def test_a_price_that_is_none_is_the_catalogues_to_refuse(project: Path) -> None:
    changed = load_changed(project, settings=["catalog.gpt-4.1.price.input=cheap"], home=project / "home")
    with pytest.raises(CatalogError, match=r"catalog\.gpt-4\.1\.price\.input"):
        Catalog.load(changed.catalog)


def test_a_file_that_is_not_there(project: Path) -> None:
    with pytest.raises(PreferencesError, match="there is no such preferences file"):
        load_changed(project, replacing=project / "nothing.yaml", home=project / "home")
