"""What is known of a client: how one process of it is sent to a gateway, and how all of them are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec


class There(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway that a client is sent to, and what is behind it.

    Attributes:
        url: where it listens: ``http://127.0.0.1:8787``.
        project: what requests are counted for; "" leaves that to the gateway.
        behind: per provider, the address that the gateway stands in front of: ``{"anthropic": "https://api.anthropic.com"}``.
        gateways: addresses of other gateways of the user's; to send a client here instead changes nothing it can notice.
        token: what the gateway wants to be shown; "" is nothing. Never written into a file.
    """

    url: str
    project: str = ""
    behind: Mapping[str, str] = {}
    gateways: frozenset[str] = frozenset()
    token: str = ""

    @property
    def v1(self) -> str:
        """The same for clients that leave out the ``/v1`` of a path."""
        return f"{self.url}/v1"

    @property
    def headers(self) -> Mapping[str, str]:
        """Request headers by which the gateway knows whose requests these are; a header holds plain ASCII only."""
        said = {"x-stepdown-project": self.project, "x-stepdown-token": self.token}
        return {name: value for name, value in said.items() if _fits(value)}

    @property
    def is_first_party(self) -> bool:
        """Whether Anthropic's own API is what answers Anthropic requests here."""
        return urlsplit(self.behind.get("anthropic", "")).hostname == "api.anthropic.com"

    def stands_for(self, provider: str, address: str) -> bool:
        """Whether what goes to `address` now may come here instead: the gateway passes it on to that very place.

        Anything else would hand the key that belongs to one address to another.
        """
        return _origin(address) in {_origin(self.url), _origin(self.behind.get(provider, "")), *map(_origin, self.gateways)}


_LONGEST = 200
"""Characters of a header that a gateway takes."""


def _fits(value: str) -> bool:
    return value.isascii() and value.isprintable() and 0 < len(value) <= _LONGEST


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How one process is started.

    Attributes:
        environment: variables to set, for that process alone.
        arguments: its arguments, all of them.
        notes: what the user should know, a line each: mostly that something of theirs was left as it is.
    """

    environment: Mapping[str, str]
    arguments: Sequence[str]
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """How values of a file are read and changed in its text."""

    def parse(self, text: str) -> Any:
        """What the text says; ValueError where it is broken."""
        ...

    def get(self, text: str, path: Sequence[str]) -> str | None:
        """A value as it is written."""
        ...

    def put(self, text: str, path: Sequence[str], raw: str) -> str:
        """The text with a value in it."""
        ...

    def remove(self, text: str, path: Sequence[str]) -> str:
        """The text without a value, or without an empty section."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """One value of a configuration file.

    Attributes:
        path: the keys that lead to it.
        value: what is to stand there.
        provider: where it is an address: whose requests go there; "" otherwise.
        member: whether it is one member of a list, whose others stay as they are.
    """

    path: tuple[str, ...]
    value: str | bool | dict[str, Any]
    provider: str = ""
    member: bool = False


class Own(msgspec.Struct, frozen=True):
    """A further file, which is all ours."""

    file: Path
    text: str


class Lasting(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration by which all processes of a client go to a gateway.

    Attributes:
        file: which.
        format: how it is written.
        entries: what has to be in it.
        obstacle: why it would not help, or would do harm; "" otherwise.
        extras: what is of use besides and stands in the same file.
        own: further files, which those need.
        notes: what the user should know, a line each: what of the extras is left out, and why.
    """

    file: Path
    format: Format
    entries: tuple[Entry, ...]
    obstacle: str = ""
    extras: tuple[Entry, ...] = ()
    own: tuple[Own, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bare(self) -> "Lasting":
        """The same without what is only of use besides."""
        return msgspec.structs.replace(self, extras=(), own=(), notes=())


class Client(Protocol):
    """A program that talks to a provider."""

    @property
    def name(self) -> str:
        """What `connect` calls it."""
        ...

    @property
    def title(self) -> str:
        """What people call it."""
        ...

    @property
    def programs(self) -> frozenset[str]:
        """What its executables are called."""
        ...

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:
        """How to start one process of it, so that it talks to the gateway; reads its configuration, changes none."""
        ...

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting | None:
        """What to write so that all of them do; None where that is not possible."""
        ...


def home_of(environ: Mapping[str, str]) -> Path:
    """The user's directory, as programs find it."""
    return Path(environ.get("HOME") or "~").expanduser()


def _origin(address: str) -> str:
    """Scheme, host and port; "" of nothing."""
    try:
        parts = urlsplit(address.strip())
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:  # no address at all
        return address
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return f"{parts.scheme}://{host}:{port}" if host else address
