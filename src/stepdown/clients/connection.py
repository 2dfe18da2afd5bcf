"""A client's own configuration pointed at the gateway, and put back: only what we changed, whatever else has changed since."""

import contextlib
import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.clients.records import Entry, Format, Lasting, Own, There
from stepdown.clients.variables import left_alone
from stepdown.errors import GatewayError
from stepdown.whole import write_whole

_LARGEST: Final = 4 * 1024 * 1024
"""Bytes of a configuration file; a larger one is none."""


class Change(msgspec.Struct, frozen=True):
    """One value that we set.

    Attributes:
        path: the keys that lead to it.
        before: what was written there before; None for nothing.
        after: what we wrote.
        member: where that is a list to which we added one member: that one, as JSON; "" otherwise.
    """

    path: tuple[str, ...]
    before: str | None
    after: str
    member: str = ""


class Made(msgspec.Struct, frozen=True):
    """A file that we made.

    Attributes:
        file: which.
        text: what we wrote.
        folder: whether its directory was made for it.
    """

    file: str
    text: str
    folder: bool


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to a client's configuration; kept beside a copy of the file as it was.

    Attributes:
        file: which file.
        existed: whether there was one.
        changes: in the order in which they were made.
        made: sections that were not there before; they go when they are empty.
        written: the file as we left it; "" where it also has what others wrote since its copy was kept.
        own: further files, which are all ours.
    """

    file: str
    existed: bool
    changes: tuple[Change, ...]
    made: tuple[tuple[str, ...], ...]
    written: str
    own: tuple[Made, ...] = ()

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
        more: changes of further files, which belong to it.
        folder: whether its directory goes with it, once that is empty.
    """

    file: Path
    before: str
    after: str | None
    notes: tuple[str, ...] = ()
    more: tuple["Edit", ...] = ()
    folder: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether everything is already so."""
        return self.before == self.after and all(one.is_nothing for one in self.more)


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
        if text.strip():
            _parsed(lasting.format, text, lasting.file)
        entries = (*lasting.entries, *lasting.extras)
        kept = [entry.path for entry in entries]
        # What is no longer wanted is put back first; what is, knows what was there before us, not what we wrote ourselves.
        changed, notes = (
            _back(lasting.format, text, [one for one in earlier.changes if one.path not in kept]) if earlier else (text, ())
        )
        changed = _tidied(lasting.format, changed, earlier.made if earlier else (), lasting.file)
        said = _parsed(lasting.format, changed, lasting.file)
        changes, made = [], []
        for entry in entries:
            first = next((change for change in earlier.changes if change.path == entry.path), None) if earlier else None
            before, value = lasting.format.get(changed, entry.path), _wanted(entry, said, first)
            after = _raw(value, len(entry.path))
            change = Change(entry.path, before, after, _json(entry.value) if entry.member else "")
            if first is not None and _same(first.after, before):
                change = msgspec.structs.replace(change, before=first.before)
            elif entry.member and first is not None:  # whatever others have done to the list: ours was not in it before us
                theirs = [one for one in value if one != entry.value]
                change = msgspec.structs.replace(change, before=_raw(theirs, len(entry.path)) if theirs else None)
            elif not entry.member:
                _check(entry, said, there, lasting.file)
            changes.append(change)
            if not _same(before, after):
                made += [entry.path[:depth] for depth in range(1, len(entry.path)) if _at(said, entry.path[:depth]) is None]
                changed = _put(lasting, changed, entry, after)
        if not _says(lasting.format, changed, said, changes):
            raise GatewayError(f"{lasting.file} cannot be changed safely as it is written: add by hand {_by_hand(lasting)}")
        own, more = _own(lasting.own, earlier.own if earlier else ())
        connected = Connected(
            file=str(lasting.file),
            existed=earlier.existed if earlier else existed,
            changes=tuple(changes),
            made=tuple(dict.fromkeys((*(earlier.made if earlier else ()), *made))),
            # Where others have written since we did, the copy kept from before is no longer all that was theirs.
            written=changed if earlier is None or text == earlier.written else "",
            own=own,
        )
        return Edit(file=lasting.file, before=text, after=changed, notes=(*lasting.notes, *notes), more=more), connected

    def undoing(self, name: str, connected: Connected, kind: Format) -> Edit:
        """What has to change to have the configuration as it was. Changes nothing.

        Raises:
            GatewayError: the file cannot be read.
        """
        file = Path(connected.file)
        text, exists = _read(file)
        _, more = _own((), connected.own)
        notes = tuple(note for one in more for note in one.notes)
        if not exists:
            notes = (f"{file} has gone since; nothing is to be put back", *notes)
            return Edit(file=file, before="", after=None, notes=notes, more=more)
        if connected.written and text == connected.written:  # nobody touched it: byte for byte what it was
            original = _read(self.backup(name))[0] if connected.existed else None
            return Edit(file=file, before=text, after=original, notes=notes, more=more)
        _parsed(kind, text, file)
        restored, changed = _back(kind, text, connected.changes)
        restored = _tidied(kind, restored, connected.made, file)
        is_empty = not connected.existed and not _parsed(kind, restored, file)
        return Edit(file=file, before=text, after=None if is_empty else restored, notes=(*changed, *notes), more=more)

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
        for one in (edit, *edit.more):
            _apply(one)

    def undo(self, name: str, edit: Edit) -> None:
        """Put back, and forget.

        Raises:
            OSError: a file cannot be written.
        """
        for one in (edit, *edit.more):
            _apply(one)
        for path in (self._folder / f"{name}.json", self.backup(name)):
            path.unlink(missing_ok=True)


def _apply(edit: Edit) -> None:
    if edit.after is not None:
        if edit.after != edit.before:
            _write(edit.file, edit.after)
        return
    edit.file.unlink(missing_ok=True)
    if edit.folder:
        with contextlib.suppress(OSError):  # something else is in it by now
            edit.file.parent.rmdir()


def _own(wanted: Sequence[Own], earlier: Sequence[Made]) -> tuple[tuple[Made, ...], tuple[Edit, ...]]:
    """The files that are to be there and all ours, and what has to change: those of before that are not wanted any more go."""
    made, edits = [], []
    known = {one.file: one for one in earlier}
    for one in wanted:
        first = known.pop(str(one.file), None)
        made.append(Made(str(one.file), one.text, folder=first.folder if first else not one.file.parent.exists()))
        edits.append(Edit(file=one.file, before=_read(one.file)[0], after=one.text))
    for gone in known.values():
        text, exists = _read(Path(gone.file))
        if exists and text == gone.text:
            edits.append(Edit(file=Path(gone.file), before=text, after=None, folder=gone.folder))
        elif exists:
            note = f"{gone.file} was changed since, and stays as it is"
            edits.append(Edit(file=Path(gone.file), before=text, after=text, notes=(note,)))
    return tuple(made), tuple(edits)


def _back(kind: Format, text: str, changes: Sequence[Change]) -> tuple[str, tuple[str, ...]]:
    """The text with our changes taken back, the last one first, and a line for each that somebody has changed since."""
    notes = []
    for change in reversed(changes):
        now = kind.get(text, change.path)
        without = None if not change.member else _without(_at(kind.parse(text or "{}"), change.path), change.member)
        if _same(now, change.after):
            text = kind.remove(text, change.path) if change.before is None else kind.put(text, change.path, change.before)
        elif without is not None:  # members of others have come since, or gone
            text = kind.put(text, change.path, _raw(without, len(change.path))) if without else kind.remove(text, change.path)
        else:
            notes.append(f"{'.'.join(change.path)} was changed since, and stays as it is")
    return text, tuple(notes)


def _tidied(kind: Format, text: str, made: Sequence[tuple[str, ...]], file: Path) -> str:
    """The text without the sections that we made and that are empty by now."""
    for path in sorted(made, key=len, reverse=True):
        if _at(_parsed(kind, text, file), path) == {}:
            text = kind.remove(text, path)
    return text


def _without(members: object, member: str) -> list[Any] | None:
    """A list without our member; None where that is not in it."""
    ours = msgspec.json.decode(member)
    return [one for one in members if one != ours] if isinstance(members, list) and ours in members else None


def _wanted(entry: Entry, said: Any, first: Change | None) -> Any:
    """What is to stand in an entry's place."""
    if not entry.member:
        return entry.value
    there = _at(said, entry.path) or []
    earlier = msgspec.json.decode(first.member) if first is not None and first.member else entry.value
    is_there = entry.value in there and earlier == entry.value
    return there if is_there else [*(one for one in there if one not in (entry.value, earlier)), entry.value]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _raw(value: object, depth: int) -> str:
    """A value as it is written so deep in a file: what has parts on lines of its own, as programs write it themselves."""
    if not isinstance(value, dict | list):
        return _json(value)
    return msgspec.json.format(_json(value), indent=2).replace("\n", "\n" + "  " * depth)


def _same(one: str | None, other: str | None) -> bool:
    """Whether two values are the same however they are written: programs write their own files anew."""
    if one is None or other is None or one == other:
        return one == other
    try:
        return bool(msgspec.json.decode(one) == msgspec.json.decode(other))
    except (msgspec.DecodeError, RecursionError):
        return False


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
    return ", ".join(f"{'.'.join(entry.path)} = {_json(entry.value)}" for entry in lasting.entries)


def _at(said: Any, path: Sequence[str]) -> Any:
    for key in path:
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _says(kind: Format, text: str, said: Mapping[str, Any], changes: Sequence[Change]) -> bool:
    """Whether a text says what was said before, and our values besides, and nothing else."""
    wanted: dict[str, Any] = copy.deepcopy(dict(said))
    for change in changes:
        place = wanted
        for key in change.path[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                return False
        place[change.path[-1]] = msgspec.json.decode(change.after)
    try:
        return bool(kind.parse(text) == wanted)
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
    for one in edit.more:
        yield from diff(one)
