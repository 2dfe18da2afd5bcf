"""One line of a plan → the slice or task it names. Pure, never raises.

Plans are written by language models, so one format has many spellings. A line is an entry when it names an id:

- a box: ``- [ ] **T01: Title** `est:45m` `` (also ``*``, ``+`` or ``1.``; bold, half bold or plain; ``:`` or a dash);
- a heading: ``### T01: Title``, ``## Slice S02 — Title ✅``, ``### Task 3: Title``;
- a table row with the id in a cell of its own;
- a sign in place of the box: ``- ⏳ **T02: Title**``, ``- :white_check_mark: T03: Title``; whatever is no tick is open;
- a plain bullet or line, the id bold or with a colon or dash behind it.

The id may be a link (``[T01](tasks/T01-PLAN.md)``), may carry a slug (``T01-install-deps`` is ``T01``) or, for tasks, a
number of its own (``T05-1`` is another task than ``T05``), and may stand behind signs and words of another script. What
the brackets, tags and columns say (done, estimate, risk, dependencies) is read from the same line.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

Letter = Literal["S", "T"]
"""What an id begins with: ``S`` for slices, ``T`` for tasks."""

Kind = Literal["box", "heading", "row", "sign", "bullet"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One slice or task as a plan lists it.

    Attributes:
        id: as written, without marks and slug: ``T01``, ``S02``, ``T01.2``, ``T05-1``; ``Task 1`` becomes ``T01``.
        title: what stands behind the id, without marks and tags.
        done: whether it is ticked, or marked complete where there is no box.
        mark: start and end of what stands between the box's brackets, in characters of the text; None: no box.
        estimate: what stood in ``est:``; "" if absent.
        risk: ``low``, ``medium`` or ``high``; "" if absent.
        depends: the ids (of the same letter) it says it waits for, ranges written out.
        body: the lines below its own that belong to it.
    """

    id: str
    title: str = ""
    done: bool = False
    mark: tuple[int, int] | None = None
    estimate: str = ""
    risk: str = ""
    depends: tuple[str, ...] = ()
    body: str = ""


class EntryLine(msgspec.Struct, frozen=True):
    """An entry and how its line is written.

    Attributes:
        entry: what the line says.
        kind: how it says it.
        bold: whether the id is bold.
        sure: whether id and title are set apart (bold, or a colon or dash between them), as a list of work does it.
        level: of a heading, 1 to 6; else 0.
    """

    entry: Entry
    kind: Kind
    bold: bool = False
    sure: bool = True
    level: int = 0


_TITLE_LIMIT: Final = 300
_LINE_LIMIT: Final = 4_000
"""Characters of a line that are looked at: a file that is one endless line costs no more than a long one."""
_RANGE_LIMIT: Final = 200
_TICKS: Final = "✓✔✅☑"
_TICK_NAMES: Final = (":white_check_mark:", ":heavy_check_mark:", ":ballot_box_with_check:")
_SIGN: Final = r"(?:(?:[\d#*]\ufe0f?\u20e3|[^\x00-\x7f]{1,12}+|:[a-z_\d+-]{2,40}:|[!?^=+]{1,3})[ \t]*+){0,3}+"
"""What may stand before an id: keycaps, emoji and words beyond ASCII, GitHub's names of emoji, signs like ``?``.

Nothing of it is given back once taken: a line of emoji would be tried in a million ways.
"""
_BOX: Final = r"\[(?P<mark>[^\[\]]?|[^\w\[\]]{2,4}|[ \t]{0,2}x[ \t]{0,2})\]"
"""One character between the brackets, or an emoji of several, or a tick with room around it."""
_SEPARATORS: Final = ":\uff1a\u2013\u2014"
"""What stands between an id and its title: colons (also the wide one of Chinese and Japanese text), en and em dash."""
_RELATION: Final = re.compile(r"\s*(?:→|->|=>|⇒|↔|&|\+|,|/|and\s)")
_DONE_AT_EDGE: Final = re.compile(rf"[{_TICKS}]\ufe0f?|\[[xX]\]|\((?:complete|completed|done)\)", re.IGNORECASE)
_DONE_CELL: Final = re.compile(rf".*(?:[{_TICKS}]|\[[xX]\]).*|\W*(?:done|completed?)\W*", re.IGNORECASE)
_STATUS_CELL: Final = re.compile(
    rf"\W*|.*[{_TICKS}⬜].*|\[.?\].*|\W*(?:none|done|completed?|pending|to ?do|in.?progress|not started|planned|active)\W*",
    re.IGNORECASE,
)
_LEVEL_CELL: Final = re.compile(r"[\W_]*(low|medium|med|high|critical)[\W_]*", re.IGNORECASE)
_TAG: Final = re.compile(
    r"[`(\[{*_]+\s*(?:est|estimate|risk|depends|deps|files|tags?|priority|size)(?:[ _]on)?\s*[:=].*", re.IGNORECASE
)
_ESTIMATE: Final = re.compile(r"\best(?:imated?|\.)?[*_]*\s*[:=][*_]*\s*([^`|)\]},;*]+)", re.IGNORECASE)
_RISK: Final = re.compile(
    r"\brisk\b\W{0,6}(low|medium|med|high|critical)\b|\b(low|medium|high|critical)[ -]risk\b", re.IGNORECASE
)
_DEPENDS: Final = re.compile(r"\b(?:depends(?:[ _]on)?|deps|dependencies)\b[*_`\s]*[:=][*_`\s]*\[?([^\]`)\n]*)", re.IGNORECASE)
_RISKS: Final = {"med": "medium", "critical": "high"}


def _id(letter: Letter) -> str:
    """The id itself, and the slug that may follow it; not the end of a range (``T01-T03``) or ids joined (``S02-T01``)."""
    own = r"(?:-\d{1,3}(?!\w))?" if letter == "T" else ""
    joined = r"t\d+[a-z]?(?![\w-])" if letter == "T" else r"s\d+[a-z]?(?![\w-])|t\d"
    return (
        rf"(?P<id>{letter}?\d{{1,6}}[a-z]?(?:\.{letter}?\d{{1,6}}[a-z]?)*{own})"
        rf"(?P<slug>[-_](?!{joined})[^\W_]++(?:[-_][^\W_]++)*+)?+"
    )


def _entry_pattern(letter: Letter) -> re.Pattern[str]:
    word, slice_prefix = ("Slice", "") if letter == "S" else ("Task", r"(?:S\d+[a-z]?[-/.])?")
    return re.compile(
        rf"""[ \t>]*
        (?P<lead>\#{{1,6}}[ \t]+|(?:[-*+•]|\d{{1,3}}[.)])[ \t]+)?
        (?:(?P<before>{_SIGN}){_BOX}[ \t]*)?
        (?P<open>[*_~`\[(]*)[ \t]*
        (?P<sign>{_SIGN})(?:[*_~`)]+[ \t]+)?
        (?:\d{{1,3}}[.)][ \t]+|\(\d{{1,3}}\)[ \t]+)?
        (?P<inner>[*_~`\[(]*)
        (?:(?P<word>{word}[ \t]+\#?)|(?P<inside>{_SIGN}))
        (?:M\d+(?:-[a-z0-9]{{6}})?[-/.])?{slice_prefix}
        {_id(letter)}
        (?P<close>[*_~`\])]*)
        (?P<sep>[ \t]*(?:[{_SEPARATORS}]|--|-(?=\s)|\.(?=[\s*_]))|(?=\s|$|\())
        (?P<rest>.*)""",
        re.VERBOSE | re.IGNORECASE,
    )


def _cell_pattern(letter: Letter) -> re.Pattern[str]:
    return re.compile(
        rf"(?:{_BOX}[ \t]*)?(?P<sign>[*_`\[]*{_SIGN})[*_`\[]*(?={letter}){_id(letter)}[*_`\]]*"
        rf"(?:\s*[{_SEPARATORS}-]+[*_]*\s(?P<title>.+))?",
        re.IGNORECASE,
    )


def _link_pattern(letter: Letter) -> re.Pattern[str]:
    return re.compile(rf"\[((?:[^\[\]]{{0,20}}[^\w\[\]])?{letter}\d[^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])", re.IGNORECASE)


_PATTERNS: Final[dict[Letter, re.Pattern[str]]] = {"S": _entry_pattern("S"), "T": _entry_pattern("T")}
_ID_CELL: Final[dict[Letter, re.Pattern[str]]] = {"S": _cell_pattern("S"), "T": _cell_pattern("T")}
_LINK: Final[dict[Letter, re.Pattern[str]]] = {"S": _link_pattern("S"), "T": _link_pattern("T")}
_NAMELESS: Final = re.compile(rf"(?P<indent>[ \t]*)(?:[-*+•]|\d{{1,3}}[.)])[ \t]+{_BOX}[ \t]+(?P<rest>.*\w.*)", re.IGNORECASE)


def id_key(written: str) -> str:
    """One form for the spellings of an id: ``T01``, ``t1`` and ``T001`` are the same task."""
    return re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", written.lower())


def ids_in(text: str, letter: Letter) -> tuple[str, ...]:
    """The ids a dependency list names, ranges (``S01-S03``, ``S01..S03``) written out, without duplicates."""
    found: dict[str, str] = {}
    pattern = rf"\b({letter}\d{{1,6}}[a-z]?(?:\.\d+)*)(?:\s*(?:-|\u2013|\.\.+|\u2026|\bto\b)\s*({letter}?\d{{1,6}})\b)?"
    for match in re.finditer(pattern, text[:_LINE_LIMIT], re.IGNORECASE):
        for written in _written_out(match[1].upper(), match[2]):
            found.setdefault(id_key(written), written)
    return tuple(found.values())


def _written_out(first: str, last: str | None) -> Iterator[str]:
    letter, digits = first[0], first[1:]
    if last is not None and digits.isdigit():
        low, high = int(digits), int(last.lstrip("sStT"))
        if low <= high < low + _RANGE_LIMIT:
            for number in range(low, high + 1):
                yield f"{letter}{number:0{len(digits)}d}"
            return
        if last.isdigit() and letter == "T":
            yield f"{first}-{last}"  # no range upwards: a task of that name
            return
    yield first
    if last is not None:
        yield last.upper() if last[0].isalpha() else letter + last


def plain(text: str) -> str:
    """One printable line without markdown's emphasis, shortened to what a screen can use."""
    line = " ".join(text.replace("**", "").replace("__", "").replace("~~", "").split())
    return "".join(c if c.isprintable() else "\ufffd" for c in line[:_TITLE_LIMIT])


def estimate_in(text: str) -> str:
    """What stands behind ``est:``, as written; "" if nothing does."""
    match = _ESTIMATE.search(text)
    return plain(match[1])[:40].strip() if match else ""


def risk_in(text: str) -> str:
    """``low``, ``medium`` or ``high`` where the text says ``risk:high`` or ``high risk``; else ""."""
    match = _RISK.search(text)
    return _risk(match[1] or match[2]) if match else ""


def _risk(written: str) -> str:
    return _RISKS.get(written.lower(), written.lower())


def depends_in(text: str, letter: Letter) -> tuple[str, ...]:
    """The ids behind ``depends:`` or ``Depends on:``, wherever it stands in the text."""
    return ids_in(" ".join(match[1] for match in _DEPENDS.finditer(text)), letter)


def parse_line(line: str, start: int, letter: Letter) -> EntryLine | None:
    """The entry a line names, `start` being the line's offset in its file; None where it names none. Not for tables."""
    if "](" in line or "][" in line:
        line = _LINK[letter].sub(r"\1", line, count=1)  # never before a box, whose place stays
    match = _PATTERNS[letter].match(line)
    if match is None:
        return None
    lead, rest = (match["lead"] or "").strip(), match["rest"][:_LINE_LIMIT]
    marks = match["open"] + match["inner"]
    bold = "**" in marks or "__" in marks
    sign = match["sign"] + (match["inside"] or "")
    kind: Kind = "box" if match["mark"] is not None else "sign" if _is_sign(sign) else "bullet"
    if lead.startswith("#"):
        kind = "heading"
    if kind != "box" and (_RELATION.match(rest) or (kind != "heading" and not bold and not match["sep"].strip())):
        return None  # ``### S01 → S02``, or prose that begins with an id
    written = _canonical(match["id"], letter, named=match["word"] is not None)
    if written is None:
        return None
    title, marked = _unmarked(_title(rest, bold=bold and not ("**" in match["close"] or "__" in match["close"])))
    if kind == "heading" and not title:
        return None
    if not title and match["slug"]:
        title = plain(match["slug"].replace("-", " ").replace("_", " "))
    entry = Entry(
        id=written,
        title=title,
        done=_ticked(match["mark"]) if match["mark"] is not None else _ticked(sign) or marked,
        mark=(start + match.start("mark"), start + match.end("mark")) if kind == "box" else None,
        estimate=estimate_in(rest),
        risk=risk_in(rest),
        depends=depends_in(rest, letter),
    )
    return EntryLine(entry, kind, bold=bold, sure=bold or bool(match["sep"].strip()), level=lead.count("#"))


def parse_nameless(line: str, start: int, written: str) -> tuple[int, Entry] | None:
    """The entry of a box without an id, which gets the one given, and how far the line is indented; None: no such box."""
    match = _NAMELESS.match(line[:_LINE_LIMIT])
    if match is None:
        return None
    rest = match["rest"]
    entry = Entry(
        id=written,
        title=_unmarked(_title(rest, bold=False))[0],
        done=_ticked(match["mark"]),
        mark=(start + match.start("mark"), start + match.end("mark")),
        estimate=estimate_in(rest),
    )
    return len(match["indent"].expandtabs(4)), entry


def _is_sign(text: str) -> bool:
    """Whether what stands before an id is more than words, arrows and dashes: it says how far the work is."""
    return any(char in "!?^=+:" or unicodedata.category(char) == "So" for char in text)


def _ticked(mark: str) -> bool:
    """Whether a box's inside, or what stands in place of one, says that the work is done; what is unknown does not."""
    return mark.strip().lower() == "x" or any(tick in mark for tick in (*_TICKS, *_TICK_NAMES))


def _canonical(written: str, letter: Letter, *, named: bool) -> str | None:
    """``T01`` for ``t01`` and for the ``1`` of ``Task 1``; None for a bare number."""
    if not written[0].isdigit():
        return letter + written[1:]
    digits = re.match(r"\d+", written)
    if not named or digits is None:
        return None
    return f"{letter}{int(digits[0]):02d}{written[digits.end() :]}"


def _title(rest: str, *, bold: bool) -> str:
    """What is the title in the text behind an id: up to the end of the bold, or up to the first tag."""
    title = rest
    if bold:
        head, mark, tail = rest.partition("**" if "**" in rest else "__")
        if mark:  # ``**T01:** Title``: nothing but the id was bold
            title = head if head.strip(f" {_SEPARATORS}-.") else tail
    tag = _TAG.search(title)
    if tag:
        title = title[: tag.start()]
    return title.strip().lstrip(f"{_SEPARATORS}-|. \t").strip()


def _unmarked(title: str) -> tuple[str, bool]:
    """The title without a mark of completion at either end, and whether there was one."""
    for match in _DONE_AT_EDGE.finditer(title):
        before, after = title[: match.start()].strip(), title[match.end() :].strip()
        if not before or not after:
            return plain(before or after).strip(f"*_ {_SEPARATORS}-"), True
    return plain(title).strip(f"*_ {_SEPARATORS}"), False


def cells(line: str, letter: Letter) -> list[str]:
    """The cells of a table's row, ids in them without their links."""
    line = _LINK[letter].sub(r"\1", line[:_LINE_LIMIT])
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def parse_row(row: Sequence[str], columns: Sequence[str], letter: Letter) -> EntryLine | None:
    """The entry a table's row names in a cell of its own; `columns` are the lower-case names of the header's cells."""
    found = next(((number, match) for number, cell in enumerate(row) if (match := _ID_CELL[letter].fullmatch(cell))), None)
    if found is None:
        return None
    number, written = found
    by_column = {name: cell for name, cell in zip(columns, row, strict=False) if name}
    others = [*row[:number], *row[number + 1 :]]
    marks = (written["mark"] or "", written["sign"])
    level = next((match for cell in others if (match := _LEVEL_CELL.fullmatch(cell))), None)
    depends = next((cell for name, cell in by_column.items() if name.startswith(("depend", "deps"))), "")
    entry = Entry(
        id=letter + written["id"][1:],
        title=plain(written["title"]) if written["title"] else _row_title(others, by_column, letter),
        done=any(_DONE_CELL.fullmatch(cell) for cell in others) or any(map(_ticked, marks)),
        estimate=plain(next((cell for name, cell in by_column.items() if name.startswith("est")), ""))
        or estimate_in(" ".join(others)),
        risk=_risk(level[1]) if level else "",
        depends=ids_in(depends, letter) or depends_in(" ".join(others), letter),
    )
    return EntryLine(entry, "row")


def _row_title(others: Sequence[str], by_column: dict[str, str], letter: Letter) -> str:
    for name in ("title", "name", "description", letter == "S" and "slice", letter == "T" and "task"):
        cell = by_column.get(name, "") if name else ""
        if cell and not _ID_CELL[letter].fullmatch(cell):
            return plain(cell)
    for cell in others:
        if not _STATUS_CELL.fullmatch(cell) and not _LEVEL_CELL.fullmatch(cell) and not _ID_CELL[letter].fullmatch(cell):
            return plain(cell)
    return ""
