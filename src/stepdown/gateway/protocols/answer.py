"""What the readers of all three protocols share: cutting a stream, keeping an answer in one piece, finding an error. Pure."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from stepdown.gateway.sse import Events
from stepdown.units import Tokens

LONGEST: Final = 64 * 1024 * 1024
"""Bytes of an answer in one piece that are kept to be read; of a longer one nothing is known."""

_LONGEST_MESSAGE: Final = 2000
_any: Final = msgspec.json.Decoder()


class AnswerReader:
    """Reads one answer; `stepdown.gateway.wire.Reader` says what its attributes mean.

    A protocol says what an event means (`_event`) and what an answer in one piece does (`_whole`). Neither may raise: an answer
    that cannot be read is the client's business, and only its use stays unknown.
    """

    def __init__(self, *, stream: bool) -> None:
        self.tokens: Tokens | None = None
        self.written_1h: int = 0
        self.signed: list[int] = []
        self.model: str = ""
        self.failure: tuple[str, str] | None = None
        self.began: bool = False
        self.ended: bool = False
        self.stop: str = ""
        self._events = Events() if stream else None
        self._pieces = bytearray()
        self._too_long = False

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body, cut anywhere."""
        if self._events is not None:
            self._take(self._events.feed(piece))
        elif not self._too_long:
            self._pieces += piece
            if len(self._pieces) > LONGEST:
                self._too_long = True
                self._pieces.clear()

    def close(self) -> None:
        """That was all."""
        if self._events is not None:
            self._take(self._events.close())
        elif self._pieces:
            body = bytes(self._pieces)
            self._pieces.clear()
            self._whole(body)

    def _take(self, events: Iterable[bytes]) -> None:
        for event in events:
            if self.failure is None or self.began:  # nothing that follows a failure makes an answer of it
                self._event(event)

    def _event(self, event: bytes) -> None:
        raise NotImplementedError

    def _whole(self, body: bytes) -> None:
        raise NotImplementedError

    def _fail(self, error: object) -> None:
        """Note an error: the first one says what went wrong."""
        if self.failure is None:
            self.failure = failure_of(error)


def failure_of(error: object) -> tuple[str, str]:
    """The kind and the message of an error as providers write them: a text, or ``code``, ``type``, ``message``."""
    if isinstance(error, msgspec.Raw):
        error = _decoded(error)
    if not isinstance(error, dict):
        return "error", str(error or "")[:_LONGEST_MESSAGE]
    fields: dict[str, Any] = error
    kind = next((str(fields[key]) for key in ("code", "type") if fields.get(key)), "error")
    return kind, str(fields.get("message") or "")[:_LONGEST_MESSAGE]


def _decoded(error: msgspec.Raw) -> object:
    try:
        return _any.decode(error) if error else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(error).decode(errors="replace")
