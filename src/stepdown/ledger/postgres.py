"""The ledger of a team: PostgreSQL, shared by every gateway and every run that is given its address.

One transaction at a time writes: whoever begins one waits for a lock of ours until the other has committed. So what a budget
still allows is added up and reserved in one step, whatever machine asks, and sums are updated in no order that could lock up.
"""

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.adapt import Loader

from stepdown.errors import LedgerError
from stepdown.ledger.connection import Connection, Cursor
from stepdown.ledger.open import shown_location
from stepdown.ledger.sql import SqlLedger

_LOCK: Final = 0x73746470
"""``stdp``: the key of our locks among all advisory locks of a database; the next one is the migrations'."""
_MIGRATIONS: Final = Path(__file__).with_name("postgres_migrations")
_CONNECT: Final = 5
"""Seconds that connecting may take."""
_SILENT: Final = 15
"""Seconds after which a server that the network no longer reaches is taken for gone; a system waits much longer by itself."""
_STREAMED: Final = 500
"""Rows that are fetched at once of an answer that is read row by row."""
_IDLE: Final = "60s"
"""After so long in a transaction without a word a client is taken for dead, and its locks are released."""


class PostgresLedger(SqlLedger):
    """A `Ledger` in a PostgreSQL database. Safe to share between threads; each process opens its own."""

    def __init__(self, address: str, *, busy_seconds: float = 5.0) -> None:
        """Connect, and bring the schema up to date.

        Args:
            address: ``postgresql://user@host/database``, as libpq has it.
            busy_seconds: how long a call waits for another process that is writing.

        Raises:
            LedgerError: it cannot be used.
        """
        self._address = address
        self._busy_seconds = busy_seconds
        self._connection: _Connection | None = None
        self._closed = self._batching = self._looking = False
        # One connection serves all threads of this process, one call at a time.
        self._lock = threading.RLock()
        with self._explained():
            self._connected()

    @property
    def name(self) -> str:
        """Where it is, without who connects or how."""
        return shown_location(self._address)

    def stamp(self) -> int:
        """See `Ledger.stamp`: one round trip, since gateways ask every second."""
        with self._transaction() as connection:
            (times,) = connection.execute("SELECT times FROM written").fetchone()
            return int(times)

    def count_on(self, connection: Connection, table: str) -> None:
        """See `SqlLedger.count_on`."""
        connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")  # noqa: S608  (a table of ours)

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
        """See `Ledger.one_state`: what is asked inside is spared two round trips of three."""
        with self._lock, self.reading():
            outer, self._looking = self._looking, True
            try:
                yield
            finally:
                self._looking = outer

    def close(self) -> None:
        """See `Ledger.close`; a second call does nothing."""
        with self._lock:
            if self._batching:
                raise LedgerError("the ledger cannot be closed inside of a batch")
            self._closed = True
            self._let_go()

    @contextlib.contextmanager
    def reading(self) -> Iterator["_Connection"]:
        """See `SqlLedger.reading`."""
        with self._lock, self._explained():
            if self._looking:
                if self._connection is None or not self._connection.in_transaction:
                    raise LedgerError(f"the ledger {self.name} was lost while it was read: ask again")
                yield self._connection
                return
            with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator["_Connection"]:
        """See `SqlLedger.writing`."""
        with self._lock:  # other threads wait until it was read
            if self._looking:
                raise LedgerError(f"the ledger {self.name} cannot be written while one state of it is read")
        with self._transaction(
            "BEGIN", f"SELECT pg_advisory_xact_lock({_LOCK})", "UPDATE written SET times = times + 1"
        ) as one:
            yield one

    @contextlib.contextmanager
    def _transaction(self, *begin: str) -> Iterator["_Connection"]:
        """What follows is one transaction; where it is not begun, each statement is."""
        with self._lock, self._explained():
            if self._closed:
                raise LedgerError(f"the ledger {self.name} is closed")
            if self._batching:
                self._check_batch()
                yield self._connected()
                return
            connection = self._connected()
            try:
                if begin:
                    connection.begin(begin)
                yield connection
                if begin:
                    connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise

    def _roll_back(self, connection: "_Connection") -> None:
        try:
            if not connection.is_idle:
                connection.execute("ROLLBACK")
        except psycopg.Error:  # it is gone, and the transaction with it
            self._let_go()

    def _check_batch(self) -> None:
        """Raises `LedgerError` where an error has undone the batch: what came next would stand alone."""
        if self._connection is None or not self._connection.in_transaction:
            raise LedgerError(f"the ledger {self.name} undid a batch after an error: nothing of it was kept")

    def _connected(self) -> "_Connection":
        if self._connection is None:
            self._connection = _Connection(self._address, self._busy_seconds)
            try:
                self._migrate(self._connection)
            except BaseException:
                self._let_go()
                raise
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _migrate(self, connection: "_Connection") -> None:
        newest = migrations()[-1][0]
        schema, oldest = _schema(connection)
        if self._serves(schema, oldest, newest):
            return
        if connection.is_read_only:
            raise LedgerError(
                f"the ledger {self.name} is read-only and older (schema {schema}, this stepdown needs {newest}): "
                "run `stepdown ledger migrate` on the server that it is copied from"
            )
        connection.execute("BEGIN")
        # Whoever else migrates waits here, and finds it done.
        connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK + 1})")
        connection.execute("CREATE TABLE IF NOT EXISTS stepdown_schema (version integer NOT NULL)")
        schema, oldest = _schema(connection)
        if self._serves(schema, oldest, newest):
            connection.execute("ROLLBACK")
            return
        # Programs of the schema before go on writing: none is in the middle of anything while tables change.
        connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        for number, script in migrations():
            if number > schema:
                connection.script(script)
                oldest = max(oldest, _works_with(number, script))
        connection.execute("DELETE FROM stepdown_schema")
        connection.execute("INSERT INTO stepdown_schema (version, oldest) VALUES (?, ?)", (newest, oldest))
        connection.execute("COMMIT")

    def _serves(self, schema: int, oldest: int, newest: int) -> bool:
        """Whether it can be used as it is: a newer one, too, where gateways are upgraded one after the other."""
        if oldest > newest:
            raise LedgerError(f"the ledger {self.name} was made by a newer stepdown (schema {schema}): upgrade this one")
        return schema >= newest

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what PostgreSQL and the network say into a `LedgerError` that says what to do."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise LedgerError(
                f"the ledger {self.name} is locked by another process (waited {self._busy_seconds:g} s): "
                "let it finish or stop it, then try again"
            ) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise LedgerError(
                f"the ledger {self.name} is read-only: point STEPDOWN_LEDGER at the server that it is copied from"
            ) from error
        except psycopg.errors.DiskFull as error:
            raise LedgerError(f"no space left for the ledger {self.name}: free some and try again") from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise LedgerError(f"the ledger {self.name} may not be used ({_line(error)}): grant it to this user") from error
        except psycopg.Error as error:
            if self._connection is not None and self._connection.broken:
                self._let_go()
            raise LedgerError(
                f"the ledger {self.name} cannot be used ({_line(error)}): check the server, then try again"
            ) from error


class _Whole(Loader):
    """Sums of whole numbers are whole numbers; PostgreSQL makes them numerics."""

    def load(self, data: Any) -> int | float:
        number = Decimal(bytes(data).decode())
        return int(number) if number == number.to_integral_value() else float(number)


class _Connection:
    """A connection in autocommit that takes SQLite's words for values."""

    def __init__(self, address: str, busy_seconds: float) -> None:
        options = f"-c lock_timeout={busy_seconds * 1000:.0f} -c idle_in_transaction_session_timeout={_IDLE} -c timezone=UTC"
        self._connection = psycopg.connect(
            address,
            autocommit=True,
            connect_timeout=_CONNECT,
            options=options,
            application_name="stepdown",
            tcp_user_timeout=_SILENT * 1000,
            keepalives_idle=_SILENT,
            keepalives_interval=_CONNECT,
            keepalives_count=2,
        )
        self._connection.adapters.register_loader("numeric", _Whole)
        self._count = 0

    def execute(self, query: str, values: Sequence[object] = ()) -> Cursor:
        """See `Connection`."""
        return self._connection.execute(_translated(query), _given(query, values), prepare=True)

    def executemany(self, query: str, values: Iterable[Sequence[object]]) -> Cursor:
        """See `Connection`."""
        cursor = self._connection.cursor()
        cursor.executemany(_translated(query), [_given(query, each) for each in values])
        return cursor

    def stream(self, query: str, values: Sequence[object] = ()) -> Cursor:
        """An answer that the server keeps, and hands over as it is read."""
        self._count += 1
        cursor = self._connection.cursor(f"c{self._count}")
        cursor.itersize = _STREAMED
        cursor.execute(_translated(query), _given(query, values))
        return cursor

    def begin(self, statements: Sequence[str]) -> None:
        """Begin a transaction, in one round trip."""
        self._connection.execute(sql.SQL("; ".join(statements)))

    def script(self, text: str) -> None:
        """Several statements."""
        self._connection.execute(sql.SQL(text))

    @property
    def is_idle(self) -> bool:
        """Whether there is no transaction, not even a broken one."""
        return self._connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written here: a copy that follows another server, or by its settings."""
        (said,) = self._connection.execute("SHOW transaction_read_only").fetchone() or ("off",)
        return bool(said == "on")

    @property
    def in_transaction(self) -> bool:
        """Whether one is under way, and not broken."""
        return self._connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS

    @property
    def broken(self) -> bool:
        """Whether the server is gone."""
        return self._connection.closed or self._connection.broken

    def close(self) -> None:
        """Let go."""
        self._connection.close()


def migrations() -> list[tuple[int, str]]:
    """The numbered scripts, in order."""
    return [(int(path.name[:4]), path.read_text(encoding="utf-8")) for path in sorted(_MIGRATIONS.glob("[0-9]*.sql"))]


@lru_cache(maxsize=256)
def _translated(query: str) -> bytes:
    """In psycopg's words."""
    text = re.sub(r" (INDEXED BY \w+|NOT INDEXED)", "", query).replace("%", "%%")
    return re.sub(r"\?(\d*)", lambda found: f"%(p{found[1]})s" if found[1] else "%s", text).encode()


def _given(query: str, values: Sequence[object]) -> Sequence[object] | Mapping[str, object]:
    plain = [int(value) if isinstance(value, bool) else value for value in values]
    if not plain:
        return ()
    return {f"p{number}": value for number, value in enumerate(plain, start=1)} if "?1" in query else plain


def _works_with(number: int, script: str) -> int:
    """The oldest schema whose programs still read and write what a migration leaves: ``-- works with: 1``; else its own."""
    said = re.search(r"^-- works with: (\d+)$", script, re.MULTILINE)
    return int(said[1]) if said else number


def _schema(connection: _Connection) -> tuple[int, int]:
    """The number of the newest migration that was made, and the oldest schema whose programs may go on; 0 in an empty database.

    The second is asked for in a way that the first schema, which did not say, understands as well.
    """
    (there,) = connection.execute("SELECT to_regclass('stepdown_schema') IS NOT NULL").fetchone()
    query = "SELECT version, (to_jsonb(stepdown_schema) ->> 'oldest')::integer FROM stepdown_schema"
    row = connection.execute(query).fetchone() if there else None
    return (0, 0) if row is None else (int(row[0]), int(row[1] or 1))


def _line(error: psycopg.Error) -> str:
    """What PostgreSQL says, in one line."""
    said = error.diag.message_primary or str(error)
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        said = said.partition(': "')[0]  # an address that cannot be read is repeated with the password in it
    said = re.sub(r'invalid integer value ".*" for', "invalid value for", said)  # likewise, with a part of it
    return " ".join(said.split("\n")[0].split()) or type(error).__name__
