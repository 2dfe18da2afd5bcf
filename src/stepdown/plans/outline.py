"""Plan text → title and entries: the slices of a roadmap, the tasks of a slice plan. Pure, linear, never raises.

Entries count wherever they stand, since plans interleave a task's details with the list of tasks; where an id appears
more than once the most trustworthy spelling wins (see `_rank`). Lines in fenced code and in comments are examples, not
entries, unless the whole plan stands in a fence. A slice plan that gives no task an id has the boxes of its list of tasks,
counted in order.
"""

import re
from typing import Final

import msgspec

from stepdown.plans.entry import (
    Entry,
    EntryLine,
    Letter,
    cells,
    depends_in,
    estimate_in,
    id_key,
    parse_line,
    parse_nameless,
    parse_row,
    plain,
    risk_in,
)


class Outline(msgspec.Struct, frozen=True):
    """A plan file.

    Attributes:
        title: its first heading.
        entries: in the order of the file.
        notes: what was odd, a sentence each.
        counted: whether the entries have no ids in the file and got them by their position.
    """

    title: str = ""
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    counted: bool = False


class _Found(msgspec.Struct, frozen=True):
    number: int
    rank: int
    line: EntryLine


_SECTION: Final = {"S": re.compile(r"\bslices?\b", re.IGNORECASE), "T": re.compile(r"\btasks?\b", re.IGNORECASE)}
_CHECKS: Final = re.compile(r"must|verif|accept|criteria|definition of done|checklist|boundary", re.IGNORECASE)
_DETAILS: Final = re.compile(r"steps|descr|must|verif|input|output|observ|files|context|notes|why|how", re.IGNORECASE)
_TASK_LIST: Final = re.compile(r"[\W\d]*tasks?(?:[ \t]+(?:list|breakdown))?[\W\d]*", re.IGNORECASE)
_HEADING: Final = re.compile(r"[ \t]{0,3}(#{1,6})[ \t]+(.*)")
_BOLD_HEADING: Final = re.compile(r"[ \t]{0,3}\*\*([\w ]+):?\*\*:?[ \t]*$")
_LABEL: Final = re.compile(r"[^-+\u2022\s].*(?:[:\uff1a][*_ \t]*|\*\*[ \t]*)")
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_FALLBACK: Final = 4
"""Spellings of this rank and beyond count only where a file has no better one."""


def outline(text: str, letter: Letter) -> Outline:
    """The title and entries of a plan's text: slices (``S``) of a roadmap or tasks (``T``) of a slice plan."""
    lines = _lines(text)
    hidden = _hidden(lines, text)
    found = _entries(lines, hidden, letter)
    if hidden and not found:
        hidden = frozenset()
        found = _entries(lines, hidden, letter)
    counted = letter == "T" and not found
    if counted:
        found = _nameless(lines, _hidden(lines, text))
    groups: dict[str, list[_Found]] = {}
    for one in found:
        groups.setdefault(id_key(one.line.entry.id), []).append(one)
    best = {key: min(group, key=lambda one: (one.rank, one.number)) for key, group in groups.items()}
    lowest = min((one.rank for one in best.values()), default=0)
    best = {key: one for key, one in best.items() if one.rank <= max(lowest, _FALLBACK - 1)}
    if letter == "S" and any(one.line.kind == "box" for one in best.values()):
        best = {key: one for key, one in best.items() if one.line.kind in {"box", "sign"}}
    chosen = sorted(best.values(), key=lambda one: one.number)
    bodies = _bodies(lines, chosen, groups)
    entries, notes = [], []
    for one in chosen:
        group = groups[id_key(one.line.entry.id)]
        entries.append(_merged(one, group, bodies, letter))
        if sum(other.rank == 0 for other in group) > 1:
            notes.append(f"{one.line.entry.id} is listed twice; the first counts")
    title = next(
        (plain(line[2:]) for number, (_, line) in enumerate(lines) if line.startswith("# ") and number not in hidden), ""
    )
    if counted and entries:
        notes.append("its tasks have no ids; they are counted in order")
    return Outline(title, tuple(entries), tuple(notes), counted=counted and bool(entries))


def _lines(text: str) -> list[tuple[int, str]]:
    """Lines with the offset of their first character. Feeds, returns and both together end a line, mixed as they come."""
    start = 1 if text.startswith("\ufeff") else 0
    lines = []
    for end in _LINE_END.finditer(text, start):
        lines.append((start, text[start : end.start()]))
        start = end.end()
    lines.append((start, text[start:]))
    return lines


def _hidden(lines: list[tuple[int, str]], text: str) -> frozenset[int]:
    """The numbers of the lines that are examples: in closed code fences and in closed comments."""
    hidden: set[int] = set()
    if "```" in text or "~~~" in text:
        opened, fence = 0, ""
        for number, (_, line) in enumerate(lines):
            bare = line.strip()
            if not fence and bare.startswith(("```", "~~~")):
                opened, fence = number, bare[:3]
            elif fence and bare.startswith(fence) and not bare.strip(fence[0]):
                hidden.update(range(opened, number + 1))
                fence = ""
    if "<!--" in text:
        opened = -1
        for number, (_, line) in enumerate(lines):
            begins = line.find("<!--")
            if opened < 0 <= begins:
                opened = number + 1 if line[:begins].strip() else number  # what stands before the comment counts
            if opened >= 0 and "-->" in line[max(begins, 0) :]:
                hidden.update(range(opened, number + 1))
                opened = -1
    return frozenset(hidden)


def _entries(lines: list[tuple[int, str]], hidden: frozenset[int], letter: Letter) -> list[_Found]:
    found: list[_Found] = []
    section, checks = 0, False  # the level of the heading that opened the plan's own section; 0 is outside
    columns: list[str] = []
    for number, (start, line) in enumerate(lines):
        if number in hidden or not line or line.isspace():
            continue
        parsed = _parse(line, start, columns, letter)
        if parsed is not None:
            rank = _rank(parsed, inside=section > 0, checks=checks, indented=line[0].isspace())
            if rank is not None:
                found.append(_Found(number, rank, parsed))
        elif heading := _heading(line):
            level, title = heading
            checks = _CHECKS.search(title) is not None
            if _SECTION[letter].search(title) and not checks:
                section = level
            elif level <= section:
                section = 0
    return found


def _nameless(lines: list[tuple[int, str]], hidden: frozenset[int]) -> list[_Found]:
    """The boxes right below the heading of a list of tasks; those further in than the first are steps of the one above."""
    found: list[_Found] = []
    inside, outer = False, 0
    for number, (start, line) in enumerate(lines):
        if number in hidden:
            continue
        if heading := _heading(line):
            inside = _TASK_LIST.fullmatch(heading[1]) is not None
        elif _LABEL.fullmatch(line) and _CHECKS.search(line):
            inside = False  # ``**Must-Haves:**`` or ``Acceptance criteria:`` below the tasks
        elif inside and (parsed := parse_nameless(line, start, f"T{len(found) + 1:02d}")):
            indent, entry = parsed
            outer = indent if not found else outer
            if indent <= outer:
                found.append(_Found(number, 0, EntryLine(entry, "box")))
    return found


def _parse(line: str, start: int, columns: list[str], letter: Letter) -> EntryLine | None:
    """The entry of one line; a table's header goes to `columns`."""
    if not line.lstrip().startswith("|"):
        return parse_line(line, start, letter) if letter in line or letter.lower() in line else None
    row = cells(line, letter)
    parsed = parse_row(row, columns, letter)
    if parsed is None and any(cell.strip("-: ") for cell in row):
        columns[:] = [cell.strip("*_ ").lower() for cell in row]
    return parsed


def _heading(line: str) -> tuple[int, str] | None:
    """Level and text of a heading; a line that is nothing but bold is one of level 7."""
    match = _HEADING.match(line)
    if match:
        return len(match[1]), match[2]
    match = _BOLD_HEADING.match(line)
    return (7, match[1]) if match else None


def _rank(parsed: EntryLine, *, inside: bool, checks: bool, indented: bool) -> int | None:
    """How far a line is trusted to list an entry, 0 the most; None: it only mentions one.

    In the plan's own section boxes, signs and headings count as they are; elsewhere id and title have to be set apart.
    Rows, bullets and loose lines count where nothing else does, but a bold one at the section's edge always: a task too
    many is seen, a lost one is not. In a list of checks (must-haves) only bold boxes and signs count: a plan that
    interleaves details continues its tasks there.
    """
    if checks and not (parsed.kind in {"box", "sign"} and parsed.bold):
        return None
    if parsed.kind == "box":
        return 0 if inside else 2 if parsed.sure else 6
    if parsed.kind == "heading":
        return 1 if inside else 3 if parsed.sure or parsed.entry.id.startswith("S") else 6
    if parsed.kind == "row":
        return 4 if inside else 7
    if parsed.kind == "sign":
        return 3 if inside or parsed.bold else 7
    return (3 if parsed.bold and not indented else 5) if inside else None


def _bodies(lines: list[tuple[int, str]], chosen: list[_Found], groups: dict[str, list[_Found]]) -> dict[int, str]:
    """The text below each chosen entry, and below the headings that tell more of one, by the entry's line number."""
    starts = {one.number for one in chosen}
    last = max(starts, default=-1)
    details = {
        other.number
        for one in chosen
        for other in groups[id_key(one.line.entry.id)]
        if other.line.kind == "heading" and other.number not in starts
    }
    levels = {other.number: other.line.level for group in groups.values() for other in group}
    bodies: dict[int, list[str]] = {}
    current: list[str] | None = None
    level = 0
    for number, (_, line) in enumerate(lines):
        if number in starts or number in details:
            current, level = bodies.setdefault(number, []), levels[number]
            continue
        if current is None:
            continue
        heading = _HEADING.match(line)
        if heading and len(heading[1]) <= (level or 2) and not (number < last and _DETAILS.search(heading[2])):
            current = None
            continue
        current.append(line.rstrip())
    return {number: "\n".join(body).strip("\n") for number, body in bodies.items()}


def _merged(one: _Found, group: list[_Found], bodies: dict[int, str], letter: Letter) -> Entry:
    """The chosen entry, with what its id's other lines and its body add."""
    entries = [one.line.entry, *(other.line.entry for other in group if other is not one)]
    body = "\n".join(filter(None, (bodies.get(other.number, "") for other in (one, *(o for o in group if o is not one)))))
    said = "\n".join(line[:500] for line in body[:20_000].splitlines() if ":" in line)
    return msgspec.structs.replace(
        one.line.entry,
        title=next((entry.title for entry in entries if entry.title), ""),
        done=one.line.entry.done or (one.line.kind not in {"box", "sign"} and any(entry.done for entry in entries)),
        estimate=next((entry.estimate for entry in entries if entry.estimate), "") or estimate_in(said),
        risk=next((entry.risk for entry in entries if entry.risk), "") or (risk_in(said) if letter == "S" else ""),
        depends=next((entry.depends for entry in entries if entry.depends), ()) or depends_in(said, letter),
        body=body,
    )
