"""A client's own configuration pointed at the gateway, and put back: only what we changed, whatever else has changed since."""

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.clients.records import Entry, Format, Lasting, There
from stepdown.clients.variables import left_alone
from stepdown.errors import GatewayError
from stepdown.whole import write_whole

_LARGEST: Final = 4 * 1024 * 1024
"""Bytes of a configuration file; a larger one is none."""


class Change(msgspec.Struct, frozen=True):
    """One value that we set: what was written there before (None for nothing), and what we wrote."""

    path: tuple[str, ...]
    before: str | None
    after: str


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a client's configuration; kept beside a copy of the file as it was.

    Attributes:
        file: which file.
        existed: whether there was one.
        changes: in the order in which they were made.
        made: sections that were not there before; they go when they are empty.
        written: the file as we left it.
    """

    file: str
    existed: bool
    changes: tuple[Change, ...]
    made: tuple[tuple[str, ...], ...]
    written: str

    @property
    def urls(self) -> frozenset[str]:
        """The gateway it was pointed at."""
        return frozenset(found[0] for change in self.changes if (found := re.search(r"http://[^/\"]+", change.after)))


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a file, not made yet.

    Attributes:
        file: which file.
        before: its text; "" where there is none.
        after: its text; None where it is to go.
        notes: what the user should know, a line each.
    """

    file: Path
    before: str
    after: str | None
    notes: tuple[str, ...] = ()


class Connections:
    """What is connected, remembered in a directory of ours.

    Args:
        folder: where; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, name: str) -> Connected | None:
        """What was done to a client's configuration; None where nothing was.

        Raises:
            GatewayError: it cannot be read.
        """
        path = self._folder / f"{name}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Connected)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as problem:
            raise GatewayError(
                f"{path} cannot be read ({problem}): put the configuration back by hand, then delete it"
            ) from problem

    def backup(self, name: str) -> Path:
        """Where the file is kept as it was."""
        return self._folder / f"{name}.backup"

    def connecting(self, name: str, lasting: Lasting, there: There) -> tuple[Edit, Connected]:
        """What has to change, and what is to be remembered of it. Changes nothing.

        Raises:
            GatewayError: the file cannot be read or changed, or its requests belong to somebody else; one line.
        """
        if lasting.obstacle:
            raise GatewayError(lasting.obstacle)
        earlier = self.known(name)
        text, existed = _read(lasting.file)
        said = _parsed(lasting.format, text, lasting.file) if text.strip() else {}
        changed, changes, made = text, [], []
        for entry in lasting.entries:
            before, after = lasting.format.get(changed, entry.path), msgspec.json.encode(entry.value).decode()
            first = next((change for change in earlier.changes if change.path == entry.path), None) if earlier else None
            if first is not None and first.after == before:
                changes.append(Change(entry.path, first.before, after))  # what was there before us, not what we wrote ourselves
            else:
                _check(entry, said, there, lasting.file)
                changes.append(Change(entry.path, before, after))
            if before != after:
                made += [entry.path[:depth] for depth in range(1, len(entry.path)) if _at(said, entry.path[:depth]) is None]
                changed = _put(lasting, changed, entry, after)
        if not _says(lasting, changed, said):
            raise GatewayError(f"{lasting.file} cannot be changed safely as it is written: add by hand {_by_hand(lasting)}")
        connected = Connected(
            file=str(lasting.file),
            existed=earlier.existed if earlier else existed,
            changes=tuple(changes),
            made=tuple(dict.fromkeys((*(earlier.made if earlier else ()), *made))),
            written=changed,
        )
        return Edit(file=lasting.file, before=text, after=changed), connected

    def undoing(self, name: str, connected: Connected, kind: Format) -> Edit:
        """What has to change to have the configuration as it was. Changes nothing.

        Raises:
            GatewayError: the file cannot be read.
        """
        file = Path(connected.file)
        text, exists = _read(file)
        if not exists:
            return Edit(file=file, before="", after=None, notes=(f"{file} has gone since; nothing is to be put back",))
        if text == connected.written:  # nobody touched it: byte for byte what it was
            original = _read(self.backup(name))[0] if connected.existed else None
            return Edit(file=file, before=text, after=original)
        _parsed(kind, text, file)
        restored, notes = text, []
        for change in reversed(connected.changes):
            now = kind.get(restored, change.path)
            if now != change.after:
                notes.append(f"{'.'.join(change.path)} was changed since, and stays as it is")
            elif change.before is None:
                restored = kind.remove(restored, change.path)
            else:
                restored = kind.put(restored, change.path, change.before)
        for path in sorted(connected.made, key=len, reverse=True):
            if _at(_parsed(kind, restored, file), path) == {}:
                restored = kind.remove(restored, path)
        is_empty = not connected.existed and not _parsed(kind, restored, file)
        return Edit(file=file, before=text, after=None if is_empty else restored, notes=tuple(notes))

    def connect(self, name: str, edit: Edit, connected: Connected) -> None:
        """Make the change, having kept what was there.

        Raises:
            OSError: a file cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.known(name) is None:
            _write(self.backup(name), edit.before)
        # Remembered first: what was written and is not known of could never be put back.
        _write(self._folder / f"{name}.json", msgspec.json.encode(connected).decode())
        _write(edit.file, edit.after or "")

    def undo(self, name: str, edit: Edit) -> None:
        """Put back, and forget.

        Raises:
            OSError: a file cannot be written.
        """
        if edit.after is not None:
            _write(edit.file, edit.after)
        else:
            edit.file.unlink(missing_ok=True)
        for path in (self._folder / f"{name}.json", self.backup(name)):
            path.unlink(missing_ok=True)


def _check(entry: Entry, said: Any, there: There, file: Path) -> None:
    """See that an address that is there already is one that the gateway stands in front of."""
    now = _at(said, entry.path)
    if entry.provider and isinstance(now, str) and now and not there.stands_for(entry.provider, now):
        raise GatewayError(left_alone(f"{'.'.join(entry.path)} in {file}", now, entry.provider))


def _put(lasting: Lasting, text: str, entry: Entry, raw: str) -> str:
    try:
        return lasting.format.put(text, entry.path, raw)
    except ValueError as problem:
        raise GatewayError(f"{lasting.file}: {problem}; add by hand {_by_hand(lasting)}") from problem


def _by_hand(lasting: Lasting) -> str:
    return ", ".join(f"{'.'.join(entry.path)} = {msgspec.json.encode(entry.value).decode()}" for entry in lasting.entries)


def _at(said: Any, path: Sequence[str]) -> Any:
    for key in path:
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _says(lasting: Lasting, text: str, said: Mapping[str, Any]) -> bool:
    """Whether a text says what was said before, and the entries besides, and nothing else."""
    wanted: dict[str, Any] = copy.deepcopy(dict(said))
    for entry in lasting.entries:
        place = wanted
        for key in entry.path[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                return False
        place[entry.path[-1]] = entry.value
    try:
        return bool(lasting.format.parse(text) == wanted)
    except ValueError:
        return False


def _parsed(kind: Format, text: str, file: Path) -> Any:
    try:
        return kind.parse(text) if text.strip() else {}
    except (ValueError, RecursionError) as problem:
        raise GatewayError(f"{file} cannot be read: {problem}; mend it first") from problem


def _read(file: Path) -> tuple[str, bool]:
    """A file's text, line ends as they are, and whether there is one."""
    try:
        if file.stat().st_size > _LARGEST:
            raise GatewayError(f"{file} is too large to be a configuration")
        with file.open(encoding="utf-8", newline="") as opened:
            return opened.read(), True
    except FileNotFoundError:
        return "", False
    except UnicodeDecodeError as problem:
        raise GatewayError(f"{file} is not UTF-8; mend it first") from problem
    except OSError as problem:
        raise GatewayError(f"{file} cannot be read: {problem.strerror}") from problem


def _write(file: Path, text: str) -> None:
    file.resolve().parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode(), mode=0o600)


def diff(edit: Edit) -> Iterator[str]:
    """The change as a unified diff, without colours."""
    before, after = edit.before.splitlines(), (edit.after or "").splitlines()
    yield from difflib.unified_diff(before, after, str(edit.file), str(edit.file), lineterm="")
