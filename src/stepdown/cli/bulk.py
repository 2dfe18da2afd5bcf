"""What commands share that go through a lot: how far they are, since when, no looking for garbage, and a page of it."""

import contextlib
import gc
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stepdown.errors import UsageError
from stepdown.whole import write_whole

_SPAN: Final = re.compile(r"(\d{1,5})([hdw])")
_SECONDS: Final = {"h": 3600.0, "d": 24 * 3600.0, "w": 7 * 24 * 3600.0}


class Progress:
    """One line on standard error that is written over, where that is a terminal."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        """Show `text`; "" takes the line away."""
        if self._shows:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """A large ledger, or a year of logs, is millions of objects and no garbage: looking for it takes a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def moment(text: str, now: float, *, local: bool = False) -> float:
    """A date, or so long ago, as seconds since the epoch; 0 for "".

    Args:
        text: ``2026-03-01``, ``12h``, ``30d``, ``8w``.
        now: seconds since the epoch.
        local: whether a day without a zone is one of this machine's zone, and not of UTC.

    Raises:
        UsageError: it is neither.
    """
    if not text:
        return 0.0
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return max(0.0, now - int(span[1]) * _SECONDS[span[2]])
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"--since: a date (2026-03-01) or a span (12h, 30d, 8w) is meant, not '{text}'") from error
    return (date if date.tzinfo or local else date.replace(tzinfo=UTC)).timestamp()


def write_page(file: Path, page: str) -> None:
    """Write what ``--html`` asks for, whole or not at all.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        write_whole(file, page.encode())
    except OSError as error:
        raise UsageError(f"--html {file}: cannot be written: {error.strerror or error}") from error
