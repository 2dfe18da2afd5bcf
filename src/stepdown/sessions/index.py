"""What was read of which log: a log whose size and time have not changed says the same as before.

The index holds what `stepdown.sessions.records` holds, and no text of anyone. It is a convenience: broken, locked or not to be
written, it costs time and nothing else.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from stepdown.sessions.records import FORMAT, Log

FILE: Final = "audit-index.db"
"""Its name in STEPDOWN_HOME."""

_BUSY_SECONDS: Final = 2.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS logs (
    source TEXT NOT NULL, version INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    log BLOB NOT NULL, PRIMARY KEY (source, file)
) WITHOUT ROWID;
"""
_DECODER: Final = msgspec.msgpack.Decoder(Log)

Key = tuple[str, str]
"""A source's name, and a file."""


class Entry(msgspec.Struct, frozen=True):
    """One log as it was read.

    Attributes:
        version: of the reader, and of the records.
        stamp: `Source.stamp` of then.
        log: the log, encoded.
    """

    version: int
    stamp: tuple[int, int]
    log: bytes


class Index:
    """The index; use it as a context manager.

    Args:
        path: its file; None keeps nothing.

    Attributes:
        problem: why nothing is kept; "" otherwise.
    """

    def __init__(self, path: Path | None) -> None:
        self.problem = ""
        self._entries: dict[Key, Entry] = {}
        self._connection = self._open(path) if path is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def find(self, source: str, version: int, file: Path, stamp: tuple[int, int]) -> Log | None:
        """The log as it was read, where it has not changed since; None where it has to be read."""
        entry = self._entries.get((source, str(file)))
        if entry is None or entry.stamp != stamp or entry.version != _joint(version):
            return None
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            return _DECODER.decode(entry.log)
        return None

    def keep(self, fresh: Mapping[Key, Entry], gone: Iterable[Key] = ()) -> None:
        """Remember what was read, and forget logs that are not there any more."""
        if self._connection is None:
            return
        rows = [
            (source, entry.version, file, *entry.stamp, entry.log)
            for (source, file), entry in fresh.items()
            if _storable(file) and max(entry.stamp) < 2**63
        ]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._connection.executemany("DELETE FROM logs WHERE source = ? AND file = ?", list(gone))
        except sqlite3.Error as error:
            self.problem = str(error)

    def files(self) -> set[Key]:
        """What is remembered."""
        return set(self._entries)

    def _open(self, path: Path) -> sqlite3.Connection | None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # what somebody worked on, and when, is nobody else's business
            return self._read(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or not to be written
                self.problem = str(error)
                return None
            with contextlib.suppress(OSError, sqlite3.Error):  # broken: it is only a convenience, so it begins anew
                path.unlink()
                return self._read(path)
            self.problem = str(error)
        except OSError as error:
            self.problem = error.strerror or str(error)
        return None

    def _read(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_SCHEMA)
            rows = connection.execute("SELECT source, version, file, size, changed, log FROM logs")
            self._entries = {(row[0], row[2]): Entry(row[1], (row[3], row[4]), row[5]) for row in rows}
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def entry(version: int, stamp: tuple[int, int], log: bytes) -> Entry:
    """What is to be remembered of a log.

    Args:
        version: of the reader.
        stamp: as it was before the log was read, so that what was written meanwhile is read the next time.
        log: encoded.
    """
    return Entry(_joint(version), stamp, log)


def _joint(version: int) -> int:
    return FORMAT * 1000 + version


def _storable(file: str) -> bool:
    """A path that is no UTF-8 cannot be kept; it is read each time."""
    try:
        file.encode()
    except UnicodeEncodeError:
        return False
    return True
