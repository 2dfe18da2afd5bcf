"""The Anthropic Messages protocol as the practice provider speaks it: what it accepts, answers, streams and refuses."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.agents.program import mapping
from stepdown.practice import metering
from stepdown.practice.signing import sign
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

THOUGHT: Final = "Which files are asked for, what is in them, and what is still to do."
"""What the practice model thinks, where it is asked to."""

_PIECE: Final = 48
"""Characters of one streamed delta."""


class Rejected(Exception):  # noqa: N818 - it is an answer to the client, not an error of ours
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
        kind: the error's type (Messages) or code (OpenAI); "" takes the one that belongs to the status.
        param: which parameter is meant; only OpenAI says so.
        details: what Messages says beside its words.
    """

    def __init__(
        self, status: int, message: str, *, kind: str = "", param: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.details = details


class Reply(msgspec.Struct, frozen=True):
    """What the model answers.

    Attributes:
        content: content blocks as the API shapes them.
        stop: why it stopped.
        verdicts: what the provider says of its calls, where it was asked to check them; see `stepdown.practice.safety`.
    """

    content: tuple[Mapping[str, Any], ...]
    stop: str = "end_turn"
    verdicts: tuple[Mapping[str, Any], ...] = ()

    @property
    def tokens(self) -> int:
        """Its output tokens, at least 1."""
        return max(1, sum(metering.count(_written(block)) for block in self.content))


def _written(block: Mapping[str, Any]) -> str:
    """What the model had to generate for a block."""
    match block["type"]:
        case "tool_use":
            return str(block["name"]) + msgspec.json.encode(block["input"]).decode()
        case "thinking" | "reasoning":
            return THOUGHT  # what is not shown is paid for all the same
    return str(block["text"])


def new_id(kind: str) -> str:
    """``msg_...``, ``toolu_...``, ``req_...``: 24 characters after the prefix, letters and digits only."""
    return f"{kind}_{secrets.token_hex(12)}"


def error(
    status: int, message: str, *, kind: str = "", request_id: str = "", details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of an error."""
    said: dict[str, Any] = {"type": kind or ERRORS.get(status, "api_error"), "message": message}
    body = {"type": "error", "error": said | ({"details": details} if details else {})}
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
    if "thread" in body:
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        raise Rejected(400, "thread: not supported; send the whole conversation with each request", details=details)
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Rejected(400, "tools: Input should be a valid list of tools")
    _check_messages(body.get("messages"))
    return body


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise Rejected(400, "messages: at least one message is required")
    called: set[str] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise Rejected(400, f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not isinstance(content, str | list):
            raise Rejected(400, f"messages.{index}.content: Input should be a string or a list of blocks")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            _check_part(part, f"messages.{index}.content", number, called)


def _check_part(part: object, place: str, number: int, called: set[str]) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise Rejected(400, f"{place}: each block needs a type")
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise Rejected(400, f"{place}.{number}.text.text: Input should be a valid string")
    if part["type"] == "tool_use":
        called.add(str(part.get("id")))
    elif part["type"] == "tool_result" and str(part.get("tool_use_id")) not in called:
        raise Rejected(
            400,
            f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {part.get('tool_use_id')}. "
            "Each `tool_result` block must have a corresponding `tool_use` block before it",
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
        **_verdicts(reply),
    }


def _verdicts(reply: Reply) -> dict[str, Any]:
    return {"safeguard_results": list(reply.verdicts)} if reply.verdicts else {}


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event, named after its type."""
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def stream(message_id: str, model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The same answer as server-sent events, from ``message_start`` to ``message_stop``."""
    start = whole(message_id, model, Reply(()), tokens) | {"stop_reason": None, "usage": usage(tokens, output=1)}
    yield event({"type": "message_start", "message": start})
    for index, block in enumerate(reply.content):
        yield event({"type": "content_block_start", "index": index, "content_block": {**block, **_EMPTY[block["type"]]}})
        if index == 0:
            yield event({"type": "ping"})
        for delta in _deltas(block):
            yield event({"type": "content_block_delta", "index": index, "delta": delta})
        yield event({"type": "content_block_stop", "index": index})
    yield event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": reply.stop, "stop_sequence": None, **_verdicts(reply)},
            "usage": usage(tokens, output=tokens.output),
        }
    )
    yield event({"type": "message_stop"})


_EMPTY: Final[Mapping[str, Mapping[str, object]]] = {
    "tool_use": {"input": {}},
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
}
"""What a block is before its first delta."""


def _deltas(block: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    match block["type"]:
        case "tool_use":
            yield from _cut("input_json_delta", "partial_json", msgspec.json.encode(block["input"]).decode())
        case "thinking":
            yield from _cut("thinking_delta", "thinking", str(block["thinking"]))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case _:
            yield from _cut("text_delta", "text", str(block["text"]))


def _cut(kind: str, key: str, text: str) -> Iterator[dict[str, str]]:
    for start in range(0, len(text), _PIECE):
        yield {"type": kind, key: text[start : start + _PIECE]}


def spoken(reply: Reply, body: Mapping[str, Any]) -> Reply:
    """The reply after a thought, signed, where the request asks for thinking."""
    asked = mapping(body, "thinking")
    if str(asked.get("type")) not in {"enabled", "adaptive"}:
        return reply
    words = "" if asked.get("display") == "omitted" else THOUGHT
    thought = {"type": "thinking", "thinking": words, "signature": sign(str(body["model"]), words)}
    return Reply((thought, *reply.content), reply.stop)


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
