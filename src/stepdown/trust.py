"""What a project's own file may not decide alone: where keys go, which variable is sent as one, how an agent is let loose.

Whoever clones a repository has its preferences as well, written by people unknown. Most of them only choose among what is the
user's anyway. These reach beyond the project, so they count once the user has agreed to them, word for word; what the user's
own files say needs no agreement, and nor does what stays on this machine.
"""

import hashlib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from stepdown.addresses import is_loopback
from stepdown.catalog.names import provider_name
from stepdown.preferences.schema import AgentSettings, Preferences
from stepdown.providers import KNOWN, Provider, providers

_TAME: Final = frozenset({"", "default", "plan", "dontAsk", "acceptEdits", "read-only", "workspace-write"})
"""What agents may do unasked that stays in the project: Claude Code's words and Codex's. Any other could be anything."""


class Claim(msgspec.Struct, frozen=True):
    """Something that a project's file asks for and only the user can give.

    Attributes:
        where: the file and the line.
        text: what it asks for, in one line.
        project: the directory that it is about; "" where it means the same in all of them.
    """

    where: str
    text: str
    project: str = ""

    @property
    def digest(self) -> str:
        """What the user's agreement is remembered by: another word, another digest."""
        return hashlib.sha256(f"{self.project}\0{self.text}".encode(errors="surrogateescape")).hexdigest()


def claims(preferences: Preferences, project: Path, agent: str = "") -> tuple[Claim, ...]:
    """What the project's files ask for.

    Args:
        preferences: the effective ones.
        project: their directory; in the user's home directory, its files are the user's own.
        agent: the agent that will be started, by its name; "" is none.
    """
    if project.resolve() == _home():
        return ()
    return (*_providers(preferences), *_agent(preferences, str(project.resolve()), agent))


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:
        return None


def _of_project(preferences: Preferences, key: str) -> str:
    """Where a project's file says something under `key`; "" where none does."""
    origin = preferences.origins.get(key, "")
    return "" if origin.startswith("~") else origin


def _providers(preferences: Preferences) -> Iterator[Claim]:
    effective = providers(preferences)
    for word, settings in preferences.providers.items():
        address = _of_project(preferences, f"providers.{word}.base_url") if settings.base_url else ""
        key = _of_project(preferences, f"providers.{word}.api_key_env") if settings.api_key_env else ""
        provider = effective[provider_name(word)]
        own = KNOWN.get(provider.name, Provider(name=provider.name))
        goes_to = next((url for url in _addresses(provider) if not is_loopback(_host(url))), "")
        if not goes_to:
            continue
        elsewhere = address and _seat(goes_to) not in set(map(_seat, _addresses(own)))
        if elsewhere or (key and settings.api_key_env not in own.key_envs):
            sent = f"the value of {provider.key_env}" if provider.key_env else "no key of its own"
            yield Claim(address or key, f"requests for {provider.name}, and its credentials, go to {goes_to} with {sent}")


def _addresses(provider: Provider) -> Iterable[str]:
    return filter(None, dict.fromkeys((provider.base_url, *provider.urls.values())))


def _seat(url: str) -> tuple[str, str]:
    """Who an address belongs to; ``http`` is not the same as ``https``, since anybody on the way reads along."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _agent(preferences: Preferences, project: str, agent: str) -> Iterator[Claim]:
    settings = preferences.agents.get(agent, AgentSettings())
    asked = {
        "command": shlex.join(settings.command),
        "args": shlex.join(settings.args),
        "permission_mode": "" if settings.permission_mode in _TAME else settings.permission_mode,
    }
    for name, value in asked.items():
        where = _of_project(preferences, f"agents.{agent}.{name}")
        if value and where:
            yield Claim(where, f"agents.{agent}.{name} is {value}", project)


class Agreed:
    """What the user has agreed to: a file for each, in the user's own directory.

    It is not in the ledger, which a team may share: nobody else's word sends a user's keys anywhere.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, asked: Iterable[Claim]) -> tuple[Claim, ...]:
        """What has not been agreed to yet."""
        return tuple(claim for claim in asked if not (self._folder / claim.digest).is_file())

    def add(self, asked: Iterable[Claim]) -> None:
        """The user agrees; the file says to what, for whoever looks into it. To take it back, remove the file."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for claim in asked:
            text = f"{claim.text}\n{claim.project or 'in every project'}\n"
            (self._folder / claim.digest).write_text(text, encoding="utf-8", errors="surrogateescape")
