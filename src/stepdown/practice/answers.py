"""From what the model says, or from what is to go wrong, to an HTTP response."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from stepdown.practice import limits, messages, metering
from stepdown.practice.desk import Desk
from stepdown.practice.dialects import Body, Dialect
from stepdown.practice.faults import ANSWERED, Fault
from stepdown.practice.messages import Rejected, Reply
from stepdown.practice.playback import HungUp, Playback
from stepdown.practice.served import Served
from stepdown.units import Tokens

_MIDDLE: Final = frozenset({"cut_mid", "mid_error"})
"""The faults that strike after some of an answer."""

_EVENTS: Final = "text/event-stream"
_JSON: Final = "application/json"

_SLICES: Final = 8
"""Pieces of an answer that is not streamed, where it has to come in pieces."""

_FILLER: Final = " and so on, and so on, and so on, and so on, etc."
"""As long as one streamed delta or a little more."""

_GARBAGE: Final = b'{"id": "msg_01", "content": [{"type": "te\x00\x00xt", "tex <<<<'


def as_json(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(data), status, dict(headers or {}), _JSON)


def named(desk: Desk, dialect: Dialect, served: Served) -> dict[str, str]:
    """The headers of every response: the request's name, and what is left of the limits."""
    return {dialect.id_header: served.id, **limits.headers(desk.limits, dialect.name, time.time())}


def rejected(
    desk: Desk, dialect: Dialect, problem: Rejected, served: Served, more: Mapping[str, str] | None = None
) -> Response:
    """Log a refusal and answer with it."""
    desk.note(msgspec.structs.replace(served, status=problem.status))
    return as_json(dialect.error(problem, served.id), problem.status, {**named(desk, dialect, served), **(more or {})})


def at_once(fault: Fault, *, stream: bool) -> bool:
    """Whether a fault comes instead of an answer, rather than with one. An answer in one piece cannot hold an error."""
    if fault.kind == "mid_error":
        return not stream
    return fault.kind not in ANSWERED | _MIDDLE


async def failure(desk: Desk, dialect: Dialect, fault: Fault, served: Served) -> Response:
    """Go wrong as told, before anything was answered."""
    note = msgspec.structs.replace(served, fault=fault.kind)
    problem = Rejected(fault.status, _words(fault), kind=fault.error)
    more = {**fault.headers, **({} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"})}
    match fault.kind:
        case "hang":
            desk.note(msgspec.structs.replace(note, status=0))
            await desk.closing.wait()
            return as_json(dialect.error(problem, served.id), fault.status)
        case "cut":
            desk.note(msgspec.structs.replace(note, status=0))
            return HungUp(desk.hang_up)
        case "garbage":
            desk.note(note)
            if served.stream:
                return Response(b"data: " + _GARBAGE + b"\n\n", 200, more, _EVENTS)
            return Response(_GARBAGE, 200, more, _JSON)
        case "sse_error" if served.stream:
            desk.note(note)
            failed = dialect.failed(fault.status, _words(fault), fault.error, "")
            return Response(failed, 200, {**named(desk, dialect, served), **more}, _EVENTS)
        case "html":
            desk.note(msgspec.structs.replace(note, status=fault.status))
            page = f"<html><head><title>{fault.status}</title></head><body><h1>Bad Gateway</h1>{_words(fault)}</body></html>"
            return Response(page, fault.status, more, "text/html")
    return rejected(desk, dialect, problem, note, more)


def _words(fault: Fault) -> str:
    return fault.message or f"The practice provider was told to fail ({fault.kind})"


def reply(desk: Desk, dialect: Dialect, body: Body, said: Reply, served: Served, fault: Fault | None) -> Response:
    """Bill the request, log it, and answer; the log has it before the client does."""
    prompt = dialect.prompt(body)
    length = metering.prompt_tokens(prompt)
    if length > desk.context:
        return rejected(desk, dialect, dialect.too_long(length, desk.context), served)
    tokens = dialect.billed(desk.cache.bill(served.model, prompt, time.monotonic())) + Tokens(output=said.tokens)
    kind = fault.kind if fault else ""
    billed = Tokens() if kind in _MIDDLE else tokens  # what breaks off is not charged for
    desk.note(msgspec.structs.replace(served, tokens=billed, stop=said.stop, fault=kind))
    answer_id, headers = messages.new_id(dialect.id_prefix), named(desk, dialect, served)
    failed = dialect.failed(fault.status, _words(fault), fault.error, answer_id) if kind == "mid_error" and fault else None
    if served.stream:
        pieces = tuple(dialect.stream(answer_id, body, said, tokens))
        return _played(desk, pieces, {**headers, "cache-control": "no-cache"}, served, fault, failed)
    whole = msgspec.json.encode(dialect.whole(answer_id, body, said, tokens))
    if fault is None or fault.kind in {"refusal", "wrong"}:
        return Response(whole, 200, headers, _JSON)
    size = -(-len(whole) // _SLICES)
    slices = [whole[start : start + size] for start in range(0, len(whole), size)]
    return _played(desk, slices, headers, served, fault, failed)


def _played(
    desk: Desk,
    pieces: Sequence[bytes],
    headers: Mapping[str, str],
    served: Served,
    fault: Fault | None,
    failed: bytes | None,
) -> Playback:
    """An answer in pieces, with what the fault does to it; `failed` is the event that tells of an error."""
    played = Playback(
        pieces, headers, _EVENTS if served.stream else _JSON, closing=desk.closing, left=lambda: desk.left.append(served.id)
    )
    if fault is None:
        return played
    stop = fault.pieces or len(pieces) // 2
    match fault.kind:
        case "late":
            played.before = fault.pause
        case "slow":
            played.each = fault.pause
        case "silence":
            played.stop, played.pause = stop, fault.pause
        case "cut_mid":
            played.stop, played.cut = stop, True
        case "mid_error":
            played.stop, played.last = stop, failed
    return played


def lengthened(said: Reply, fault: Fault | None) -> Reply:
    """The reply, with words added where a slow answer is to have more pieces."""
    if fault is None or fault.kind != "slow" or not fault.pieces:
        return said
    return Reply(({"type": "text", "text": _FILLER * fault.pieces}, *said.content), said.stop)
