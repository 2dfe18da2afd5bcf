"""How a model's name is written: provider prefix, date suffix, window suffix. Pure; knows no model."""

import re
from typing import Final

PROVIDER_SYNONYMS: Final = {
    "moonshotai": "moonshot",
    "kimi": "moonshot",
    "z-ai": "zai",
    "zhipuai": "zai",
    "qwen": "alibaba",
    "dashscope": "alibaba",
    "mistralai": "mistral",
    "x-ai": "xai",
    "gemini": "google",
    "lm-studio": "lmstudio",
}
"""Other words for a provider: what OpenRouter's ids, agents and gateways call it."""

_DATE: Final = re.compile(r"-20\d\d(-?)(0[1-9]|1[0-2])\1(0[1-9]|[12]\d|3[01])$")
_WINDOW: Final = re.compile(r"\[([1-9]\d{0,3})([km])\]$", re.IGNORECASE)


def provider_name(word: str) -> str:
    """The catalogue's name of a provider: ``moonshot`` for ``moonshotai``; an unknown word stays as it is, in lower case."""
    word = word.strip().lower()
    return PROVIDER_SYNONYMS.get(word, word)


def without_date(name: str) -> str:
    """``claude-sonnet-4-5`` for ``claude-sonnet-4-5-20250929``, ``gpt-5`` for ``gpt-5-2025-08-07``; "" without a date."""
    match = _DATE.search(name)
    return name[: match.start()] if match else ""


def split_window(name: str) -> tuple[str, int]:
    """The name and the window it asks for, in tokens: ``("claude-opus-4-6", 1_000_000)`` for ``claude-opus-4-6[1m]``, or 0."""
    match = _WINDOW.search(name)
    if match is None:
        return name, 0
    return name[: match.start()], int(match[1]) * (1_000 if match[2].lower() == "k" else 1_000_000)
