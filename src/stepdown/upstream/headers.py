"""Headers on their way to a provider and back: order and spelling stay, what belongs to one connection goes. Pure.

A header's text is its bytes read as Latin-1, as ASGI and WSGI have it: every byte survives, and no encoding has to be guessed.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from stepdown.upstream.port import Headers

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that speak of one connection and are not passed on (RFC 9110, section 7.6.1; `proxy-*` after RFC 2616, 13.5.1)."""

_OURS: Final = HOP_BY_HOP | {"host", "content-length", "expect"}
"""What a request's connection says for itself. With a wrong length from elsewhere a body would run into the next request."""


def outgoing(headers: Headers) -> list[tuple[str, str]]:
    """What is sent of a call's headers.

    ``accept-encoding`` is always ``identity``, where the client had its own or else at the end: usage is read from the answer
    while it passes, and an answer that was compressed for nobody would have to be unpacked for that. A name that comes twice is
    spelt as it was first, because the client that sends it would otherwise drop the first.
    """
    dropped = _OURS | named_by_connection(headers)
    sent: list[tuple[str, str]] = []
    spelt: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key in dropped:
            continue
        if key == "accept-encoding":
            if key in spelt:
                continue
            value = "identity"  # noqa: PLW2901  (the one header that is not the client's to choose)
        spelling = spelt.setdefault(key, name)
        sent.append((spelling, value if value.isascii() else _as_written(value)))
    if "accept-encoding" not in spelt:
        sent.append(("accept-encoding", "identity"))
    return sent


def incoming(raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """What is passed on of an answer's headers. ``content-length`` and ``content-encoding`` stay: the body stays as it is."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
    dropped = HOP_BY_HOP | named_by_connection(headers)
    return [header for header in headers if header[0].lower() not in dropped]


def named_by_connection(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The headers that ``connection`` names as its own."""
    values = [value for name, value in headers if len(name) == 10 and name.lower() == "connection"]
    return frozenset(token.strip().lower() for value in values for token in value.split(",")) if values else frozenset()


def _as_written(value: str) -> str:
    """The text that the client writes, in UTF-8, as the bytes that `value` stands for.

    Bytes that are no UTF-8 cannot be written by it: each of them then arrives as the UTF-8 of its Latin-1 character.
    """
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
