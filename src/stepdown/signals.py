"""Plan text → `Signals`: what a unit's plan says about its size and kind (SPEC section 3). Pure, and never an exception.

Plans come in any language and any state of repair, so structure speaks first (front matter, lists, paths) and English words
last. Each signal is taken from the most trusted source that has it, and remembers which one that was. Keywords are compared
as whole tokens: a file name is never mistaken for one, and no input is slow.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.plan_text import EntryScan, Paths, PlanScan, words
from stepdown.policy import Policy
from stepdown.units import Unit

KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "migration": ("migrat", "backfill"),
    "architecture": ("architect", "rearchitect", "redesign", "monolith", "microservice", "decoupl"),
    "security": (
        "securit",
        "authenticat",
        "authoriz",
        "authoris",
        "oauth",
        "encrypt",
        "decrypt",
        "cryptograph",
        "vulnerab",
        "csrf",
    ),
    "performance": ("performance", "optimiz", "optimis", "latency", "throughput", "benchmark", "bottleneck", "memoiz"),
    "concurrency": ("concurren", "paralleli", "deadlock", "mutex", "multithread", "thread-saf"),
    "compatibility": ("compatib", "deprecat", "polyfill", "interoperab"),
}
"""The keyword groups of SPEC 3, as beginnings of words."""

PHRASES: Final[Mapping[str, str]] = {
    "race condition": "concurrency",
    "thread saf": "concurrency",
    "breaking change": "compatibility",
}
"""Beginnings of phrases that belong to a group although their words alone do not."""

TAG_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "typo": words("typo typos misspelling misspellings spelling"),
    "rename": words("rename renames renamed renaming"),
    "docs": words("docs doc documentation readme readme.md changelog changelog.md docstring docstrings"),
    "config": words("config configs configuration configure configures gitignore eslintrc"),
    "refactor": words("refactor refactors refactored refactoring restructure extract deduplicate"),
    "test": words("test tests testing unit-test unit-tests e2e"),
}
"""The tags of SPEC 3, the most telling first. A tag is read from front matter, the title or the first sentence."""

_FEW: Final = 3
_BINARY_WITHIN: Final = 4_096
_UNWORDLIKE: Final = frozenset("/\\_.=@#")
_AROUND: Final = "([{<>}]).,;:!?\"'*_"
_CREATING: Final = ("create ", "scaffold ", "write ", "new ")
_GROUP_OF: Final = {stem: group for group, stems in KEYWORDS.items() for stem in stems} | dict(PHRASES)
_PARTS: Final = {
    stem: next((part for part in ("auth", "crypt", "architect", "optimi", "thread") if part in stem), stem)
    for stem in _GROUP_OF
}
_STEMS_WITH: Final = {
    part: tuple(stem for stem in _GROUP_OF if _PARTS[stem] == part) for part in dict.fromkeys(_PARTS.values())
}
"""What is looked for first, and what it may be the beginning or a part of."""
_TAG_OF: Final = {word: tag for tag, words in TAG_WORDS.items() for word in words}
_DOCUMENTS: Final = (".md", ".mdx", ".markdown", ".rst", ".adoc", ".txt")
_MATTER: Final = {
    "estimated_steps": "steps",
    "estimated_files": "files",
    "estimated_lines": "lines",
    "estimated_loc": "lines",
    "tags": "tags",
    "depends": "depends",
    "depends_on": "depends",
}
_INTEGER: Final = re.compile(r"\d{1,6}")
_DURATION: Final = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)\s{0,3}([wdhm])", re.IGNORECASE)
_MINUTES: Final = {"m": 1.0, "h": 60.0, "d": 480.0, "w": 2400.0}
_COUNTED: Final = tuple(
    re.compile(rf"{word}(?:(?<=\d{word})|(?<=\d[+ -]{word})|(?<=\d\+[ -]{word}))") for word in ("line", "loc")
)
_LINES: Final = re.compile(
    r"(?P<count>\d[\d,]{0,8})\+?[ -]?"
    r"(?:lines?\b(?P<code> of (?:new )?(?:code|python|typescript|javascript|rust|go|java)\b)?|loc\b)"
)
_AMOUNT: Final = re.compile(
    r"(?:\b(?:about|around|roughly|approximately|some|adds?|adding|writes?|implements?|generate|estimated)\s|~)"
    r"\s?(?:an? |estimated |at |new |~)?(\d{1,3}(?:,\d{3})+|\d{1,6})$",
    re.IGNORECASE,
)
_WRITING: Final = words(
    "add adds adding write writes writing implement implements implementing generate generates create creates"
)
_READING: Final = words(
    "read reads reading review scan inspect exceed exceeds limit under below has contains existing current is of the"
)


class Signals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found. Every field is None, or empty, where the plan does not say, and left out where it is encoded.

    Attributes:
        dependencies: how many units it waits for.
        files: how many files it writes.
        steps: how many steps it has.
        lines: lines of code it is estimated to write.
        created: how many of the files are said to be new.
        modified: how many are known to exist already.
        code_blocks: fenced blocks in the plan. Recorded; without weight, as the calibration found none.
        characters: length of the task plan.
        minutes: the plan's own estimate of time; a day counts 8 hours. Recorded, without weight.
        risk: ``low``, ``medium`` or ``high``, of the slice. For planning, ``high`` is heavy.
        slice_tasks: tasks of the slice.
        research_lines: lines of the slice's research file.
        groups: keyword groups that the prose touches.
        tags: kinds of work, the strongest first.
        only_documents: whether every file written is a document, by its extension.
        notes: what was missing or unreadable, one sentence each.
        malformed: whether a file was there but could not be read as a plan in part or in whole.
        sources: per field name, where it was found.
    """

    dependencies: int | None = None
    files: int | None = None
    steps: int | None = None
    lines: int | None = None
    created: int | None = None
    modified: int | None = None
    code_blocks: int | None = None
    characters: int | None = None
    minutes: float | None = None
    risk: str | None = None
    slice_tasks: int | None = None
    research_lines: int | None = None
    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    only_documents: bool | None = None
    notes: tuple[str, ...] = ()
    malformed: bool = False
    sources: Mapping[str, str] = {}

    def as_mapping(self) -> dict[str, object]:
        """Only what was found, JSON-able; ``from`` says per signal where it stood."""
        found: dict[str, object] = msgspec.to_builtins(self)
        sources = found.pop("sources", None)
        for name in ("groups", "tags", "notes"):
            if name in found:
                found[name] = list(getattr(self, name))
        if self.only_documents is False:
            del found["only_documents"]
        if sources:
            found["from"] = sources
        return found


class _Findings:
    """Signals as they are found: the first source to speak about one is the most trusted, and keeps it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, name: str, value: object, source: str) -> None:
        """Take `value` unless it is None or a more trusted source has spoken."""
        if value is not None and name not in self.values:
            self.values[name] = value
            self.sources[name] = source


def introspect(unit: Unit, policy: Policy) -> Signals:
    """What `unit`'s plan says about it. Bounded: no more than ``policy.plan_characters`` of any text are looked at."""
    plan = unit.plan
    found = _Findings()
    matter, body = _front_matter(_readable(plan.task, "task plan", policy, found), found)
    scan = PlanScan(body)
    entry = EntryScan(_readable(plan.entry, "entry in the slice plan", policy, found))
    title = unit.title or scan.title
    prose = _prose([section.body for section in scan.of("prose")], policy.prose_characters)
    prose = prose if prose.strip() else _prose([entry.prose], policy.prose_characters)
    _find_steps(found, matter, scan, entry, policy)
    _find_files(found, matter, scan, entry)
    _find_kinds(found, matter, title, prose)
    found.add("lines", _count(found, matter, "lines"), "front matter")
    found.add("lines", _written_lines(prose), "description")
    found.add("dependencies", len(plan.depends or matter.get("depends", ())) or None, "depends")
    found.add("minutes", _minutes(plan.estimate), "est: in the slice plan")
    found.add("risk", plan.risk.strip().lower() or None, "risk: in the roadmap")
    found.add("slice_tasks", plan.slice_tasks, "slice plan")
    found.add("research_lines", plan.research_lines, "research file")
    found.add("characters", len(plan.task) or None, "task plan")
    found.add("code_blocks", scan.code_blocks or None, "task plan")
    return Signals(**found.values, notes=(*plan.notes, *found.notes), malformed=bool(found.notes), sources=found.sources)


def _readable(text: str, what: str, policy: Policy, found: _Findings) -> str:
    """The text with plain line ends, cut to a bounded length; "" where it is binary."""
    if len(text) > policy.plan_characters:
        found.notes.append(f"the {what} is too long: only its first {policy.plan_characters} characters were read")
        text = text[: policy.plan_characters]
    if "\0" in text[:_BINARY_WITHIN]:
        found.notes.append(f"the {what} is not text")
        return ""
    text = text.removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _front_matter(text: str, found: _Findings) -> tuple[dict[str, list[str]], str]:
    """The few keys that matter, each as a list of plain strings, and the text below. Tolerant: this is not a YAML parser."""
    if not text.startswith("---\n"):
        return {}, text
    end = text.find("\n---", 3)
    if end < 0:
        found.notes.append("the front matter of the task plan is not closed")
        return {}, text[4:]
    matter: dict[str, list[str]] = {}
    key = ""
    for line in text[4:end].split("\n"):
        name, colon, value = line.partition(":")
        if colon and name in _MATTER:
            key = _MATTER[name]
            items = value.partition(" #")[0].strip(" \t[]").split(",")
            matter[key] = [item for item in (part.strip(" \t\"'") for part in items) if item]
        elif key and line.lstrip().startswith("- "):
            matter[key].append(line.lstrip()[2:].strip(" \t\"'"))
        else:
            key = ""
    below = text.find("\n", end + 1)
    return matter, text[below:] if below >= 0 else ""


def _count(found: _Findings, matter: Mapping[str, Sequence[str]], key: str) -> int | None:
    """The number a front matter key holds: of ``5-7`` the larger, of ``about 5`` the 5. Anything else is noted, not guessed."""
    if key not in matter:
        return None
    value = matter[key][0] if len(matter[key]) == 1 else ""
    numbers = () if value.startswith("-") else _INTEGER.findall(value[:40])
    if not numbers or "." in value or len(numbers) > 2:
        found.notes.append(f"estimated_{key} in the task plan is not a whole number")
        return None
    return max(map(int, numbers))


def _find_steps(
    found: _Findings, matter: Mapping[str, Sequence[str]], scan: PlanScan, entry: EntryScan, policy: Policy
) -> None:
    claimed = _count(found, matter, "steps")
    believed = claimed is not None and claimed <= policy.implausible_steps
    counted = 0 if believed else _counted_steps(scan)
    if counted and claimed is not None:
        found.add("steps", counted, "numbered steps (estimated_steps is out of proportion)")
    found.add("steps", claimed, "estimated_steps in the task plan")
    found.add("steps", counted or None, "numbered steps")
    found.add("steps", entry.steps or None, "steps in the slice plan")


def _counted_steps(scan: PlanScan) -> int:
    own = scan.of("steps")
    if own:
        headed = sum(part.subheadings for part in own)
        return headed if headed > 1 else sum(part.numbered() for part in own) or sum(part.bullets() for part in own)
    # A plan in another language, or without headings: its longest numbered list.
    return max((part.numbered() for part in scan.of("") or scan.of("prose")), default=0)


def _find_files(found: _Findings, matter: Mapping[str, Sequence[str]], scan: PlanScan, entry: EntryScan) -> None:
    """How many files are written, which of them are new, and whether they are all documents."""
    found.add("files", _count(found, matter, "files"), "estimated_files in the task plan")
    named, source = entry.files, "Files: in the slice plan"
    # What is not needed is not looked at: parsing lists of paths is most of the time this module takes.
    promised = _promised(scan) if not named or len(named) <= _FEW else {}
    if named is None:
        named, source = (promised, "Expected Output") if promised else (scan.files(), "Files:")
    found.add("files", None if named is None else len(named), source)
    if not named:
        return
    inputs = "".join(part.body for part in scan.of("inputs"))
    states = [state or promised.get(path) or ("existing" if f"`{path}`" in inputs else "") for path, state in named.items()]
    found.add("created", states.count("new") or None, "file lists")
    found.add("modified", states.count("existing") or None, "file lists")
    found.add("only_documents", all(path.lower().endswith(_DOCUMENTS) for path in named), "file lists")


def _promised(scan: PlanScan) -> Paths:
    """The files below ``## Expected Output``. Where the headings are in another language: the last list of paths."""
    outputs = scan.of("outputs")
    if not outputs:
        for part in reversed(scan.of("")):
            paths = part.paths()
            if paths and 2 * len(paths) >= part.bullets():
                return paths
    return {path: state for part in outputs for path, state in part.paths().items()}


def _find_kinds(found: _Findings, matter: Mapping[str, Sequence[str]], title: str, prose: str) -> None:
    """Keyword groups from title and description; tags from front matter, file names, the title or the first sentence."""
    title = _prose([title], 400)
    found.add("groups", _groups(f"{title}\n{prose}") or None, "title and description")
    documents = found.values.get("only_documents")
    said = _said_tags(title) or _said_tags(prose[:400].partition(". ")[0])
    if documents is False:
        said.discard("docs")
    tags = [tag for tag in [_TAG_OF.get(tag.lower()) for tag in matter.get("tags", ())] if tag]
    if documents:
        tags.append("docs")
    if said:
        tags += [tag for tag in TAG_WORDS if tag in said]
    found.add("tags", tuple(dict.fromkeys(tags)) or None, "front matter, title or files")
    if "files" in found.values and "modified" not in found.values and title.startswith(_CREATING):
        found.add("created", found.values["files"] or None, "title")


def _groups(text: str) -> tuple[str, ...]:
    """The groups that words of lower-case `text` belong to. A path, URL or identifier is one token, and no word."""
    # Most prose has none of them, and that is settled without cutting it into words. To find nothing, rfind takes half as
    # long as `in`.
    possible = [stem for part, stems in _STEMS_WITH.items() if text.rfind(part) >= 0 for stem in stems if stem in text]
    if not possible:
        return ()
    touched = {_GROUP_OF[stem] for stem in possible if stem in PHRASES or _begins_word(stem, text)}
    return tuple(group for group in KEYWORDS if group in touched)


def _begins_word(stem: str, text: str) -> bool:
    """Whether `stem`, which is in `text`, begins a word there."""
    at = text.find(stem)
    while at >= 0:
        before = text[:at].rstrip(_AROUND)
        if not before or before[-1].isspace():
            token = text[at:].split(None, 1)[0]
            if _UNWORDLIKE.isdisjoint(token.rstrip(_AROUND)):
                return True
        at = text.find(stem, at + 1)
    return False


def _said_tags(text: str) -> set[str]:
    return {_TAG_OF[word] for word in [token.strip(_AROUND) for token in text.split()] if word in _TAG_OF}


def _prose(bodies: Iterable[str], characters: int) -> str:
    """The first `characters` in lower case, without inline code. What is not ASCII becomes ``?``: no keyword has any."""
    text = "\n".join(bodies)[:characters]
    if not text.isascii():
        text = text.encode("ascii", "replace").decode("ascii")
    text = text.lower()
    if "`" not in text:
        return text
    if text.count("`") % 2 == 0:
        return " ".join(text.split("`")[::2])
    return "\n".join(" ".join(line.split("`")[::2]) for line in text.split("\n"))


def _written_lines(prose: str) -> int | None:
    """Lines of code the prose says will be written ("about 600 lines of code"), not those to be read or that exist."""
    largest = 0
    if all(counted.search(prose) is None for counted in _COUNTED):  # much faster than what follows, which starts at digits
        return None
    for match in _LINES.finditer(prose):
        before = prose[max(0, match.start() - 60) : match.end("count")]
        if _AMOUNT.search(before) is None:
            continue
        said = set(before.rpartition(". ")[2].split())
        if said.isdisjoint(_READING) and (match["code"] or match[0].endswith("loc") or not said.isdisjoint(_WRITING)):
            largest = max(largest, int(match["count"].replace(",", "")))
    return largest or None


def _minutes(estimate: str) -> float | None:
    """``1h30m`` → 90.0; None where nothing can be read."""
    parts = _DURATION.findall(estimate[:40])
    return sum(float(amount) * _MINUTES[unit.lower()] for amount, unit in parts) if parts else None
