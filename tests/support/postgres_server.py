"""A real PostgreSQL for tests: a cluster of its own in a temporary directory, on a Unix socket; a database for each test."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
_NUMBERS = count(1)


def program(name: str) -> str:
    """Where one of PostgreSQL's programs is; "" where it is not installed. Debian has them beside PATH."""
    found = shutil.which(name)
    if found and (real := Path(found).resolve()).name == name:  # Debian's clients are all one script, which chooses
        return str(real)  # beside it are the others
    places = sorted(path for place in _PLACES for path in Path("/").glob(place[1:]) if (path / name).exists())
    return str(places[-1] / name) if places else ""


class Cluster:
    """A running server.

    Attributes:
        folder: its data, its socket, its log.
        options: what it is started with, beside its socket.
    """

    def __init__(self, folder: Path, options: str = "-c fsync=off -c max_connections=60") -> None:
        self.folder = folder
        self.options = options
        self._user: str | None = None
        if os.geteuid() == 0:  # which PostgreSQL refuses
            self._user = next(name for name in ("postgres", "nobody") if _is_user(name))
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._make()
        self.start()

    def _make(self) -> None:
        self._call("initdb", "-D", "data", "-U", "stepdown", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start it; unless told otherwise, without safety against a crash of the machine."""
        options = f"-k {self.folder} -c listen_addresses='' {self.options}"
        self._call("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it: ``fast``, or ``immediate``, as a kill does."""
        self._call("pg_ctl", "-D", "data", "-w", "-m", how, "stop")

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The address of an empty database, for as long as the block runs."""
        name = f"test_{next(_NUMBERS)}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield self.address(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def address(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://stepdown@/{database}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """What it answers."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            answer = connection.execute(statement.encode())
            return answer.fetchall() if answer.description else []

    def _call(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [program(name), *words],
            cwd=self.folder,
            user=self._user,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout


class Standby(Cluster):
    """A server that follows another one, and takes no writes of its own."""

    def __init__(self, folder: Path, of: Cluster) -> None:
        self._of = of
        super().__init__(folder)

    def _make(self) -> None:
        place = ("-h", str(self._of.folder), "-U", "stepdown")
        self._call("pg_basebackup", "-D", "data", *place, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def has_followed(self) -> bool:
        """Whether it has everything that the other one has written by now."""
        [(written,)] = self._of.sql("SELECT pg_current_wal_lsn()::text")
        [(seen,)] = self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")
        return bool(seen)


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A server; the test is skipped where PostgreSQL is not installed."""
    missing = [name for name in ("initdb", "pg_ctl") if not program(name)]
    if missing:
        pytest.skip(f"PostgreSQL is not here: no {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="sd-pg-") as name:  # a socket's path has to be short
        cluster = Cluster(Path(name))
        try:
            yield cluster
        finally:
            cluster.stop("immediate")


def name_of(address: str) -> str:
    """The database of such an address."""
    return address.partition("@/")[2].partition("?")[0]


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
