"""Codex."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.clients.lines import Toml
from stepdown.clients.records import Entry, Lasting, Start, There, home_of
from stepdown.clients.variables import common, left_alone

_BASE: Final = "openai_base_url"
"""The address of Codex's own provider, so that its login, its history and its tools stay what they are; a provider of our own
would change them. Codex reads no environment variable for it (0.169)."""

_PLAIN: Final = ("features", "enable_request_compression")
"""With a ChatGPT login Codex packs its requests with zstd, which nobody in between can read."""


class Codex:
    """``codex``: ``-c key=value`` in front of its own arguments."""

    name = "codex"
    title = "Codex"
    programs = frozenset({"codex"})

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:  # noqa: ARG002 - as in Client
        """By configuration on its command line; what the user says there comes after it, and so counts more."""
        found, notes = common(there, environ)
        obstacle = _obstacle(there, environ)
        if obstacle:
            return Start(environment=found, arguments=arguments, notes=(*notes, obstacle))
        ours = [word for entry in _entries(there) for word in ("-c", f"{'.'.join(entry.path)}={_toml(entry.value)}")]
        return Start(environment=found, arguments=[*ours, *arguments], notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting:
        """Its ``config.toml``."""
        file = _home(environ) / "config.toml"
        return Lasting(file=file, format=Toml(), entries=_entries(there), obstacle=_other_provider(environ))


def _entries(there: There) -> tuple[Entry, ...]:
    return Entry((_BASE,), there.v1, "openai"), Entry(_PLAIN, value=False)


def _other_provider(environ: Mapping[str, str]) -> str:
    """Why the built-in provider's address does not count; "" where it does."""
    provider = _configuration(environ).get("model_provider", "openai")
    if provider == "openai":
        return ""
    file = _home(environ) / "config.toml"
    return f"{file} sends Codex to its provider '{provider}', and it stays so: only the built-in one goes through the gateway"


def _obstacle(there: There, environ: Mapping[str, str]) -> str:
    """Why one process is left alone; "" where it is not."""
    address = _configuration(environ).get(_BASE, "")
    if isinstance(address, str) and address and not there.stands_for("openai", address):
        return left_alone(f"{_BASE} in {_home(environ) / 'config.toml'}", address, "openai")
    return _other_provider(environ)


def _configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        return tomllib.loads((_home(environ) / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # Codex's to complain about
        return {}


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("CODEX_HOME") or home_of(environ) / ".codex")


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()  # a string of JSON is one of TOML
