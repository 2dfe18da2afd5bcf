"""Server-sent events, read while they pass: cut anywhere, any line end, as little looked at as possible. Pure.

Nearly all that a model streams are deltas that nobody here has to understand. So a stream is only cut into events, and the
reader of a protocol looks at an event's name, or for a word in its bytes, before it reads more (WHATWG HTML, section 9.2).
"""

from typing import Final

LONGEST: Final = 32 * 1024 * 1024
"""Bytes of one event that are kept; a longer one is passed over. The longest real ones repeat a whole answer."""

_BOM: Final = b"\xef\xbb\xbf"


class Events:
    r"""Cuts a stream into events.

    An event is given as its lines, without the blank line that ends it, its line ends made ``\n``. `name_of` and `data_of`
    read it. One that holds only a comment is given as well: it has neither.
    """

    __slots__ = ("_after_return", "_begun", "_buffer", "_searched", "_too_long")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._begun = False
        self._after_return = False
        self._too_long = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes."""
        if self._after_return or b"\r" in piece:
            piece = self._with_newlines(piece)
        buffer = self._buffer
        if not buffer and self._begun and piece.endswith(b"\n\n"):
            return self._whole(piece[:-2])  # whole events, as servers mostly send them
        buffer += piece
        end = buffer.rfind(b"\n\n", max(0, self._searched - 1))
        if end < 0:
            self._searched = len(buffer)
            if self._searched > LONGEST:
                self._too_long = True
                del buffer[:-1]
                self._searched = len(buffer)
            return []
        events = bytes(buffer[:end])
        del buffer[: end + 2]
        self._searched = len(buffer)
        return self._whole(events)

    def close(self) -> list[bytes]:
        """The last event, where the stream ended without the blank line that it needs: what it says was said all the same."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return self._whole(rest) if rest.strip(b"\n") else []

    def _whole(self, text: bytes) -> list[bytes]:
        if not self._begun:
            self._begun = True
            text = text.removeprefix(_BOM)
        events = text.split(b"\n\n")
        if self._too_long:
            self._too_long = False
            del events[0]
        return events

    def _with_newlines(self, piece: bytes) -> bytes:
        r"""``\r\n`` and ``\r`` as ``\n``, also where a piece ends between the two."""
        if self._after_return and piece:
            piece = piece.removeprefix(b"\n")
            self._after_return = False
        if piece.endswith(b"\r"):
            self._after_return = True
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def name_of(event: bytes) -> bytes:
    """What an event is called; b"" where it is not said."""
    start = 0 if event.startswith(b"event:") else event.find(b"\nevent:") + 1
    if start == 0 and not event.startswith(b"event:"):
        return b""
    end = event.find(b"\n", start)
    return (event[start + 6 :] if end < 0 else event[start + 6 : end]).removeprefix(b" ")


def data_of(event: bytes) -> bytes:
    r"""What an event carries; its lines joined by ``\n``."""
    return b"\n".join(
        line[5:].removeprefix(b" ")
        for line in (event.split(b"\n") if b"\n" in event else (event,))
        if line.startswith(b"data:")
    )


def event(name: str, data: bytes) -> bytes:
    """An event as it is sent; `data` is one line."""
    return (f"event: {name}\ndata: ".encode() if name else b"data: ") + data + b"\n\n"
