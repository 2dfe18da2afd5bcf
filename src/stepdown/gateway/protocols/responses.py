"""OpenAI Responses: what a request asks of a model, and what an answer says of itself. Pure.

Field by field as the openai SDK 3.54 has it, and as Codex 0.169 was seen to send it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepdown.gateway import sse
from stepdown.gateway.protocols import openai
from stepdown.gateway.protocols.answer import AnswerReader
from stepdown.gateway.protocols.request import (
    MOST_TOOLS,
    NOTHING,
    UNFORCED,
    Known,
    Remembered,
    Request,
    Tools,
    is_list,
    session,
)
from stepdown.gateway.protocols.responses_talk import Item, Part, all_items, talk
from stepdown.gateway.wire import Envelope, Reader
from stepdown.units import Tokens

_KEYS: Final[Known] = {
    **dict.fromkeys(("model", "input", "instructions", "stream", "stream_options", "max_output_tokens", "include"), ()),
    # Who asks, how it is cached: nothing that a model has to be able to do.
    **dict.fromkeys(("user", "metadata", "client_metadata", "safety_identifier"), ()),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"), ()),
    # Read below.
    **dict.fromkeys(("tools", "tool_choice", "reasoning", "text", "store", "service_tier", "truncation"), ()),
    **dict.fromkeys(("temperature", "top_p", "parallel_tool_calls"), ()),
    "top_logprobs": ("sampling",),
    "max_tool_calls": ("server_tools",),
    **dict.fromkeys(("previous_response_id", "conversation", "background", "prompt"), ("stored",)),
}
"""Kept by the provider (``stored``): an earlier answer, a conversation, an answer still to come, a prompt's template."""

_VENDOR_TOOLS: Final = frozenset(
    {
        *("web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11", "file_search"),
        *("computer", "computer_use_preview", "code_interpreter", "image_generation", "mcp", "local_shell", "shell"),
        *("apply_patch", "custom"),
    }
)
"""Types of tools that OpenAI's own models are offered, and hardly anybody else's."""

_VENDOR_ITEMS: Final = frozenset(
    {
        *("custom_tool_call", "custom_tool_call_output", "web_search_call", "file_search_call", "code_interpreter_call"),
        *("image_generation_call", "computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output"),
        *("shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output"),
        *("mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response"),
    }
)
"""Likewise, items of the input that come of such tools."""

_SEARCH: Final = frozenset({"tool_search", "namespace", "tool_search_call", "tool_search_output"})
"""Tools that are found when they are needed: only OpenAI's newer models search, and know the namespaces that came with it."""

_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_DEEPEST: Final = 8
"""Namespaces within namespaces that are looked into."""


class _Tool(msgspec.Struct, gc=False):
    type: str = ""
    strict: bool | None = None
    tools: msgspec.Raw = NOTHING


class _Kind(msgspec.Struct, gc=False):
    type: str = ""


_parts: Final = msgspec.json.Decoder(list[Part])
_tools: Final = msgspec.json.Decoder(list[_Tool])
_kind: Final = msgspec.json.Decoder(_Kind)
_word: Final = msgspec.json.Decoder(str)


def _read_tools(part: bytes) -> Tools:
    asked: set[str] = set()
    count = _count_tools(part, asked)
    if count:
        asked.add("tools")
    if count > MOST_TOOLS:
        asked.add(f"tools:{MOST_TOOLS + 1}+")
    return Tools(count, frozenset(asked))


def _count_tools(part: bytes | msgspec.Raw, asked: set[str], depth: int = 0) -> int:
    """How many tools there are, those inside a namespace included, and what they ask for."""
    try:
        tools = _tools.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked.add("odd:tools")
        return 0
    count = 0
    for tool in tools:
        if tool.type in _SEARCH:
            asked.add("tool_search")
        elif tool.type != "function":
            asked.add("server_tools" if tool.type in _VENDOR_TOOLS else f"tool:{tool.type}")
        if tool.strict:
            asked.add("structured_output")
        inner = tool.type == "namespace" and tool.tools is not NOTHING and depth < _DEEPEST
        count += _count_tools(tool.tools, asked, depth + 1) if inner else 1
    return count


class Responses:
    """The protocol ``responses``."""

    name: str = "responses"
    path: str = "/v1/responses"
    output_key: str = "max_output_tokens"

    def __init__(self) -> None:
        self._tools = Remembered(_read_tools)

    def read(self, body: bytes, headers: Mapping[str, str]) -> Envelope:
        """The envelope of a request; see `stepdown.gateway.wire.Wire.read`."""
        request = Request(body)
        model = request.model()
        request.ask_for_keys(_KEYS)
        request.ask_for_sampling("temperature", "top_p")
        request.add_sizes("instructions", "input", "tools")
        count = self._offered(request, request.parts["tools"]) if request.has("tools") else 0
        if request.has("tool_choice") and request.parts["tool_choice"] not in UNFORCED:
            request.features.add("forced_tools")
        if request.parts.get("store") != b"false":
            request.features.add("server_tools")  # the answer is kept, so that a later request can go on from it
        if request.has("service_tier") and request.text("service_tier") not in {"auto", "default"}:
            request.features.add("param:service_tier")
        if request.has("truncation") and request.text("truncation") != "disabled":
            request.features.add("server_tools")
        effort = _reasoning(request)
        _text(request)
        items = request.read("input", all_items) or []
        signed, added = self._conversation(request, items if isinstance(items, list) else ())
        count += added
        if count and request.has("parallel_tool_calls"):
            request.features.add("parallel_tools")
        return Envelope(
            model=model,
            stream=request.is_true("stream"),
            prompt=request.prompt,
            output=request.whole("max_output_tokens"),
            output_key=self.output_key,
            effort=effort,
            features=frozenset(request.features),
            signed=signed,
            tools=count,
            spans=request.spans,
            session=session(headers, request.text("prompt_cache_key")),
            talk=talk(request, items),
        )

    def _offered(self, request: Request, part: bytes) -> int:
        tools = self._tools(part)
        request.features |= tools.features
        return tools.count

    def _conversation(self, request: Request, items: Sequence[Item]) -> tuple[bool, int]:
        """What the input asks for; whether it replays a model's thinking, and how many tools it offers."""
        signed, count = False, 0
        for item in items:
            request.ask_for_id(item.call_id)
            if isinstance(item.content, list):
                _content(request, item.content)
            if item.type in _RESULTS and is_list(item.output):
                _content(request, request.decode(item.output, _parts, "input") or [])
            match item.type:
                case "message" | None | "function_call" | "function_call_output":
                    if item.role == "developer":
                        request.features.add("system_role")
                case "reasoning" | "compaction":
                    signed = True
                    if not item.encrypted_content:
                        request.features.add("stored")  # only its id is sent
                case "item_reference":
                    request.features.add("stored")
                case "additional_tools":
                    request.features.add("additional_tools")
                    count += self._offered(request, bytes(item.tools))
                case kind:
                    request.features.add(_feature_of(kind))
        return signed, count

    def error(self, status: int, kind: str, message: str) -> bytes:
        """An error body: ``{"error": {"message": ..., "type": ..., "param": null, "code": ...}}``."""
        del status
        return msgspec.json.encode({"error": openai.error(kind, message)})

    def error_event(self, kind: str, message: str) -> bytes:
        """The same at the end of a stream, in both ways that clients look for it: the SDK at the first, Codex at the second."""
        error = openai.error(kind, message)
        code = {"code": error["code"], "message": message}
        failed = {"object": "response", "status": "failed", "error": code}
        return b"".join(
            sse.event(name, msgspec.json.encode({"type": name, **said, "sequence_number": 0}))
            for name, said in (("error", {**code, "param": None, "error": error}), ("response.failed", {"response": failed}))
        )

    def reader(self, *, stream: bool) -> Reader:
        """A fresh reader for one answer."""
        return ResponsesReader(stream=stream)


def _feature_of(item: str) -> str:
    """What an item asks for that comes of a tool of a type of its own, or is not known."""
    if item in _SEARCH:
        return "tool_search"
    return "server_tools" if item in _VENDOR_ITEMS else f"item:{item}"


def _reasoning(request: Request) -> str:
    effort = ""
    for key, value in request.fields("reasoning").items():
        if key == "effort":
            effort = request.ask_for_effort(request.decode(value, _word, "reasoning") or "")
        elif key not in {"summary", "generate_summary"}:
            request.features.add(f"reasoning_{key}")
    return effort


def _text(request: Request) -> None:
    for key, value in request.fields("text").items():
        if key == "format":
            form = request.decode(value, _kind, "text")
            if form is not None and form.type != "text":
                request.features.add("structured_output")
        elif bytes(value) != b'"medium"':  # the default of `verbosity`
            request.features.add(key)


def _content(request: Request, parts: list[Part]) -> None:
    for part in parts:
        if part.file_id:
            request.features.add("stored")
        match part.type:
            case "input_text" | "output_text" | "text" | "refusal" | "summary_text" | "reasoning_text":
                pass
            case "input_image" | "computer_screenshot":
                request.add_image(part.image_url)
            case "input_file":
                request.add_document(part.file_data)
            case kind:
                request.features.add(f"block:{kind}")


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    model: str | None = None
    status: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NOTHING
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None
    error: msgspec.Raw = NOTHING
    code: str | None = None
    message: str | None = None


_response: Final = msgspec.json.Decoder(_Response)
_event: Final = msgspec.json.Decoder(_Event)

_UNDER_WAY: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
_TOLD: Final = (b"error", b"response.created", b"response.completed", b"response.incomplete", b"response.failed")
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class ResponsesReader(AnswerReader):
    """Reads an answer of the Responses API.

    That a response was created or is in progress begins nothing: OpenAI says so before a model has been found to answer, and
    where none is free the next event is the failure.
    """

    def _event(self, event: bytes) -> None:
        name = sse.name_of(event)
        if self.began and name and not name.startswith(_TOLD):
            return
        data = sse.data_of(event)
        if not data or data == b"[DONE]":
            return
        try:
            found = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if name == b"error":
                self._fail(data.decode(errors="replace"))
            return
        kind = found.type or name.decode(errors="replace")
        if kind == "error":
            flat = {"code": found.code, "message": found.message}
            self._fail(flat if found.error is NOTHING else found.error)
        elif kind in _UNDER_WAY or kind in _ENDS:
            self._note(found.response or _Response(), kind)
        elif kind != "keepalive":
            self.began = True

    def _whole(self, body: bytes) -> None:
        try:
            answer = _response.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        failed = answer.status == "failed" or (not answer.status and bytes(answer.error) not in {b"", b"null"})
        self._note(answer, "response.failed" if failed else f"response.{answer.status or 'completed'}")
        self.began = self.began or not failed

    def _note(self, response: _Response, kind: str) -> None:
        self.model = response.model or self.model
        usage = response.usage
        if usage is not None and usage.input_tokens is not None:
            details = usage.input_tokens_details or _Details()
            read, write = details.cached_tokens or 0, details.cache_write_tokens or 0
            fresh = max(0, usage.input_tokens - read - write)
            self.tokens = Tokens(input=fresh, output=usage.output_tokens or 0, cache_read=read, cache_write=write)
        if kind == "response.failed":
            self._fail(response.error)
        elif kind in _ENDS:
            self.began = self.ended = True
            reason = response.incomplete_details.reason if response.incomplete_details is not None else None
            self.stop = reason or response.status or kind.removeprefix("response.")


RESPONSES: Final = Responses()
