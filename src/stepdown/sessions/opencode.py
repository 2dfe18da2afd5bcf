"""OpenCode's store: ``opencode.db`` since 1.2, before that a tree of files under ``storage``.

The database belongs to a program that may be running. It is opened so that nothing is written, no lock of ours is waited for,
and no file appears beside it: where all of it is in the one file, as a file that does not change, and read once more should it
have changed after all; else together with its ``-wal``, as another reader of the same.
"""

import contextlib
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stepdown.ledger.gsd_json import word
from stepdown.sessions.opencode_messages import Message, Session, add_session
from stepdown.sessions.opened import Tally
from stepdown.sessions.records import Counted, Log
from stepdown.sessions.source import home_of
from stepdown.sessions.values import count, decoded, milliseconds, paid, tokens_of

HALF_WRITTEN: Final = "half-written messages"
UNREADABLE: Final = "messages that cannot be read"
UNKNOWN_FORM: Final = "answers in a form that is not known yet"

_WAIT_SECONDS: Final = 2.0
_SESSIONS: Final = """
SELECT own.session_id AS own, session.* FROM (SELECT DISTINCT session_id FROM message) AS own
LEFT JOIN session ON session.id = own.session_id ORDER BY session.time_created, own.session_id
"""
"""The older first: what a fork copied belongs to the session it was copied from."""
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_UNREAD: Final = """
SELECT count(*) AS number FROM session_message
WHERE type = 'assistant' AND session_id NOT IN (SELECT session_id FROM message)
"""
"""1.18 has a table for a form of messages that it does not write yet."""


class OpenCode:
    """The log of OpenCode; what stands in it is told in `stepdown.sessions.opencode_messages`."""

    name = "opencode"
    title = "OpenCode"
    version = 1

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:  # noqa: ARG002 - as in Source
        """``opencode`` in ``XDG_DATA_HOME``, else in ``~/.local/share``; besides, a database that ``OPENCODE_DB`` names."""
        data = environ.get("XDG_DATA_HOME")
        place = (Path(data) if data else home_of(environ) / ".local/share") / "opencode"
        named = environ.get("OPENCODE_DB", "")
        own = place / named if named and named != ":memory:" else place
        return [place] if place in (own, own.parent) else [place, own]

    def files(self, place: Path) -> Iterable[Path]:
        """Databases (one per channel of releases), and the directories of messages of older sessions."""
        if place.is_file():
            return [place]
        messages = place / "storage/message"
        found = sorted(messages.iterdir()) if messages.is_dir() else []
        return [*sorted(place.glob("opencode*.db")), *(path for path in found if path.is_dir())]

    def stamp(self, file: Path) -> tuple[int, int]:
        """Of a database and its ``-wal``; of a directory, of all messages in it, which are written anew where they are."""
        stats = [file.stat()]
        for part in _listed(file) if file.is_dir() else [_wal(file)]:
            with contextlib.suppress(FileNotFoundError):
                stats.append(part.stat())
        return sum(there.st_size for there in stats), max(there.st_mtime_ns for there in stats)

    def read(self, file: Path) -> Log:
        """All sessions of a database, or the one of a directory."""
        if file.is_dir():
            return _tree(file)
        before = self.stamp(file)
        quiet = not _size(_wal(file)) and not file.with_name(file.name + "-journal").exists()
        try:
            log = _database(file, quiet=quiet)
        except OSError:
            if self.stamp(file) == before:
                raise
            return _database(file, quiet=False)
        return _database(file, quiet=False) if quiet and self.stamp(file) != before else log


def _database(file: Path, *, quiet: bool) -> Log:
    """What a database says.

    Args:
        file: the database.
        quiet: whether it is taken for one that nobody writes.

    Raises:
        OSError: it is none, it is damaged, or it is locked.
    """
    with contextlib.ExitStack() as stack:
        if not quiet and _size(_wal(file)) and not _size(file.with_name(file.name + "-shm")):
            # A reader would write the index that is missing. Such a pair is a copy, or what a crash left.
            file = _copied(file, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        options = "?mode=ro&immutable=1" if quiet else "?mode=ro"
        try:
            connection = sqlite3.connect(f"file:{quote(str(file.resolve()))}{options}", uri=True, timeout=_WAIT_SECONDS)
            stack.callback(connection.close)
            connection.text_factory = bytes  # what is no UTF-8 must not end the reading
            connection.execute("BEGIN")
            return _rows(connection)
        except sqlite3.Error as error:
            raise OSError(f"the database cannot be read: {error}") from error


def _copied(file: Path, room: Path) -> Path:
    copy = room / file.name
    for part in (file, _wal(file)):
        if part.exists():
            shutil.copyfile(part, room / part.name)
    return copy


def _rows(connection: sqlite3.Connection) -> Log:
    tally = Tally()
    counted: list[Counted] = []
    for row in _table(connection, _SESSIONS):
        session = Session(_name(row, "own"), _name(row, "directory"), _name(row, "parent_id"), _name(row, "agent"))
        messages = _messages(connection, session.id, tally)
        first = len(tally.requests)
        add_session(tally, session, messages)
        models = {request.model for request in tally.requests[first:]}
        # Of a fork, OpenCode's count holds what was copied into it, and ours does not.
        own = all(milliseconds(_time(one)) >= milliseconds(row.get("time_created")) for one in messages)
        if len(models) == 1 and own:
            counted += _counted(row, session.id, models.pop())
    for row in _table(connection, _TABLES):
        if row["name"] == b"session_message":
            [unread] = _table(connection, _UNREAD)
            tally.troubles.update({UNKNOWN_FORM: unread["number"]} if unread["number"] else {})
    return msgspec.structs.replace(tally.log(), counted=tuple(counted))


def _messages(connection: sqlite3.Connection, session: str, tally: Tally) -> list[Message]:
    parts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    of_session = "FROM {} WHERE session_id = ? ORDER BY id"
    for message, data in connection.execute("SELECT message_id, data " + of_session.format("part"), (session,)):
        parts[_text(message)].append(_document(data, tally))
    rows = connection.execute("SELECT id, data " + of_session.format("message"), (session,))
    return [Message(key, _document(data, tally), parts[key]) for key, data in ((_text(key), data) for key, data in rows)]


def _counted(row: Mapping[str, Any], session: str, model: str) -> Iterator[Counted]:
    """What OpenCode itself counted for a session, which it does for all its models together."""
    kinds = [row.get(f"tokens_{kind}") for kind in ("input", "output", "cache_read", "cache_write")]
    tokens, reasoning = tokens_of(*kinds), count(row.get("tokens_reasoning"))
    if tokens is not None and reasoning is not None and tokens.total:
        yield Counted(
            session,
            model,
            milliseconds(row.get("time_updated")),
            tokens.input,
            tokens.output + reasoning,
            tokens.cache_read,
            tokens.cache_write,
            paid(row.get("cost")),
        )


def _tree(directory: Path) -> Log:
    """What a session's files say: ``message/<session>``, ``part/<message>``, ``session/<project>/<session>.json``."""
    tally = Tally()
    storage = directory.parent.parent
    messages = [
        Message(path.stem, _file(path, tally), [_file(part, tally) for part in _listed(storage / "part" / path.stem)])
        for path in _listed(directory)
    ]
    info: dict[str, Any] = {}
    for path in (storage / "session").glob(f"*/{directory.name}.json"):
        info = _file(path, tally)
    session = Session(directory.name, word(info.get("directory")), word(info.get("parentID")))
    add_session(tally, session, messages)
    return tally.log()


def _listed(directory: Path) -> list[Path]:
    """The documents in a directory, none where there is no such directory.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []


def _file(path: Path, tally: Tally) -> dict[str, Any]:
    try:
        return _document(path.read_bytes(), tally)
    except OSError:
        tally.troubles[UNREADABLE] += 1
        return {}


def _table(connection: sqlite3.Connection, query: str) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _name(row: Mapping[str, Any], column: str) -> str:
    return _text(row.get(column))


def _text(value: object) -> str:
    return word(value.decode(errors="replace")) if isinstance(value, bytes) else ""


def _document(data: object, tally: Tally) -> dict[str, Any]:
    found = decoded(data) if isinstance(data, bytes) else {}
    if not found:
        tally.troubles[HALF_WRITTEN] += 1
    return found


def _time(message: Message) -> object:
    times = message.data.get("time")
    return times.get("created") if isinstance(times, dict) else None


def _wal(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def _size(file: Path) -> int:
    """Bytes; 0 for a file that is not there."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
