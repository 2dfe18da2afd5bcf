"""A preferences file as a tree of nodes, each of which knows the file and the line it came from.

YAML is read event by event with libyaml: nothing is constructed but text, numbers, booleans, lists and mappings, nesting and
size are bounded, and plain words mean what YAML 1.2 says (as in GSD), so that ``off`` and ``12:30`` stay text.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import yaml

from stepdown.errors import PreferencesError

MAX_BYTES: Final = 1_000_000
MAX_NODES: Final = 20_000
"""Values in one file, counted as if every alias were written out: a "billion laughs" ends here."""
MAX_DEPTH: Final = 40

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = "Scalar | dict[str, Node] | list[Node]"


class Node(msgspec.Struct, frozen=True):
    """One value of a file.

    Attributes:
        value: text, a number, a boolean, None, or what it contains.
        file: the file as the user knows it.
        line: the line of its key, or its own where it has none (an item of a list); from 1.
        text: a scalar as written, without quotes; "" for others.
        plain: whether a scalar was written without quotes.
    """

    value: Value
    file: str
    line: int
    text: str = ""
    plain: bool = False

    @property
    def where(self) -> str:
        """``.gsd/PREFERENCES.md:12``."""
        return f"{self.file}:{self.line}"

    @property
    def unset(self) -> bool:
        """Whether it says nothing: null, "" or an empty list or mapping, which GSD's template is full of."""
        return self.value is None or self.value in ("", [], {})

    def entries(self) -> dict[str, "Node"]:
        """What a mapping holds; nothing for anything else."""
        return self.value if isinstance(self.value, dict) else {}


class Document(msgspec.Struct, frozen=True):
    """One file: its mapping, and what is odd about it, one line each."""

    name: str
    root: Node
    warnings: tuple[str, ...] = ()


def read_document(path: Path, name: str) -> Document | None:
    """The file at `path`, called `name` in messages; None where there is none.

    Markdown is read as far as its YAML front matter; anything else is YAML as a whole, unless it is fenced by ``---``.

    Raises:
        PreferencesError: it cannot be read, is no UTF-8, too large, or no YAML mapping.
    """
    data = _read(path, name)
    if data is None:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PreferencesError(f"{name}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}); save it as UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    block, skipped = text, 0
    warnings: tuple[str, ...] = ()
    suffix = path.suffix.lower()
    if suffix not in {".yaml", ".yml"}:
        found = _front_matter(text, name, closed=suffix == ".md")
        if found is not None:
            block, skipped = found
        elif suffix == ".md":
            warning = f"{name}:1: no YAML front matter (settings between two lines '---'), so nothing in it is read"
            block, warnings = "", (warning,) if text.strip() else ()
    root = _Builder(name, skipped).build(block)
    return Document(name, root, warnings)


def parse_document(text: str, name: str) -> Node:
    """A mapping in YAML, called `name` in messages.

    Raises:
        PreferencesError: it is no YAML mapping.
    """
    return _Builder(name, 0).build(text)


def _read(path: Path, name: str) -> bytes | None:
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            what = "a directory" if stat.S_ISDIR(kind) else "no ordinary file"
            raise PreferencesError(f"{name}: is {what}; the preferences are a text file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise PreferencesError(f"{name}: cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise PreferencesError(f"{name}: larger than {MAX_BYTES // 1000} kB; preferences are a few lines")
    return data


def _front_matter(text: str, name: str, *, closed: bool) -> tuple[str, int] | None:
    """The YAML between the first two ``---`` and how many lines stand before it; None where the text does not start so.

    Raises:
        PreferencesError: the second is missing although the file has to be `closed`.
    """
    lines = text.split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None or lines[first].rstrip() != "---":
        return None
    for index in range(first + 1, len(lines)):
        if lines[index].startswith("---"):
            return "\n".join(lines[first + 1 : index]), first + 1
    if not closed:
        return None
    raise PreferencesError(f"{name}:{first + 1}: the front matter that starts here has no end; close it with a line '---'")


class _Frame:
    """A list or mapping that is being read."""

    def __init__(self, value: dict[str, Node] | list[Node], line: int, anchor: str | None, nodes: int) -> None:
        self.value = value
        self.line = line
        self.anchor = anchor
        self.nodes = nodes
        self.key: str | None = None
        self.key_line = 0


class _Builder:
    """Events to nodes, with an explicit stack: depth cannot exhaust Python's."""

    def __init__(self, name: str, skipped: int) -> None:
        self.name = name
        self.skipped = skipped
        self.frames: list[_Frame] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.nodes = 0
        self.root: Node | None = None

    def build(self, text: str) -> Node:
        documents = 0
        for event in self._events(text):
            start = event.start_mark
            line = (start.line if start is not None else 0) + 1 + self.skipped
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(line, "a second YAML document starts here; the preferences are one")
            elif isinstance(event, yaml.AliasEvent | yaml.ScalarEvent | yaml.CollectionStartEvent):
                self._node(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                frame = self.frames.pop()
                self._add(Node(frame.value, self.name, frame.line), frame.anchor, self.nodes - frame.nodes)
        if self.root is None or self.root.value is None:
            return Node({}, self.name, 1 + self.skipped)
        if not isinstance(self.root.value, dict):
            raise self._error(self.root.line, "keys with values are expected here ('budget_ceiling: 25')")
        return self.root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = mark.line if mark is not None else 0
            line = at + 1 + self.skipped
            lines = text.split("\n")
            shown = lines[at] if at < len(lines) else ""
            hint = "; indent with spaces, not tabs" if shown[: len(shown) - len(shown.lstrip())].count("\t") else ""
            raise self._error(line, f"not valid YAML: {error.problem or error.context}{hint}") from error
        except yaml.reader.ReaderError as error:
            line = text.encode()[: error.position].count(b"\n") + 1 + self.skipped
            raise self._error(line, f"not valid YAML: {error.reason}") from error

    def _error(self, line: int, message: str) -> PreferencesError:
        return PreferencesError(f"{self.name}:{line}: {message}")

    def _node(self, event: yaml.AliasEvent | yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        self.nodes += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self._error(line, f"'*{event.anchor}' stands for nothing; '&{event.anchor}' has to come before it")
            node, size = self.anchors[event.anchor]
            self.nodes += size
            self._add(msgspec.structs.replace(node, line=line), None, size)
        elif event.tag not in {None, "!"}:
            raise self._error(line, "YAML tags ('!...') have no meaning here; write the plain value")
        elif isinstance(event, yaml.ScalarEvent):
            plain = bool(event.implicit[0])
            value = _resolve(event.value) if plain else event.value
            self._add(Node(value, self.name, line, event.value, plain), event.anchor, 1)
        else:
            if len(self.frames) >= MAX_DEPTH:
                raise self._error(line, f"nested more than {MAX_DEPTH} deep")
            mapping = isinstance(event, yaml.MappingStartEvent)
            self.frames.append(_Frame({} if mapping else [], line, event.anchor, self.nodes))
        if self.nodes > MAX_NODES:
            raise self._error(line, f"more than {MAX_NODES} values; preferences are a few lines")

    def _add(self, node: Node, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = (node, size)
        if not self.frames:
            self.root = node
            return
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            frame.value.append(node)
        elif frame.key is None:
            if isinstance(node.value, dict | list):
                raise self._error(node.line, "a key is one word, not a list or a mapping")
            frame.key, frame.key_line = node.text, node.line
            if frame.key in frame.value:
                first = frame.value[frame.key].line
                raise self._error(node.line, f"'{_shown(frame.key)}' is set twice, the first time on line {first}")
        else:
            frame.value[frame.key] = msgspec.structs.replace(node, line=frame.key_line)
            frame.key = None


def _shown(key: str) -> str:
    return key.encode("unicode_escape").decode()[:60]


def _resolve(text: str) -> Scalar:
    """What a plain word is, by the core schema of YAML 1.2; hexadecimal and octal numbers stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
