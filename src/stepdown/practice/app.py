"""The routes of the practice provider: Anthropic Messages, OpenAI Responses, and its own few under ``/practice``."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stepdown.practice import messages, metering, script
from stepdown.practice.dialects import MESSAGES, RESPONSES, Body, Dialect
from stepdown.practice.faults import Fault, Faults
from stepdown.practice.messages import Rejected, Reply
from stepdown.units import Tokens

LARGEST_BODY: Final = 32 * 1024 * 1024
"""Bytes of one request that the Messages API takes, as it documents."""

ATTEMPT: Final = "x-stepdown-attempt"
"""The request header that says which attempt a request belongs to."""

SETTLING: Final = 5.0
"""Seconds that a question for an attempt's usage waits for requests of it that are still being answered."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the provider's own log.

    Attributes:
        at: seconds since the epoch.
        id: the ``request-id`` that the client was given.
        path: ``/v1/messages``, ``/v1/messages/count_tokens`` or ``/v1/responses``.
        model: what was asked for; "" where the request was unreadable.
        unit: what the prompt calls the unit; "" where it names none.
        status: the HTTP status that was sent; 0 for none at all.
        tokens: what a bill would say; nothing for failures.
        stop: why the model stopped.
        stream: whether events were asked for.
        fault: the fault that hit it; "" for none.
        attempt: the attempt it belongs to, by its header `ATTEMPT`; "" where none was said.
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
    attempt: str = ""


def used(log: Sequence[Served], attempt: str = "") -> tuple[Tokens, int]:
    """What an attempt was billed for, and in how many requests; "" is everything in the log."""
    bills = [served.tokens for served in log if served.tokens.total and (not attempt or served.attempt == attempt)]
    return sum(bills, Tokens()), len(bills)


class Desk(msgspec.Struct):
    """What the routes share: the faults to come, the cache, the log, and when to stop waiting.

    Attributes:
        moved: set whenever a request is no longer under way.
        underway: by request id, the attempts of requests that came in and are not in the log yet.
    """

    faults: Faults
    cache: metering.PromptCache
    record: Callable[[Served], None]
    log: list[Served]
    latency: Mapping[str, float]
    models: tuple[str, ...]
    context: int
    closing: asyncio.Event
    moved: asyncio.Event
    underway: dict[str, str] = {}

    def note(self, served: Served) -> None:
        """Write a request into the log."""
        self.record(served)
        self.leave(served.id)

    def leave(self, request_id: str) -> None:
        """A request is no longer under way."""
        self.underway.pop(request_id, None)
        self.moved.set()


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
    status: int,
    message: str,
    request_id: str,
    *,
    dialect: Dialect = MESSAGES,
    kind: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = dialect.error(status, message, kind, request_id)
    return _json(body, status, {dialect.id_header: request_id, **(headers or {})})


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

    async def message(self, request: Request) -> Response:
        """``POST /v1/messages``."""
        return await self._create(request, MESSAGES)

    async def response(self, request: Request) -> Response:
        """``POST /v1/responses``."""
        return await self._create(request, RESPONSES)

    async def _create(self, request: Request, dialect: Dialect) -> Response:
        attempt = request.headers.get(ATTEMPT, "")
        served = Served(at=time.time(), id=messages.new_id("req"), path=dialect.path, attempt=attempt)
        self._desk.underway[served.id] = attempt
        try:
            return await self._answer(request, dialect, served)
        finally:
            self._desk.leave(served.id)

    async def _answer(self, request: Request, dialect: Dialect, served: Served) -> Response:
        desk = self._desk
        try:
            body = dialect.read(await _body(request))
        except Rejected as refused:
            desk.note(msgspec.structs.replace(served, status=refused.status))
            return _failed(refused.status, str(refused), served.id, dialect=dialect)
        model, streamed, said = str(body["model"]), body.get("stream") is True, dialect.conversation(body)
        unit = request.headers.get("x-stepdown-unit-id", "") or script.unit_name(messages.human_text(said))
        served = msgspec.structs.replace(served, model=model, unit=unit, stream=streamed)
        await asyncio.sleep(desk.latency.get(model, desk.latency[""]))
        fault = desk.faults.take(model, unit)
        if fault is not None and fault.kind not in {"refusal", "wrong"}:
            return await _fail(desk, dialect, fault, served)
        canned = {"refusal": script.REFUSAL, "wrong": script.WRONG}.get(fault.kind) if fault else None
        reply = script.bounded(canned or dialect.spoken(script.answer(said), body), said["max_tokens"])
        served = msgspec.structs.replace(served, fault=fault.kind if fault else "")
        return _reply(desk, dialect, dialect.prompt(body), reply, served)

    async def count_tokens(self, request: Request) -> Response:
        """``POST /v1/messages/count_tokens``."""
        served = Served(at=time.time(), id=messages.new_id("req"), path="/v1/messages/count_tokens")
        try:
            body = messages.read(await _body(request), counting=True)
        except Rejected as refused:
            self._desk.note(msgspec.structs.replace(served, status=refused.status))
            return _failed(refused.status, str(refused), served.id)
        self._desk.note(msgspec.structs.replace(served, model=body["model"]))
        return _json({"input_tokens": metering.prompt_tokens(body)}, headers={"request-id": served.id})

    async def models(self, request: Request) -> Response:
        """``GET /v1/models`` and ``GET /v1/models/{id}``, as Anthropic or as OpenAI lists them, by who seems to ask."""
        wanted, names = request.path_params.get("model"), self._desk.models
        if "anthropic-version" not in request.headers and request.headers.get("authorization", "").startswith("Bearer "):
            listed = [_openai_model(name) for name in names]
            return _json(_openai_model(wanted) if wanted is not None else {"object": "list", "data": listed})
        if wanted is not None:
            return _json(_model(wanted))
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return _json({"data": [_model(name) for name in names], "has_more": False, **ends})

    async def hello(self, _: Request) -> Response:
        """``/`` and ``/api/hello``, which clients look at before they begin."""
        return _json({"practice": "the practice provider of stepdown: no key, no model, nothing spent"})

    async def log(self, _: Request) -> Response:
        """``GET /practice/log``."""
        return _json(self._desk.log)

    async def usage(self, request: Request) -> Response:
        """``GET /practice/usage?attempt=ID``: what an attempt was billed for; without one, everything.

        A run that was killed may have left a request that is still being answered, and billed: that is waited for.
        """
        desk, attempt = self._desk, request.query_params.get("attempt", "")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLING):
                while any(attempt in {"", one} for one in desk.underway.values()):
                    desk.moved.clear()
                    await desk.moved.wait()
        tokens, requests = used(desk.log, attempt)
        return _json({"requests": requests, "tokens": msgspec.structs.asdict(tokens)})

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
            Route("/v1/messages", routes.message, methods=["POST"]),
            Route("/v1/responses", routes.response, methods=["POST"]),
            Route("/v1/messages/count_tokens", routes.count_tokens, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/v1/models/{model:path}", routes.models),
            Route("/", routes.hello),
            Route("/api/hello", routes.hello),
            Route("/practice/log", routes.log),
            Route("/practice/usage", routes.usage),
            Route("/practice/faults", routes.faults, methods=["POST", "DELETE"]),
        ],
        exception_handlers={HTTPException: _not_here},
    )


def _model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "practice"}


async def _not_here(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    return _failed(status, f"{request.method} {request.url.path}: not found", messages.new_id("req"))


def _reply(desk: Desk, dialect: Dialect, prompt: Body, reply: Reply, served: Served) -> Response:
    """Bill the request, log it, and answer; the log has it before the client does."""
    length = metering.prompt_tokens(prompt)
    if length > desk.context:
        desk.note(msgspec.structs.replace(served, status=400))
        words = f"prompt is too long: {length} tokens > {desk.context} maximum"
        return _failed(400, words, served.id, dialect=dialect)
    tokens = dialect.billed(desk.cache.bill(served.model, prompt, time.monotonic())) + Tokens(output=reply.tokens)
    desk.note(msgspec.structs.replace(served, tokens=tokens, stop=reply.stop))
    answer_id, headers = messages.new_id(dialect.id_prefix), {dialect.id_header: served.id}
    if not served.stream:
        return _json(dialect.whole(answer_id, served.model, reply, tokens), headers=headers)

    async def events() -> AsyncIterator[bytes]:
        for piece in dialect.stream(answer_id, served.model, reply, tokens):
            yield piece

    return StreamingResponse(events(), headers={**headers, "cache-control": "no-cache"}, media_type="text/event-stream")


async def _fail(desk: Desk, dialect: Dialect, fault: Fault, served: Served) -> Response:
    """Go wrong as told."""
    note = msgspec.structs.replace(served, fault=fault.kind)
    message = fault.message or f"The practice provider was told to fail ({fault.kind})"
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    if fault.kind == "hang":
        desk.note(msgspec.structs.replace(note, status=0))
        await desk.closing.wait()
        return _failed(500, message, served.id, dialect=dialect)
    if fault.kind == "cut":
        desk.note(note)
        return _Cut(b'event: message_start\ndata: {"type":"mess', media_type="text/event-stream")
    if fault.kind == "sse_error" and served.stream:
        desk.note(note)
        failed = dialect.failed(fault.status, message, fault.error)
        return Response(failed, headers={dialect.id_header: served.id}, media_type="text/event-stream")
    desk.note(msgspec.structs.replace(note, status=fault.status))
    if fault.kind == "html":
        page = f"<html><head><title>{fault.status}</title></head><body><h1>Bad Gateway</h1>{message}</body></html>"
        return Response(page, fault.status, headers, "text/html")
    return _failed(fault.status, message, served.id, dialect=dialect, kind=fault.error, headers=headers)
