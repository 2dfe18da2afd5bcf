"""What Claude Code is configured with: the model, last resort for a ceiling (SPEC section 5), and whether it may write files.

Reads files, starts nothing.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from stepdown.preferences.schema import AgentSettings

_ALIASES: Final = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "opusplan": "claude-opus-5-5",
}
"""Claude Code's short names stand for the newest model of a family; ``opusplan`` is Opus while it plans, so Opus is what the
user allows. Source: Claude Code's documentation of model configuration; the versions are the catalogue's, November 2026."""

_LETTING: Final = frozenset({"--permission-mode", "--dangerously-skip-permissions", "--permission-prompt-tool", "--settings"})
"""Arguments that say what it may do, or bring something that does."""

_WRITING: Final = re.compile(r"\b(Edit|Write|MultiEdit|NotebookEdit)\b")
"""Its tools that write files, as permission rules name them: ``Edit(src/**)``."""

_ASKING: Final = frozenset({"", "default", "plan", "dontAsk"})
"""Permission modes in which nothing is written that nobody was asked about."""


class _Settings(msgspec.Struct):
    model: str = ""
    env: dict[str, object] = {}
    permissions: dict[str, object] = {}


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


def may_write(project: Path, agent: AgentSettings | None, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether anything lets Claude Code write files in `project` unasked; under ``-p`` there is nobody to be asked.

    Args:
        project: where it works.
        agent: ``agents.claude`` of the preferences.
        environ: where its configuration is looked for.
    """
    given = AgentSettings() if agent is None else agent
    if given.permission_mode:
        return True
    if any(word.partition("=")[0] in _LETTING or _WRITING.search(word) for word in given.args):
        return True
    said = [settings.permissions for settings in _read(project, environ)]
    return any(one.get("defaultMode", "") not in _ASKING or _WRITING.search(str(one.get("allow", ""))) for one in said)


def _named(project: Path, environ: Mapping[str, str]) -> Iterator[str]:
    yield environ.get("ANTHROPIC_MODEL", "")
    for settings in _read(project, environ):
        yield str(settings.env.get("ANTHROPIC_MODEL", ""))
        yield settings.model


def _read(project: Path, environ: Mapping[str, str]) -> Iterator[_Settings]:
    """The settings files that can be read, the most local first."""
    home = Path(environ.get("CLAUDE_CONFIG_DIR") or Path(environ.get("HOME", "~")).expanduser() / ".claude")
    for path in (project / ".claude" / "settings.local.json", project / ".claude" / "settings.json", home / "settings.json"):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=_Settings)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
