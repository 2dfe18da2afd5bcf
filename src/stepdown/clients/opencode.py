"""OpenCode."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.clients import jsonc
from stepdown.clients.records import Entry, Lasting, Start, There, home_of
from stepdown.clients.variables import common, left_alone

_CONTENT: Final = "OPENCODE_CONFIG_CONTENT"
"""Configuration in the environment; OpenCode merges it over every file."""

_PROVIDERS: Final = ("anthropic", "openai")


class OpenCode:
    """``opencode``: the addresses of two of its providers."""

    name = "opencode"
    title = "OpenCode"
    programs = frozenset({"opencode"})

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:
        """By configuration in its environment, merged over what the user has there."""
        found, notes = common(there, environ)
        try:
            content = jsonc.parse(environ.get(_CONTENT) or "{}")
        except ValueError as problem:
            why = f"{_CONTENT} cannot be read ({problem}), and stays as it is: OpenCode does not go through the gateway"
            return Start(environment=found, arguments=arguments, notes=(*notes, why))
        files = [(_CONTENT, content), *_configurations(environ, project)]
        for provider in _PROVIDERS:
            elsewhere = _elsewhere(there, files, provider)
            if elsewhere:
                notes = (*notes, elsewhere)
                continue
            options = content.setdefault("provider", {}).setdefault(provider, {}).setdefault("options", {})
            options["baseURL"] = there.v1
            options["headers"] = {**options.get("headers", {}), **there.headers}
        return Start(environment=found | {_CONTENT: msgspec.json.encode(content).decode()}, arguments=arguments, notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting:
        """Its configuration of the user."""
        entries = tuple(Entry(("provider", name, "options", "baseURL"), there.v1, name) for name in _PROVIDERS)
        return Lasting(file=_global(environ), format=jsonc, entries=entries)


def _elsewhere(there: There, files: Sequence[tuple[object, Any]], provider: str) -> str:
    """The line for a provider that the user sends somewhere else; "" for none."""
    for name, said in files:
        address = said
        for key in ("provider", provider, "options", "baseURL"):
            address = address.get(key) if isinstance(address, dict) else None
        if isinstance(address, str) and address and not there.stands_for(provider, address):
            return left_alone(f"provider.{provider}.options.baseURL in {name}", address, provider)
    return ""


def _global(environ: Mapping[str, str]) -> Path:
    """The user's file: the one there is, else the one OpenCode would make."""
    folder = Path(environ.get("XDG_CONFIG_HOME") or home_of(environ) / ".config") / "opencode"
    names = ("opencode.json", "opencode.jsonc", "config.json")
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])


def _configurations(environ: Mapping[str, str], project: Path) -> Iterator[tuple[Path, Any]]:
    """What its files say; one that cannot be read is OpenCode's to complain about."""
    named = [Path(environ["OPENCODE_CONFIG"])] if environ.get("OPENCODE_CONFIG") else []
    local = [place / name for place in (project, *project.parents) for name in ("opencode.json", "opencode.jsonc")]
    for file in (*local, *named, _global(environ)):
        try:
            yield file, jsonc.parse(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
