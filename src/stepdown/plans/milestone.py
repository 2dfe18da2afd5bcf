"""A plan tree → its milestones, slices and tasks: what each is called, what is done, what waits for what.

Done, as people and agents leave it behind:

- a task by its tick, or by its slice's tick and summary together; where it has no box (a heading, a file), by its summary;
- a slice by its summary or its tick once no task of it is open, or by both where its plan cannot be read to the end;
- a milestone by its summary, and with it everything in it.
"""

import heapq
import re
from collections.abc import Container, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.plans.entry import Entry, id_key, ids_in
from stepdown.plans.outline import Outline, outline
from stepdown.plans.tree import NOWHERE, Place, Tree, natural, read, read_text


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task.

    Attributes:
        place: where the tree keeps it.
        id: as its slice plan writes it, else as its file does.
        title: from the slice plan, else from the first heading of its own plan.
        done: see above.
        entry: its entry in the slice plan; None where only its file names it.
        source: the path of that slice plan; "" without one.
        text: its own plan file; "" without one.
        depends: tasks that its entry or its plan's front matter says it waits for.
        notes: what was missing or unreadable.
    """

    place: Place
    id: str
    title: str
    done: bool
    entry: Entry | None
    source: str
    text: str
    depends: tuple[str, ...]
    notes: tuple[str, ...]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One slice.

    Attributes:
        place: where the tree keeps it.
        id: as the roadmap writes it, else as its directory does.
        title: from the roadmap, else from its plan.
        listed: whether the roadmap names it, or there is no roadmap to name it.
        boxed: whether it has a box in the roadmap.
        done: see above.
        risk: from the roadmap.
        depends: slices the roadmap says it waits for, as written.
        waits: those of them that are not done; what is unknown or goes round in a circle is not waited for.
        tasks: in the order of the plan; those that are only files come last.
        whole: whether its plan was read to the end; if not it may have more tasks than these.
        research_lines: how long its research is; None without.
        notes: what was missing, unreadable or odd.
    """

    place: Place
    id: str
    title: str
    listed: bool
    boxed: bool
    done: bool
    risk: str = ""
    depends: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    whole: bool = True
    research_lines: int | None = None
    notes: tuple[str, ...] = ()


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """One milestone, its slices in the order in which they can run."""

    place: Place
    id: str
    title: str
    finished: bool
    slices: tuple[Slice, ...]
    roadmap: str = ""
    parked: bool = False
    notes: tuple[str, ...] = ()


_NO_ENTRY: Final = Entry(id="")
_OWN_ID: Final = re.compile(
    r"\W*(?:milestone|slice|task)?\W*[MST]\d+[\w.]*(?:-[a-z0-9]{6}|-\d{1,3}(?![\w-]))?\s*(?:[-:\u2013\u2014]+\s*|\s)",
    re.IGNORECASE,
)
_FRONT_MATTER: Final = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---", re.DOTALL)
_FRONT_DEPENDS: Final = re.compile(r"^(?:depends(?:_on)?|dependencies)[ \t]*:(.*(?:\r?\n[ \t]*-.*)*)", re.MULTILINE)


def front_matter(text: str) -> str:
    """What stands between the leading ``---`` lines; "" if nothing does."""
    match = _FRONT_MATTER.match(text[:20_000])
    return match[1] if match else ""


def read_milestones(tree: Tree, order: Sequence[str] = (), only: str = "") -> list[Milestone]:
    """Every milestone of a tree (or the one whose key is `only`), in the user's queue order, then by number.

    A parked milestone (``M003-PARKED.md``) comes last and says so.
    """
    queue = {id_key(name): number for number, name in enumerate(order)}
    places = [place for place in tree.children(NOWHERE) if only in {"", place[0]}]
    places.sort(key=lambda place: (tree.has(place, "PARKED"), queue.get(place[0], len(queue)), natural(place[0])))
    return [_milestone(tree, place) for place in places]


def _milestone(tree: Tree, place: Place) -> Milestone:
    notes = [*tree.notes.get(NOWHERE, ()), *tree.notes.get(place, ())]
    roadmap = Outline()
    path = tree.path(place, "ROADMAP")
    if path is not None:
        text, note = read_text(path)
        roadmap = outline(text, "S")
        notes.extend(filter(None, (note, *roadmap.notes)))
        if not roadmap.entries and not note:
            notes.append(f"{path.rpartition('/')[2]} names no slices")
    parked = tree.has(place, "PARKED")
    if parked:
        notes.append("this milestone is parked")
    finished = tree.has(place, "SUMMARY")
    entries: dict[Place, Entry] = {(place[0], id_key(entry.id), ""): entry for entry in roadmap.entries}
    slices = [_slice(tree, where, entry, finished=finished, listed=True) for where, entry in entries.items()]
    slices += [
        _slice(tree, where, _NO_ENTRY, finished=finished, listed=not entries)
        for where in tree.children(place)
        if where not in entries
    ]
    return Milestone(
        place=place,
        parked=parked,
        id=tree.ids[place],
        title=_OWN_ID.sub("", roadmap.title, count=1) or _context_title(tree, place),
        finished=finished,
        slices=tuple(in_order(slices)),
        roadmap=path or "",
        notes=tuple(notes),
    )


def _context_title(tree: Tree, place: Place) -> str:
    for path in tree.paths(place, "CONTEXT")[:1]:
        return _OWN_ID.sub("", outline(read_text(path)[0], "S").title, count=1)
    return ""


def _slice(tree: Tree, place: Place, entry: Entry, *, finished: bool, listed: bool) -> Slice:
    notes = list(tree.notes.get(place, ()))
    title, whole, found = "", True, dict[str, tuple[Entry, str]]()
    for path in tree.paths(place, "PLAN"):
        reading = read(path)
        plan = outline(reading.text, "T")
        notes.extend(filter(None, (reading.note, *plan.notes)))
        if not plan.entries and not reading.note:
            notes.append(f"{path.rpartition('/')[2]} lists no tasks")
        if not reading.whole:
            whole = False
            notes.append("the slice may have more tasks than were read; it is not completed before its plan can be read")
        title = title or plan.title
        for one in plan.entries:
            found.setdefault(id_key(one.id), (one, path))
    summary = tree.has(place, "SUMMARY")
    settled = finished or (entry.done and summary)
    tasks = [_task(tree, (*place[:2], key), one, path, settled=settled) for key, (one, path) in found.items()]
    tasks += [_task(tree, where, None, "", settled=settled) for where in tree.children(place) if where[2] not in found]
    lines = None
    for path in tree.paths(place, "RESEARCH")[:1]:
        text, note = read_text(path)
        lines = len(text.splitlines())
        notes.extend(filter(None, (note,)))
    if not listed:
        notes.append("the roadmap does not name this slice")
    return Slice(
        place=place,
        id=entry.id or tree.ids[place],
        title=entry.title or _OWN_ID.sub("", title, count=1),
        listed=listed,
        boxed=entry.mark is not None,
        done=settled or (whole and (summary or entry.done) and all(task.done for task in tasks)),
        risk=entry.risk,
        depends=entry.depends,
        tasks=tuple(tasks),
        whole=whole,
        research_lines=lines,
        notes=tuple(notes),
    )


def _task(tree: Tree, place: Place, entry: Entry | None, source: str, *, settled: bool) -> Task:
    notes = list(tree.notes.get(place, ()))
    text = ""
    path = tree.path(place, "PLAN")
    if path is None:
        notes.append("the task has no plan file of its own")
    else:
        text, note = read_text(path)
        notes.extend(filter(None, (note,)))
    boxed = entry is not None and entry.mark is not None
    said = entry or _NO_ENTRY
    declared = _FRONT_DEPENDS.search(front_matter(text))
    return Task(
        place=place,
        id=said.id or tree.ids[place],
        title=said.title or _OWN_ID.sub("", outline(text[:4000], "T").title, count=1),
        done=settled or said.done or (not boxed and tree.has(place, "SUMMARY")),
        entry=entry,
        source=source,
        text=text,
        depends=ids_in(declared[1], "T") if declared else said.depends,
        notes=tuple(notes),
    )


def in_order(slices: Sequence[Slice]) -> list[Slice]:
    """The slices, each behind those it depends on, otherwise as the roadmap has them; `waits` filled in.

    An unknown dependency counts as done. A circle is entered at its first slice in the roadmap's order.
    """
    number = {slice_.place[1]: index for index, slice_ in enumerate(slices)}
    known = [{number[key] for name in slice_.depends if (key := id_key(name)) in number} for slice_ in slices]
    open_ = [set(needs) - {index} for index, needs in enumerate(known)]
    followers: dict[int, list[int]] = {}
    for index, needs in enumerate(open_):
        for need in needs:
            followers.setdefault(need, []).append(index)
    ready = [index for index, needs in enumerate(open_) if not needs]
    heapq.heapify(ready)
    left = dict.fromkeys(range(len(slices)))
    ordered: list[Slice] = []
    circular: set[int] = set()
    while left:
        if ready:
            index = heapq.heappop(ready)
        else:
            index = _on_a_circle(next(iter(left)), open_)
            circular.add(index)
        if index not in left:
            continue
        del left[index]
        waited = known[index] - open_[index] - {index}
        ordered.append(_with_waits(slices[index], {slices[need].place[1]: slices[need] for need in waited}, known=number))
        open_[index] = set()
        for follower in followers.get(index, ()):
            open_[follower].discard(index)
            if not open_[follower] and follower in left:
                heapq.heappush(ready, follower)
    return ordered


def _on_a_circle(start: int, open_: Sequence[set[int]]) -> int:
    """The first slice of a circle that can be reached along open dependencies."""
    seen: dict[int, None] = {}
    while start not in seen:
        seen[start] = None
        start = min(open_[start])
    path = list(seen)
    return min(path[path.index(start) :])


def _with_waits(slice_: Slice, waited: Mapping[str, Slice], known: Container[str]) -> Slice:
    notes = list(slice_.notes)
    for name in slice_.depends:
        key = id_key(name)
        if key not in known:
            notes.append(f"it depends on {name}, which the plan does not have; taken as done")
        elif key not in waited:
            notes.append(f"its dependency on {name} goes round in a circle; it is not waited for")
    waits = tuple(name for name in slice_.depends if (need := waited.get(id_key(name))) is not None and not need.done)
    return msgspec.structs.replace(slice_, waits=waits, notes=tuple(notes))
