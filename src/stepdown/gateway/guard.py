"""Who may talk to the gateway at all: Host and Origin are checked, and beyond loopback a token is needed (SPEC section 12)."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from stepdown.ledger.records import Person
from stepdown.team.keyring import Keyring
from stepdown.team.tokens import PREFIX

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine."""


_OTHERS: Final = frozenset({"cross-site", "same-site"})
"""What a browser says of a request that another page makes: an image or a script of it has no Origin."""


class Guard:
    """Says why a request is turned away.

    Args:
        hosts: names besides this machine's own by which the gateway may be called.
        token: what every request has to bring; "" is nothing. It may come as ``x-stepdown-token`` or as the client's key.
        ring: what opens the gateway besides; its own token alone if not given.
        clock: seconds since the epoch.

    Attributes:
        ring: what opens the gateway.

    Header values are bytes read as Latin-1, which is what a token is compared as.
    """

    def __init__(
        self,
        hosts: frozenset[str] = frozenset(),
        token: str = "",
        *,
        ring: Keyring | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = {_name(name.lower()) for name in LOOPBACK | hosts}
        self._token = token.strip().encode()
        self._clock = clock
        self.ring = Keyring(token) if ring is None else ring

    def refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """The status and a line, or None where the request may pass; header names are in lower case.

        A web page that somebody happens to have open can send requests to this machine. It cannot choose the Host of its own
        name's requests (DNS rebinding), nor hide its Origin. Only pages of the gateway itself may ask: one of another port of
        this machine is another program's.
        """
        host = headers.get("host", "").strip().lower()
        name = _name(host)
        if name not in self._hosts:
            return 403, f"this gateway is not called '{name}': use 127.0.0.1, or name it with --host-name"
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host:
            return 403, f"requests from the page {origin} are not taken"
        if headers.get("sec-fetch-site") in _OTHERS and not _is_link(headers):
            return 403, "requests from other pages are not taken"
        if self.ring.closed and self.person(headers) is None:
            return 401, "this gateway needs its token, as x-stepdown-token or as the API key"
        return None

    def person(self, headers: Mapping[str, str]) -> Person | None:
        """Whose token a request brings; None where that is nobody's."""
        now = self._clock()
        return next(filter(None, (self.ring.bearer(word.encode("latin-1"), now) for word in brought(headers))), None)

    def strip(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers without our tokens, which are no provider's business; the same list where none is among them."""
        kept = [(name, value) for name, value in headers if not self._is_ours(_bare(value))]
        return headers if len(kept) == len(headers) else kept

    def _is_ours(self, word: str) -> bool:
        """A person's token is ours also where it opens nothing any more."""
        return word.startswith(PREFIX) or (bool(self._token) and word.encode("latin-1") == self._token)


def _is_link(headers: Mapping[str, str]) -> bool:
    """Whether somebody follows a link, and what it shows is for them alone; a form that is sent has a length."""
    is_document = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return is_document and "content-length" not in headers


def brought(headers: Mapping[str, str]) -> Iterator[str]:
    """What may be a token among the headers."""
    for name in ("x-stepdown-token", "x-api-key", "authorization"):
        word = _bare(headers.get(name, ""))
        if word:
            yield word


def _bare(value: str) -> str:
    """A credential without the word before it."""
    return value[7:].strip() if value[:7].lower() == "bearer " else value.strip()


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(netloc: str) -> str:
    """The host of ``host:port``; an IPv6 address keeps its brackets, or is given some."""
    if netloc.startswith("["):
        return netloc.partition("]")[0] + "]"
    if netloc.count(":") > 1:
        return f"[{netloc}]"
    return netloc.rpartition(":")[0] if ":" in netloc else netloc
