"""Which providers there are, where they are reached, which variable holds their key, and which may take part.

A key is only ever looked for by the name of its variable. Its value is read by whoever sends a request, nowhere else.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from stepdown.catalog.catalogue import Catalog
from stepdown.catalog.names import provider_name
from stepdown.catalog.records import Model
from stepdown.preferences.schema import ModelChoice, Preferences


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who serves models.

    Attributes:
        name: as in `Model.provider`.
        base_url: where it is reached; "" where the user must say.
        urls: per protocol, where that is elsewhere.
        key_env: the environment variable that holds its key; "" where none is needed.
        other_key_envs: variables that also serve, looked at after `key_env`.
        protocols: the wire protocols it serves: ``messages``, ``chat``, ``responses``.
        local: whether it runs on the user's own machine, so that nothing leaves it and nothing is billed.
        source: where these facts stand.
    """

    name: str
    base_url: str = ""
    urls: Mapping[str, str] = {}
    key_env: str = ""
    other_key_envs: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    local: bool = False
    source: str = ""

    @property
    def key_envs(self) -> tuple[str, ...]:
        """The variables that may hold its key, in the order in which they are looked at."""
        return (*((self.key_env,) if self.key_env else ()), *self.other_key_envs)

    def url(self, protocol: str) -> str:
        """Where a protocol is reached; "" where nothing is known."""
        return self.urls.get(protocol, self.base_url)

    def key_in(self, environ: Mapping[str, str]) -> str:
        """The name of the variable that holds a key; "" where none does. Never the key."""
        return next((name for name in self.key_envs if environ.get(name)), "")


KNOWN: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider(
            name="anthropic",
            base_url="https://api.anthropic.com",
            key_env="ANTHROPIC_API_KEY",
            protocols=("messages",),
            source="platform.claude.com, API overview",
        ),
        Provider(
            name="openai",
            base_url="https://api.openai.com/v1",
            key_env="OPENAI_API_KEY",
            protocols=("chat", "responses"),
            source="developers.openai.com, API reference",
        ),
        Provider(
            name="google",
            base_url="https://generativelanguage.googleapis.com/v1beta/openai",
            key_env="GEMINI_API_KEY",
            other_key_envs=("GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
            protocols=("chat",),
            source="ai.google.dev, OpenAI compatibility",
        ),
        Provider(
            name="deepseek",
            base_url="https://api.deepseek.com",
            urls={"messages": "https://api.deepseek.com/anthropic"},
            key_env="DEEPSEEK_API_KEY",
            protocols=("chat", "messages"),
            source="api-docs.deepseek.com, first call",
        ),
        Provider(
            name="moonshot",
            base_url="https://api.moonshot.ai/v1",
            urls={"messages": "https://api.moonshot.ai/anthropic"},
            key_env="MOONSHOT_API_KEY",
            protocols=("chat", "messages"),
            source="platform.kimi.ai, API and agent support",
        ),
        Provider(
            name="zai",
            base_url="https://api.z.ai/api/paas/v4",
            urls={"messages": "https://api.z.ai/api/anthropic"},
            key_env="ZAI_API_KEY",
            other_key_envs=("ZHIPU_API_KEY",),
            protocols=("chat", "messages"),
            source="docs.z.ai, API reference and Claude Code",
        ),
        Provider(
            name="alibaba",
            base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            urls={"messages": "https://dashscope-intl.aliyuncs.com/apps/anthropic"},
            key_env="DASHSCOPE_API_KEY",
            protocols=("chat", "responses", "messages"),
            source="alibabacloud.com, Model Studio, compatible APIs (international)",
        ),
        Provider(
            name="minimax",
            base_url="https://api.minimax.io/v1",
            urls={"messages": "https://api.minimax.io/anthropic"},
            key_env="MINIMAX_API_KEY",
            protocols=("messages", "chat"),
            source="platform.minimax.io, text generation",
        ),
        Provider(
            name="mistral",
            base_url="https://api.mistral.ai/v1",
            key_env="MISTRAL_API_KEY",
            protocols=("chat",),
            source="docs.mistral.ai, API",
        ),
        Provider(
            name="xai",
            base_url="https://api.x.ai/v1",
            key_env="XAI_API_KEY",
            protocols=("responses", "chat"),
            source="docs.x.ai, API reference",
        ),
        Provider(
            name="openrouter",
            base_url="https://openrouter.ai/api/v1",
            urls={"messages": "https://openrouter.ai/api"},
            key_env="OPENROUTER_API_KEY",
            protocols=("chat", "messages", "responses"),
            source="openrouter.ai, API reference and Claude Code",
        ),
        Provider(
            name="ollama",
            base_url="http://127.0.0.1:11434/v1",
            urls={"messages": "http://127.0.0.1:11434"},
            protocols=("chat", "responses", "messages"),
            local=True,
            source="docs.ollama.com, compatible APIs",
        ),
        Provider(
            name="lmstudio",
            base_url="http://127.0.0.1:1234/v1",
            urls={"messages": "http://127.0.0.1:1234"},
            protocols=("chat", "responses", "messages"),
            local=True,
            source="lmstudio.ai, developer documentation",
        ),
        Provider(
            name="vllm",
            base_url="http://127.0.0.1:8000/v1",
            urls={"messages": "http://127.0.0.1:8000"},
            protocols=("chat", "responses", "messages"),
            local=True,
            source="docs.vllm.ai, online serving",
        ),
    )
}
"""The providers of the catalogue. A ``messages`` address is what a client takes as base: it appends ``/v1/messages``."""


def providers(preferences: Preferences) -> Mapping[str, Provider]:
    """The known providers with the user's settings merged in, and those that only the user knows."""
    merged = dict(KNOWN)
    for word, settings in preferences.providers.items():
        name = provider_name(word)
        known = merged.get(name, Provider(name=name, source="the preferences"))
        changes: dict[str, object] = {}
        if settings.base_url:
            # One address of the user's serves every protocol: the vendor's own addresses must not be fallen back to.
            changes |= {"base_url": settings.base_url, "urls": {}}
        if settings.api_key_env:
            changes |= {"key_env": settings.api_key_env, "other_key_envs": ()}
        if settings.protocols:
            changes["protocols"] = settings.protocols
        merged[name] = msgspec.structs.replace(known, **changes)
    return merged


def participating(preferences: Preferences, catalog: Catalog, ceiling: Model | None) -> frozenset[str]:
    """The providers that may serve a unit (SPEC 5, "Privacy before price").

    They are the ceiling's own, those listed under ``providers``, and those of the models named in ``models`` (fallbacks
    included) and ``tier_models``; with ``cross_provider: false`` the ceiling's alone. Disabled ones never take part. A key in
    the environment is no consent.
    """
    own = {ceiling.provider} if ceiling is not None else set[str]()
    if preferences.dynamic_routing.cross_provider:
        own |= {provider_name(name) for name in preferences.providers}
        for choice in (*preferences.models.values(), *preferences.dynamic_routing.tier_models.values()):
            own |= set(_named(choice, catalog))
    return frozenset(own - {provider_name(name) for name in preferences.disabled_model_providers})


def unused_keys(environ: Mapping[str, str], preferences: Preferences, catalog: Catalog) -> tuple[tuple[str, str], ...]:
    """The variables that hold a key of a provider that takes no part, each with that provider; never the key.

    Args:
        environ: the environment.
        preferences: say who takes part, over all the ceilings in them, and may name other variables.
        catalog: knows who sells the models they name.
    """
    ceilings = [catalog.resolve(choice.model, choice.provider) for choice in preferences.models.values()]
    taking_part = frozenset[str]().union(*(participating(preferences, catalog, ceiling) for ceiling in (None, *ceilings)))
    found = {
        (variable, provider.name)
        for provider in providers(preferences).values()
        if provider.name not in taking_part
        for variable in provider.key_envs
        if environ.get(variable)
    }
    return tuple(sorted(found))


def _named(choice: ModelChoice, catalog: Catalog) -> Iterator[str]:
    """The sellers of a model that the user named, and of its fallbacks; nobody where a name is unknown."""
    model = catalog.resolve(choice.model, choice.provider)
    if model is not None:
        yield model.provider
    elif choice.provider:
        yield provider_name(choice.provider)
    for name in choice.fallbacks:
        fallback = catalog.resolve(name)
        if fallback is not None:
            yield fallback.provider
