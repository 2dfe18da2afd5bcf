"""Ticking one box of a plan file: one character changes, every other byte stays as it was, and no half-written file."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from stepdown.errors import PlanError
from stepdown.plans.entry import Letter, id_key
from stepdown.plans.outline import outline
from stepdown.plans.tree import encoding_of


def tick(path: Path, letter: Letter, name: str) -> None:
    """Put an ``x`` into the box of slice or task `name`; nothing if it is ticked already.

    Raises:
        PlanError: the file is gone or cannot be written, or the box is no longer in it.
    """
    path = path.resolve()  # a link stays a link
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PlanError(f"cannot tick {name}: {path} cannot be read: {error.strerror}") from error
    encoding = encoding_of(raw)
    errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
    try:
        text = raw.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise PlanError(f"cannot tick {name}: {path} is not readable text; tick it by hand") from error
    entries = {id_key(entry.id): entry for entry in outline(text, letter).entries}
    entry = entries.get(id_key(name))
    if entry is None or entry.mark is None:
        raise PlanError(f"cannot tick {name}: its box is no longer in {path}; was the file changed meanwhile?")
    if entry.done:
        return
    start, end = (len(text[:offset].encode(encoding, errors)) for offset in entry.mark)
    _replace(path, raw[:start] + "x".encode(encoding) + raw[end:])


def _replace(path: Path, raw: bytes) -> None:
    """Write a file whole or not at all, with the mode it had."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if not os.access(path, os.W_OK):  # a rename would go through without asking the file
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mode = stat.S_IMODE(path.stat().st_mode)
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise PlanError(f"cannot write {path}: {error.strerror}; nothing was changed") from error
