"""Anthropic Messages: what a request says of its conversation. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from stepdown.gateway.protocols.heard import Heard, Instructions, Text, instructions
from stepdown.gateway.protocols.request import NOTHING, Remembered, Request, fields_asked, quietly
from stepdown.gateway.wire import Talk


class Block(msgspec.Struct, gc=False):
    """A block of a message's content, as far as anybody looks at one."""

    type: str = ""
    id: msgspec.Raw = NOTHING
    tool_use_id: msgspec.Raw = NOTHING
    source: msgspec.Raw = NOTHING
    content: msgspec.Raw = NOTHING
    text: msgspec.Raw = NOTHING
    signature: msgspec.Raw = NOTHING
    thinking: msgspec.Raw = NOTHING
    data: msgspec.Raw = NOTHING
    name: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING
    is_error: msgspec.Raw = NOTHING


class Message(msgspec.Struct, gc=False):
    """A message."""

    role: str = ""
    content: str | list[Block] | None = None
    output_config: msgspec.Raw = NOTHING
    clear_at: msgspec.Raw = NOTHING


class _Text(msgspec.Struct, gc=False):
    text: msgspec.Raw = NOTHING


class _Format(msgspec.Struct, gc=False):
    schema: msgspec.Raw = NOTHING


class _Output(msgspec.Struct, gc=False):
    format: _Format | None = None


all_messages: Final = msgspec.json.Decoder(list[Message])
_system: Final = msgspec.json.Decoder(list[_Text])
_output: Final = msgspec.json.Decoder(_Output)
_format: Final = msgspec.json.Decoder(_Format)
_SHORT: Final = len(b"null")
"""A signature that is no longer than this is none."""


def _told(system: bytes) -> Instructions:
    texts: list[Text] = [block.text for block in quietly(_system, system) or ()] if system[:1] == b"[" else [system]
    return instructions(texts)


_instructions: Final = Remembered(_told)


def talk(request: Request, messages: Sequence[Message]) -> Talk:
    """What a request says of its conversation; `messages` are its own."""
    heard = Heard()
    if request.has("system"):
        heard.instructed(_instructions(request.parts["system"]))
    for message in messages:
        content = message.content
        if message.role == "system":
            heard.noted(_texts(content))
        elif message.role == "assistant":
            _assistant(heard, content if isinstance(content, list) else ())
        elif isinstance(content, list):
            _user(heard, content)
        elif content is not None:
            heard.said((content,))
    return heard.talk(_fields(request))


def _texts(content: str | list[Block] | None) -> Iterable[Text]:
    return [block.text for block in content] if isinstance(content, list) else [content or ""]


def _assistant(heard: Heard, blocks: Iterable[Block]) -> None:
    for block in blocks:
        kind = block.type
        if kind == "tool_use":
            heard.called(block.name, block.input)
        elif kind == "thinking":
            signature = bytes(block.signature)
            heard.signed(signature if len(signature) > _SHORT else block.thinking)
        elif kind == "redacted_thinking":
            heard.signed(block.data)


def _user(heard: Heard, blocks: Iterable[Block]) -> None:
    texts: list[msgspec.Raw] = []
    results = shows = False
    for block in blocks:
        if block.type == "tool_result":
            heard.answered(block.content, failed=bytes(block.is_error) == b"true")
            results = True
        elif block.type == "text":
            texts.append(block.text)
        elif block.type in {"image", "document"}:
            shows = True
    if texts or shows:
        heard.said(texts, results=results, shows=shows)


def _fields(request: Request) -> tuple[str, ...]:
    """The fields of the answer's schema, in the two places where it may stand."""
    written = request.parts.get("output_config", b"")
    if b"schema" in written:
        output = quietly(_output, written)
        form = output.format if output is not None else None
    else:
        written = request.parts.get("output_format", b"")
        form = quietly(_format, written) if b"schema" in written else None
    return fields_asked(form.schema) if form is not None else ()
