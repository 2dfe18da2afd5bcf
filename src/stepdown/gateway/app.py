"""The gateway as an ASGI application: three protocols passed on, and its own few routes under ``/v1/stepdown``.

What is passed on goes straight to `relay.Relay`, without a framework in between; Starlette routes the rest.
"""

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from stepdown.dashboard.app import Dashboard, is_browser, is_page
from stepdown.gateway.ahead import HOLD
from stepdown.gateway.control import Control
from stepdown.gateway.desk import Desk
from stepdown.gateway.guard import Guard
from stepdown.gateway.listing import Listing
from stepdown.gateway.passed import Witness
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.relay import Relay
from stepdown.gateway.resting import Resting
from stepdown.gateway.wire import Wire
from stepdown.upstream.port import Timeouts, Upstream

_PATHS: Final = {
    "/v1/messages": "messages",
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/responses": "responses",
    "/responses": "responses",
}
"""Where requests of each protocol come in; some clients leave out ``/v1``."""

_HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""What may be asked by everybody: whether somebody is here."""


class Gateway:
    """The application.

    Args:
        desk: decides.
        upstream: asks providers.
        witness: is told what passes.
        control: the routes under ``/v1/stepdown``.
        guard: who may come in.
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
        guard: Guard,
        timeouts: Timeouts,
        *,
        more: Sequence[BaseRoute] = (),
        page: Dashboard | None = None,
        resting: Resting | None = None,
        hold: float = HOLD,
    ) -> None:
        self._guard = guard
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
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        path: str = scope["path"]
        named = dict(headers)
        refusal = self._guard.refusal(named)
        if refusal is not None and refusal[0] == 401 and self._page is not None and is_page(path):
            if self._page.admits(path, named):
                refusal = None
            elif is_browser(named):
                await self._page.asks_to_sign_in()(scope, receive, send)
                return
        if refusal is not None:
            status, why = refusal
            # Our own commands look who is there before they show the token; a web page learns no more than that.
            health = self._control.presence(brief=status != 401) if path in _HEALTH else None
            await (health or _say(wire_of(path), status, why))(scope, receive, send)
            return
        kept = self._guard.strip(headers)
        if kept is not headers:
            scope = {**scope, "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept]}
        relay = self._relays.get(path) if scope["method"] == "POST" else None
        await (relay or self._rest)(scope, receive, send)


def wire_of(path: str) -> Wire:
    """The protocol in whose words an error at this path is said."""
    return WIRES[_PATHS.get(path, "messages" if path.startswith("/v1/messages") else "chat")]


def _say(wire: Wire, status: int, why: str) -> Response:
    kind = "authentication" if status in {401, 403} else "not_found" if status == 404 else "invalid"
    return Response(wire.error(status, kind, why), status, media_type="application/json")


async def _not_here(request: Request, problem: Exception) -> Response:
    if request.headers.get("upgrade", "").lower() == "websocket":
        # Codex tries a WebSocket first. At this status it goes over to HTTP at once; at any other it tries six times.
        return _say(wire_of(request.url.path), 426, "WebSockets are not spoken here: use HTTP")
    status = getattr(problem, "status_code", 404)
    return _say(wire_of(request.url.path), status, f"{request.method} {request.url.path}: there is nothing here")
