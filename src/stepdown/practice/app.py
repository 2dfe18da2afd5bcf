"""The routes of the practice provider: the three protocols, what clients look at first, and its own under ``/practice``."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepdown.practice import answers, messages, metering, rejections, safety, script
from stepdown.practice.answers import as_json
from stepdown.practice.desk import Desk
from stepdown.practice.dialects import DIALECTS, MESSAGES, Dialect
from stepdown.practice.faults import Fault
from stepdown.practice.limits import NO_LIMITS, Limits
from stepdown.practice.messages import Rejected
from stepdown.practice.served import Served, received, used

LARGEST_BODY: Final = 32 * 1024 * 1024
"""Bytes of one request that the Messages API takes, as it documents."""

SETTLING: Final = 5.0
"""Seconds that a question for an attempt's usage waits for requests of it that are still being answered."""


async def _body(request: Request) -> bytes:
    """The request's body, never more of it than the API takes."""
    taken = bytearray()
    async for piece in request.stream():
        taken += piece
        if len(taken) > LARGEST_BODY:
            raise Rejected(413, f"Request exceeds the maximum size of {LARGEST_BODY} bytes")
    return bytes(taken)


def _received(request: Request) -> Served:
    return received(time.time(), messages.new_id("req"), request.url.path, request.url.query, request.headers)


class _Routes:
    """The endpoints, over one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def creating(self, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that answers in one protocol."""

        async def create(request: Request) -> Response:
            served = _received(request)
            self._desk.underway[served.id] = served.attempt
            try:
                return await self._answer(request, dialect, served)
            finally:
                self._desk.leave(served.id)

        return create

    async def _read(self, request: Request, served: Served) -> tuple[bytes, Served]:
        raw = await _body(request)
        if self._desk.bodies is not None:
            self._desk.bodies[served.id] = raw
        return raw, msgspec.structs.replace(served, body=hashlib.sha256(raw).hexdigest(), size=len(raw))

    async def _answer(self, request: Request, dialect: Dialect, served: Served) -> Response:
        desk = self._desk
        try:
            raw, served = await self._read(request, served)
            body = dialect.read(raw)
        except Rejected as refused:
            return answers.rejected(desk, dialect, refused, served)
        model, streamed, asked = str(body["model"]), body.get("stream") is True, dialect.conversation(body)
        unit = request.headers.get("x-stepdown-unit-id", "") or script.unit_name(messages.human_text(asked))
        served = msgspec.structs.replace(served, model=model, unit=unit, stream=streamed)
        await asyncio.sleep(desk.latency.get(model, desk.latency[""]))
        fault = desk.faults.take(model, unit)
        if fault is not None and answers.at_once(fault, stream=streamed):
            return await answers.failure(desk, dialect, fault, served)
        try:
            if desk.catalog is not None:
                rejections.check(dialect, body, served.betas, desk.catalog)
        except Rejected as refused:
            return answers.rejected(desk, dialect, refused, served)
        canned = {"refusal": script.REFUSAL, "wrong": script.WRONG}.get(fault.kind) if fault else None
        said = answers.lengthened(canned or dialect.spoken(script.answer(asked), body), fault)
        said = safety.checked(script.bounded(said, asked["max_tokens"]), body, desk.catalog)
        return answers.reply(desk, dialect, body, said, served, fault)

    async def count_tokens(self, request: Request) -> Response:
        """``POST /v1/messages/count_tokens``."""
        served = _received(request)
        try:
            raw, served = await self._read(request, served)
            body = messages.read(raw, counting=True)
            served = msgspec.structs.replace(served, model=body["model"])
            if self._desk.catalog is not None:
                rejections.check(MESSAGES, body, served.betas, self._desk.catalog)
        except Rejected as refused:
            return answers.rejected(self._desk, MESSAGES, refused, served)
        self._desk.note(served)
        return as_json({"input_tokens": metering.prompt_tokens(body)}, headers=answers.named(self._desk, MESSAGES, served))

    async def models(self, request: Request) -> Response:
        """``GET /v1/models`` and ``GET /v1/models/{id}``, as Anthropic or as OpenAI lists them, by who seems to ask."""
        wanted, names = request.path_params.get("model"), self._desk.models
        if "anthropic-version" not in request.headers and request.headers.get("authorization", "").startswith("Bearer "):
            listed = [_openai_model(name) for name in names]
            return as_json(_openai_model(wanted) if wanted is not None else {"object": "list", "data": listed})
        if wanted is not None:
            return as_json(_model(wanted))
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return as_json({"data": [_model(name) for name in names], "has_more": False, **ends})

    async def hello(self, _: Request) -> Response:
        """``/`` and ``/api/hello``, which clients look at before they begin."""
        return as_json({"practice": "the practice provider of stepdown: no key, no model, nothing spent"})

    async def log(self, _: Request) -> Response:
        """``GET /practice/log``."""
        return as_json(self._desk.log)

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
        return as_json({"requests": requests, "tokens": msgspec.structs.asdict(tokens)})

    async def faults(self, request: Request) -> Response:
        """``POST /practice/faults`` adds a list of faults, ``DELETE`` forgets those still to come."""
        if request.method == "DELETE":
            self._desk.faults.clear()
        else:
            try:
                self._desk.faults.add(msgspec.json.decode(await _body(request), type=list[Fault]))
            except (msgspec.DecodeError, UnicodeDecodeError, Rejected) as problem:
                return _bad(f"a list of faults is needed: {problem}")
        return as_json({"waiting": len(self._desk.faults)})

    async def limits(self, request: Request) -> Response:
        """``PUT /practice/limits`` says what the headers of every answer say from now on, ``DELETE`` that they say nothing."""
        if request.method == "DELETE":
            self._desk.limits = NO_LIMITS
        elif request.method == "PUT":
            try:
                self._desk.limits = msgspec.json.decode(await _body(request), type=Limits)
            except (msgspec.DecodeError, UnicodeDecodeError, Rejected) as problem:
                return _bad(f"limits are needed: {problem}")
        return as_json(self._desk.limits)


def application(desk: Desk) -> Starlette:
    """The whole provider as an ASGI application."""
    routes = _Routes(desk)
    creating = [Route(path, routes.creating(one), methods=["POST"]) for one in DIALECTS for path in one.paths]
    listing = [
        Route(path, routes.models) for start in ("/v1", "") for path in (f"{start}/models", f"{start}/models/{{model:path}}")
    ]
    return Starlette(
        routes=[
            *creating,
            *listing,
            Route("/v1/messages/count_tokens", routes.count_tokens, methods=["POST"]),
            Route("/", routes.hello),
            Route("/api/hello", routes.hello),
            Route("/practice/log", routes.log),
            Route("/practice/usage", routes.usage),
            Route("/practice/faults", routes.faults, methods=["POST", "DELETE"]),
            Route("/practice/limits", routes.limits, methods=["GET", "PUT", "DELETE"]),
        ],
        exception_handlers={HTTPException: _not_here},
    )


def _model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "practice"}


def _bad(words: str) -> Response:
    return as_json(messages.error(400, words), 400)


async def _not_here(request: Request, problem: Exception) -> Response:
    """The answer to a path that is not here, in the shape of the protocol it seems to belong to."""
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    dialect = next((one for one in DIALECTS if request.url.path.startswith(one.paths)), MESSAGES)
    request_id = messages.new_id("req")
    refused = Rejected(status, f"{request.method} {request.url.path}: not found")
    return as_json(dialect.error(refused, request_id), status, {dialect.id_header: request_id})
