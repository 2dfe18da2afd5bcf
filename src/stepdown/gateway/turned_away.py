"""Who was turned away: a request that was answered with an error before anything was decided about it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepdown.gateway.passed import CLIENTS, said_id

_HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""Asked every few seconds, where no is an answer like any other."""

_DECIDED: Final = b"x-stepdown-decision"
"""An answer with this header is that of a request that `Witness.passed` will tell of."""


class TurnedAway(msgspec.Struct, frozen=True, kw_only=True):
    """One of them.

    Attributes:
        at: seconds since the epoch.
        method: in capitals.
        path: without its query, which may hold a key.
        status: what the client was sent.
        address: the client's; behind a load balancer that is not trusted to say, the balancer's.
        client_id: what the client calls the request; "" where it does not say.
    """

    at: float
    method: str
    path: str
    status: int
    address: str = ""
    client_id: str = ""


class Doorstep:
    """An ASGI application around the gateway's, which tells of those that were turned away.

    Args:
        application: the gateway's.
        told: are told; they do not wait, and do not fail.
    """

    def __init__(self, application: ASGIApp, told: Sequence[Callable[[TurnedAway], None]]) -> None:
        self._application = application
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] in _HEALTH:
            await self._application(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._look(scope, message)
            await send(message)

        await self._application(scope, receive, watched)

    def _look(self, scope: Scope, message: Message) -> None:
        if any(name == _DECIDED for name, _ in message.get("headers", ())):
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client = scope.get("client")
        one = TurnedAway(
            at=time.time(),
            method=scope["method"],
            path=scope["path"],
            status=message["status"],
            address=client[0] if client else "",
            client_id=said_id(headers, CLIENTS),
        )
        for tell in self._told:
            tell(one)
