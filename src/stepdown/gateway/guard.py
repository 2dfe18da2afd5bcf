"""Who may talk to the gateway at all: Host and Origin are checked, and beyond loopback a token is needed (SPEC section 12)."""

import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine."""


class Guard:
    """Says why a request is turned away.

    Args:
        hosts: names besides this machine's own by which the gateway may be called.
        token: what every request has to bring; "" is nothing. It may come as ``x-stepdown-token`` or as the client's key.

    Header values are bytes read as Latin-1, which is what the token is compared as.
    """

    def __init__(self, hosts: frozenset[str] = frozenset(), token: str = "") -> None:
        self._hosts = {_name(name.lower()) for name in LOOPBACK | hosts}
        self._token = token.strip().encode()

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
        if self._token and not self._brings_token(headers):
            return 401, "this gateway needs its token, as x-stepdown-token or as the API key"
        return None

    def _brings_token(self, headers: Mapping[str, str]) -> bool:
        brought = (headers.get("x-stepdown-token", ""), headers.get("x-api-key", ""), headers.get("authorization", ""))
        return any(hmac.compare_digest(_bare(word).encode("latin-1"), self._token) for word in brought if word)

    def strip(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers without our token, which is no provider's business; the same list where it is not among them."""
        if not self._token:
            return headers
        kept = [(name, value) for name, value in headers if _bare(value).encode("latin-1") != self._token]
        return headers if len(kept) == len(headers) else kept


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
