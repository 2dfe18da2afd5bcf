"""Reading an answer of the Anthropic Messages API, as a stream and in one piece. Pure."""

from typing import Final

import msgspec

from stepdown.gateway import sse
from stepdown.gateway.protocols.answer import AnswerReader
from stepdown.gateway.protocols.request import NOTHING
from stepdown.gateway.protocols.signed import digest
from stepdown.units import Tokens


class _Written(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Written | None = None


class _Sealed(msgspec.Struct, gc=False):
    signature: str = ""
    data: str = ""


class _Signing(msgspec.Struct, gc=False):
    delta: _Sealed | None = None
    content_block: _Sealed | None = None


class _Answer(msgspec.Struct, gc=False):
    type: str = ""
    model: str = ""
    usage: _Usage | None = None
    stop_reason: str | None = None
    error: msgspec.Raw = NOTHING
    content: list[_Sealed] = []


class _Delta(msgspec.Struct, gc=False):
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    message: _Answer | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NOTHING


_answer: Final = msgspec.json.Decoder(_Answer)
_event: Final = msgspec.json.Decoder(_Event)
_signing: Final = msgspec.json.Decoder(_Signing)

_CONTENT: Final = (b"event: content_block_delta\n", b"event: content_block_st")
"""How nearly every event of a stream begins; but for signatures it holds nothing that is read here."""


class MessagesReader(AnswerReader):
    """Reads an answer of the Messages API.

    The answer begins with ``message_start``: from then on its prompt has been paid for.
    """

    def _event(self, event: bytes) -> None:
        if event.startswith(_CONTENT):
            self.began = True
            self._sign(event)
            return
        data = sse.data_of(event)
        if not data:
            return
        name = sse.name_of(event)
        try:
            found = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if name == b"error":
                self._fail(data.decode(errors="replace"))
            return
        match name.decode(errors="replace") or found.type:
            case "ping":
                return
            case "error":
                self._fail(found.error)
                return
            case "message_start" if found.message is not None:
                self._note(found.message)
            case "message_delta":
                self._use(found.usage)
                self.stop = (found.delta and found.delta.stop_reason) or self.stop
            case "message_stop":
                self.ended = True
        self.began = True

    def _whole(self, body: bytes) -> None:
        try:
            answer = _answer.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if answer.type == "error":
            self._fail(answer.error)
            return
        self.began = self.ended = True
        self._note(answer)
        for part in answer.content:
            self._sealed(part)
        self.stop = answer.stop_reason or ""

    def _sign(self, event: bytes) -> None:
        """Note whose thinking this is, where a piece of a stream holds a signature."""
        if b"signature_delta" not in event and b"redacted_thinking" not in event:
            return
        try:
            found = _signing.decode(sse.data_of(event))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self._sealed(found.delta or found.content_block)

    def _sealed(self, part: "_Sealed | None") -> None:
        if part is not None and (part.signature or part.data):
            self.signed.append(digest(part.signature or part.data))

    def _note(self, answer: _Answer) -> None:
        self.model = answer.model
        self._use(answer.usage)

    def _use(self, usage: _Usage | None) -> None:
        """Counts are running totals: what an event leaves out stands as it was."""
        if usage is None:
            return
        had = self.tokens or Tokens()
        read, write = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
        self.tokens = Tokens(
            input=had.input if usage.input_tokens is None else usage.input_tokens,
            output=had.output if usage.output_tokens is None else usage.output_tokens,
            cache_read=had.cache_read if read is None else read,
            cache_write=had.cache_write if write is None else write,
        )
        longer = usage.cache_creation and usage.cache_creation.ephemeral_1h_input_tokens
        self.written_1h = min(longer or self.written_1h, self.tokens.cache_write)
