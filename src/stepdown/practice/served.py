"""The practice provider's own log: what came in, with what, and what a bill would say."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepdown.units import Tokens

ATTEMPT: Final = "x-stepdown-attempt"
"""The request header that says which attempt a request belongs to."""

_SECRET: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie")
"""Request headers that hold a credential. Their values are logged as fingerprints only."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log.

    Attributes:
        at: seconds since the epoch.
        id: the ``request-id`` (or ``x-request-id``) that the client was given.
        path: as it was asked for: ``/v1/messages``, ``/v1/messages/count_tokens``, ``/v1/chat/completions``, ...
        query: what followed it after the question mark: ``beta=true``.
        model: what was asked for; "" where the request was unreadable.
        unit: what the prompt calls the unit; "" where it names none.
        status: the HTTP status that was sent; 0 for none at all.
        tokens: what a bill would say; nothing for failures.
        stop: why the model stopped.
        stream: whether events were asked for.
        fault: the fault that hit it; "" for none.
        attempt: the attempt it belongs to, by its header `ATTEMPT`; "" where none was said.
        body: SHA-256 of the request's body as it came in, in hexadecimal; "" where it was never read to its end.
        size: bytes of that body.
        credentials: the headers that held a credential, by name, each with the `fingerprint` of what it held.
        betas: the names in ``anthropic-beta``, in their order.
        headers: all other request headers, names in lower case.
    """

    at: float
    id: str
    path: str
    query: str = ""
    model: str = ""
    unit: str = ""
    status: int = 200
    tokens: Tokens = Tokens()
    stop: str = ""
    stream: bool = False
    fault: str = ""
    attempt: str = ""
    body: str = ""
    size: int = 0
    credentials: Mapping[str, str] = {}
    betas: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}


def used(log: Sequence[Served], attempt: str = "") -> tuple[Tokens, int]:
    """What an attempt was billed for, and in how many requests; "" is everything in the log."""
    bills = [served.tokens for served in log if served.tokens.total and (not attempt or served.attempt == attempt)]
    return sum(bills, Tokens()), len(bills)


def fingerprint(secret: str) -> str:
    """Enough of a credential's hash to tell two apart, and nothing of the credential: 12 hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """Which credentials a request came with: header name to `fingerprint`; the word ``Bearer`` does not count."""
    return {name: fingerprint(headers[name].removeprefix("Bearer ")) for name in _SECRET if headers.get(name)}


def received(at: float, request_id: str, path: str, query: str, headers: Mapping[str, str]) -> Served:
    """The line of a request whose head has come in; header names are in lower case."""
    betas = tuple(name.strip() for name in headers.get("anthropic-beta", "").split(",") if name.strip())
    return Served(
        at=at,
        id=request_id,
        path=path,
        query=query,
        attempt=headers.get(ATTEMPT, ""),
        credentials=credentials(headers),
        betas=betas,
        headers={name: value for name, value in headers.items() if name not in _SECRET},
    )
