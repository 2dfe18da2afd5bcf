"""The Anthropic Messages protocol as the practice provider speaks it: what it accepts, answers, streams and refuses."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.practice import metering
from stepdown.units import Tokens

ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The error type that belongs to each status, as the Messages API documents them."""

_PIECE: Final = 48
"""Characters of one streamed delta."""


class Rejected(Exception):  # noqa: N818 - it is an answer to the client, not an error of ours
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Reply(msgspec.Struct, frozen=True):
    """What the model answers: content blocks as the API shapes them, and why it stopped."""

    content: tuple[Mapping[str, Any], ...]
    stop: str = "end_turn"

    @property
    def tokens(self) -> int:
        """Its output tokens, at least 1."""
        return max(1, sum(metering.count(_written(block)) for block in self.content))


def _written(block: Mapping[str, Any]) -> str:
    """What the model had to generate for a block."""
    if block["type"] == "tool_use":
        return str(block["name"]) + msgspec.json.encode(block["input"]).decode()
    return str(block["text"])


def new_id(kind: str) -> str:
    """``msg_...``, ``toolu_...``, ``req_...``: 24 characters after the prefix, letters and digits only."""
    return f"{kind}_{secrets.token_hex(12)}"


def error(status: int, message: str, *, kind: str = "", request_id: str = "") -> dict[str, Any]:
    """The body of an error."""
    body: dict[str, Any] = {
        "type": "error",
        "error": {"type": kind or ERRORS.get(status, "api_error"), "message": message},
    }
    return body | ({"request_id": request_id} if request_id else {})


def read(raw: bytes, *, counting: bool = False) -> dict[str, Any]:
    """A request's body, checked as far as the real API is strict in ways that clients trip over.

    Raises:
        Rejected: with the status and message for the client.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Rejected(400, f"The request body is not valid JSON: {problem}") from problem
    if not isinstance(body, dict):
        raise Rejected(400, "The request body has to be a JSON object")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Rejected(400, "model: Field required")
    most = body.get("max_tokens")
    if not counting and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise Rejected(400, "max_tokens: Field required, an integer of at least 1")
    _check_messages(body.get("messages"))
    return body


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise Rejected(400, "messages: at least one message is required")
    called: set[object] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in {"user", "assistant", "system"}:
            raise Rejected(400, f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not isinstance(content, str | list):
            raise Rejected(400, f"messages.{index}.content: Input should be a string or a list of blocks")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise Rejected(400, f"messages.{index}.content: each block needs a type")
            if part["type"] == "tool_use":
                called.add(part.get("id"))
            elif part["type"] == "tool_result" and part.get("tool_use_id") not in called:
                raise Rejected(
                    400,
                    f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{part.get('tool_use_id')}. Each `tool_result` block must have a corresponding `tool_use` block before it",
                )


def usage(tokens: Tokens, *, output: int) -> dict[str, Any]:
    """The `usage` object of an answer."""
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def whole(message_id: str, model: str, reply: Reply, tokens: Tokens) -> dict[str, Any]:
    """An answer that is not streamed."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(reply.content),
        "stop_reason": reply.stop,
        "stop_sequence": None,
        "usage": usage(tokens, output=tokens.output),
    }


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event, named after its type."""
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def stream(message_id: str, model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The same answer as server-sent events, from ``message_start`` to ``message_stop``."""
    start = whole(message_id, model, Reply(()), tokens) | {"stop_reason": None, "usage": usage(tokens, output=1)}
    yield event({"type": "message_start", "message": start})
    for index, block in enumerate(reply.content):
        empty: dict[str, object] = {"input": {}} if block["type"] == "tool_use" else {"text": ""}
        yield event({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        if index == 0:
            yield event({"type": "ping"})
        for delta in _deltas(block):
            yield event({"type": "content_block_delta", "index": index, "delta": delta})
        yield event({"type": "content_block_stop", "index": index})
    yield event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": reply.stop, "stop_sequence": None},
            "usage": usage(tokens, output=tokens.output),
        }
    )
    yield event({"type": "message_stop"})


def _deltas(block: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if block["type"] == "tool_use":
        kind, key, text = "input_json_delta", "partial_json", msgspec.json.encode(block["input"]).decode()
    else:
        kind, key, text = "text_delta", "text", str(block["text"])
    for start in range(0, len(text), _PIECE):
        yield {"type": kind, key: text[start : start + _PIECE]}


def human_text(body: Mapping[str, Any]) -> str:
    """Everything the user wrote: text blocks of user messages, without what a client puts in as reminders."""
    texts: list[str] = []
    for message in body["messages"]:
        if message["role"] != "user":
            continue
        content = message["content"]
        parts: Sequence[object] = [content] if isinstance(content, str) else [part.get("text") for part in content]
        texts += [part for part in parts if isinstance(part, str) and not part.lstrip().startswith("<system-reminder>")]
    return "\n\n".join(texts)
