import pytest

from stepdown.catalog import Catalog, Model
from stepdown.catalog.corrections import Facts
from stepdown.errors import CatalogError
from stepdown.units import Tier, Tokens

MINE: dict[str, object] = {
    "provider": "acme",
    "tier": "light",
    "context": 128000,
    "output": 16000,
    "price": {"input": 0.5, "output": 2},
}


def resolved(name: str, extra: dict[str, Facts], provider: str = "") -> Model:
    model = Catalog.load(extra, on="2026-11-23").resolve(name, provider)
    assert model is not None
    return model


def test_a_model_of_ones_own() -> None:
    mine = resolved("my-model", {"my-model": MINE})
    assert (mine.ref, mine.tier, mine.context, mine.output) == ("acme/my-model", Tier.LIGHT, 128000, 16000)
    assert mine.cost(Tokens(input=1_000_000, output=1_000_000)) == 2.5
    assert mine.features == {"tools"}
    assert mine in Catalog.load({"my-model": MINE}).of_tier(Tier.LIGHT)


def test_a_correction_changes_what_it_names_and_nothing_else() -> None:
    shipped = resolved("claude-haiku-4-5", {})
    mended = resolved(
        "claude-haiku-4-5", {"claude-haiku-4.5": {"context": 190000, "price": {"input": 0.9}, "aliases": ["fast"]}}
    )
    assert shipped.price is not None
    assert mended.price is not None
    assert (mended.ref, mended.context, mended.output, mended.features) == (
        shipped.ref,
        190000,
        shipped.output,
        shipped.features,
    )
    assert (mended.price.rates.input, mended.price.rates.output) == (0.9, shipped.price.rates.output)
    assert mended.price.rates.cache_read == shipped.price.rates.cache_read
    assert mended.price.source == "the preferences"
    assert mended.aliases == (*shipped.aliases, "fast")
    assert resolved("fast", {"claude-haiku-4.5": {"aliases": ["fast"]}}).ref == shipped.ref


def test_a_correction_by_seller_leaves_the_other_sellers_alone() -> None:
    extra: dict[str, Facts] = {"anthropic/claude-opus-4.6": {"context": 500000}}
    assert resolved("anthropic/claude-opus-4.6", extra).context == 500000
    assert resolved("claude-opus-4-6", extra).context == 1000000


def test_a_known_name_at_another_seller_is_a_new_model() -> None:
    extra: dict[str, Facts] = {"claude-opus-4-6": {"provider": "acme", "tier": "heavy"}}
    assert resolved("claude-opus-4-6", extra, "acme").price is None
    assert resolved("claude-opus-4-6", extra, "anthropic").price is not None
    assert resolved("claude-opus-4-6", extra).provider == "acme"


def test_a_local_model_fits_once_its_window_is_said() -> None:
    assert resolved("gpt-oss:20b", {"gpt-oss:20b": {"context": 32768}}).context == 32768


def test_an_id_of_ones_own_may_look_like_a_window_suffix() -> None:
    assert resolved("odd[1m]", {"odd[1m]": MINE}).ref == "acme/odd[1m]"


def test_the_shipped_catalogue_is_untouched() -> None:
    Catalog.load({"claude-haiku-4-5": {"context": 1}})
    assert resolved("claude-haiku-4-5", {}).context == 200000


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"tier": "light"}, "catalog.m.provider: missing; say who sells 'm'"),
        ({"provider": "acme"}, "catalog.m.tier: missing; must be one of light, standard, heavy"),
        (MINE | {"contxt": 1}, "catalog.m.contxt: unknown key; did you mean 'context'?"),
        (MINE | {"xyz": 1}, "catalog.m.xyz: unknown key; possible are provider, tier"),
        (MINE | {"tier": "medium"}, "catalog.m.tier: must be one of light, standard, heavy, not str 'medium'"),
        (MINE | {"tier": 1}, "catalog.m.tier: must be one of"),
        (MINE | {"status": "old"}, "catalog.m.status: must be one of current, legacy, retired"),
        (MINE | {"context": "128k"}, "catalog.m.context: must be a whole number of tokens above 0"),
        (MINE | {"context": True}, "catalog.m.context: must be a whole number"),
        (MINE | {"output": 0}, "catalog.m.output: must be a whole number"),
        (MINE | {"price": 2}, "catalog.m.price: must be a mapping like {input: 0.5, output: 2}, not int 2"),
        (MINE | {"price": {"input": 1}}, "catalog.m.price.output: missing"),
        (MINE | {"price": {"input": 1, "outptu": 1}}, "catalog.m.price.outptu: unknown key; did you mean 'output'?"),
        (
            MINE | {"price": {"input": -1, "output": 1}},
            "catalog.m.price.input: must be US dollars per million tokens, 0 or more",
        ),
        (MINE | {"price": {"input": float("nan"), "output": 1}}, "catalog.m.price.input: must be US dollars"),
        (MINE | {"price": {"input": None, "output": 1}}, "catalog.m.price.input: must be US dollars per million tokens"),
        (MINE | {"features": ["tool"]}, "catalog.m.features: unknown 'tool'; did you mean 'tools'?"),
        (MINE | {"features": "tools"}, "catalog.m.features: must be a list of words, not str 'tools'"),
        (MINE | {"protocols": ["message"]}, "catalog.m.protocols: unknown 'message'; did you mean 'messages'?"),
        (MINE | {"aliases": [1]}, "catalog.m.aliases: must be a list of words"),
        (MINE | {"aliases": ["gpt-5"]}, "catalog.m.aliases: 'gpt-5' is already a name of openai/gpt-5"),
        (MINE | {"family": 5}, "catalog.m.family: must be text, not int 5"),
        (MINE | {"provider": 5}, "catalog.m.provider: must be text, not int 5"),
        (5, "catalog.m: must be a mapping like {provider: anthropic, tier: light}, not int 5"),
        (None, "catalog.m: must be a mapping like {provider: anthropic, tier: light}, not nothing"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_and_what(facts: Facts, message: str) -> None:
    with pytest.raises(CatalogError) as raised:
        Catalog.load({"m": facts})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_that_yaml_took_for_a_number_is_an_error() -> None:
    with pytest.raises(CatalogError, match="put it in quotes"):
        Catalog.load({4.1: MINE})  # type: ignore[dict-item]  # YAML does this
