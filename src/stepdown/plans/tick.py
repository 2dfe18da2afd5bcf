"""Ticking one box of a plan file: one character changes, every other byte stays as it was, and no half-written file."""

from pathlib import Path

from stepdown.errors import PlanError
from stepdown.plans.entry import Letter, id_key
from stepdown.plans.outline import outline
from stepdown.plans.tree import encoding_of
from stepdown.whole import write_whole


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
    try:
        write_whole(path, raw)
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}; nothing was changed") from error
