"""What clients ask for besides answers: models, token counts, whether anybody is there. Their provider answers where it can."""

import contextlib
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from stepdown.gateway.client import Gone, expect_json, read_body
from stepdown.gateway.declared import OURS
from stepdown.gateway.desk import Desk
from stepdown.gateway.edit import replace
from stepdown.gateway.hops import Hop, address, has_credential, outgoing, own_name, returned
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.wire import Unreadable, Wire
from stepdown.providers import participating
from stepdown.units import TIERS
from stepdown.upstream.port import Call, Timeouts, Upstream, UpstreamError

_OWN: Final = (*(f"{OURS}{tier}" for tier in TIERS), f"{OURS}auto")


class Listing:
    """The routes.

    Args:
        desk: knows who is home.
        upstream: asks them.
        timeouts: of one call.
    """

    def __init__(self, desk: Desk, upstream: Upstream, timeouts: Timeouts) -> None:
        self._desk = desk
        self._upstream = upstream
        self._timeouts = timeouts

    def routes(self) -> Sequence[BaseRoute]:
        """Where they are."""
        return [
            Route("/v1/messages/count_tokens", self.count, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/models", self.models),
            Route("/v1/models/{model:path}", self.model),
            Route("/models/{model:path}", self.model),
            Route("/api/hello", self.hello),
            Route("/", self.hello),
        ]

    async def hello(self, _: Request) -> Response:
        """``/`` and ``/api/hello``, which clients look at before they begin."""
        return Response(b'{"stepdown":"gateway"}', media_type="application/json")

    async def count(self, request: Request) -> Response:
        """``POST /v1/messages/count_tokens``: not routed, since nothing is done; the model's own provider counts."""
        wire, headers = WIRES["messages"], dict(request.headers)
        try:
            expect_json(headers)
            body = await read_body(headers, request.receive)
            envelope = wire.read(body, headers)
            named = self._desk.ceiling(wire, envelope, headers)
        except Unreadable as problem:
            kind = {404: "not_found", 413: "too_large"}.get(problem.status, "invalid")
            return _error(wire, problem.status, kind, str(problem))
        except Gone:
            return _error(wire, 400, "invalid", "the client has gone")
        hop = self._desk.world.map.hop(named, wire, named.provider, has_credential=has_credential(headers))
        if hop is None:
            return _error(wire, 404, "not_found", f"{named.ref} cannot be reached")
        name = own_name(named, "" if envelope.model.startswith(OURS) else envelope.model)
        if name:
            body = replace(body, {"model": msgspec.json.encode(name)}, envelope.spans)
        return await self._ask(request, wire, hop, f"{hop.url}/count_tokens", "POST", body)

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``: the home provider's own list; ours where it has none."""
        wire = _asking(request)
        answered = await self._from_home(request, wire, "/models")
        return answered if answered is not None else _json(_listed(wire, self._names(wire)))

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{id}``."""
        wire, name = _asking(request), request.path_params["model"]
        if name not in _OWN:
            if ".." in name.split("/"):  # it would ask for something else
                return _error(wire, 404, "not_found", f"there is no model '{name}'")
            answered = await self._from_home(request, wire, f"/models/{quote(name, safe='/')}")
            if answered is not None:
                return answered
            if name not in self._names(wire):
                return _error(wire, 404, "not_found", f"there is no model '{name}'")
        return _json(_entry(wire, name))

    async def _from_home(self, request: Request, wire: Wire, path: str) -> Response | None:
        """What the protocol's own provider says; None where it cannot be asked, or has no answer."""
        headers = dict(request.headers)
        named = self._desk.world.map.named("", wire)
        hop = self._desk.world.map.hop(named, wire, named.provider, has_credential=has_credential(headers))
        if hop is None or not (hop.key or has_credential(headers)):
            return None
        base = hop.url.removesuffix("/messages").removesuffix("/chat/completions").removesuffix("/responses")
        with contextlib.suppress(UpstreamError):
            answer = await self._ask(request, wire, hop, base + path, "GET", b"")
            if answer.status_code < 300:
                return answer
        return None

    async def _ask(self, request: Request, wire: Wire, hop: Hop, url: str, method: str, body: bytes) -> Response:
        """One call, its answer whole."""
        key = self._desk.environ.get(hop.key, "").strip() if hop.key else ""
        received = [(name.lower(), value) for name, value in request.headers.items()]
        asked = address(msgspec.structs.replace(hop, url=url), request.url.query, request.headers)
        call = Call(method=method, url=asked, headers=outgoing(received, hop, wire, key), body=body)
        try:
            answer = await self._upstream.send(call, self._timeouts)
            try:
                whole = b"".join([piece async for piece in answer.pieces()])
            finally:
                await answer.close()
        except UpstreamError as problem:
            if method == "GET":
                raise
            return _error(wire, 502, "upstream", str(problem))
        if 300 <= answer.status < 400 and hop.key:  # whoever followed it would take a credential of their own along
            return _error(wire, 502, "upstream", f"{hop.provider.name} answered with a redirect; correct its base_url")
        response = Response(whole, answer.status)
        kept = [header for header in returned(answer.headers) if header[0] != b"content-length"]
        response.raw_headers = [*kept, (b"content-length", str(len(whole)).encode())]
        return response

    def _names(self, wire: Wire) -> Sequence[str]:
        """The models that can be asked for on a protocol, as far as the catalogue knows, and our own."""
        world = self._desk.world
        home = world.map.named("", wire).provider
        taking_part = participating(world.preferences, world.catalog, None) | {home}
        providers = world.map.reachable(home, wire) & taking_part
        known = [
            model.id
            for model in world.catalog
            if model.provider in providers and wire.name in model.protocols and model.status == "current"
        ]
        return [*_OWN, *known]


def _asking(request: Request) -> Wire:
    """In whose shape the list is wanted: Anthropic's clients send their version with every request."""
    return WIRES["messages" if "anthropic-version" in request.headers else "chat"]


def _entry(wire: Wire, name: str) -> dict[str, Any]:
    if wire.name == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": "stepdown"}


def _listed(wire: Wire, names: Sequence[str]) -> dict[str, Any]:
    entries = [_entry(wire, name) for name in names]
    if wire.name == "messages":
        return {"data": entries, "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return {"object": "list", "data": entries}


def _json(data: object) -> Response:
    return Response(msgspec.json.encode(data), media_type="application/json")


def _error(wire: Wire, status: int, kind: str, why: str) -> Response:
    return Response(wire.error(status, kind, why), status, media_type="application/json")
