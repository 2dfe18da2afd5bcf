"""GSD's JSON files and what stands in them, read with care: anyone may have written them."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeGuard

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger.rules import LAST_SECOND

SOURCE: Final = "gsd"
"""What the ledger calls records and evidence that GSD has counted."""
VERSION: Final = 1
"""The version of both files."""
LARGEST_COUNT: Final = 2**53

_MOST_BYTES: Final = 64 * 1024 * 1024
"""A project of 50,000 units has a file of about 50 MB; anything beyond is not one of these files."""


def read_document(path: Path) -> dict[str, Any]:
    """The file's JSON object.

    Raises:
        FileNotFoundError: there is no such file.
        LedgerError: it is not such a file; one line says why.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise LedgerError(f"{path} is larger than {_MOST_BYTES >> 20} MB; it is left alone")
    try:
        document = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LedgerError(f"{path} is not valid JSON ({reason}); it is left alone") from error
    if not isinstance(document, dict):
        raise LedgerError(f"{path} does not hold a JSON object; it is left alone")
    if document.get("version") != VERSION:
        raise LedgerError(f"{path} has version {document.get('version')!r}, this stepdown reads {VERSION}; it is left alone")
    return document


def word(value: object) -> str:
    """A name of one printable line; "" for anything else."""
    return value if isinstance(value, str) and value.isprintable() else ""


def moment(value: object) -> float | None:
    """An ISO date, as seconds since the epoch."""
    # Before Python 3.13 fromisoformat takes no more than six digits of a second.
    text = re.sub(r"(\.\d{6})\d+", r"\1", value) if isinstance(value, str) else ""
    try:
        date = datetime.fromisoformat(text)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LAST_SECOND else None


def is_amount(value: object) -> TypeGuard[float]:
    """Whether it is a number from 0 that some real file could hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


def is_count(value: object) -> TypeGuard[float]:
    """Whether it is such a number, and whole."""
    return is_amount(value) and value <= LARGEST_COUNT and value == int(value)
