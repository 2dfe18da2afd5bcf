"""The OpenAI Chat Completions protocol as the practice provider speaks it: what it accepts, answers, streams and refuses.

As with Responses, `conversation` brings a request to the shape that the script knows, and `spoken` its reply back.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stepdown.agents.program import mapping, records
from stepdown.practice import responses
from stepdown.practice.messages import Rejected, Reply
from stepdown.units import Tokens

_PIECE: Final = 48
"""Characters of one streamed delta."""

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

_FINISHED: Final = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "stop"}
"""Why the model stopped, in this protocol's words."""

_LIMITS: Final = ("max_completion_tokens", "max_tokens")


def read(raw: bytes) -> dict[str, Any]:
    """A request's body, checked as far as the real API is strict in ways that clients trip over.

    Raises:
        Rejected: with the status and message for the client.
    """
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Rejected(400, f"We could not parse the JSON body of your request: {problem}") from problem
    if not isinstance(body, dict):
        raise Rejected(400, "The request body has to be a JSON object")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Rejected(400, "you must provide a model parameter")
    for key in _LIMITS:
        most = body.get(key)
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise Rejected(400, f"Invalid '{key}': an integer of at least 1 is needed.", param=key)
    for key in ("messages", "tools"):
        given = body.get(key) or []
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise Rejected(400, f"Invalid type for '{key}': expected an array of objects.", param=key)
    _check_messages(body.get("messages") or [])
    return body


def _check_messages(given: list[dict[str, Any]]) -> None:
    if not given:
        raise Rejected(400, "Invalid 'messages': empty array. Expected an array with minimum length 1.", param="messages")
    waiting: set[str] = set()
    for index, message in enumerate(given):
        place, role = f"messages[{index}]", message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise Rejected(400, f"Invalid value for '{place}.role': '{role}'.", param=f"{place}.role")
        if not isinstance(message.get("content"), str | list | None):
            raise Rejected(400, f"Invalid type for '{place}.content'.", param=f"{place}.content")
        if role == "tool":
            if str(message.get("tool_call_id")) not in waiting:
                words = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise Rejected(400, f"Invalid parameter: {words}", param=f"{place}.role")
            waiting.discard(str(message.get("tool_call_id")))
            continue
        _check_answered(waiting, place)
        waiting = {str(call.get("id")) for call in records(message.get("tool_calls"))}
    _check_answered(waiting, "messages")


def _check_answered(waiting: set[str], place: str) -> None:
    if waiting:
        words = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
        missing = ", ".join(sorted(waiting))
        raise Rejected(400, f"{words} The following tool_call_ids did not have response messages: {missing}", param=place)


def limit(body: Mapping[str, Any]) -> tuple[str, int] | None:
    """The parameter that limits the output, and its value; None where the request has none."""
    return next(((key, body[key]) for key in _LIMITS if body.get(key) is not None), None)


def prompt(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is counted and cached: the tools and each message. The whole of it is marked for the cache, as OpenAI caches."""
    given = [{"role": "", "content": body["messages"]}]
    return {"tools": body.get("tools") or (), "messages": given, "cache_control": {}}


def conversation(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as a request of the Messages API, as far as the script looks at it."""
    functions = [mapping(tool, "function") for tool in records(body.get("tools"))]
    tools = [{"name": one.get("name"), "input_schema": one.get("parameters")} for one in functions]
    form = mapping(body, "response_format")
    most = limit(body)
    return {
        "model": body["model"],
        "max_tokens": most[1] if most else responses.MOST_OUTPUT,
        "system": "\n\n".join(_text(one) for one in body["messages"] if one["role"] in {"system", "developer"}),
        "tools": tools,
        "tool_choice": responses.choice(body.get("tool_choice")),
        "messages": [said for message in body["messages"] for said in _message(message)],
        "output_config": {"format": {"type": form.get("type"), "schema": mapping(mapping(form, "json_schema"), "schema")}},
    }


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in records(content))


def _message(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    match message["role"]:
        case "system" | "developer":
            return
        case "tool":
            result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": _text(message)}
            yield {"role": "user", "content": [result]}
        case "assistant":
            words = [{"type": "text", "text": _text(message)}] if message.get("content") else []
            yield {"role": "assistant", "content": [*words, *map(_call, records(message.get("tool_calls")))]}
        case _:
            content = message.get("content")
            texts = [content] if isinstance(content, str) else [str(part.get("text") or "") for part in records(content)]
            yield {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call made earlier."""
    function = mapping(call, "function")
    try:
        values = msgspec.json.decode(str(function.get("arguments") or "{}"), type=dict[str, Any])
    except msgspec.DecodeError:
        values = {}
    return {"type": "tool_use", "id": call.get("id"), "name": str(function.get("name")), "input": values}


def usage(tokens: Tokens) -> dict[str, Any]:
    """The `usage` object of an answer; its prompt counts what came from the cache as well."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(answer_id: str, model: str, reply: Reply, tokens: Tokens) -> dict[str, Any]:
    """An answer that is not streamed."""
    text, calls = _said(reply)
    refused = reply.stop == "refusal"
    message = {"role": "assistant", "content": None if refused else text, "refusal": text if refused else None}
    choice = {
        "index": 0,
        "message": message | ({"tool_calls": calls} if calls else {}),
        "logprobs": None,
        "finish_reason": _FINISHED[reply.stop],
    }
    return _envelope(answer_id, model, "chat.completion") | {"choices": [choice], "usage": usage(tokens)}


def _said(reply: Reply) -> tuple[str | None, list[dict[str, Any]]]:
    """The text of a reply, None where there is none, and its calls."""
    text = "".join(str(block["text"]) for block in reply.content if block["type"] == "text")
    calls = [_called(block) for block in reply.content if block["type"] == "tool_use"]
    return text or None, calls


def _called(block: Mapping[str, Any]) -> dict[str, Any]:
    """A call, with an id as OpenAI gives them."""
    call_id = "call_" + str(block["id"]).removeprefix("toolu_")
    arguments = msgspec.json.encode(block["input"]).decode()
    return {"id": call_id, "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def _envelope(answer_id: str, model: str, kind: str) -> dict[str, Any]:
    named = {"id": answer_id.replace("_", "-", 1), "object": kind, "created": 0, "model": model}
    return named | {"service_tier": "default", "system_fingerprint": "fp_practice"}


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event; this protocol gives them no names."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"


def stream(answer_id: str, body: Mapping[str, Any], reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The same answer as server-sent events: chunks, the usage where ``stream_options`` asks for it, and ``[DONE]``."""
    told = mapping(body, "stream_options").get("include_usage") is True
    common = _envelope(answer_id, str(body["model"]), "chat.completion.chunk") | ({"usage": None} if told else {})
    for delta in _deltas(reply):
        yield event(common | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _FINISHED[reply.stop]}
    yield event(common | {"choices": [last]})
    if told:
        yield event(common | {"choices": [], "usage": usage(tokens)})
    yield DONE


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    text, calls = _said(reply)
    key = "refusal" if reply.stop == "refusal" else "content"
    yield {"role": "assistant", "content": "" if key == "content" and text else None, "refusal": None}
    for start in range(0, len(text or ""), _PIECE):
        yield {key: (text or "")[start : start + _PIECE]}
    for index, call in enumerate(calls):
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{"index": index, **call, "function": {"name": call["function"]["name"], "arguments": ""}}]}
        for start in range(0, len(arguments), _PIECE):
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[start : start + _PIECE]}}]}


def failed(status: int, message: str, *, kind: str = "") -> bytes:
    """An event that says that the answer failed; nothing follows it."""
    return event(responses.error(status, message, kind=kind))
