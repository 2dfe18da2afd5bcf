"""What has passed and is not in the ledger yet, noted on the disk at once: a gateway that is killed loses nothing of it.

Two files of each gateway take turns: one takes notes while what the other holds goes into the ledger, and that one is emptied
when it is there. A note is one write that waits for no disk; it outlives the process, not a power cut. It is taken when a
request has ended: what a killed gateway had under way is not in it. The first file is locked for as long as its gateway lives,
so that the next one to be started knows what was left behind.
"""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.errors import LedgerError
from stepdown.gateway.entry import End, Entry, Place, Sum, acceptable
from stepdown.ledger.rules import accepted_attempt, check_time

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a file, beyond which nothing more is noted: the ledger has taken nothing for hours."""
_SILENCE: Final = 60.0
"""Seconds between two lines in the log about files that cannot be written."""
_FIRST, _SECOND = ".1", ".2"

_log: Final = logging.getLogger("stepdown.gateway")


class _Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an attempt has used so far.

    Attributes:
        name: the attempt's `key` without its part.
        used: everything so far.
        at: when the last of it came, seconds since the epoch.
        place: where it stands in the ledger, in the first note that a file has of it.
        end: where it has ended.
    """

    name: str
    used: Sum
    at: float
    place: Place | None = None
    end: End | None = None


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(_Note)


class Notes:
    """The notes of one gateway: `note` and `turn` never at the same time, all but `note` in the thread that writes.

    Args:
        folder: where the files are; made when there is something to note.
        name: unlike any other gateway's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._files: list[_File] = []  # the one that takes notes first
        self._silent_until = self._retry_at = 0.0
        self._closed = False

    def note(self, entry: Entry) -> None:
        """Note what an attempt has used so far. Where that cannot be, it goes on without, and the log says so."""
        if self._closed or time.monotonic() < self._retry_at:
            return
        try:
            if not self._files:
                self._files = _made(self._folder, self._name)
            self._files[0].add(entry)
        except OSError as error:
            self._retry_at = time.monotonic() + 1.0
            if time.monotonic() >= self._silent_until:
                self._silent_until = time.monotonic() + _SILENCE
                _log.warning(
                    "nothing can be noted in %s (%s): requests go on, but a gateway that is killed loses what the ledger does "
                    "not have yet; free some space, or check its permissions",
                    self._folder,
                    error.strerror or error,
                )

    def turn(self) -> None:
        """What is noted from now on is not in what is about to be written: the other file takes it, if that is empty."""
        if self._files and not self._files[1].size:
            self._files.reverse()

    def written(self) -> None:
        """The ledger has everything that was noted before the last `turn`."""
        if self._files and self._files[1].size:
            with contextlib.suppress(OSError):  # then it is found to be there already, should anybody ever read it
                self._files[1].empty()

    def close(self, *, keep: bool) -> None:
        """No more notes; what was noted is in the ledger, or else it is kept for the next gateway."""
        self._closed = True
        for file in self._files:
            file.close(keep=keep)
        self._files = []

    def left_behind(self, write: Callable[[Sequence[Entry]], None]) -> int:
        """Hand what gateways have noted that live no more to `write`, and forget it when that returns; how much there was.

        A crash between the two hands it over again the next time: `write` finds what is there already (`entry.put`).

        Raises:
            OSError: a file cannot be read.
        """
        count = 0
        for first in sorted(self._folder.glob(f"*{_FIRST}")):
            with _unless_alive(first) as is_left:
                if not is_left:
                    continue
                files = [first, first.with_suffix(_SECOND)]
                entries = list(_entries(line for file in files if file.exists() for line in file.read_bytes().split(b"\n")))
                write(entries)
                count += len(entries)
                for file in reversed(files):  # the locked one last
                    file.unlink(missing_ok=True)
        return count


class _File:
    """One of the two.

    Attributes:
        size: bytes in it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.size = 0
        self._path = path
        self._descriptor = descriptor
        self._known: set[str] = set()  # whose place is in it
        self._is_torn = False

    def add(self, entry: Entry) -> None:
        """Note it; `OSError` where that cannot be."""
        if self.size > LARGEST:
            raise OSError("the ledger has taken nothing for long, and they have become too large")
        place = entry.place
        name = place.attempt.key.rpartition(".")[0]
        is_known = name in self._known
        # Whoever reads this cannot know in which opening of which ledger it was last seen.
        shown = None if is_known else msgspec.structs.replace(place, opening=0)
        line = _encode(_Note(name, entry.used, entry.at, shown, entry.end)) + b"\n"
        if self._is_torn:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self.size += written
        self._is_torn = written < len(line)
        if self._is_torn:
            raise OSError("no space left")
        self._known.add(name)

    def empty(self) -> None:
        """Forget it all."""
        os.ftruncate(self._descriptor, 0)
        self.size, self._is_torn = 0, False
        self._known.clear()

    def close(self, *, keep: bool) -> None:
        """Let go of it, and of its lock."""
        if not keep:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _made(folder: Path, name: str) -> list[_File]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = []
    for suffix in (_SECOND, _FIRST):
        made, path = folder / f"{name}.new", folder / f"{name}{suffix}"
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        made.rename(path)  # locked before it has its name: nobody takes it for one that was left behind
        files.append(_File(path, descriptor))
    return files


@contextlib.contextmanager
def _unless_alive(path: Path) -> Iterator[bool]:
    """Whether its gateway lives no more; nobody else looks at the file for as long as the block runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # another gateway was faster
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield path.exists()
    finally:
        os.close(descriptor)


def _entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """What was noted last of each attempt; it has ended with its gateway. A line that was torn says nothing."""
    places: dict[str, Place] = {}
    newest: dict[str, _Note] = {}
    for line in lines:
        try:
            note = _decoder.decode(line)
            acceptable(note.used)
            check_time("at", note.at)
            if note.place is not None:
                accepted_attempt(note.place.attempt)
                acceptable(note.place.base)
                places[note.name] = note.place
        except (msgspec.MsgspecError, UnicodeDecodeError, LedgerError):
            continue
        known = newest.get(note.name)
        if known is None or (note.used.requests, note.end is not None) >= (known.used.requests, known.end is not None):
            newest[note.name] = note
    for name, note in newest.items():
        if name in places:
            yield Entry(places[name], used=note.used, end=note.end or End(at=max(note.at, places[name].attempt.started)))
