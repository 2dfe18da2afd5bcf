"""The last lines of a terminal, redrawn in place, while whatever is printed meanwhile scrolls by above them."""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TextIO, cast

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR: Final = "\x1b[2K"
"""A whole line, which for a terminal then no longer is the beginning of one that it once wrapped."""
_WIPE: Final = f"\r{_CLEAR} \x1b[J\r"
"""Everything from the cursor's line to the end of the screen. Not from its first column: where that is the screen's own first
cell, tmux takes it for `clear` and keeps what is wiped in its history."""
_ONE_WAY: Final = ("\x1b[?2026h\x1b[?7l", "\x1b[?7h\x1b[?2026l")
"""Around a drawing: shown only when it is whole, where the terminal can do that; and no line wraps, so that all of them stay as
many as they are."""


def in_front(stream: TextIO) -> bool:
    """Whether `stream` is a terminal and it listens to us: in the background it is somebody else's."""
    try:
        return stream.isatty() and os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def can_redraw(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether lines can be redrawn in place there, and are shown as they are meant."""
    named = environ.get("TERM", "") not in {"", "dumb", "unknown"}
    return named and in_front(stream) and (stream.encoding or "").lower().replace("-", "") == "utf8"


class InPlace:
    """Lines that are redrawn in place.

    Between two drawings the cursor stands at their beginning, not behind them. A terminal that is made narrower wraps what it
    shows; where the lines begin is then still known, where they end is not.

    Args:
        draw: the lines, for so many columns and rows; none is wider, and there are fewer of them than rows.
        stream: the terminal.
    """

    def __init__(self, draw: Callable[[int, int], Sequence[str]], stream: TextIO) -> None:
        self._draw = draw
        self._stream = stream
        self._is_drawn = False
        self._restore: contextlib.ExitStack | None = None

    @property
    def is_open(self) -> bool:
        """Whether the lines are to be seen, once they were drawn."""
        return self._restore is not None

    def open(self) -> None:
        """From now on, what is printed goes above; `paint` draws."""
        self._restore = contextlib.ExitStack()
        out, errors = _Above(self, sys.stdout), _Above(self, sys.stderr)
        self._restore.enter_context(contextlib.redirect_stdout(out.as_text()))
        self._restore.callback(out.end)
        if sys.stderr.isatty():  # into a file it goes as ever
            self._restore.enter_context(contextlib.redirect_stderr(errors.as_text()))
            self._restore.callback(errors.end)

    def close(self) -> None:
        """The lines are wiped, and the terminal is as it was."""
        if self._restore is None:
            return
        with contextlib.suppress(OSError):  # the terminal is gone
            self._restore.close()
            self._write(f"{self._wipe()}{_SHOW}" if self._is_drawn else "")
        self._restore = None
        self._is_drawn = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal as it was, for a while."""
        was_open = self.is_open
        self.close()
        try:
            yield
        finally:
            if was_open:
                self.open()

    def paint(self) -> None:
        """Draw the lines as they are now."""
        if self._restore is None:
            return
        with contextlib.suppress(OSError):  # the terminal is gone: whoever has to know is told by the signal
            self._write(self._drawing())

    def above(self, text: str) -> None:
        """Print whole lines above."""
        self._write(self._wipe() + text + self._drawing())

    def _wipe(self) -> str:
        return _WIPE if self._is_drawn and in_front(self._stream) else ""

    def _drawing(self) -> str:
        """What draws the lines and goes back to their beginning; nothing where the terminal is somebody else's by now."""
        self._is_drawn = in_front(self._stream)
        if not self._is_drawn:
            return ""
        lines = self._draw(*_size(self._stream))
        back = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        begin, end = _ONE_WAY
        drawn = "\n".join(f"{_CLEAR}{line}" for line in lines)
        return f"{begin}{_HIDE}\r{drawn}\x1b[J\r{back}{end}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _Above(io.TextIOBase):
    """Standard output or error while lines are redrawn below it."""

    def __init__(self, place: InPlace, stream: TextIO) -> None:
        self._place = place
        self._stream = stream
        self._begun = ""

    def as_text(self) -> TextIO:
        """It, as the type that `sys.stdout` has."""
        return cast("TextIO", self)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # what the standard library declares as a variable is read-only here
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Keep what is no whole line yet."""
        lines, end, begun = (self._begun + text).rpartition("\n")
        self._begun = begun
        if end:
            self._place.above(lines + end)
        return len(text)

    def end(self) -> None:
        """What was no whole line is one now."""
        if self._begun:
            self.write("\n")


def _size(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of the terminal itself, whatever ``COLUMNS`` says of when it was started."""
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(stream.fileno())
        if size.columns and size.lines:
            return size
    return shutil.get_terminal_size()
