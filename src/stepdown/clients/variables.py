"""The environment variables by which most clients and all SDKs find a provider."""

from collections.abc import Mapping
from typing import Final

from stepdown.clients.records import There

_ANTHROPIC: Final = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE")
"""Anthropic's own SDKs and Claude Code; LiteLLM, which aider and mini-swe-agent stand on."""

_OPENAI: Final = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
"""OpenAI's own SDKs, Qwen Code and llm; LiteLLM."""

_PROXIES: Final = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY")


def common(there: There, environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables to set, and a line for each that points elsewhere already and is left as it is."""
    found: dict[str, str] = {}
    notes = []
    for provider, names, address in (("anthropic", _ANTHROPIC, there.url), ("openai", _OPENAI, there.v1)):
        elsewhere = [name for name in names if environ.get(name) and not there.stands_for(provider, environ[name])]
        if elsewhere:
            notes.append(left_alone(elsewhere[0], environ[elsewhere[0]], provider))
        else:
            found |= dict.fromkeys(names, address)
    return found | _without_proxy(environ), tuple(notes)


def left_alone(what: str, address: str, provider: str) -> str:
    """The line for an address that is not the gateway's to stand in front of."""
    return f"{what} is {address}, and stays so: to go there through the gateway, set providers.{provider}.base_url to it"


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Where a proxy is set, programs would ask it for this machine's own addresses, too."""
    if not any(environ.get(name) for name in _PROXIES):
        return {}
    added = {}
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in environ.get(name, environ.get(name.swapcase(), "")).split(",") if host.strip()]
        added[name] = ",".join([*hosts, *(host for host in ("127.0.0.1", "localhost") if host not in hosts)])
    return added
