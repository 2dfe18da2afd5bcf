"""The routes of the practice provider: Anthropic Messages over HTTP, and its own few under ``/practice``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stepdown.practice import messages, metering, script
from stepdown.practice.faults import Fault, Faults
from stepdown.practice.messages import Rejected, Reply
from stepdown.units import Tokens

LARGEST_BODY: Final = 32 * 1024 * 1024
"""Bytes of one request that the Messages API takes, as it documents."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the provider's own log.

    Attributes:
        at: seconds since the epoch.
        id: the ``request-id`` that the client was given.
        path: ``/v1/messages`` or ``/v1/messages/count_tokens``.
        model: what was asked for; "" where the request was unreadable.
        unit: what the prompt calls the unit; "" where it names none.
        status: the HTTP status that was sent; 0 for none at all.
        tokens: what a bill would say; nothing for failures.
        stop: why the model stopped.
        stream: whether events were asked for.
        fault: the fault that hit it; "" for none.
    """

    at: float
    id: str
    path: str
    model: str = ""
    unit: str = ""
    status: int = 200
    tokens: Tokens = Tokens()
    stop: str = ""
    stream: bool = False
    fault: str = ""


class Desk(msgspec.Struct):
    """What the routes share: the faults to come, the cache, the log, and when to stop waiting."""

    faults: Faults
    cache: metering.PromptCache
    record: Callable[[Served], None]
    log: list[Served]
    latency: Mapping[str, float]
    models: tuple[str, ...]
    context: int
    closing: asyncio.Event


class _Cut(Response):
    """An answer that breaks off: more is announced than is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half."""
        del scope, receive
        length = str(len(self.body) * 2 + 64).encode()
        kept = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": [*kept, (b"content-length", length)]})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})


def _json(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(data), status, dict(headers or {}), "application/json")


def _failed(
    status: int, message: str, request_id: str, *, kind: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    body = messages.error(status, message, kind=kind, request_id=request_id)
    return _json(body, status, {"request-id": request_id, **(headers or {})})


async def _body(request: Request) -> bytes:
    """The request's body, never more of it than the API takes."""
    taken = bytearray()
    async for piece in request.stream():
        taken += piece
        if len(taken) > LARGEST_BODY:
            raise Rejected(413, f"Request exceeds the maximum size of {LARGEST_BODY} bytes")
    return bytes(taken)


class _Routes:
    """The endpoints, over one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, request: Request) -> Response:
        """``POST /v1/messages``."""
        desk, served = self._desk, Served(at=time.time(), id=messages.new_id("req"), path="/v1/messages")
        try:
            body = messages.read(await _body(request))
        except Rejected as refused:
            desk.record(msgspec.structs.replace(served, status=refused.status))
            return _failed(refused.status, str(refused), served.id)
        model, streamed = str(body["model"]), body.get("stream") is True
        unit = request.headers.get("x-stepdown-unit-id", "") or script.unit_name(messages.human_text(body))
        served = msgspec.structs.replace(served, model=model, unit=unit, stream=streamed)
        await asyncio.sleep(desk.latency.get(model, desk.latency[""]))
        fault = desk.faults.take(model, unit)
        if fault is not None and fault.kind not in {"refusal", "wrong"}:
            return await _fail(desk, fault, served)
        canned = {"refusal": script.REFUSAL, "wrong": script.WRONG}.get(fault.kind) if fault else None
        reply = script.bounded(canned or script.answer(body), body["max_tokens"])
        return _reply(desk, body, reply, msgspec.structs.replace(served, fault=fault.kind if fault else ""))

    async def count_tokens(self, request: Request) -> Response:
        """``POST /v1/messages/count_tokens``."""
        served = Served(at=time.time(), id=messages.new_id("req"), path="/v1/messages/count_tokens")
        try:
            body = messages.read(await _body(request), counting=True)
        except Rejected as refused:
            self._desk.record(msgspec.structs.replace(served, status=refused.status))
            return _failed(refused.status, str(refused), served.id)
        self._desk.record(msgspec.structs.replace(served, model=body["model"]))
        return _json({"input_tokens": metering.prompt_tokens(body)}, headers={"request-id": served.id})

    async def models(self, request: Request) -> Response:
        """``GET /v1/models`` and ``GET /v1/models/{id}``."""
        wanted = request.path_params.get("model")
        if wanted is not None:
            return _json(_model(wanted))
        names = self._desk.models
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return _json({"data": [_model(name) for name in names], "has_more": False, **ends})

    async def hello(self, _: Request) -> Response:
        """``/`` and ``/api/hello``, which clients look at before they begin."""
        return _json({"practice": "the practice provider of stepdown: no key, no model, nothing spent"})

    async def log(self, _: Request) -> Response:
        """``GET /practice/log``."""
        return _json(self._desk.log)

    async def faults(self, request: Request) -> Response:
        """``POST /practice/faults`` adds a list of faults, ``DELETE`` forgets those still to come."""
        if request.method == "DELETE":
            self._desk.faults.clear()
        else:
            try:
                self._desk.faults.add(msgspec.json.decode(await _body(request), type=list[Fault]))
            except (msgspec.DecodeError, UnicodeDecodeError, Rejected) as problem:
                return _failed(400, f"a list of faults is needed: {problem}", messages.new_id("req"))
        return _json({"waiting": len(self._desk.faults)})


def application(desk: Desk) -> Starlette:
    """The whole provider as an ASGI application."""
    routes = _Routes(desk)
    return Starlette(
        routes=[
            Route("/v1/messages", routes.create, methods=["POST"]),
            Route("/v1/messages/count_tokens", routes.count_tokens, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/v1/models/{model:path}", routes.models),
            Route("/", routes.hello),
            Route("/api/hello", routes.hello),
            Route("/practice/log", routes.log),
            Route("/practice/faults", routes.faults, methods=["POST", "DELETE"]),
        ],
        exception_handlers={HTTPException: _not_here},
    )


def _model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


async def _not_here(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    return _failed(status, f"{request.method} {request.url.path}: not found", messages.new_id("req"))


def _reply(desk: Desk, body: Mapping[str, Any], reply: Reply, served: Served) -> Response:
    """Bill the request, log it, and answer; the log has it before the client does."""
    length = metering.prompt_tokens(body)
    if length > desk.context:
        desk.record(msgspec.structs.replace(served, status=400))
        return _failed(400, f"prompt is too long: {length} tokens > {desk.context} maximum", served.id)
    tokens = desk.cache.bill(served.model, body, time.monotonic()) + Tokens(output=reply.tokens)
    desk.record(msgspec.structs.replace(served, tokens=tokens, stop=reply.stop))
    message_id, headers = messages.new_id("msg"), {"request-id": served.id}
    if not served.stream:
        return _json(messages.whole(message_id, served.model, reply, tokens), headers=headers)

    async def events() -> AsyncIterator[bytes]:
        for piece in messages.stream(message_id, served.model, reply, tokens):
            yield piece

    return StreamingResponse(events(), headers={**headers, "cache-control": "no-cache"}, media_type="text/event-stream")


async def _fail(desk: Desk, fault: Fault, served: Served) -> Response:
    """Go wrong as told."""
    note = msgspec.structs.replace(served, fault=fault.kind)
    message = fault.message or f"The practice provider was told to fail ({fault.kind})"
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    if fault.kind == "hang":
        desk.record(msgspec.structs.replace(note, status=0))
        await desk.closing.wait()
        return _failed(500, message, served.id)
    if fault.kind == "cut":
        desk.record(note)
        return _Cut(b'event: message_start\ndata: {"type":"mess', media_type="text/event-stream")
    if fault.kind == "sse_error" and served.stream:
        desk.record(note)
        failed = messages.error(fault.status, message, kind=fault.error)
        return Response(messages.event(failed), headers={"request-id": served.id}, media_type="text/event-stream")
    desk.record(msgspec.structs.replace(note, status=fault.status))
    if fault.kind == "html":
        page = f"<html><head><title>{fault.status}</title></head><body><h1>Bad Gateway</h1>{message}</body></html>"
        return Response(page, fault.status, headers, "text/html")
    return _failed(fault.status, message, served.id, kind=fault.error, headers=headers)
