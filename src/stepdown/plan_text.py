"""Plan text → its structure: sections, numbered steps, the paths its lists name, the prose. Pure, and never an exception.

Plans are Markdown written by models in any language and any state of repair. No parser: the text is cut at its fences and
headings, and only the sections that are asked for are looked at more closely; every decision waits for this, so a text is
gone through as a whole as few times as possible. What is not recognised is passed over. `stepdown.signals` says what it all
means.
"""

import re
from collections.abc import Sequence
from typing import Final


def words(text: str) -> frozenset[str]:
    """A set of words, written as a sentence."""
    return frozenset(text.split())


_EXTENSIONS: Final = words(
    "adoc astro bash bat c cc cfg cjs clj cmake conf cpp cs csproj css csv cxx dart ejs env erb ex exs fish fs go gql "
    "gradle graphql groovy h hbs hcl hpp hs htm html ico ini ipynb java jinja jinja2 jl jpeg jpg js json json5 jsonc jsonl "
    "jsx kt kts less lock lua m markdown md mdx mjs ml mm mts nix patch pdf php pl plist png po prisma properties proto ps1 "
    "py pyi pyx r rake rb rs rst sass scala scss sh sql sqlite svelte svg swift tex tf tfvars toml tpl ts tsv tsx txt vb "
    "vim vue wasm webp xml xsl yaml yml zig zsh"
)
_NAMES: Final = words("makefile dockerfile rakefile gemfile procfile license justfile")
_KINDS: Final = {
    "description": "prose",
    "steps": "steps",
    "must-haves": "other",
    "verification": "other",
    "observability impact": "other",
    "inputs": "inputs",
    "expected output": "outputs",
}
_USUAL: Final = {f"## {name.title()}": kind for name, kind in _KINDS.items()}
_SECTIONS: Final = (
    ("outputs", ("expected", "output", "deliverable", "files", "artifact")),
    ("inputs", ("input", "reference", "prerequisite", "dependenc")),
    ("steps", ("step", "implementation", "plan", "action", "procedure", "tasks", "to do", "todo", "what to do", "approach")),
    ("prose", ("description", "goal", "objective", "overview", "summary", "why", "what", "purpose", "background", "context")),
    ("other", ("must", "verif", "observab", "done", "note", "accept", "constraint", "risk", "test", "success", "diagnos")),
)
_PROSE_LABELS: Final = frozenset({"why", "do", "what", "goal", "description"})
_NO_FILES: Final = ("none", "(none", "no files", "(no files", "n/a", "(n/a", "-", "—")
_READ_ONLY: Final = ("(read)", "(read ", "(read-", "— read ", "— read-", "- read ", "- read-")  # but not "- reads in batches"
_FULL_WIDTH_COLON: Final = "\uff1a"
_OPENING: Final = "([{<\"'*_\u201c\u2018\u00ab"
_CLOSING: Final = ".,;:!?)]}>\"'*_\u201d\u2019\u2026\u00bb"
_MARKERS: Final = "-*+•"
_AROUND_LABEL: Final = _MARKERS + " _`"
_FENCES: Final = (re.compile("```"), re.compile("~~~"))  # as patterns: str.split takes twice as long over a text
_NUMBERED: Final = re.compile(r"\n ?\d{1,3}[.)\uff0e\u3001](?=\s|\*\*|[^\x00-\x7f])")
_BULLET: Final = re.compile(r"\n[-*+•] ")
_BOLD_LABEL: Final = re.compile(r"\n\*\*([^*\n]{1,40})\*\*:?[ \t]{0,8}(?=\n)")
_MOST_HEADINGS: Final = 400
_MOST_LINES: Final = 400
_ENUMERATED: Final = re.compile(r"\(\d{1,2}\) ")
_SEPARATOR: Final = re.compile(r"[,;\uff0c\uff1b\u3001\s]+")
_BETWEEN: Final = frozenset({"", "and", "&", "+", "/", "plus"})
_PATHLIKE: Final = re.compile(r"[^\s()<>=|$\"'\\]{2,260}")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,240}\.([a-z0-9]{1,12})")
_CHANGES: Final = ("modif", "updat", "edit", "extend", "change", "fix")
_CHANGED: Final = ("modif", "updat", "exist", "edit")
_ADDS: Final = ("new", "creat", "add")
_ADDED: Final = ("new", "creat")

Paths = dict[str, str]
"""Per path what was said of it: ``new``, ``existing`` or "" (nothing). In the order in which they stand."""


class Section:
    """One heading and what stands below it.

    Attributes:
        kind: ``outputs``, ``inputs``, ``steps``, ``prose``, ``other``, or "" for a heading that is not known.
        body: the text below the heading, from its line end on.
        subheadings: headings below it that open no section of their own.
    """

    __slots__ = ("body", "kind", "subheadings")

    def __init__(self, kind: str, body: str) -> None:
        self.kind = kind
        self.body = body
        self.subheadings = 0

    def numbered(self) -> int:
        """How many numbered lines there are that are not indented."""
        return len(_NUMBERED.findall(self.body))

    def bullets(self) -> int:
        """How many bullets there are that are not indented."""
        return len(_BULLET.findall(self.body))

    def paths(self) -> Paths:
        """The paths that its list is about."""
        paths: Paths = {}
        for raw in self.body.split("\n", _MOST_LINES)[:_MOST_LINES]:
            line = raw.strip()
            if not line:
                continue
            if line.startswith("- `"):  # nearly every line of nearly every plan: `path` — what becomes of it
                name, _, after = line[3:360].partition("`")
                if after[:1] != ",":
                    path = _path(name, quoted=True)
                    if path and not (after := after[:24].lstrip(" *").lower()).startswith(_READ_ONLY):
                        paths[path] = _state("", after)
                    continue
            if line[0] in _MARKERS or line[0].isdigit():
                paths |= listed(line)
        return paths


class PlanScan:
    """A task plan's body, cut up.

    Attributes:
        code_blocks: fenced blocks.
        title: the first top-level heading.
        text: everything but the fenced blocks.
    """

    __slots__ = ("_by_kind", "_last", "code_blocks", "text", "title")

    def __init__(self, text: str) -> None:
        self.text, self.code_blocks = _without_fences(text if text.startswith("\n") else f"\n{text}")
        self.title = ""
        before, headings = _cut(self.text)
        if len(headings) <= 1 and "\n**" in self.text:  # sections marked by lines in bold
            self.text = _BOLD_LABEL.sub(r"\n## \1", self.text)
            before, headings = _cut(self.text)
        self._last = Section("prose", before)
        self._by_kind: dict[str, list[Section]] = {"prose": [self._last]}
        for heading, body in headings:
            self._open(heading, body)

    def of(self, kind: str) -> Sequence[Section]:
        """The sections of one kind, in order. The first of ``prose`` is what stands above any heading."""
        return self._by_kind.get(kind, ())

    def files(self) -> Paths | None:
        """The paths of ``Files:`` lines; {} where one says there are none; None where there is no such line."""
        files: Paths | None = None
        for label in ("iles", "File:"):
            if self.text.rfind(label) < 0:  # the rule; to find nothing, it takes half as long as find
                continue
            at = self.text.find(label)
            for _ in range(_MOST_LINES):
                if at < 0:
                    break
                if self.text[at + 4 : at + 9].lstrip("* ")[:1] in (":", _FULL_WIDTH_COLON):
                    found = _files_at(self.text, at)
                    files = files if found is None else (files or {}) | found
                at = self.text.find(label, at + 4)
        return files

    def _open(self, heading: str, body: str) -> None:
        """Open the section that a heading starts, unless it is the title or a part of the section it stands in."""
        usual = _USUAL.get(heading)
        if usual is not None:  # nearly all of them, just as they are written
            self._add(usual, body)
            return
        name = heading.lstrip("#")
        level = len(heading) - len(name)
        if level == 1 and not self.title:
            self.title = name.strip()
            self._add("prose", _without_parents(body))
            return
        name = name.strip(" #*:").lower()
        kind = _kind(name)
        section = self._last
        within_steps = section.kind == "steps" and (kind in {"", "steps", "prose"} or name[:1].isdigit())
        if level > 2 and (within_steps or not kind):
            section.subheadings += 1
            section.body += body
        else:
            self._add(kind, body)

    def _add(self, kind: str, body: str) -> None:
        self._last = Section(kind, body)
        self._by_kind.setdefault(kind, []).append(self._last)


class EntryScan:
    """A task's lines in the slice plan.

    Attributes:
        files: the paths of its ``- Files:`` line; {} where it says there are none; None where there is no such line.
        steps: how many (1), (2), (3) one of its lines counts.
        prose: what ``Why``, ``Do`` and lines without a label say.
    """

    __slots__ = ("files", "prose", "steps")

    def __init__(self, text: str) -> None:
        self.files: Paths | None = None
        self.steps = 0
        self.prose = ""
        if not text:
            return
        text = f"\n{text}"
        prose: list[str] = []
        at = 0
        for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]:
            label, colon, value = line.strip(_MARKERS + " \t").partition(":")
            if not label:
                continue
            found = files_line(line)
            if found is not None:
                at = text.find(line)
                found = found or _bulleted(text, at + len(line))
                self.files = (self.files or {}) | found
            elif not colon or label.strip("* ").lower() in _PROSE_LABELS:
                prose.append(value or label)
                self.steps = max(self.steps, len(_ENUMERATED.findall(line)))
        self.prose = "\n".join(prose)


def _without_fences(text: str) -> tuple[str, int]:
    """The text without its fenced blocks, and how many there are. One never closed would swallow the rest, so it stays."""
    blocks = 0
    for fence in _FENCES:
        # Most texts have no tilde, and one character is found fastest. To find nothing, rfind takes half as long as `in`.
        if fence.pattern[0] in text and text.rfind(fence.pattern) >= 0:
            pieces = fence.split(text)
            blocks += len(pieces) // 2
            text = "".join(pieces[::2]) if len(pieces) % 2 else text
    return text, blocks


def _cut(text: str) -> tuple[str, list[tuple[str, str]]]:
    """What stands above the first heading; then each heading with its #, and what stands below it from the line end on.

    Args:
        text: begins with a line end.
    """
    headings: list[tuple[str, str]] = []
    at = _heading(text, 0)
    before = text[: at - 1] if at else text
    while at:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        following = _heading(text, end) if len(headings) < _MOST_HEADINGS - 1 else 0
        headings.append((text[at:end], text[end : following - 1] if following else text[end:]))
        at = following
    return before, headings


def _heading(text: str, start: int) -> int:
    """Where the next heading's first # stands; 0 where there is none.

    Nearly every # begins a heading, and one character is found much faster than two; only past another one are two looked for.
    """
    at = text.find("#", start)
    if at > 0 and text[at - 1] != "\n":
        at = text.find("\n#", at) + 1
    return max(at, 0)


def _without_parents(body: str) -> str:
    """What stands below the title, without the lines that name the slice and the milestone: they are not this task's words."""
    if "\n**Slice" not in body and "\n**Milestone" not in body:
        return body
    return "\n".join(line for line in body.split("\n") if not line.startswith(("**Slice", "**Milestone")))


def _kind(name: str) -> str:
    if name in _KINDS:
        return _KINDS[name]
    if "read" in name and name.startswith("file"):
        return "inputs"
    return next((kind for kind, starts in _SECTIONS if name.startswith(starts)), "")


def _files_at(text: str, at: int) -> Paths | None:
    """The paths of the ``Files:`` line around a position: those beside the label, else those of the bullets below."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    line = text[text.rfind("\n", max(0, at - 40), at) + 1 : end]
    files = files_line(line)
    return _bulleted(text, end) if files == {} and line.rstrip("* ").endswith((":", _FULL_WIDTH_COLON)) else files


def _bulleted(text: str, start: int) -> Paths:
    paths: Paths = {}
    for raw in text[start : start + 20_000].split("\n", _MOST_LINES)[1:_MOST_LINES]:
        line = raw.strip()
        if not line:
            continue
        if line[0] not in _MARKERS or (found := listed(line)) == {}:
            break
        paths |= found
    return paths


def files_line(line: str) -> Paths | None:
    """The paths of a ``Files:`` line, without those only read; None where it is no such line or names nothing recognisable.

    In a plan in another language, a label followed by nothing but backticked paths is one too.
    """
    line = line[:4000]
    colons = [at for at in (line.find(":"), line.find(_FULL_WIDTH_COLON)) if at >= 0]
    if not colons:
        return None
    at = min(colons)
    label = line[:at].strip(_AROUND_LABEL).lower()
    says_files = label.endswith(("files", "file")) and not label.startswith("read")
    if not label or len(label) > 24 or (label.isascii() and not says_files):
        return None  # nearly every line
    value = line.replace(_FULL_WIDTH_COLON, ":", 1)[at + 1 :].strip("* ")
    if not says_files:
        return _paths(value) or None if value.startswith("`") else None
    if not value or value.lower().startswith(_NO_FILES):
        return {}
    return _paths(value) or None


def listed(line: str) -> Paths:
    """The path that a bullet is about; more than one only where they stand side by side."""
    return _paths(line[:600].lstrip(_MARKERS + " \t").removeprefix("[ ] ").removeprefix("[x] "), one_run=True)


def _paths(text: str, *, one_run: bool = False) -> Paths:
    if "`" not in text:
        return _bare_paths(text, 8 if one_run else 400)
    paths: Paths = {}
    pieces = text.split("`", 16 if one_run else 800)
    for position in range(1, len(pieces) - 1, 2):
        before, after = pieces[position - 1][:32].strip(" ,;*").lower(), pieces[position + 1][:32].strip(" *").lower()
        if one_run and paths and before not in _BETWEEN:
            break
        path = _path(pieces[position], quoted=True)
        if path and not after.startswith(_READ_ONLY):
            paths[path] = _state(before, after)
    return paths


def _bare_paths(text: str, most: int) -> Paths:
    """Paths without backticks, among the first `most` words."""
    words = _SEPARATOR.split(text[:4000])[:most]
    paths: Paths = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        path = _path(word, quoted=False)
        if path and not following.startswith("(read"):
            paths[path] = _state(text[:16].lower(), following)
    return paths


def _path(token: str, *, quoted: bool) -> str | None:
    """`token` as a path, or None where it is none: no URL, package, route or call; nor a file of the plan itself."""
    plain = _PLAIN_PATH.fullmatch(token)
    if plain is not None and plain[1] in _EXTENSIONS:  # nearly all of them: nothing of what follows would change it
        return token
    token = token.strip().lstrip(_OPENING).rstrip(_CLOSING)
    if ":" in token:
        head, _, line = token.rpartition(":")
        token = head if line[:1].isdigit() else token
    if not _PATHLIKE.fullmatch(token) or "://" in token or token.startswith((".gsd/", "-")):
        return None
    name = token.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    if dot and (extension.lower() in _EXTENSIONS or (not stem and extension.isalpha())):
        return token.removeprefix("./")
    if name.lower() in _NAMES or ("/" in token[1:] and token[0] not in "/@" and (quoted or not name)):
        return token.removeprefix("./")
    return None


def _state(before: str, after: str) -> str:
    """Whether the words beside a path say that it is ``new`` or ``existing``; else ""."""
    said = after.lstrip("(—-: ")
    if before.startswith(_CHANGES) or said.startswith(_CHANGED):
        return "existing"
    return "new" if before.startswith(_ADDS) or said.startswith(_ADDED) else ""
