"""From nodes to the records of the schema: the types there say what is right, this says where and how it is not."""

import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from stepdown.preferences.document import Node
from stepdown.preferences.merge import as_bool
from stepdown.preferences.schema import ModelChoice

Record = TypeVar("Record", bound=msgspec.Struct)

_SECRET: Final = re.compile(
    r"\b(?:sk|pk|rk)[-_][\w-]{8,}|\b(?:gsk|ghp|gho|hf|r8)_\w{8,}|xai-[\w-]{8,}|github_pat_\w+|AIza[\w-]{8,}|(?<=://)[^/@\s]+(?=@)"
)
_INVALID: Final = object()
"""What a conversion answers after it has said what is wrong."""


class Remark(msgspec.Struct, frozen=True, order=True):
    """Something to say about a line of a file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@functools.cache
def record_fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a record by their name in the file."""
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def bare_type(kind: Any) -> tuple[Any, msgspec.Meta | None]:
    """A type of the schema without "or None" and without its limits, and these limits."""
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    if typing.get_origin(kind) is Annotated:
        kind, limits = typing.get_args(kind)
        return kind, limits
    return kind, None


def bound(limits: msgspec.Meta | None) -> str:
    """`` above 0``, `` of at least 0`` or nothing."""
    if limits is None:
        return ""
    return f" above {limits.gt:g}" if limits.gt is not None else f" of at least {limits.ge:g}"


def redacted(text: str) -> str:
    """The same text without what looks like a key or a password."""
    return _SECRET.sub("(hidden)", text)


def one_line(text: str) -> str:
    """The same text on one printable line, without secrets."""
    hidden = redacted(text)
    return hidden if hidden.isprintable() else hidden.encode("unicode_escape").decode()


def looks_secret(text: str) -> bool:
    """Whether a text looks like a key rather than like the name of a variable."""
    long_and_mixed = len(text) >= 24 and bool(re.search(r"[0-9]", text)) and bool(re.search(r"[a-z]", text))
    return long_and_mixed or bool(_SECRET.search(text))


def shown(node: Node) -> str:
    """A value in a message: one short line without secrets."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    text = one_line(node.text)
    text = text if len(text) <= 40 else f"{text[:37]}..."
    return text if node.plain and text else f'"{text}"'


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that is meant, if one is near: case and dashes count little."""
    close = difflib.get_close_matches(name.lower().replace("-", "_"), sorted(names), n=1, cutoff=cutoff)
    return close[0] if close else None


def plain_value(node: Node) -> object:
    """The node as ordinary Python data; what is unset is left out."""
    if isinstance(node.value, dict):
        return {key: plain_value(child) for key, child in node.value.items() if child.value is not None}
    if isinstance(node.value, list):
        return [plain_value(child) for child in node.value if child.value is not None]
    return node.value


class Reading:
    """One reading of a tree: what is wrong with it, what is doubtful, and where each value came from."""

    def __init__(self) -> None:
        self.problems: list[Remark] = []
        self.warnings: list[Remark] = []
        self.origins: dict[str, str] = {}

    def lenient(self) -> "Reading":
        """A reading of what is GSD's: the same, but what is wrong is a warning."""
        reading = Reading()
        reading.problems = reading.warnings = self.warnings
        reading.origins = self.origins
        return reading

    def wrong(self, node: Node, text: str) -> None:
        """Something that stops everything."""
        self.problems.append(Remark(node.file, node.line, one_line(text)))

    def doubt(self, node: Node, text: str) -> None:
        """Something the user should know."""
        self.warnings.append(Remark(node.file, node.line, one_line(text)))

    def unknown(self, node: Node, key: str, name: str, names: Iterable[str]) -> None:
        """`name` is no key of the section `key`; with nothing set it does no harm and is only mentioned."""
        near = nearest(name, names)
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(sorted(names))}"
        (self.doubt if node.unset else self.wrong)(node, f"{key}.{name} is not a key that stepdown knows; {hint}")

    def entries(self, node: Node, key: str) -> Mapping[str, Node]:
        """What a section holds; says so where it is none."""
        if node.unset:
            return {}
        if not isinstance(node.value, dict):
            self.wrong(node, f"{key} is a section with keys of its own, not {shown(node)}")
        return node.entries()

    def items(self, node: Node, key: str) -> Sequence[Node]:
        """What a list holds; says so where it is none."""
        if node.unset:
            return ()
        if not isinstance(node.value, list):
            example = "" if isinstance(node.value, dict) else f": write [{shown(node)}]"
            self.wrong(node, f"{key} is a list, not {shown(node)}{example}")
            return ()
        return node.value

    def fields(
        self,
        node: Node,
        key: str,
        kind: type[Record],
        *,
        foreign: Iterable[str] = (),
        own: Mapping[str, Callable[[Node, str], object]] = types.MappingProxyType({}),
    ) -> dict[str, Any]:
        """The fields of `kind` that the section sets, converted.

        Args:
            node: the section.
            key: its dotted name.
            kind: the record whose fields are its keys.
            foreign: keys that are somebody else's and left alone.
            own: keys that are read by a function of their own.
        """
        known = record_fields(kind)
        values: dict[str, Any] = {}
        for name, child in self.entries(node, key).items():
            if name in foreign:
                continue
            if name not in known:
                self.unknown(child, key, name, known)
            elif not child.unset:
                dotted = f"{key}.{name}"
                value = own[name](child, dotted) if name in own else self.convert(child, dotted, known[name].type)
                if value is not _INVALID:
                    values[name] = value
                    self.origins[dotted] = child.where
        return values

    def record(self, node: Node, key: str, kind: type[Record]) -> Record | None:
        """A record of its own; None after saying what is wrong."""
        before = len(self.problems)
        values = self.fields(node, key, kind)
        missing = [name for name, field in record_fields(kind).items() if field.required and name not in values]
        if missing and len(self.problems) == before:
            self.wrong(node, f"{key} needs {' and '.join(missing)}")
        return None if len(self.problems) > before else kind(**values)

    def convert(self, node: Node, key: str, kind: Any) -> Any:
        """`node` as the type `kind` of the schema; the mark of something invalid after saying what is wrong."""
        kind, limits = bare_type(kind)
        if kind in {int, float}:
            return self._number(node, key, kind, limits)
        simple = {bool: self._truth, str: self._text, ModelChoice: self._model}.get(kind)
        if simple is not None:
            return simple(node, key)
        if kind is object:
            return plain_value(node)
        origin = typing.get_origin(kind)
        if origin is typing.Literal:
            return self._choice(node, key, {str(choice): choice for choice in typing.get_args(kind)})
        if origin is tuple:
            return self._list(node, key, typing.get_args(kind)[0])
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(node, key, *typing.get_args(kind))
        record = self.record(node, key, kind)
        return _INVALID if record is None else record

    def _invalid(self, node: Node, text: str) -> object:
        self.wrong(node, text)
        return _INVALID

    def _number(self, node: Node, key: str, kind: type[int] | type[float], limits: msgspec.Meta | None) -> object:
        value: object = node.value
        if isinstance(value, str):  # a number in quotes is one all the same
            try:
                value = float(value)
            except ValueError:
                value = None
        right = f"{'whole ' if kind is int else ''}number{bound(limits)}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return self._invalid(node, f"{key} is a {right}, not {shown(node)}")
        below = limits is not None and (
            (limits.gt is not None and value <= limits.gt) or (limits.ge is not None and value < limits.ge)
        )
        if below or (kind is int and value != int(value)):
            return self._invalid(node, f"{key} is a {right}, not {shown(node)}")
        return kind(value)

    def _truth(self, node: Node, key: str) -> object:
        value = as_bool(node)
        return self._invalid(node, f"{key} is true or false, not {shown(node)}") if value is None else value

    def _text(self, node: Node, key: str) -> object:
        if not isinstance(node.value, str):
            return self._invalid(node, f"{key} is text, not {shown(node)}")
        return node.value

    def _choice(self, node: Node, key: str, choices: Mapping[str, object]) -> object:
        if isinstance(node.value, str) and node.value in choices:
            return choices[node.value]
        near = nearest(node.text, choices)
        hint = f"; did you mean '{near}'?" if near else ""
        return self._invalid(node, f"{key} is one of {', '.join(choices)}, not {shown(node)}{hint}")

    def _model(self, node: Node, key: str) -> object:
        """A model's name, or a section with ``model``, ``provider`` and ``fallbacks``."""
        if isinstance(node.value, dict):
            choice = self.record(node, key, ModelChoice)
        elif isinstance(node.value, str):
            choice = ModelChoice(node.value)
        else:
            return self._invalid(
                node, f"{key} is a model's name, or a section with model, provider and fallbacks, not {shown(node)}"
            )
        if choice is None:
            return _INVALID
        names = (choice.model, choice.provider, *choice.fallbacks)
        if not all(name.isprintable() for name in names) or not choice.model.strip():
            return self._invalid(node, f"{key} is a model's name on one line")
        return ModelChoice(choice.model.strip(), choice.provider.strip(), tuple(name.strip() for name in choice.fallbacks))

    def _list(self, node: Node, key: str, kind: Any) -> object:
        before = len(self.problems)
        values = []
        for index, item in enumerate(self.items(node, key)):
            place = f"{key}[{index}]"
            scalar = not isinstance(item.value, dict | list)
            if item.value is None or (kind is str and not item.text.strip() and scalar and not key.startswith("agents.")):
                continue  # an empty command or name is none; an empty argument is one
            if kind is str and scalar:
                values.append(item.text)  # as written: [--max-turns, 20] is two words
                continue
            value = self.convert(item, place, kind)
            if value is not _INVALID:
                values.append(value)
                self.origins[place] = item.where
        return _INVALID if len(self.problems) > before else tuple(values)

    def _mapping(self, node: Node, key: str, names: Any, kind: Any) -> object:
        before = len(self.problems)
        known = {str(member): member for member in names} if isinstance(names, type) and issubclass(names, Enum) else None
        values: dict[object, object] = {}
        for name, child in self.entries(node, key).items():
            if known is not None and name not in known:
                self.unknown(child, key, name, known)
                continue
            if child.value is None or (kind is ModelChoice and child.unset):
                continue  # but "openai: {}" lists a provider
            value = self.convert(child, f"{key}.{name}", kind)
            if value is not _INVALID:
                values[known[name] if known is not None else name] = value
                self.origins[f"{key}.{name}"] = child.where
        return _INVALID if len(self.problems) > before else values
