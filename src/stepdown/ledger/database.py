"""The SQLite file behind a ledger: created, recognised, migrated; what goes wrong with it said in one line."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stepdown.errors import LedgerError

_APPLICATION_ID: Final = 0x73746470
"""``stdp`` in the file's header, so that another program's database is recognised."""
_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_RETRY_SECONDS: Final = 0.01
"""Pause between two tries where SQLite itself does not wait."""


class Database:
    """One connection to a ledger's file.

    Attributes:
        path: the file.
        read_only: whether it can only be read: the file or its directory may not be written.
        connection: in autocommit; transactions are opened by whoever writes.
    """

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        """Open the file, create it where there is none, bring its schema up to date.

        Raises:
            LedgerError: it cannot be used.
        """
        self.path = path
        self._busy_seconds = busy_seconds
        self.read_only = path.exists() and not (os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK))
        with self.explained():
            self.connection = self._connect_to_read() if self.read_only else self._connect_to_write()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what SQLite and the system say into a `LedgerError` that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerError(self._explanation(error)) from error
        except OSError as error:
            raise LedgerError(f"cannot open the ledger {self.path}: {error.strerror or error}; {_ELSEWHERE}") from error

    def refuse_if_read_only(self) -> None:
        """Raises `LedgerError` where nothing may be written."""
        if self.read_only:
            raise LedgerError(f"the ledger {self.path} is read-only: make it and its directory writable, or {_ELSEWHERE}")

    def _connect_to_write(self) -> sqlite3.Connection:
        if self.path.is_dir():
            raise LedgerError(f"the ledger {self.path} is a directory: name a file in it, or {_ELSEWHERE}")
        _create(self.path)
        connection = self._connected(str(self.path))
        with _closed_on_error(connection):
            # Recognised before anything is written: another program's database must stay as it is.
            if self._schema_now(connection) < _newest():
                self._enter_wal(connection)
                self._migrate(connection)
            # Every commit reaches the disk: an attempt that was begun is never forgotten, not even by a power cut.
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _connect_to_read(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        try:
            return self._connected_to_read(f"{uri}?mode=ro")
        except sqlite3.OperationalError:
            # In a directory that may not be written SQLite cannot keep its notes beside the file. Reading it without them is
            # safe exactly when no other process has left changes in the write-ahead log.
            log = self.path.with_name(self.path.name + "-wal")
            if log.exists() and log.stat().st_size:
                raise
            return self._connected_to_read(f"{uri}?immutable=1")

    def _connected_to_read(self, uri: str) -> sqlite3.Connection:
        connection = self._connected(uri, uri=True)
        with _closed_on_error(connection):
            schema = self._schema_now(connection)
            if schema < _newest():
                raise LedgerError(
                    f"the ledger {self.path} is read-only and older (schema {schema}, this stepdown needs {_newest()}): "
                    f"make it writable once, or {_ELSEWHERE}"
                )
        return connection

    def _connected(self, name: str, *, uri: bool = False) -> sqlite3.Connection:
        return sqlite3.connect(
            name,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,  # the ledger serialises its callers itself
            uri=uri,
        )

    def _schema_now(self, connection: sqlite3.Connection) -> int:
        """`_schema` in a transaction of its own: a ledger that is just being created must not look half like one."""
        connection.execute("BEGIN")
        try:
            return self._schema(connection)
        finally:
            roll_back(connection)

    def _schema(self, connection: sqlite3.Connection) -> int:
        """The number of the last migration the file has seen, inside a transaction; 0 for a new one."""
        application = _number(connection, "PRAGMA application_id")
        schema = _number(connection, "PRAGMA user_version")
        if application != _APPLICATION_ID and _number(connection, "SELECT count(*) FROM sqlite_master"):
            raise LedgerError(f"{self.path} is a database of another program, not a ledger: {_ELSEWHERE}")
        if schema > _newest():
            raise LedgerError(
                f"the ledger {self.path} was written by a newer stepdown (schema {schema}, this one knows {_newest()}): "
                f"upgrade stepdown or {_ELSEWHERE}"
            )
        return schema

    def _enter_wal(self, connection: sqlite3.Connection) -> None:
        """Readers and one writer at a time, instead of either. Stays set in the file."""
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # Two processes creating one ledger: for this switch SQLite does not wait by itself.
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked again under the lock: another process may have done it all in the meantime.
            schema = self._schema(connection)
            for number, script in migrations():
                if number > schema:
                    for statement in _statements(script):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {number}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise

    def _explanation(self, error: sqlite3.Error) -> str:
        match _primary_code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return (
                    f"the ledger {self.path} is locked by another process (waited {self._busy_seconds:g} s): "
                    f"let it finish or stop it, then try again"
                )
            case sqlite3.SQLITE_FULL:
                return f"no space left for the ledger {self.path}: free some and try again; nothing was half-written"
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return f"the ledger {self.path} cannot be read ({error}): move it aside, and a new one is started"
            case sqlite3.SQLITE_READONLY:
                return f"the ledger {self.path} is read-only: make it and its directory writable, or {_ELSEWHERE}"
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return f"cannot open the ledger {self.path} ({error}): check its permissions, or {_ELSEWHERE}"
            case sqlite3.SQLITE_IOERR:
                return f"the disk refused the ledger {self.path} ({error}): check the disk, then try again"
            case _:
                return f"the ledger {self.path} cannot be used ({error}): move it aside, or {_ELSEWHERE}"


_ELSEWHERE: Final = "point STEPDOWN_LEDGER elsewhere"


def migrations() -> list[tuple[int, str]]:
    """The numbered scripts, in order."""
    return [(int(path.name[:4]), path.read_text(encoding="utf-8")) for path in sorted(_MIGRATIONS.glob("[0-9]*.sql"))]


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo the transaction, unless SQLite has done so already (it does on a full disk)."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _newest() -> int:
    return max(int(name[:4]) for name in os.listdir(_MIGRATIONS) if name.endswith(".sql"))  # noqa: PTH208 - half the time of iterdir


def _create(path: Path) -> None:
    """Make the file and the directories above it, for their owner only: a ledger tells what someone works on."""
    for parent in reversed(path.absolute().parents):
        if not parent.exists():
            parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script. `executescript` would commit the transaction that the migration has to be one of."""
    lines: list[str] = []
    for line in script.splitlines(keepends=True):
        lines.append(line)
        if sqlite3.complete_statement("".join(lines)):
            yield "".join(lines)
            lines.clear()


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's error code without its details; -1 where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF
