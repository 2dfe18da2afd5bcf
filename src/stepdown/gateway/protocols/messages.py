"""Anthropic Messages: what a request asks of a model, and what an answer says of itself. Pure.

Field by field as the API reference and the anthropic SDK 2.12 have it, and as Claude Code 2.1.325 was seen to send it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.gateway import sse
from stepdown.gateway.protocols import betas
from stepdown.gateway.protocols.messages_answer import MessagesReader
from stepdown.gateway.protocols.messages_talk import Block, Message, all_messages, talk
from stepdown.gateway.protocols.request import NO_TOOLS, NOTHING, Known, Remembered, Request, Tools, is_list, session
from stepdown.gateway.wire import Envelope, Reader, Thinking

_KEYS: Final[Known] = {
    **dict.fromkeys(("model", "messages", "system", "max_tokens", "stream", "metadata", "cache_control", "service_tier"), ()),
    # Read below.
    **dict.fromkeys(("thinking", "output_config", "tools", "tool_choice", "context_management", "stop_sequences"), ()),
    **dict.fromkeys(("temperature", "top_p", "speed", "safeguards"), ()),
    "top_k": ("sampling",),
    "output_format": ("structured_output",),
    "mcp_servers": ("server_tools",),
    "container": ("server_tools", "stored"),
    "thread": ("stored",),
    "diagnostics": ("cache_diagnosis",),
}

_THINKING: Final = frozenset({"type", "budget_tokens", "display", "block_binding"})
"""What may stand in ``thinking``. Claude Code 2.1.325 adds the last two whatever the model."""

_SERVER_BLOCKS: Final = frozenset(
    {
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result"),
        *("mcp_tool_use", "mcp_tool_result", "search_result", "tool_reference"),
    }
)
"""Blocks that only Anthropic's own API understands."""

_SERVER_TOOLS: Final = frozenset(
    {
        *("web_search_20250305", "web_fetch_20250910", "code_execution_20250522", "code_execution_20250825", "mcp_toolset"),
        *("bash_20250124", "text_editor_20250728", "memory_20250818"),
        *("tool_search_tool_bm25", "tool_search_tool_bm25_20251119"),
        *("tool_search_tool_regex", "tool_search_tool_regex_20251119"),
    }
)
"""Typed tools that every model with ``server_tools`` serves; later dates of them are for some models only."""

_SESSION: Final = re.compile(r"_session_(.+)")
"""How Claude Code wrote its session into `metadata.user_id` before it wrote JSON there."""


class _Source(msgspec.Struct, gc=False):
    type: str = ""


class _Tool(msgspec.Struct, gc=False):
    type: str | None = None
    strict: bool | None = None
    allowed_callers: list[str] | None = None
    input_examples: msgspec.Raw = NOTHING


class _Edit(msgspec.Struct, gc=False):
    type: str = ""
    keep: msgspec.Raw = NOTHING


class _Management(msgspec.Struct, gc=False):
    edits: list[_Edit] = []


class _Safeguard(msgspec.Struct, gc=False):
    type: str = ""


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class _User(msgspec.Struct, gc=False):
    session_id: str = ""


class _Choice(msgspec.Struct, gc=False):
    type: str = ""
    disable_parallel_tool_use: bool = False


_blocks: Final = msgspec.json.Decoder(list[Block])
_source: Final = msgspec.json.Decoder(_Source)
_tools: Final = msgspec.json.Decoder(list[_Tool])
_management: Final = msgspec.json.Decoder(_Management)
_safeguards: Final = msgspec.json.Decoder(list[_Safeguard])
_metadata: Final = msgspec.json.Decoder(_Metadata)
_user: Final = msgspec.json.Decoder(_User)
_choice: Final = msgspec.json.Decoder(_Choice)
_word: Final = msgspec.json.Decoder(str)


def _read_tools(part: bytes) -> Tools:
    try:
        tools = _tools.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Tools(0, frozenset({"odd:tools"}))
    asked = {"tools"} if tools else set[str]()
    for tool in tools:
        if tool.type not in {None, "custom"}:
            asked.add("server_tools" if tool.type in _SERVER_TOOLS else f"tool:{tool.type}")
        if tool.strict:
            asked.add("structured_output")
        if tool.input_examples is not NOTHING or set(tool.allowed_callers or ()) - {"direct"}:
            asked.add("server_tools")
    return Tools(len(tools), frozenset(asked))


class Messages:
    """The protocol ``messages``."""

    name: str = "messages"
    path: str = "/v1/messages"
    output_key: str = "max_tokens"

    def __init__(self) -> None:
        self._tools = Remembered(_read_tools)

    def read(self, body: bytes, headers: Mapping[str, str]) -> Envelope:
        """The envelope of a request; see `stepdown.gateway.wire.Wire.read`."""
        request = Request(body)
        model = request.model()
        request.ask_for_keys(_KEYS)
        request.ask_for_sampling("temperature", "top_p")
        request.add_sizes("system", "messages", "tools")
        request.features |= betas.asked(headers.get("anthropic-beta", ""))
        tools = self._tools(request.parts["tools"]) if request.has("tools") else NO_TOOLS
        request.features |= tools.features
        choice = request.read("tool_choice", _choice)
        if choice is not None and choice.disable_parallel_tool_use:
            request.features.add("parallel_tools")
        if choice is not None and choice.type in {"any", "tool"}:
            request.features.add("forced_tools")
        if request.has("speed") and request.text("speed") != "standard":
            request.features.add("speed")
        thinking, effort = _thinking(request), _output_config(request)
        if thinking == "disabled" and effort in {"xhigh", "max"}:
            request.features.add(f"thinking_off:{effort}")  # Opus 5 and Haiku 5.5 take either, and refuse both together
        _context_management(request)
        for check in request.read("safeguards", _safeguards) or ():
            request.features.add("safety_check" if check.type == "dangerous_tool_use" else f"safeguard:{check.type}")
        messages = request.read("messages", all_messages) or []
        signed = _conversation(request, messages)
        return Envelope(
            model=model,
            stream=request.is_true("stream"),
            prompt=request.prompt,
            output=request.whole("max_tokens"),
            output_key="max_tokens",
            features=frozenset(request.features),
            thinking=thinking,
            effort=effort,
            signed=signed,
            tools=tools.count,
            spans=request.spans,
            session=session(headers, _session_of(request)),
            talk=talk(request, messages),
        )

    def error(self, status: int, kind: str, message: str) -> bytes:
        """An error body: ``{"type": "error", "error": {"type": ..., "message": ...}}``."""
        del status
        return msgspec.json.encode({"type": "error", "error": {"type": _ERRORS.get(kind, "api_error"), "message": message}})

    def error_event(self, kind: str, message: str) -> bytes:
        """The same as an event of a stream."""
        return sse.event("error", self.error(200, kind, message))

    def reader(self, *, stream: bool) -> Reader:
        """A fresh reader for one answer."""
        return MessagesReader(stream=stream)


_ERRORS: Final = {
    "invalid": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "budget": "billing_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "upstream": "api_error",
}


def _thinking(request: Request) -> Thinking:
    fields = request.fields("thinking")
    request.features.update(f"param:thinking.{key}" for key in fields.keys() - _THINKING)
    kind = request.decode(fields["type"], _word, "thinking") if "type" in fields else ""
    match kind:
        case "enabled":
            request.features.add("thinking")
        case "adaptive":
            request.features.add("adaptive_thinking")
        case "disabled":
            request.features.add("thinking_off")
        case "" | None:
            pass
        case _:
            request.features.add(f"thinking:{kind}")
            return ""
    return kind or ""


def _output_config(request: Request) -> str:
    effort = ""
    for key, value in request.fields("output_config").items():
        if key == "effort":
            effort = request.ask_for_effort(request.decode(value, _word, "output_config") or "")
        else:
            request.features.add("structured_output" if key == "format" else f"param:output_config.{key}")
    return effort


def _context_management(request: Request) -> None:
    """What the provider takes out of the conversation before the model reads it.

    To keep all thinking is what happens where nothing is said; Claude Code says it with every request.
    """
    found = request.read("context_management", _management)
    for edit in found.edits if found is not None else ():
        match edit.type:
            case "clear_thinking_20251015" if bytes(edit.keep) == b'"all"':
                pass
            case "clear_thinking_20251015" | "clear_tool_uses_20250919":
                request.features.add("server_tools")
            case _:
                request.features.add(f"edit:{edit.type}")


def _conversation(request: Request, messages: Sequence[Message]) -> bool:
    """What the messages ask for; whether they replay a model's thinking."""
    signed = False
    for message in messages:
        if message.role == "system":
            request.features.add("system_role")
        if message.output_config is not NOTHING and bytes(message.output_config) not in {b"null", b"{}"}:
            request.features.add("turn_effort")
        if message.clear_at is not NOTHING:
            request.features.add("clear_at")
        if isinstance(message.content, list):
            signed |= _content(request, message.content)
    if messages and messages[-1].role == "assistant":
        request.features.add("prefill")
    return signed


def _content(request: Request, blocks: Iterable[Block], *, nested: bool = False) -> bool:
    """Likewise of one message, or of a tool's result, which holds no further one."""
    signed = False
    for block in blocks:
        kind = block.type  # the kinds stand in the order of how often they come
        if kind == "text":
            continue
        if kind == "tool_use" and not nested:
            request.ask_for_id(block.id)
        elif kind == "tool_result" and not nested:
            request.ask_for_id(block.tool_use_id)
            if is_list(block.content):
                inner = request.decode(block.content, _blocks, "messages")
                signed |= _content(request, inner or (), nested=True)
        elif kind in {"thinking", "redacted_thinking"}:
            signed = True
        elif kind in {"image", "document"}:
            _seen(request, block)
        elif kind in {"tool_addition", "tool_removal"}:
            request.features.add("tool_changes")
        elif kind == "container_upload":
            request.features |= {"server_tools", "stored"}
        else:
            request.features.add("server_tools" if kind in _SERVER_BLOCKS else f"block:{kind}")
    return signed


def _seen(request: Request, block: Block) -> None:
    """An image or a document: its bytes, where it is found, or the id under which the provider keeps it."""
    source = request.decode(block.source, _source, "messages")
    if source is not None and source.type == "file":
        request.features.add("stored")
    if block.type == "image":
        request.add_image(block.source)
    elif source is not None and source.type in {"text", "content"}:
        request.features.add("images")
    else:
        request.add_document(block.source)


def _session_of(request: Request) -> str:
    metadata = request.read("metadata", _metadata)
    user = (metadata.user_id if metadata is not None else "") or ""
    if user.startswith("{"):
        try:
            return _user.decode(user).session_id
        except (msgspec.DecodeError, RecursionError):
            return ""
    found = _SESSION.search(user)
    return found[1] if found is not None else ""


MESSAGES: Final = Messages()
