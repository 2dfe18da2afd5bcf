"""The gateway as an ASGI application: three protocols passed on, and its own few routes under ``/v1/stepdown``.

What is passed on goes straight to `relay.Relay`, without a framework in between; Starlette routes the rest.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepdown.dashboard.app import Dashboard, is_browser, is_page
from stepdown.gateway.ahead import HOLD
from stepdown.gateway.control import Control
from stepdown.gateway.desk import Desk
from stepdown.gateway.door import Door, Refused
from stepdown.gateway.listing import Listing
from stepdown.gateway.passed import Witness
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.relay import Relay
from stepdown.gateway.resting import Resting
from stepdown.gateway.wire import Wire
from stepdown.team.roles import PERSON, sees
from stepdown.upstream.port import Timeouts, Upstream

_PATHS: Final = {
    "/v1/messages": "messages",
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/responses": "responses",
    "/responses": "responses",
}
"""Where requests of each protocol come in; some clients leave out ``/v1``."""

_KINDS: Final = {401: "authentication", 403: "authentication", 404: "not_found", 429: "rate_limit"}
"""What an error of ours is, by its status; any other is a request that cannot be understood."""

_HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""What may be asked by everybody: whether somebody is here, and takes requests."""


class Gateway:
    """The application.

    Args:
        desk: decides.
        upstream: asks providers.
        witness: is told what passes.
        control: the routes under ``/v1/stepdown``.
        door: who may come in, and as whom.
        timeouts: of one hop.
        more: further routes.
        page: the page in a browser, which has ways of its own to bring the token; None is none.
        resting: who asked to be left alone for a while.
        hold: seconds that the beginning of an answer is held back while it says nothing.
    """

    def __init__(
        self,
        desk: Desk,
        upstream: Upstream,
        witness: Witness,
        control: Control,
        door: Door,
        timeouts: Timeouts,
        *,
        more: Sequence[BaseRoute] = (),
        page: Dashboard | None = None,
        resting: Resting | None = None,
        hold: float = HOLD,
    ) -> None:
        self._desk = desk
        self._door = door
        self._control = control
        self._page = page
        resting = Resting() if resting is None else resting
        relays = {name: Relay(wire, desk, upstream, witness, timeouts, resting, hold=hold) for name, wire in WIRES.items()}
        self._relays: dict[str, ASGIApp] = {path: relays[name] for path, name in _PATHS.items()}
        listing = Listing(desk, upstream, timeouts)
        routes = [*(() if page is None else page.routes()), *listing.routes(), *control.routes(), *more]
        self._rest = Starlette(routes=routes, exception_handlers={404: _not_here, 405: _not_here})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        if self._control.leaving.is_set():
            send = _for_the_last_time(send)
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        path: str = scope["path"]
        named = dict(headers)
        address = scope["client"][0] if scope.get("client") else ""
        entered = await self._door.enter(scope["method"], path, headers, named, address)
        if isinstance(entered, Refused):
            await self._turned_away(entered, path, named)(scope, receive, send)
            return
        scope = {**scope, PERSON: entered.person}
        if entered.headers is not headers:
            scope["headers"] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in entered.headers]
        if path in _HEALTH and not sees(entered.person, self._desk.project):
            await self._control.presence(path, brief=False)(scope, receive, send)
            return
        relay = self._relays.get(path) if scope["method"] == "POST" else None
        await (relay or self._rest)(scope, receive, send)

    def _turned_away(self, refused: Refused, path: str, headers: Mapping[str, str]) -> Response:
        """What somebody hears who may not come in."""
        status = refused.status
        if status in {401, 429} and self._page is not None and is_page(path) and is_browser(headers):
            return self._page.asks_to_sign_in(wait=refused.wait)
        if path in _HEALTH:
            # Our own commands look who is there before they show the token; a web page learns no more than that.
            return self._control.presence(path, brief=status == 403)
        answer = _say(wire_of(path), status, refused.why)
        if refused.wait:
            answer.headers["retry-after"] = f"{refused.wait:.0f}"
        return answer


def _for_the_last_time(send: Send) -> Send:
    """Tell the client not to send its next request over this connection: nobody will be there to take it."""

    async def last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return last


def wire_of(path: str) -> Wire:
    """The protocol in whose words an error at this path is said."""
    return WIRES[_PATHS.get(path, "messages" if path.startswith("/v1/messages") else "chat")]


def _say(wire: Wire, status: int, why: str) -> Response:
    kind = _KINDS.get(status, "invalid")
    return Response(wire.error(status, kind, why), status, media_type="application/json")


async def _not_here(request: Request, problem: Exception) -> Response:
    if request.headers.get("upgrade", "").lower() == "websocket":
        # Codex tries a WebSocket first. At this status it goes over to HTTP at once; at any other it tries six times.
        return _say(wire_of(request.url.path), 426, "WebSockets are not spoken here: use HTTP")
    status = getattr(problem, "status_code", 404)
    return _say(wire_of(request.url.path), status, f"{request.method} {request.url.path}: there is nothing here")
