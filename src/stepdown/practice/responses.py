"""The OpenAI Responses protocol as the practice provider speaks it: what it accepts, answers, streams and refuses.

The script behind it knows one shape of conversation, that of Anthropic Messages. `conversation` brings a request to it, and
`spoken` brings the script's calls to the tools that the client really offers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stepdown.agents.program import mapping, records
from stepdown.practice import shell
from stepdown.practice.messages import THOUGHT, Rejected, Reply, event, new_id
from stepdown.practice.signing import sign
from stepdown.units import Tokens

ERRORS: Final = {
    400: ("invalid_request_error", ""),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    405: ("invalid_request_error", ""),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "server_is_overloaded"),
}
"""The error's type and code that belong to each status; ``server_error`` for every other from 500 up."""

MOST_OUTPUT: Final = 128_000
"""Output tokens of a request that names no limit."""

_PIECE: Final = 48
"""Characters of one streamed delta."""

_ASIDES: Final = ("<environment_context>", "<user_instructions>", "# AGENTS.md instructions")
"""How messages begin that Codex sends as the user's and that the user did not write."""


def error(status: int, message: str, *, kind: str = "", param: str = "") -> dict[str, Any]:
    """The body of an error; `kind` is its code."""
    name, code = ERRORS.get(status, ("server_error", "server_error"))
    return {"error": {"message": message, "type": name, "param": param or None, "code": kind or code or None}}


def failed(status: int, message: str, *, kind: str = "", answer_id: str = "") -> bytes:
    """An event that says that the answer failed; nothing follows it.

    Where no response has begun that is the event ``error``; afterwards it is ``response.failed``, which names the response.
    """
    code = kind or ERRORS.get(status, ("", "server_error"))[1] or "server_error"
    if not answer_id:
        return event({"type": "error", "sequence_number": 0, "code": code, "message": message, "param": None})
    gone = {"id": answer_id, "object": "response", "status": "failed", "error": {"code": code, "message": message}}
    return event({"type": "response.failed", "response": gone | {"created_at": 0, "output": [], "usage": None}})


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
        raise Rejected(400, "Missing required parameter: 'model'.")
    most = body.get("max_output_tokens")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise Rejected(400, "Invalid 'max_output_tokens': an integer of at least 1 is needed.")
    if not _is_list_of_records(body.get("tools") or []):
        raise Rejected(400, "Invalid type for 'tools': a list of objects is needed.")
    _check_input(body.get("input"))
    return body


def _is_list_of_records(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _check_input(given: object) -> None:
    if isinstance(given, str) and given:
        return
    if not _is_list_of_records(given) or not given:
        raise Rejected(400, "Missing required parameter: 'input', a string or a list of items.")
    called: set[str] = set()
    for index, item in enumerate(given if isinstance(given, list) else ()):
        kind, call = item.get("type", "message"), str(item.get("call_id"))
        if not isinstance(kind, str):
            raise Rejected(400, f"Invalid type for 'input[{index}].type': a string is needed.")
        if kind == "message" and not (isinstance(item.get("role"), str) and isinstance(item.get("content"), str | list)):
            raise Rejected(400, f"Invalid 'input[{index}]': a message needs a role and content.")
        if kind in {"function_call", "custom_tool_call"}:
            called.add(call)
        elif kind in {"function_call_output", "custom_tool_call_output"} and call not in called:
            raise Rejected(400, f"No tool call found for {kind.replace('_', ' ')} with call_id {call}.")


def prompt(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is counted and cached: tools, instructions, and each item of the input.

    The whole of it is marked for the cache, since OpenAI caches without being asked.
    """
    given = body["input"]
    return {
        "tools": body.get("tools") or (),
        "system": str(body.get("instructions") or ""),
        "messages": [{"role": "", "content": given}],
        "cache_control": {},
    }


def billed(tokens: Tokens) -> Tokens:
    """How OpenAI bills what was counted: filling the cache costs nothing extra."""
    return msgspec.structs.replace(tokens, input=tokens.input + tokens.cache_write, cache_write=0)


def conversation(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as a request of the Messages API, as far as the script looks at it."""
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    tools = [{**tool, "input_schema": tool.get("parameters")} for tool in _tools(body) if tool.get("type") == "function"]
    form = mapping(body, "text").get("format")
    return {
        "model": body["model"],
        "max_tokens": body.get("max_output_tokens") or MOST_OUTPUT,
        "system": str(body.get("instructions") or ""),
        "tools": [*tools, *(shell.FILE_TOOLS if _shell(body) else ())],
        "tool_choice": choice(body.get("tool_choice")),
        "messages": [message for item in items for message in _message(item)],
        "output_config": {"format": form},
    }


def choice(wanted: object) -> dict[str, Any] | None:
    """``tool_choice`` as the Messages API says it; None is the model's own choice."""
    if isinstance(wanted, str):
        return {"none": {"type": "none"}, "required": {"type": "any"}}.get(wanted)
    if isinstance(wanted, dict) and str(wanted.get("type")) in {"function", "custom"}:
        return {"type": "tool", "name": mapping(wanted, "function").get("name") or wanted.get("name")}
    return None


def _tools(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every tool that is offered, also those that come as an item of the input or inside a namespace."""
    waiting = list(body.get("tools") or ())
    for item in body["input"] if isinstance(body["input"], list) else ():
        if item.get("type") == "additional_tools":
            waiting += records(item.get("tools"))
    while waiting:
        tool = waiting.pop(0)
        if tool.get("type") == "namespace":
            waiting[:0] = records(tool.get("tools"))
        else:
            yield tool


def _shell(body: Mapping[str, Any]) -> str:
    """The client's tool for commands: `shell.COMMAND`, `shell.SOURCE`, or "" where it offers none."""
    offered = [(tool.get("type"), tool.get("name")) for tool in _tools(body)]
    if ("function", shell.COMMAND) in offered:
        return shell.COMMAND
    return shell.SOURCE if ("custom", shell.SOURCE) in offered else ""


def _message(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One item of the input as messages; none for what the script does not look at (reasoning, searches)."""
    match item.get("type", "message"):
        case "message":
            texts = [{"type": "text", "text": text} for text in _texts(item["content"])]
            aside = all(str(part["text"]).startswith(_ASIDES) for part in texts)
            role = item["role"] if item["role"] in {"user", "assistant"} and not aside else "system"
            yield {"role": role, "content": texts}
        case "function_call" | "custom_tool_call":
            name, values = _called(item)
            call = {"type": "tool_use", "id": item.get("call_id"), "name": name, "input": values}
            yield {"role": "assistant", "content": [call]}
        case "function_call_output" | "custom_tool_call_output":
            shown, wrong = shell.result("\n".join(_texts(item.get("output"))))
            result = {"type": "tool_result", "tool_use_id": item.get("call_id"), "content": shown, "is_error": wrong}
            yield {"role": "user", "content": [result]}


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [str(part.get("text") or part.get("refusal") or "") for part in records(content)]


def _called(item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name and arguments of a call made earlier, a command brought back to the file tool it stands for."""
    name = str(item.get("name"))
    if item["type"] == "custom_tool_call":
        line = shell.command_in(str(item.get("input", "")))
        return shell.understood(line) or (name, {"input": item.get("input", "")})
    try:
        values = msgspec.json.decode(str(item.get("arguments") or "{}"), type=dict[str, Any])
    except msgspec.DecodeError:
        values = {}
    found = shell.understood(str(values.get("cmd", ""))) if name == shell.COMMAND else None
    return found or (name, values)


def spoken(reply: Reply, body: Mapping[str, Any]) -> Reply:
    """The reply with the script's calls made by the client's own tool for commands, where that is what it offers.

    What the model thought comes first, sealed, where the client asks for it to keep the conversation itself.
    """
    tool, wanted = _shell(body), body.get("include")
    said = tuple(_commanded(block, tool) for block in reply.content) if tool else reply.content
    if isinstance(wanted, list) and "reasoning.encrypted_content" in wanted:
        said = ({"type": "reasoning", "sealed": sign(str(body["model"]), THOUGHT)}, *said)
    return Reply(said, reply.stop)


def _commanded(block: Mapping[str, Any], tool: str) -> Mapping[str, Any]:
    if block["type"] != "tool_use":
        return block
    line = shell.command(block["name"], block["input"])
    return {**block, "name": tool, "input": {"cmd": line} if tool == shell.COMMAND else {"source": shell.source(line)}}


def usage(tokens: Tokens) -> dict[str, Any]:
    """The `usage` object of an answer; its input counts what came from the cache as well."""
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.total,
    }


def whole(response_id: str, model: str, reply: Reply, tokens: Tokens) -> dict[str, Any]:
    """An answer that is not streamed."""
    cut = reply.stop == "max_tokens"
    return {
        "id": response_id,
        "object": "response",
        "created_at": 0,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": model,
        "output": [_item(block, reply.stop) for block in reply.content],
        "usage": usage(tokens),
    }


def _item(block: Mapping[str, Any], stop: str) -> dict[str, Any]:
    """An output item, complete."""
    if block["type"] == "reasoning":
        return {"type": "reasoning", "id": new_id("rs"), "summary": [], "encrypted_content": block["sealed"]}
    if block["type"] == "tool_use":
        call = {"call_id": block["id"], "name": block["name"], "status": "completed"}
        if block["name"] == shell.SOURCE:
            return {"type": "custom_tool_call", "id": new_id("ctc"), **call, "input": block["input"]["source"]}
        return {"type": "function_call", "id": new_id("fc"), **call, "arguments": msgspec.json.encode(block["input"]).decode()}
    return {"type": "message", "id": new_id("msg"), "role": "assistant", "status": "completed", "content": [_part(block, stop)]}


def _part(block: Mapping[str, Any], stop: str) -> dict[str, Any]:
    if stop == "refusal":
        return {"type": "refusal", "refusal": block["text"]}
    return {"type": "output_text", "text": block["text"], "annotations": []}


def stream(response_id: str, model: str, reply: Reply, tokens: Tokens) -> Iterator[bytes]:
    """The same answer as server-sent events, from ``response.created`` to ``response.completed``."""
    done = whole(response_id, model, reply, tokens)
    begun = done | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    found: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    found.append({"type": "response.in_progress", "response": begun})
    for index, item in enumerate(done["output"]):
        found += ({**one, "output_index": index} for one in _item_events(item))
    found.append({"type": f"response.{done['status']}", "response": done})
    for number, one in enumerate(found):
        yield event({**one, "sequence_number": number})


_GROWING: Final = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
}
"""What arrives in pieces: its key, and the first half of its events' names."""


def _item_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One output item as it grows."""
    if item["type"] == "reasoning":
        yield {"type": "response.output_item.added", "item": item}
    elif item["type"] != "message":
        yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", _GROWING[item["type"]][0]: ""}}
        yield from _growth(item, {"item_id": item["id"]})
    else:
        yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", "content": []}}
        for index, part in enumerate(item["content"]):
            place = {"item_id": item["id"], "content_index": index}
            yield {"type": "response.content_part.added", **place, "part": {**part, _GROWING[part["type"]][0]: ""}}
            yield from _growth(part, place)
            yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "item": item}


def _growth(grown: Mapping[str, Any], place: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What arrives in pieces, and then whole."""
    key, name = _GROWING[grown["type"]]
    for start in range(0, len(grown[key]), _PIECE):
        yield {"type": f"{name}.delta", **place, "delta": grown[key][start : start + _PIECE]}
    yield {"type": f"{name}.done", **place, key: grown[key]}
