"""The `Upstream` port: talking to a provider over HTTP, byte for byte."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

import msgspec

from stepdown.errors import StepdownError

Headers = Sequence[tuple[str, str]]
"""In their order, names as they were written; a name may come twice."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long a provider may take, in seconds.

    Attributes:
        connect: until a connection stands.
        first_byte: until the first byte of the response's head.
        idle: between two pieces of the response's body.
        total: for everything.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 300.0
    total: float = 3600.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, ready to be sent as it is.

    Attributes:
        method: ``POST``.
        url: absolute, with its query.
        headers: everything that is to be sent but ``host``, ``content-length`` and ``connection``.
        body: sent as it is; b"" is none.
    """

    method: str
    url: str
    headers: Headers
    body: bytes = b""


class UpstreamError(StepdownError):
    """A provider could not be reached, broke off, or took too long.

    Attributes:
        kind: ``connect`` (no connection), ``timeout`` (too slow), ``broken`` (the connection or the response broke off).
    """

    def __init__(self, kind: Literal["connect", "timeout", "broken"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Answer(Protocol):
    """A provider's response: its head has come, its body is still on the way."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """All of them, as they came; hop-by-hop ones and those that a decoder made untrue are left out."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in, never empty pieces; nothing is read ahead of the consumer beyond a small buffer.

        Raises:
            UpstreamError: it broke off, or one piece took too long.
        """
        ...

    async def close(self) -> None:
        """Let go of it: where the body has not come to its end, the connection is closed at once. May be called twice."""
        ...


class Upstream(Protocol):
    """Who sends requests to providers."""

    async def send(self, call: Call, timeouts: Timeouts) -> Answer:
        """Send a request and wait for the head of its response.

        Raises:
            UpstreamError: there is no response.
        """
        ...

    async def close(self) -> None:
        """Close idle connections; calls under way are not waited for."""
        ...
