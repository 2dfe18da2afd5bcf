"""OpenAI Chat Completions: what a request asks of a model, and what an answer says of itself. Pure.

Field by field as the openai SDK 3.54 has it, and with what others who serve it add: Moonshot, DeepSeek and OpenRouter.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepdown.gateway import sse
from stepdown.gateway.protocols import openai
from stepdown.gateway.protocols.answer import AnswerReader
from stepdown.gateway.protocols.chat_talk import EMPTY, Message, Part, all_messages, talk
from stepdown.gateway.protocols.request import (
    MOST_TOOLS,
    NO_TOOLS,
    NOTHING,
    UNFORCED,
    Known,
    Remembered,
    Request,
    Tools,
    session,
)
from stepdown.gateway.wire import Envelope, Reader
from stepdown.units import Tokens

_KEYS: Final[Known] = {
    **dict.fromkeys(("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"), ()),
    # Who asks, how it is cached and kept: nothing that a model has to be able to do.
    **dict.fromkeys(("user", "metadata", "store", "safety_identifier", "seed"), ()),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"), ()),
    # Read below.
    **dict.fromkeys(("tools", "tool_choice", "reasoning_effort", "response_format", "n", "service_tier", "verbosity"), ()),
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), ()),
    "parallel_tool_calls": (),
    "web_search_options": ("server_tools",),
    **dict.fromkeys(("stop", "logprobs", "top_logprobs", "logit_bias"), ("sampling",)),
}


class _Function(msgspec.Struct, gc=False):
    strict: bool | None = None


class _Tool(msgspec.Struct, gc=False):
    type: str = ""
    function: _Function | None = None


class _File(msgspec.Struct, gc=False):
    file_id: str | None = None


class _Format(msgspec.Struct, gc=False):
    type: str = ""


_tools: Final = msgspec.json.Decoder(list[_Tool])
_file: Final = msgspec.json.Decoder(_File)
_format: Final = msgspec.json.Decoder(_Format)


def _read_tools(part: bytes) -> Tools:
    try:
        tools = _tools.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Tools(0, frozenset({"odd:tools"}))
    asked = {"tools"} if tools else set[str]()
    for tool in tools:
        if tool.type != "function":
            asked.add("server_tools" if tool.type == "custom" else f"tool:{tool.type}")
        if tool.function is not None and tool.function.strict:
            asked.add("structured_output")
    if len(tools) > MOST_TOOLS:
        asked.add(f"tools:{MOST_TOOLS + 1}+")
    return Tools(len(tools), frozenset(asked))


class Chat:
    """The protocol ``chat``."""

    name: str = "chat"
    path: str = "/v1/chat/completions"
    output_key: str = "max_completion_tokens"

    def __init__(self) -> None:
        self._tools = Remembered(_read_tools)

    def read(self, body: bytes, headers: Mapping[str, str]) -> Envelope:
        """The envelope of a request; see `stepdown.gateway.wire.Wire.read`."""
        request = Request(body)
        model = request.model()
        request.ask_for_keys(_KEYS)
        request.ask_for_sampling("temperature", "top_p")
        if any(
            request.has(key) and request.parts[key] not in {b"0", b"0.0"} for key in ("presence_penalty", "frequency_penalty")
        ):
            request.features.add("sampling")
        request.add_sizes("messages", "tools")
        tools = self._tools(request.parts["tools"]) if request.has("tools") else NO_TOOLS
        request.features |= tools.features
        if tools.count and request.has("parallel_tool_calls"):
            request.features.add("parallel_tools")
        if request.has("tool_choice") and request.parts["tool_choice"] not in UNFORCED:
            request.features.add("forced_tools")
        if request.has("verbosity") and request.text("verbosity") != "medium":
            request.features.add("verbosity")
        if request.has("n") and request.whole("n") != 1:
            request.features.add("param:n")
        if request.has("service_tier") and request.text("service_tier") not in {"auto", "default"}:
            request.features.add("param:service_tier")
        form = request.read("response_format", _format)
        if form is not None and form.type != "text":
            request.features.add("structured_output")
        messages = request.read("messages", all_messages) or []
        signed = _conversation(request, messages)
        output_key = "max_tokens" if request.has("max_tokens") and not request.has(self.output_key) else self.output_key
        return Envelope(
            model=model,
            stream=request.is_true("stream"),
            prompt=request.prompt,
            output=request.whole(output_key),
            output_key=output_key,
            effort=request.ask_for_effort(request.text("reasoning_effort")),
            features=frozenset(request.features),
            signed=signed,
            tools=tools.count,
            spans=request.spans,
            session=session(headers, request.text("prompt_cache_key")),
            talk=talk(request, messages),
        )

    def error(self, status: int, kind: str, message: str) -> bytes:
        """An error body: ``{"error": {"message": ..., "type": ..., "param": null, "code": ...}}``."""
        del status
        return msgspec.json.encode({"error": openai.error(kind, message)})

    def error_event(self, kind: str, message: str) -> bytes:
        """The same as an event of a stream."""
        return sse.event("", self.error(200, kind, message))

    def reader(self, *, stream: bool) -> Reader:
        """A fresh reader for one answer."""
        return ChatReader(stream=stream)


def _conversation(request: Request, messages: Sequence[Message]) -> bool:
    """What the messages ask for; whether they replay a model's thinking, which those who write it want back unchanged."""
    signed = False
    for message in messages:
        if message.role == "developer":
            request.features.add("system_role")
        request.ask_for_id(message.tool_call_id)
        for call in message.tool_calls or ():
            request.ask_for_id(call.id)
            if call.type == "custom":
                request.features.add("server_tools")
            signed |= bytes(call.extra_content) not in EMPTY  # Google's thought signatures
        signed |= any(
            bytes(thought) not in EMPTY
            for thought in (message.reasoning_details, message.reasoning_content, message.reasoning)
            if thought is not NOTHING
        )
        if isinstance(message.content, list):
            for part in message.content:
                _seen(request, part)
    return signed


def _seen(request: Request, part: Part) -> None:
    match part.type:
        case "text" | "refusal":
            pass
        case "image_url":
            request.add_image(part.image_url)
        case "file":
            found = request.decode(part.file, _file, "messages")
            if found is not None and found.file_id:
                request.features.add("stored")
            request.add_document(part.file)
        case kind:
            request.features.add(f"block:{kind}")


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's word for the cached ones."""
    cached_tokens: int | None = None
    """Moonshot's."""


class _Choice(msgspec.Struct, gc=False):
    delta: dict[str, msgspec.Raw] | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None
    """Where Moonshot puts it in a stream."""


class _Chunk(msgspec.Struct, gc=False):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NOTHING


_chunk: Final = msgspec.json.Decoder(_Chunk)

_TELLING: Final = re.compile(rb'"(?:usage"\s*:\s*\{|finish_reason"\s*:\s*"|error"\s*:\s*[^\sn])')
"""What a chunk that is read holds. Inside a text its quotes would be escaped."""


class ChatReader(AnswerReader):
    """Reads an answer of the Chat Completions API.

    The answer begins with the first chunk that says something; one that only names the role is sent before a model has been
    found to answer. Without ``stream_options.include_usage`` most providers tell no usage in a stream.
    """

    def _event(self, event: bytes) -> None:
        if self.began and _TELLING.search(event) is None and b"[DONE]" not in event:
            return
        data = sse.data_of(event)
        if data.startswith(b"[DONE]"):
            self.began = self.ended = True
        elif data:
            self._read(data)

    def close(self) -> None:
        """That was all. Where a reason to stop was given and ``[DONE]`` was not, the answer is whole as well."""
        super().close()
        self.ended = self.failure is None and (self.ended or bool(self.stop))

    def _whole(self, body: bytes) -> None:
        self._read(body)
        self.began = self.ended = self.began and self.failure is None

    def _read(self, data: bytes) -> None:
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self.model = chunk.model or self.model
        choices = chunk.choices or []
        if bytes(chunk.error) not in EMPTY:
            self._fail(chunk.error)
        else:
            self.began = self.began or any(_says(choice) for choice in choices)
        for choice in choices:
            self.stop = choice.finish_reason or self.stop
            self._use(choice.usage)
        self._use(chunk.usage)

    def _use(self, usage: _Usage | None) -> None:
        if usage is None or usage.prompt_tokens is None:
            return
        details = usage.prompt_tokens_details or _Details()
        read = details.cached_tokens or usage.prompt_cache_hit_tokens or usage.cached_tokens or 0
        write = details.cache_write_tokens or 0
        # Google and xAI leave thinking out of `completion_tokens`, though not out of the total, nor of the bill.
        output = max(usage.completion_tokens or 0, (usage.total_tokens or 0) - usage.prompt_tokens)
        self.tokens = Tokens(
            input=max(0, usage.prompt_tokens - read - write), output=output, cache_read=read, cache_write=write
        )


def _says(choice: _Choice) -> bool:
    """Whether a choice says anything; in an answer in one piece it does."""
    if choice.delta is None or choice.finish_reason:
        return True
    return any(bytes(value) not in EMPTY for key, value in choice.delta.items() if key != "role")


CHAT: Final = Chat()
