"""OpenAI Responses: what a request says of its conversation. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stepdown.gateway.protocols.heard import Heard, Text, instructions
from stepdown.gateway.protocols.request import NOTHING, Request, fields_asked, quietly
from stepdown.gateway.wire import Talk


class Part(msgspec.Struct, gc=False):
    """A part of an item's content."""

    type: str = ""
    image_url: msgspec.Raw = NOTHING
    file_data: msgspec.Raw = NOTHING
    file_id: str | None = None
    text: msgspec.Raw = NOTHING


class Item(msgspec.Struct, gc=False):
    """An item of the input."""

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    output: msgspec.Raw = NOTHING
    call_id: msgspec.Raw = NOTHING
    encrypted_content: str | None = None
    tools: msgspec.Raw = NOTHING
    id: msgspec.Raw = NOTHING
    name: msgspec.Raw = NOTHING
    arguments: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING
    action: msgspec.Raw = NOTHING


class _Format(msgspec.Struct, gc=False):
    schema: msgspec.Raw = NOTHING


class _Form(msgspec.Struct, gc=False):
    format: _Format | None = None


all_items: Final = msgspec.json.Decoder(str | list[Item])
_form: Final = msgspec.json.Decoder(_Form)


def talk(request: Request, items: str | Sequence[Item]) -> Talk:
    """What a request says of its conversation; `items` are its input.

    One that goes on from an answer that the provider keeps (``previous_response_id``) holds only what is new.
    """
    heard = Heard()
    if request.has("instructions"):
        heard.instructed(instructions((request.parts["instructions"],)))
    if isinstance(items, str):
        heard.said((items,))
        return heard.talk(_fields(request))
    for item in items:
        kind = item.type or "message"
        if kind == "message":
            _message(heard, item)
        elif kind in {"reasoning", "compaction"}:
            heard.signed(item.id if not item.encrypted_content else item.encrypted_content)
        elif kind.endswith("_call"):
            heard.called(item.name, next((one for one in (item.arguments, item.input) if one is not NOTHING), item.action))
        elif kind.endswith("_output"):
            heard.answered(item.output)
    return heard.talk(_fields(request))


def _message(heard: Heard, item: Item) -> None:
    parts = item.content if isinstance(item.content, list) else ()
    texts: list[Text] = [part.text for part in parts if part.type in {"input_text", "text"}]
    if isinstance(item.content, str):
        texts.append(item.content)
    if item.role == "user":
        heard.said(texts, shows=any(part.type in {"input_image", "input_file"} for part in parts))
    elif item.role in {"system", "developer"}:
        heard.noted(texts)


def _fields(request: Request) -> tuple[str, ...]:
    """The fields of the answer's schema."""
    written = request.parts.get("text", b"")
    form = quietly(_form, written) if b"schema" in written else None
    return fields_asked(form.format.schema) if form is not None and form.format is not None else ()
