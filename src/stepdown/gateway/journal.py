"""Where the gateway keeps what the ledger would not take: a file of lines, written into the ledger when it takes them again.

Several gateways may share one. Whoever is at it holds its lock; it is emptied, never replaced, so that the lock holds.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.errors import LedgerError
from stepdown.gateway.entry import End, Entry, Place, Sum, acceptable
from stepdown.ledger.rules import accepted_attempt, check_time

_PATIENCE: Final = 5.0
"""Seconds that keeping waits for another gateway; that one holds the lock for a few milliseconds."""
_PAUSE: Final = 0.02
"""Seconds between two tries."""


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry that has ended."""

    place: Place
    used: Sum
    end: End


class Journal:
    """The file at `path`; it is made when there is something to keep."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        try:
            return self.path.stat().st_size
        except OSError:  # nothing ever was
            return 0

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries that have ended: all of them, on the disk when this returns, or none.

        Raises:
            OSError: they cannot be kept.
        """
        if not entries:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(os.O_RDWR | os.O_CREAT, _PATIENCE) as descriptor:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            # A line that its writer did not finish before it was killed stays a line of its own.
            start = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
            try:
                _write(descriptor, start + b"".join(map(_encoded, entries)))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise

    def replay(self, write: Callable[[Sequence[Entry]], None]) -> tuple[int, int]:
        """Hand everything that is kept to `write`, and forget it when that returns.

        A crash between the two hands it over again the next time: `write` finds what is there already (`entry.put`).

        Returns:
            How many entries there were, and how many lines that could not be read and are lost.

        Raises:
            BlockingIOError: another gateway is at it.
            OSError: the file cannot be read or emptied.
        """
        if not self.path.exists():
            return 0, 0
        with self._locked(os.O_RDWR, 0.0) as descriptor:
            lines = [line for line in _read(descriptor).split(b"\n") if line]
            if not lines:
                return 0, 0
            entries = [entry for entry in map(_decoded, lines) if entry is not None]
            write(entries)
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
        return len(entries), len(lines) - len(entries)

    @contextlib.contextmanager
    def _locked(self, flags: int, patience: float) -> Iterator[int]:
        descriptor = os.open(self.path, flags | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, time.monotonic() + patience)
            yield descriptor
        finally:
            os.close(descriptor)


def _encoded(entry: Entry) -> bytes:
    assert entry.end is not None, "what runs is kept in memory"
    # Whoever reads this cannot know in which opening of which ledger it was last seen.
    place = msgspec.structs.replace(entry.place, opening=0)
    return msgspec.json.encode(_Line(place, entry.used, entry.end)) + b"\n"


def _decoded(line: bytes) -> Entry | None:
    """An entry that a ledger will take, or None: one broken line must not keep all others out."""
    try:
        kept = msgspec.json.decode(line, type=_Line)
        accepted_attempt(kept.place.attempt)
        check_time("at", kept.end.at)
        for used in (kept.used, kept.place.base, kept.place.share):
            acceptable(used)
    except (msgspec.MsgspecError, UnicodeDecodeError, LedgerError):
        return None
    return Entry(kept.place, used=kept.used, end=kept.end)


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()
