import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog, Model
from stepdown.preferences.schema import DynamicRouting, ModelChoice, Preferences, ProviderSettings
from stepdown.providers import KNOWN, participating, providers, unused_keys
from stepdown.units import Tier

CATALOG = Catalog.load(on="2026-11-23")
SECRET = "sk-secret-value"


def model(name: str) -> Model:
    found = CATALOG.resolve(name)
    assert found is not None
    return found


def test_a_key_in_the_environment_is_no_consent() -> None:
    assert participating(Preferences(), CATALOG, model("claude-opus-4-6")) == {"anthropic"}
    assert participating(Preferences(), CATALOG, None) == frozenset()


def test_listed_and_named_providers_take_part() -> None:
    preferences = Preferences(
        models={"execution": ModelChoice("claude-sonnet-4-6", fallbacks=("gpt-5.4", "no-such-model"))},
        dynamic_routing=DynamicRouting(tier_models={Tier.LIGHT: ModelChoice("moonshotai/kimi-k2.5")}),
        providers={"z-ai": ProviderSettings(), "acme": ProviderSettings(base_url="http://127.0.0.1:1")},
    )
    assert participating(preferences, CATALOG, model("claude-opus-4-6")) == {"anthropic", "openai", "openrouter", "zai", "acme"}


def test_without_cross_provider_only_the_ceilings_own_takes_part() -> None:
    preferences = Preferences(
        models={"planning": ModelChoice("gpt-5.4")},
        providers={"zai": ProviderSettings()},
        dynamic_routing=DynamicRouting(cross_provider=False),
    )
    assert participating(preferences, CATALOG, model("claude-opus-4-6")) == {"anthropic"}


def test_a_disabled_provider_never_takes_part() -> None:
    preferences = Preferences(providers={"moonshot": ProviderSettings()}, disabled_model_providers=("moonshotai", "anthropic"))
    assert participating(preferences, CATALOG, model("claude-opus-4-6")) == frozenset()


def test_an_unknown_model_brings_in_only_the_provider_said_with_it() -> None:
    preferences = Preferences(
        models={"default": ModelChoice("secret-model", provider="acme"), "planning": ModelChoice("nobody-knows")}
    )
    assert participating(preferences, CATALOG, None) == {"acme"}


NAMES = st.frozensets(st.sampled_from(sorted(KNOWN)))


@given(NAMES, NAMES, st.booleans(), st.none() | st.sampled_from(CATALOG.models))
def test_nobody_takes_part_unasked(
    listed: frozenset[str], disabled: frozenset[str], cross: bool, ceiling: Model | None
) -> None:
    preferences = Preferences(
        providers={name: ProviderSettings() for name in listed},
        disabled_model_providers=tuple(disabled),
        dynamic_routing=DynamicRouting(cross_provider=cross),
    )
    taking_part = participating(preferences, CATALOG, ceiling)
    own = {ceiling.provider} if ceiling is not None else set()
    assert taking_part == (own | (listed if cross else set())) - disabled


def test_settings_replace_what_is_known_and_keep_the_rest() -> None:
    merged = providers(
        Preferences(
            providers={
                "deepseek": ProviderSettings(base_url="http://127.0.0.1:8787"),
                "anthropic": ProviderSettings(api_key_env="MY_KEY", protocols=("messages", "chat")),
                "acme": ProviderSettings(base_url="http://10.0.0.1", api_key_env="ACME_KEY", protocols=("chat",)),
            }
        )
    )
    # The vendor's own address for Messages must not be reached when the user has said where to go.
    assert merged["deepseek"].url("messages") == merged["deepseek"].url("chat") == "http://127.0.0.1:8787"
    assert merged["deepseek"].key_env == "DEEPSEEK_API_KEY"
    assert (merged["anthropic"].key_envs, merged["anthropic"].protocols) == (("MY_KEY",), ("messages", "chat"))
    assert merged["anthropic"].base_url == KNOWN["anthropic"].base_url
    assert (merged["acme"].base_url, merged["acme"].key_env, merged["acme"].local) == ("http://10.0.0.1", "ACME_KEY", False)


def test_keys_are_reported_by_name_and_never_by_value() -> None:
    environ = {
        "ANTHROPIC_API_KEY": SECRET,
        "OPENAI_API_KEY": SECRET,
        "GOOGLE_API_KEY": SECRET,
        "XAI_API_KEY": "",
        "PATH": "/bin",
    }
    planning = Preferences(
        models={"planning": ModelChoice("claude-opus-4-6")}, dynamic_routing=DynamicRouting(cross_provider=False)
    )
    found = unused_keys(environ, planning, CATALOG)
    assert found == (("GOOGLE_API_KEY", "google"), ("OPENAI_API_KEY", "openai"))
    assert SECRET not in repr(found)
    assert KNOWN["google"].key_in(environ) == "GOOGLE_API_KEY"
    assert KNOWN["xai"].key_in(environ) == ""
    assert KNOWN["ollama"].key_in(environ) == ""


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_provider_can_be_reached_and_says_how_it_is_known(name: str) -> None:
    provider = KNOWN[name]
    assert provider.name == name
    assert provider.protocols
    assert provider.source
    assert set(provider.urls) <= set(provider.protocols)
    assert all(
        provider.url(protocol).startswith("http://127.0.0.1" if provider.local else "https://")
        for protocol in provider.protocols
    )
    assert provider.local != bool(provider.key_env)
    assert msgspec.json.decode(msgspec.json.encode(provider), type=type(provider)) == provider
