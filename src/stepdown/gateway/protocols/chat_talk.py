"""OpenAI Chat Completions: what a request says of its conversation. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stepdown.gateway.protocols.heard import Heard, Text
from stepdown.gateway.protocols.request import NOTHING, Request, fields_asked, quietly
from stepdown.gateway.wire import Talk

EMPTY: Final = frozenset({b"", b"null", b'""', b"[]"})
"""Values that say nothing."""


class Part(msgspec.Struct, gc=False):
    """A part of a message's content."""

    type: str = ""
    image_url: msgspec.Raw = NOTHING
    file: msgspec.Raw = NOTHING
    text: msgspec.Raw = NOTHING


class Call(msgspec.Struct, gc=False):
    """A call of a tool."""

    id: msgspec.Raw = NOTHING
    type: str | None = None
    extra_content: msgspec.Raw = NOTHING
    function: msgspec.Raw = NOTHING
    custom: msgspec.Raw = NOTHING


class Message(msgspec.Struct, gc=False):
    """A message."""

    role: str = ""
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: msgspec.Raw = NOTHING
    reasoning_details: msgspec.Raw = NOTHING
    reasoning_content: msgspec.Raw = NOTHING
    reasoning: msgspec.Raw = NOTHING


class _Named(msgspec.Struct, gc=False):
    schema: msgspec.Raw = NOTHING


class _Form(msgspec.Struct, gc=False):
    json_schema: _Named | None = None


all_messages: Final = msgspec.json.Decoder(list[Message])
_form: Final = msgspec.json.Decoder(_Form)
_CALLED: Final = msgspec.Raw(b"function")


def talk(request: Request, messages: Sequence[Message]) -> Talk:
    """What a request says of its conversation; `messages` are its own."""
    heard = Heard()
    for message in messages:
        match message.role:
            case "assistant":
                _assistant(heard, message)
            case "tool" | "function":
                content = message.content
                heard.answered(content if isinstance(content, str) else content[0].text if content else "")
            case "user":
                parts = message.content if isinstance(message.content, list) else ()
                heard.said(_texts(message), shows=any(part.type in {"image_url", "file"} for part in parts))
            case "system" | "developer":
                heard.noted(_texts(message))
            case _:
                pass
    return heard.talk(_fields(request))


def _texts(message: Message) -> list[Text]:
    if isinstance(message.content, list):
        return [part.text for part in message.content if part.type == "text"]
    return [message.content] if message.content else []


def _assistant(heard: Heard, message: Message) -> None:
    for thought in (message.reasoning_details, message.reasoning_content, message.reasoning):
        if bytes(thought) not in EMPTY:
            heard.signed(thought)
    for call in message.tool_calls or ():
        heard.called(_CALLED, call.custom if call.function is NOTHING else call.function)
        if bytes(call.extra_content) not in EMPTY:  # Google's thought signatures
            heard.signed(call.extra_content)


def _fields(request: Request) -> tuple[str, ...]:
    """The fields of the answer's schema."""
    written = request.parts.get("response_format", b"")
    form = quietly(_form, written) if b"schema" in written else None
    return fields_asked(form.json_schema.schema) if form is not None and form.json_schema is not None else ()
