"""The model Claude Code is configured with: the last resort for a ceiling (SPEC section 5). Reads files, starts nothing."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

_ALIASES: Final = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "opusplan": "claude-opus-5-5",
}
"""Claude Code's short names stand for the newest model of a family; ``opusplan`` is Opus while it plans, so Opus is what the
user allows. Source: Claude Code's documentation of model configuration; the versions are the catalogue's, November 2026."""


class _Settings(msgspec.Struct):
    model: str = ""
    env: dict[str, object] = {}


def configured_model(project: Path, *, environ: Mapping[str, str] = os.environ) -> str:
    """The model Claude Code would use in `project`, by its full name; "" where nobody set one.

    The environment's ANTHROPIC_MODEL comes first, then the settings files, the most local first. A file that cannot be read
    says nothing: it is Claude Code's to complain about.
    """
    for name in _named(project, environ):
        if name and name != "default":
            bare, bracket, window = name.partition("[")
            return _ALIASES.get(bare, bare) + bracket + window
    return ""


def _named(project: Path, environ: Mapping[str, str]) -> Iterator[str]:
    yield environ.get("ANTHROPIC_MODEL", "")
    home = Path(environ.get("CLAUDE_CONFIG_DIR") or Path(environ.get("HOME", "~")).expanduser() / ".claude")
    for path in (project / ".claude" / "settings.local.json", project / ".claude" / "settings.json", home / "settings.json"):
        try:
            settings = msgspec.json.decode(path.read_bytes(), type=_Settings)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        yield str(settings.env.get("ANTHROPIC_MODEL", ""))
        yield settings.model
