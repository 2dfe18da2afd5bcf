"""`open_ledger`: from an address to a ledger."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from stepdown.errors import LedgerError
from stepdown.home import expanded, home_folder
from stepdown.ledger.port import Ledger

_POSTGRES = frozenset({"postgresql", "postgres"})

BUSY_SECONDS = 5.0
"""How long a call waits for another process that is writing, in seconds; a write itself takes well under a millisecond."""


def open_ledger(
    url: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    create: bool = True,
    busy_seconds: float = BUSY_SECONDS,
) -> Ledger:
    """Open a ledger; use it as a context manager or close it.

    Args:
        url: a path, ``sqlite:PATH``, ``postgresql://...`` or ``memory:``; None takes ``STEPDOWN_LEDGER`` from `environ`, else
            ``ledger.db`` in the directory ``STEPDOWN_HOME``, else ``~/.stepdown/ledger.db``.
        environ: the environment to look in.
        create: make the file where there is none; False gives an empty ledger in memory instead, so that a command which only
            reads leaves nothing behind.
        busy_seconds: how long to wait for another process that is writing.

    Raises:
        LedgerError: it cannot be used: not a ledger, from a newer stepdown, locked, not permitted, an address of another kind.
    """
    address = url or ledger_location(environ)
    if address in {"memory:", ":memory:"}:
        return _memory()
    if address.split(":", 1)[0].lower() in _POSTGRES:
        return _postgres(address, busy_seconds)
    path = _path(address, environ)
    if not create and not path.exists():
        return _memory()
    # sqlite3 costs 5 ms to import: commands that never open a ledger do not pay for it.
    from stepdown.ledger.sqlite import SqliteLedger  # noqa: PLC0415 - see the line above

    return SqliteLedger(path, busy_seconds=busy_seconds)


def ledger_location(environ: Mapping[str, str] = os.environ) -> str:
    """The address of the user's own ledger, whether or not there is one yet."""
    return environ.get("STEPDOWN_LEDGER") or str(home(environ) / "ledger.db")


def is_shared(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether several machines may be at the user's own ledger."""
    return ledger_location(environ).split(":", 1)[0].lower() in _POSTGRES


def shown_location(address: str) -> str:
    """An address as it may be shown: without a user, and without whatever may be a password."""
    if address.split(":", 1)[0].lower() not in _POSTGRES:
        return address
    try:
        parts = urlsplit(address)
        host = parts.hostname or "localhost"
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return "postgresql:..."
    if "@" in parts.path:  # a password with a slash in it that was not written as %2F
        return "postgresql:..."
    return f"postgresql://{place}{parts.path}"


def _memory() -> Ledger:
    from stepdown.ledger.memory import MemoryLedger  # noqa: PLC0415 - only where one is asked for

    return MemoryLedger()


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory for what stepdown keeps itself."""
    return Path(home_folder(environ))


def _postgres(address: str, busy_seconds: float) -> Ledger:
    try:
        from stepdown.ledger.postgres import PostgresLedger  # noqa: PLC0415 - only where one is asked for
    except ImportError as missing:
        raise LedgerError("a PostgreSQL ledger needs its driver: pip install 'stepdown[postgres]'") from missing
    return PostgresLedger(address, busy_seconds=busy_seconds)


def _path(address: str, environ: Mapping[str, str]) -> Path:
    if "\0" in address:
        raise LedgerError("the ledger's address contains a NUL byte: set STEPDOWN_LEDGER to a file")
    kind = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", address)
    if kind is None:
        return Path(expanded(address, environ))
    scheme = kind[1].lower()
    if scheme == "sqlite":
        rest = address[kind.end() :].removeprefix("//")
        if not rest:
            raise LedgerError(f"'{address}' names no file: write sqlite:PATH")
        return Path(expanded(rest, environ))
    raise LedgerError(f"a ledger cannot be opened at '{scheme}:...': use a path, sqlite:PATH, postgresql://... or memory:")
