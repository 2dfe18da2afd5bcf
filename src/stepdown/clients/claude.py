"""Claude Code."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.clients import jsonc
from stepdown.clients.claude_extras import with_extras
from stepdown.clients.records import Entry, Lasting, Start, There, home_of
from stepdown.clients.variables import common, left_alone

_FIRST_PARTY: Final = "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL"
"""Claude Code's own word for "this address is Anthropic's API". Without it, it gives up the window of a million tokens and tool
search behind any other address (claude-code#68522, #91689). It is said only where it is true, and never over the user's word.
Source: the program's own text, 2.1.325."""

_BASE: Final = "ANTHROPIC_BASE_URL"
_HEADERS: Final = "ANTHROPIC_CUSTOM_HEADERS"
_ELSEWHERE: Final = {
    "CLAUDE_CODE_USE_BEDROCK": "Bedrock",
    "CLAUDE_CODE_USE_VERTEX": "Vertex",
    "CLAUDE_CODE_USE_FOUNDRY": "Foundry",
}


class Claude:
    """``claude``: environment variables; what its settings files say of them counts more."""

    name = "claude"
    title = "Claude Code"
    programs = frozenset({"claude"})

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:
        """By its environment; by ``--settings`` where a settings file names another gateway of ours."""
        found, notes = common(there, environ)
        if _BASE in found:
            found |= _additions(there, environ)
        else:
            return Start(environment=found, arguments=arguments, notes=notes)
        for file, settings in _settings(environ, project):
            address = settings.get(_BASE, "")
            if address and not there.stands_for("anthropic", address):
                return Start(
                    environment=found,
                    arguments=arguments,
                    notes=(*notes, left_alone(f"{_BASE} in {file}", address, "anthropic")),
                )
            if address and address.rstrip("/") != there.url:
                override = msgspec.json.encode({"env": {_BASE: there.url}}).decode()
                arguments = ["--settings", override, *arguments]
                break
        for variable, service in _ELSEWHERE.items():
            if environ.get(variable) not in {None, "", "0", "false"}:
                notes = (*notes, f"{variable} is set: Claude Code goes to {service}, not through the gateway")
        return Start(environment=found, arguments=arguments, notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting:
        """The ``env`` of its user settings; besides, a status line and the command ``/rate``."""
        entries = [Entry(("env", _BASE), there.url, "anthropic")]
        if there.is_first_party:
            entries.append(Entry(("env", _FIRST_PARTY), "1"))
        bare = Lasting(file=_home(environ) / "settings.json", format=jsonc, entries=tuple(entries))
        return with_extras(bare)


def _additions(there: There, environ: Mapping[str, str]) -> dict[str, str]:
    lines = [environ.get(_HEADERS, ""), *(f"{name}: {value}" for name, value in there.headers.items())]
    found = {_HEADERS: "\n".join(filter(None, lines))} if there.headers else {}
    if there.is_first_party and _FIRST_PARTY not in environ:
        found[_FIRST_PARTY] = "1"
    return found


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("CLAUDE_CONFIG_DIR") or home_of(environ) / ".claude")


def _settings(environ: Mapping[str, str], project: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The ``env`` of its settings files, the strongest first; one that cannot be read is Claude Code's to complain about."""
    for file in (project / ".claude/settings.local.json", project / ".claude/settings.json", _home(environ) / "settings.json"):
        try:
            said = jsonc.parse(file.read_text(encoding="utf-8")).get("env", {})
        except (OSError, ValueError):
            continue
        if isinstance(said, dict):
            yield file, {str(name): str(value) for name, value in said.items()}
