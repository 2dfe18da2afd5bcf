"""Where a request goes: addresses, credentials, and which headers travel (SPEC section 12, Credentials). Pure.

A client's credential goes only to the provider it was issued for, the *home* of the model that the request names. Whoever else
is asked needs a key of their own in the environment, and is sent nothing but what the request needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.catalog import Catalog, Model
from stepdown.gateway.wire import Wire
from stepdown.preferences.schema import Preferences
from stepdown.providers import KNOWN, Provider, providers
from stepdown.upstream.headers import HOP_BY_HOP, named_by_connection
from stepdown.upstream.port import Headers

CREDENTIALS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Request headers that hold a client's credential."""

PLACEHOLDERS: Final = frozenset({"", "stepdown", "none", "dummy", "sk-stepdown", "unused"})
"""What people write where a client insists on a key and there is none."""

_STAYS: Final = HOP_BY_HOP | {"host", "content-length", "accept-encoding", "expect"}
"""Headers of this connection; they say nothing about the next one."""

_ABROAD: Final = frozenset({"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta"})
"""What a provider is told that is not the client's own."""

_ASKED_ABROAD: Final = frozenset({"beta=true"})
"""Likewise, what may follow the question mark: a key may be there, too."""

CHATGPT: Final = "https://chatgpt.com/backend-api/codex"
"""Where Codex goes with a ChatGPT login, which the API does not take. Source: Codex 0.169, the program's own text."""

_DEFAULT_HOME: Final = {"messages": "anthropic", "chat": "openai", "responses": "openai"}
"""Whose a model is that the catalogue does not know, by the protocol it is asked for on."""

_SUFFIX: Final = {"messages": "/v1/messages", "chat": "/chat/completions", "responses": "/responses"}
"""What is appended to a provider's address."""


_LONGEST_NAME: Final = 200


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider, ready to be asked.

    Attributes:
        model: as the catalogue has it; with no tier where it is unknown there.
        provider: who is asked.
        url: where, without the client's query.
        home: whether it is the provider that the client's credential was issued for.
        key: the name of the environment variable that holds the key to use; "" sends the client's own credential, or none.
        named: the model as the request is to name it; "" leaves the client's own word.
        output: the most output tokens, where the request asks for more than the model writes; None leaves the client's number.
        foreign: digests of thinking blocks that are left out, since another model signed them.
        adaptations: what all that changes, one line each.
    """

    model: Model
    provider: Provider
    url: str
    home: bool
    key: str = ""
    named: str = ""
    output: int | None = None
    foreign: frozenset[int] = frozenset()
    adaptations: tuple[str, ...] = ()


class Map:
    """Who is reached where, under the user's preferences.

    Args:
        preferences: what the user set under ``providers``.
        catalog: knows who sells what.
        environ: where keys are; only their names are kept.
    """

    def __init__(self, preferences: Preferences, catalog: Catalog, environ: Mapping[str, str]) -> None:
        self._providers = providers(preferences)
        self._listed = tuple(preferences.providers)
        self._catalog = catalog
        self._environ = environ

    def named(self, model: str, wire: Wire) -> Model:
        """The model that a request names; one that the catalogue does not know belongs to the protocol's own provider."""
        known = self._catalog.resolve(model)
        if known is not None and wire.name in known.protocols:
            return known
        if known is not None and wire.name in self._providers.get(known.provider, Provider(name="")).protocols:
            return known
        return Model(id=printable(model), provider=self._home(wire), protocols=(wire.name,))

    def _home(self, wire: Wire) -> str:
        """Whose an unknown model is: the one listed provider that speaks the protocol, else the protocol's own."""
        speaking = [name for name in self._listed if wire.name in self._providers[name].protocols]
        return speaking[0] if len(speaking) == 1 else _DEFAULT_HOME[wire.name]

    def reachable(self, home: str, wire: Wire) -> frozenset[str]:
        """The providers that can be asked on a protocol: the home, local ones, and those whose key is in the environment."""
        return frozenset(
            {home}
            | {
                name
                for name, provider in self._providers.items()
                if wire.name in provider.protocols
                and provider.url(wire.name)
                and (provider.local or provider.key_in(self._environ))
            }
        )

    def hop(self, model: Model, wire: Wire, home: str, *, has_credential: bool) -> Hop | None:
        """How to ask for a model; None where it cannot be reached.

        Args:
            model: what to ask for.
            wire: the protocol the client speaks.
            home: the provider that the client's credential was issued for.
            has_credential: whether the client brought one.
        """
        provider = self._providers.get(model.provider)
        if provider is None or not provider.url(wire.name) or wire.name not in provider.protocols:
            return None
        at_home = provider.name == home
        key = "" if at_home and has_credential else provider.key_in(self._environ)
        if not key and not at_home and not provider.local:
            return None
        return Hop(model=model, provider=provider, url=_url(provider.url(wire.name), wire), home=at_home, key=key)


def _url(base: str, wire: Wire) -> str:
    """Where requests of a protocol go; ``/v1`` is there once, whether or not the user wrote it."""
    base, suffix = base.rstrip("/"), _SUFFIX[wire.name]
    return base.removesuffix("/v1") + suffix if suffix.startswith("/v1/") else base + suffix


def printable(name: str) -> str:
    """An unknown model's name as it can be written down: whatever its client sends, in a line and not too long."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:_LONGEST_NAME])


def own_name(model: Model, written: str) -> str:
    """What a provider is told where a client wrote a model's name in a way that is only ours; "" where it is the provider's.

    Args:
        model: what the name stands for.
        written: the name; "" leaves the choice to stepdown.
    """
    ours = not written or written == f"{model.provider}/{model.bare_id}"
    return model.bare_id if ours else ""


def has_credential(headers: Mapping[str, str]) -> bool:
    """Whether a client brought a credential that may be one; header names are in lower case."""
    for name in CREDENTIALS:
        value = headers.get(name, "").strip()
        if name == "authorization":
            scheme, _, rest = value.partition(" ")
            value = rest.strip() if scheme.lower() in {"bearer", "basic", ""} else value
        if value.lower() not in PLACEHOLDERS:
            return True
    return False


def address(hop: Hop, query: str, headers: Mapping[str, str] = {}) -> str:
    """Where a request goes, with what followed the question mark as far as it is that provider's business.

    Args:
        hop: who is asked.
        query: the client's.
        headers: the client's, names in lower case: a ChatGPT login goes where it was issued for.
    """
    if not hop.home:
        query = "&".join(part for part in query.split("&") if part in _ASKED_ABROAD)
    url = hop.url
    if hop.home and not hop.key and "chatgpt-account-id" in headers and hop.provider.name == "openai":
        official = KNOWN["openai"].base_url
        url = CHATGPT + url.removeprefix(official) if url.startswith(official) else url
    return f"{url}?{query}" if query else url


def outgoing(received: Iterable[tuple[str, str]], hop: Hop, wire: Wire, key: str) -> Headers:
    """The headers to send; the client's own order is kept.

    Args:
        received: the client's, names in lower case.
        hop: where they go.
        wire: the protocol.
        key: the value of `Hop.key`; "" is none.
    """
    received = list(received)
    stays = _STAYS | named_by_connection(received)
    sent = [(name, value) for name, value in received if name not in stays and not name.startswith("x-stepdown-")]
    if not hop.home:
        sent = [(name, value) for name, value in sent if name in _ABROAD]
    if key:
        sent = [(name, value) for name, value in sent if name not in CREDENTIALS]
        sent += _key_headers(hop, wire, key)
    return sent


def _key_headers(hop: Hop, wire: Wire, key: str) -> Sequence[tuple[str, str]]:
    if wire.name != "messages":
        return (("authorization", f"Bearer {key}"),)
    if hop.provider.name == "anthropic":
        return (("x-api-key", key),)
    # Resellers of the Messages protocol read one or the other, and ignore the one that they do not.
    return ("x-api-key", key), ("authorization", f"Bearer {key}")


def returned(headers: Headers) -> list[tuple[bytes, bytes]]:
    """A provider's headers as the client gets them; ours are added by the relay."""
    passed = ((name.lower(), value) for name, value in headers)
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in passed
        if name not in HOP_BY_HOP and not name.startswith("x-stepdown-")
    ]
