"""The ledger on disk: SQLite in WAL, written by several processes at once, every call committed before it returns."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from stepdown.errors import LedgerError
from stepdown.ledger.connection import Connection
from stepdown.ledger.database import Database, roll_back
from stepdown.ledger.sql import SqlLedger


class SqliteLedger(SqlLedger):
    """A `Ledger` in a file. Safe to share between threads; each process opens its own."""

    def __init__(self, path: Path, *, busy_seconds: float = 5.0) -> None:
        """Open `path`, or create it.

        Args:
            path: the file; directories above it are made.
            busy_seconds: how long a call waits for another process that is writing.

        Raises:
            LedgerError: it cannot be used.
        """
        self._database = Database(path, busy_seconds=busy_seconds)
        self._closed = False
        self._batching = self._looking = False
        # One connection serves all threads of this process, one call at a time.
        self._lock = threading.RLock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def stamp(self) -> int:
        """See `Ledger.stamp`."""
        with self._lock, self._database.explained():
            # What this connection wrote itself is no news to it: the first number is silent on that, the second on all others.
            connection = self._database.connection
            (others,) = connection.execute("PRAGMA data_version").fetchone()
            return int(others) + connection.total_changes

    def count_on(self, connection: Connection, table: str) -> None:
        """See `SqlLedger.count_on`: SQLite counts on from the highest number by itself."""

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """See `Ledger.batch`."""
        with self._lock:
            if self._batching:
                raise LedgerError("a batch of the ledger is under way already")
            with self.writing():
                self._batching = True
                try:
                    yield
                    self._check_batch()
                finally:
                    self._batching = False

    @contextlib.contextmanager
    def one_state(self) -> Iterator[None]:
        """See `Ledger.one_state`."""
        with self._lock, self.reading():
            outer, self._looking = self._looking, True
            try:
                yield
            finally:
                self._looking = outer

    def close(self) -> None:
        """See `Ledger.close`; a second call does nothing."""
        with self._lock, self._database.explained():
            if self._batching:
                raise LedgerError("the ledger cannot be closed inside of a batch")
            self._closed = True
            self._database.connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """All queries inside see one state, whatever other processes write meanwhile."""
        with self._lock, self._database.explained():
            if self._looking:
                yield self._database.connection
                return
            with self._transaction("BEGIN") as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All statements inside are committed together, or none is."""
        self._database.refuse_if_read_only()
        with self._lock:  # other threads wait until it was read
            if self._looking:
                raise LedgerError(f"the ledger {self.path} cannot be written while one state of it is read")
        # IMMEDIATE: wait for the other writer now, while nothing was read yet that could be out of date afterwards.
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self._database.connection
        with self._lock, self._database.explained():
            if self._closed:
                raise LedgerError(f"the ledger {self.path} is closed")
            if self._batching:
                self._check_batch()
                try:
                    yield connection
                except sqlite3.Error:
                    roll_back(connection)  # who catches this must not go on with half of a call
                    raise
                return
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                roll_back(connection)
                raise

    def _check_batch(self) -> None:
        """Raises `LedgerError` where an error has undone the batch: what came next would stand alone."""
        if not self._database.connection.in_transaction:
            raise LedgerError(f"the ledger {self.path} undid a batch after an error: nothing of it was kept")
