"""A plan tree on disk: which file is what, and what is in it.

A file's place and name say what it is about, whatever the layout: walking down, every directory or file name that begins
with an id sets the milestone, slice or task, and the end of the file's name sets its kind. So the usual
``milestones/M001/slices/S01/tasks/T01-PLAN.md`` reads like ``M001/S01/T01-PLAN.md``, ``M001-SLUG/S01-SLUG/plan.md`` or
``tasks/S01-T01-SLUG-PLAN.md``, and so does a copy of the tree that ended up inside itself. Of several files for the
same thing the one nearest to the root comes first. Nothing outside the tree is read: a link that leaves it is a note.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from stepdown.plans.entry import id_key
from stepdown.plans.outline import outline

Place = tuple[str, str, str]
"""Keys (`id_key`) of milestone, slice and task; "" for what does not apply: ``("m1", "s2", "")`` is a slice."""

READ_LIMIT: Final = 2_000_000
"""Bytes read of one file at most: forty times the longest plan file seen in public projects, and still read in 10 ms."""

_DIRECTORY_LIMIT: Final = 20_000
_DEPTH_LIMIT: Final = 16
_SKIPPED: Final = frozenset({".git", "node_modules", "worktrees", "activity", "runtime", "quick", "archive", "__pycache__"})
_KINDS: Final = "UAT[-_]RESULT|CONTEXT[-_]DRAFT|ROADMAP|CONTEXT|RESEARCH|PLAN|SUMMARY|UAT|VALIDATION|ASSESSMENT|PARKED"
_ID_TAIL: Final = r"(?=[-_. ]|$)"
_MILESTONE: Final = re.compile(rf"([Mm]\d{{1,6}})(?:-([a-z0-9]{{6}}){_ID_TAIL})?{_ID_TAIL}")
_SLICE: Final = re.compile(rf"(S\d{{1,6}}[a-z]?){_ID_TAIL}", re.IGNORECASE)
_OWN_NUMBER: Final = rf"(?:-\d{{1,3}}(?=[-_. ](?:{_KINDS})\.md$|\.md$|$))?"
"""Behind a task's id and before the kind: ``T05-1-PLAN.md`` is about ``T05-1``; in ``T05-3-tiers-PLAN.md`` it is a slug."""

_TASK: Final = re.compile(rf"(T\d{{1,6}}[a-z]?(?:\.T?\d{{1,6}}[a-z]?(?![a-z]))*{_OWN_NUMBER}){_ID_TAIL}", re.IGNORECASE)
_LONE_RETURN: Final = re.compile(r"\r(?!\n)")
_KIND: Final = re.compile(rf"(?:(.*?)[-_. ])?({_KINDS})\.md", re.IGNORECASE)


class Reading(msgspec.Struct, frozen=True):
    """The text of a file, what is wrong with it ("" for nothing), and whether that is all the file holds."""

    text: str
    note: str = ""
    whole: bool = True


class Tree(msgspec.Struct):
    """What was found, by place.

    Attributes:
        root: the directory of the plan (``.gsd``), as given.
        files: paths per place and kind (``PLAN``, ``UAT-RESULT``), the nearest to the root first.
        directories: the directory of a place, where it has one of its own.
        ids: the id of each place as its name on disk spells it.
        notes: what could not be read, per place.
        below: the places below each, made from `ids` when it is first asked for.
    """

    root: Path
    files: dict[tuple[Place, str], list[str]] = {}
    directories: dict[Place, str] = {}
    ids: dict[Place, str] = {}
    notes: dict[Place, list[str]] = {}
    below: dict[Place, list[Place]] = {}

    def path(self, place: Place, kind: str) -> str | None:
        """The file of that kind, None if there is none."""
        found = self.files.get((place, kind))
        return found[0] if found else None

    def paths(self, place: Place, kind: str) -> list[str]:
        """Every file of that kind: more than one where a tree holds copies of itself."""
        return self.files.get((place, kind), [])

    def has(self, place: Place, kind: str) -> bool:
        """Whether there is a file of that kind."""
        return (place, kind) in self.files

    def children(self, place: Place) -> list[Place]:
        """The places one level below (slices of a milestone, tasks of a slice), by number."""
        if not self.below:
            for other in self.ids:
                depth = 2 if other[2] else 1 if other[1] else 0
                self.below.setdefault(up_to(other, depth), []).append(other)
            for found in self.below.values():
                found.sort(key=lambda other: natural(other[2] or other[1] or other[0]))
        return self.below.get(place, [])

    def add(self, place: Place, name: str) -> None:
        """Note how the tree spells the id of a place, the first spelling counts."""
        self.ids.setdefault(place, name)
        self.below.clear()

    def note(self, place: Place, sentence: str) -> None:
        """Remember that something there could not be read."""
        self.notes.setdefault(place, []).append(sentence)


NOWHERE: Final[Place] = ("", "", "")


def up_to(place: Place, depth: int) -> Place:
    """The place `depth` levels down that holds this one: 0 nowhere, 1 its milestone, 2 its slice, 3 itself."""
    return (place[0] if depth > 0 else "", place[1] if depth > 1 else "", place[2] if depth > 2 else "")


def natural(key: str) -> tuple[tuple[int, str], ...]:
    """A sorting key that puts ``s2`` before ``s10``."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", key))


def walk(root: Path) -> Tree:
    """Look at every directory of the tree once. Never raises: what cannot be read is a note."""
    tree = Tree(root=root)
    inside = os.path.realpath(root) + os.sep
    level: list[tuple[str, Place]] = [(str(root), NOWHERE)]
    seen = 0
    for _ in range(_DEPTH_LIMIT):
        below: list[tuple[str, Place]] = []
        for directory, place in level:
            seen += 1
            if seen > _DIRECTORY_LIMIT:
                tree.note(NOWHERE, f"the tree has more than {_DIRECTORY_LIMIT} directories; the rest was not read")
                below = []
                break
            below.extend(_look(tree, directory, place, inside))
        level = below
    _adopt(tree)
    return tree


def _look(tree: Tree, directory: str, place: Place, inside: str) -> Iterator[tuple[str, Place]]:
    """File what one directory holds; yield the directories to look at next."""
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: (len(entry.name), entry.name))
    except OSError as error:
        tree.note(place, f"{_shown(tree, directory)} cannot be read: {error.strerror}")
        return
    taken: dict[str, str] = {}
    for entry in entries:
        name = entry.name
        if not name.isprintable():
            continue  # an id is one printable line; nothing of a plan is called that
        if entry.is_symlink() and not _followed(tree, entry, place, inside):
            continue
        if entry.is_dir(follow_symlinks=False):
            if name.lower() in _SKIPPED or (directory == str(tree.root) and not _part_of_plan(name)):
                continue
            if name.lower().endswith(".md"):
                tree.note(_filed(name, place)[0], f"{_shown(tree, entry.path)} is a directory, not a file")
            child, named = _directory(name, place, taken)
            if named:
                tree.add(child, named)
                tree.directories.setdefault(child, entry.path)
            yield entry.path, child
        elif name[-3:].lower() == ".md" and entry.is_file():  # a pipe would be waited for
            _file(tree, entry.path, name, place)


def _part_of_plan(name: str) -> bool:
    return name.lower() in {"milestones", "slices", "tasks", "plans"} or bool(_MILESTONE.match(name) or _SLICE.match(name))


def _followed(tree: Tree, entry: os.DirEntry[str], place: Place, inside: str) -> bool:
    """Whether a link is read: only one to a plain file of this tree. Of the others those that matter leave a note."""
    target = os.path.realpath(entry.path)
    try:
        mode = os.stat(target).st_mode  # noqa: PTH116 - a Path per entry would cost more than the call
    except OSError:
        mode = 0
    if stat.S_ISREG(mode) and target.startswith(inside):
        return True
    shown = _shown(tree, entry.path)
    if not mode:
        tree.note(place, f"{shown} is a link to nothing; it was not followed")
    elif not target.startswith(inside):
        tree.note(place, f"{shown} is a link out of the plan's tree; it was not followed")
    else:
        tree.note(place, f"{shown} is a link to another directory of the tree; it was not followed")
    return False


def _directory(name: str, place: Place, taken: dict[str, str]) -> tuple[Place, str]:
    """The place a directory stands for, and its id if its name begins with one.

    Two directories beside each other may share a number (``M002-LOGIN``, ``M002-SEARCH``): the second keeps its full name.
    """
    milestone = _MILESTONE.match(name)
    if milestone:
        named = milestone[0]
    elif found := (_TASK.match(name) if place[1] else None) or _SLICE.match(name):
        named = found[1]
    else:
        return place, ""
    key = id_key(named)
    if taken.setdefault(key, name) != name:
        named = re.sub(r"[^\w.-]", "-", name)
        key = id_key(named)
    if milestone:
        return (key, "", ""), named
    return ((place[0], place[1], key) if named[0] in "tT" else (place[0], key, "")), named


def _file(tree: Tree, path: str, name: str, place: Place) -> None:
    where, kind, ids = _filed(name, place)
    if not kind:
        return
    for depth, named in enumerate(ids):
        if named:
            tree.add(up_to(where, depth + 1), named)
    paths = tree.files.setdefault((where, kind), [])
    exact = "-".join(filter(None, ids)) + f"-{kind}.md"
    if paths and name.upper() == exact.upper() and Path(paths[0]).parent == Path(path).parent:
        paths.insert(0, path)
    else:
        paths.append(path)


def _filed(name: str, place: Place) -> tuple[Place, str, tuple[str, str, str]]:
    """Where a file belongs, its kind ("": none of ours) and the ids its name spells out."""
    where, ids = list(place), ["", "", ""]
    rest = name
    for depth, pattern in enumerate((_MILESTONE, _SLICE, _TASK)):
        match = pattern.match(rest)
        if not match:
            continue
        ids[depth], key = match[0], id_key(match[0])
        if place[depth].partition("-")[0] == key.partition("-")[0]:
            key = place[depth]  # ``M001-ROADMAP.md`` in ``M001-ab12cd``
        where[depth:] = [key, *NOWHERE[depth + 1 :]]
        rest = rest[match.end() :].lstrip("-_. ")
    kind = _KIND.fullmatch(rest)
    named = kind[2].upper().replace("_", "-") if kind else "PLAN" if rest.lower() == "md" and (ids[1] or ids[2]) else ""
    return (where[0], where[1], where[2]), named, (ids[0], ids[1], ids[2])


def _adopt(tree: Tree) -> None:
    """Give what names no milestone or no slice one: the only one there is, the one its text names, else the first."""
    places = dict.fromkeys([*tree.ids, *(place for place, _ in tree.files)])
    orphans = [place for place in places if not place[0]]
    milestones = [place[0] for place in tree.children(NOWHERE) if place[0]]
    if not milestones and (any(map(any, orphans)) or tree.has(NOWHERE, "ROADMAP") or tree.has(NOWHERE, "PLAN")):
        tree.add(("m1", "", ""), "M001")
    if len(milestones) > 1:
        orphans = [place for place in orphans if any(place)]  # ``.gsd/CONTEXT.md`` is about all of them
    for place in orphans:
        _move(tree, place, (milestones[0] if milestones else "m1", place[1], place[2]))
    for place in [
        place for place in dict.fromkeys([*tree.ids, *(place for place, _ in tree.files)]) if place[2] and not place[1]
    ]:
        slices = [other[1] for other in tree.children((place[0], "", "")) if other[1]]
        named = next((key for key in _slice_named(tree, place) if key in slices), "")
        _move(tree, place, (place[0], named or (slices[0] if slices else "s1"), place[2]))
    for place in [place for place, kind in tree.files if kind == "PLAN" and place[0] and not place[1]]:
        if not tree.has(place, "ROADMAP"):  # ``M001/plan.md``: the one file of a small milestone
            _adopt_plan(tree, place)


def _adopt_plan(tree: Tree, place: Place) -> None:
    """A milestone's plan without a roadmap is its roadmap if it names slices and no tasks, else the plan of its slice."""
    path = tree.files.pop((place, "PLAN"))
    text = read_text(path[0])[0]
    tasks = outline(text, "T")
    if outline(text, "S").entries and (tasks.counted or not tasks.entries):
        tree.files[place, "ROADMAP"] = path
    else:
        slices = tree.children(place) or [(place[0], "s1", "")]
        tree.add(slices[0], "S01")
        tree.files.setdefault((slices[0], "PLAN"), []).extend(path)


def _slice_named(tree: Tree, where: Place) -> Iterator[str]:
    """Keys of the slices that a task's plan names in a line like ``**Slice:** S02``."""
    for path in tree.paths(where, "PLAN"):
        for match in re.finditer(r"^\W*slice\W+(S\d{1,6}[a-z]?)\b", read_text(path)[0], re.IGNORECASE | re.MULTILINE):
            yield id_key(match[1])


def _move(tree: Tree, old: Place, new: Place) -> None:
    for where, kind in [key for key in tree.files if key[0] == old]:
        tree.files.setdefault((new, kind), []).extend(tree.files.pop((where, kind)))
    for records in (tree.ids, tree.directories):
        if old in records:
            records.setdefault(new, records.pop(old))
    tree.below.clear()
    if old in tree.notes:
        tree.notes.setdefault(new, []).extend(tree.notes.pop(old))
    for depth, letter in ((1, "S"), (2, "T")):
        if new[depth]:
            tree.add(up_to(new, depth + 1), letter + new[depth][1:].zfill(2))


def read_text(path: str) -> tuple[str, str]:
    """The text of a file and a note on what is wrong with it ("" for nothing), see `read`."""
    reading = read(path)
    return reading.text, reading.note


def read(path: str) -> Reading:
    """What a file holds. Never raises.

    UTF-8, or UTF-16 with a byte order mark; what is neither is replaced. Returns alone (old Macs) become line feeds. Longer
    files are cut at `READ_LIMIT`.
    """
    name = path.rpartition(os.sep)[2]
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path per file would cost more than the call
            raw = file.read(READ_LIMIT + 1) or b""
    except OSError as error:
        return Reading("", f"{name} cannot be read: {error.strerror}", whole=False)
    whole = len(raw) <= READ_LIMIT
    text = raw[:READ_LIMIT].decode(encoding_of(raw), errors="replace").lstrip("\ufeff")
    if "\0" in text:
        return Reading("", f"{name} is not text", whole=False)
    if "\r" in text:
        text = _LONE_RETURN.sub("\n", text)
    if not whole:
        return Reading(text, f"{name} is longer than {READ_LIMIT // 1_000_000} MB; the rest was not read", whole=False)
    return Reading(text, "" if text.strip() else f"{name} is empty")


def encoding_of(raw: bytes) -> str:
    """The encoding a plan file is in, told by its first bytes; decoding keeps the byte order mark."""
    return {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(raw[:2], "utf-8")


def _shown(tree: Tree, path: str) -> str:
    return os.path.relpath(path, tree.root.parent)
