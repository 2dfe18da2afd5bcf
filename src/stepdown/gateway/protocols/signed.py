"""Thinking that a model signed: how it is remembered, and a conversation without that of other models. Pure.

Anthropic. A block is signed for its model; most models refuse another's (``Invalid `signature` in `thinking` block``:
litellm#26005, llxprt-code#2335), the newest leave it out themselves (platform.claude.com, preserved thinking). It may be left
out: of earlier turns always (pydantic-ai#7984 measured it), under adaptive thinking in a loop of tools as well, where
"previous assistant turns don't need to start with thinking blocks" (adaptive thinking, validation changes). Under ``enabled``
the turn that is going on has to begin with its thinking ("a final `assistant` message must start with a thinking block":
opencode#3077, kilocode#5219), and the last message may not lose a part of it (claude-code#63357). Fable 5.1 and every model
since Opus 5.5 bind a block to what stands before it, other blocks included (preserved thinking, prefix checks): what one
model is sent may only grow at its end. So it does, as long as a block is always taken to be of the same model.

OpenAI. Reasoning is sealed for who wrote it: another provider, and at some addresses another model, refuses it
(``invalid_encrypted_content``: codex#17541, hermes-agent#31629, litellm#41785). It may be left out anywhere. An item that it
led to is then refused by its id ("provided without its required 'reasoning' item": cline#12242, openai-agents-python#722),
and taken without one: Codex sends no ids (opencode#34027), oh-my-pi leaves out those of other models' items since 8.0.0. A
compaction holds the conversation itself, and cannot be left out.

Chat Completions. Thinking goes back as text or signed, in keys of the message (OpenRouter, DeepSeek, Moonshot) or of the call
(Google); another's signature is refused (open-webui#28240). It may be left out, unless the model that is asked insists on
some with every call: DeepSeek and Moonshot do (hermes-agent#15353), Google for the calls since a person spoke (ai.google.dev,
thought signatures; spring-ai#4977). That is not known here.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.gateway import edit
from stepdown.gateway.protocols.request import NOTHING, is_list
from stepdown.gateway.wire import Unreadable

INSISTING: Final = frozenset({"deepseek", "moonshot", "google"})
"""Providers that want their own thinking back with earlier calls: a conversation that others began cannot go there."""

_SIZE: Final = 8
"""Bytes of a digest: two of a thousand signatures are alike in one conversation of 10^13."""

Keep = Callable[[int], bool]
"""Says of a digest whether the block stays."""


def digest(signature: str | bytes) -> int:
    """What a signature is remembered by: the first 8 bytes of its hash, as a number.

    Args:
        signature: its text, with the escapes of the JSON string resolved; bytes are that text in UTF-8.
    """
    text = signature.encode("utf-8", "surrogatepass") if isinstance(signature, str) else signature
    return int.from_bytes(hashlib.blake2b(text, digest_size=_SIZE).digest(), "big")


def digest_of(value: bytes | msgspec.Raw) -> int:
    """The digest of a signature as it stands in a request: of a string's text, of anything else's bytes."""
    raw = bytes(value)
    return digest(_text.decode(raw) if raw[:1] == b'"' else raw)


def without(protocol: str, body: bytes, spans: Mapping[str, edit.Span], keep: Keep) -> tuple[bytes, int] | None:
    """The conversation without the signed thinking that `keep` refuses: its new value, and how many blocks were left out.

    Every other byte stays, and stays in its order, so that a longer conversation begins with the same bytes as a shorter one.
    Only ids go along, of the items that reasoning of the Responses API led to.

    It cannot be done, and None is returned, where

    - a message would be left with nothing to say;
    - Messages: thinking is ``enabled``, and the turn that is going on would lose what it has to begin with; or the last message
      of the assistant would lose some of its thinking and keep the rest;
    - Responses: a compaction is refused; or an item follows that is known by nothing but its id;
    - the conversation cannot be read.

    Args:
        protocol: ``messages``, ``chat`` or ``responses``.
        body: the request.
        spans: `Envelope.spans` of it; the new value belongs where ``messages`` or ``input`` stands.
        keep: is asked once for each block, in the order of the conversation.
    """
    start, end = spans.get("input" if protocol == "responses" else "messages", (0, 0))
    value = body[start:end]
    if value[:1] != b"[":  # a text, or nothing: no model has spoken
        return value, 0
    try:
        match protocol:
            case "messages":
                thinking = body[slice(*spans.get("thinking", (0, 0)))] or b"{}"
                found = _messages(value, keep, enabled=_kind.decode(thinking).type == "enabled")
            case "responses":
                found = _responses(value, keep)
            case _:
                found = _chat(value, keep)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Unreadable):
        return None
    if found is None:
        return None
    where, count = found
    return edit.cut(value, where), count


Cuts = tuple[list[edit.Span], int]
"""The bytes of the conversation that go, in their order, and how many blocks that are."""


class _Kind(msgspec.Struct, gc=False):
    type: str | None = None


class _Said(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = NOTHING


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    signature: str | None = None
    thinking: str | None = None
    data: str | None = None

    @property
    def signed(self) -> int | None:
        """The digest of its signature; of its text where a provider signs nothing. None where it is no thinking."""
        if self.type == "redacted_thinking":
            return digest(self.data or "")
        return digest(self.signature or self.thinking or "") if self.type == "thinking" else None


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    role: str | None = None
    id: str | None = None
    encrypted_content: str | None = None


class _Chatted(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = NOTHING
    tool_calls: msgspec.Raw = NOTHING


_text: Final = msgspec.json.Decoder(str)
_kind: Final = msgspec.json.Decoder(_Kind)
_said: Final = msgspec.json.Decoder(_Said)
_block: Final = msgspec.json.Decoder(_Block)
_item: Final = msgspec.json.Decoder(_Item)
_chatted: Final = msgspec.json.Decoder(_Chatted)


def _shifted(where: Sequence[edit.Span], by: int) -> Iterator[edit.Span]:
    return ((first + by, end + by) for first, end in where)


def _messages(value: bytes, keep: Keep, *, enabled: bool) -> Cuts | None:
    raws, places = edit.elements(value)
    messages = [_said.decode(raw) for raw in raws]
    going_on = _going_on(messages) if enabled else len(messages)
    last = max((number for number, message in enumerate(messages) if message.role == "assistant"), default=-1)
    cuts: list[edit.Span] = []
    count = 0
    for number, message in enumerate(messages):
        if message.role != "assistant" or not is_list(message.content):
            continue
        content = bytes(message.content)
        written, stand = edit.elements(content)
        blocks = [_block.decode(one) for one in written]
        thoughts = {at: keep(signed) for at, block in enumerate(blocks) if (signed := block.signed) is not None}
        out = {at for at, stays in thoughts.items() if not stays}
        if not out:
            continue
        left = thoughts.keys() - out
        if len(out) == len(blocks) or (number == last and left) or (number >= going_on and 0 in out):
            return None
        begins = places[number][0] + edit.spans(raws[number])["content"][0]
        cuts += _shifted(edit.gaps(content, stand, out), begins)
        count += len(out)
    return cuts, count


def _going_on(messages: Sequence[_Said]) -> int:
    """Where the turn begins that is going on: behind the last message without a tool's result; at the end where none is."""
    results = False
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message.role == "user":
            if not _has_result(message.content):
                return number + 1 if results else len(messages)
            results = True
    return 0 if results else len(messages)


def _has_result(content: msgspec.Raw) -> bool:
    return is_list(content) and any(_kind.decode(one).type == "tool_result" for one in edit.elements(bytes(content))[0])


_ANONYMOUS: Final = frozenset({None, "message", "function_call", "custom_tool_call"})
"""Items that are taken without an id."""


def _responses(value: bytes, keep: Keep) -> Cuts | None:
    raws, places = edit.elements(value)
    items = [_item.decode(raw) for raw in raws]
    out = {
        number
        for number, item in enumerate(items)
        if item.type in {"reasoning", "compaction"} and not keep(digest(item.encrypted_content or item.id or ""))
    }
    if (out and len(out) == len(items)) or any(items[number].type == "compaction" for number in out):
        return None
    cuts = edit.gaps(value, places, out)
    orphaned = False  # whether an item's reasoning is among those that go
    for number, item in enumerate(items):
        if item.type == "reasoning":
            orphaned = number in out
        elif not _written(item):
            orphaned = False
        elif orphaned and item.id is not None:
            if item.type not in _ANONYMOUS:
                return None
            members = edit.spans(raws[number])
            known = edit.gaps(raws[number], list(members.values()), {list(members).index("id")})
            cuts += _shifted(known, places[number][0])
    return sorted(cuts), len(out)


def _written(item: _Item) -> bool:
    """Whether a model wrote an item, or it stands for one that a model wrote."""
    kind = item.type or "message"
    return item.role == "assistant" if kind == "message" else kind.endswith("_call") or kind == "item_reference"


_THOUGHTS: Final = ("reasoning_details", "reasoning_content", "reasoning")
"""Keys of a message that hold a model's thinking; a call's is ``extra_content``."""
_SILENT: Final = frozenset({b"", b"null", b'""', b"[]"})


def _chat(value: bytes, keep: Keep) -> Cuts | None:
    raws, places = edit.elements(value)
    cuts: list[edit.Span] = []
    count = 0
    for raw, (begins, _) in zip(raws, places, strict=True):
        values, stand = edit.members(raw)
        out = {
            number
            for number, (key, one) in enumerate(values.items())
            if key in _THOUGHTS and one not in _SILENT and not keep(digest_of(one))
        }
        message = _chatted.decode(raw)
        if out and bytes(message.content) in _SILENT and bytes(message.tool_calls) in _SILENT:
            return None
        cuts += _shifted(edit.gaps(raw, list(stand.values()), out), begins)
        count += len(out)
        if is_list(message.tool_calls) and b"extra_content" in bytes(message.tool_calls):
            called, more = _calls(bytes(message.tool_calls), keep)
            cuts += _shifted(called, begins + stand["tool_calls"][0])
            count += more
    return sorted(cuts), count


def _calls(value: bytes, keep: Keep) -> Cuts:
    """What goes of a message's calls: Google's signature of the thinking that each came of."""
    cuts: list[edit.Span] = []
    raws, places = edit.elements(value)
    for raw, (begins, _) in zip(raws, places, strict=True):
        values, stand = edit.members(raw)
        signed = values.get("extra_content", b"")
        if signed not in _SILENT and not keep(digest_of(signed)):
            out = edit.gaps(raw, list(stand.values()), {list(values).index("extra_content")})
            cuts += _shifted(out, begins)
    return cuts, len(cuts)
