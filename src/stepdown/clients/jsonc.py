"""Single values of a JSON file changed in its text, so that everything else stays as somebody wrote it. Pure.

Comments and commas before a closing bracket are understood, as in the files of editors and of OpenCode.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

Path = Sequence[str]

_BLANK: Final = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_WORD: Final = re.compile(r"[-+.\w]+")
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?://[^\n]*|/\*[^\n]*?\*/[ \t]*)?\r?(?=\n)")
_DEEPEST: Final = 100


class _Member(NamedTuple):
    """One ``"key": value`` of an object: where it begins, where its value does, where that ends."""

    key: str
    start: int
    value: int
    end: int


def parse(text: str) -> Any:
    """What the text says.

    Raises:
        ValueError: it is not JSON; with the line.
    """
    _members_at_top(text)
    try:
        return msgspec.json.decode("".join(_plain(text)))
    except (msgspec.DecodeError, RecursionError) as problem:
        raise ValueError(str(problem)) from problem


def get(text: str, path: Path) -> str | None:
    """A value as it is written; None where there is none."""
    found = _find(text, path)
    return None if found is None else text[found.value : found.end]


def put(text: str, path: Path, raw: str) -> str:
    """The text with a value in it; the objects around it are made where they are missing.

    Args:
        text: an object, or nothing at all.
        path: the keys that lead to the value.
        raw: the value, as it is to be written.

    Raises:
        ValueError: something on the way is not an object.
    """
    if not text[_blank(text, 0) :]:
        text = text + "{}\n"
    found = _find(text, path)
    if found is not None:
        return text[: found.value] + raw + text[found.end :]
    depth, opening = 0, _blank(text, 0)
    for depth in range(len(path)):
        inner = _find(text, path[: depth + 1])
        if inner is None:
            break
        opening = inner.value
    if text[opening] != "{":
        raise ValueError(f"{'.'.join(path[:depth])} is not an object")
    return _insert(text, opening, path[depth:], raw, depth)


def remove(text: str, path: Path) -> str:
    """The text without a value, its key and its comma."""
    found = _find(text, path)
    if found is None:
        return text
    outer = _find(text, path[:-1]) if len(path) > 1 else None
    members = _members(text, _blank(text, 0) if outer is None else outer.value)
    index = [member.key for member in members].index(path[-1])
    end = found.end
    after = _blank(text, end)
    if text[after] == ",":
        end = after + 1
        if text[end : end + 1] == "\n":  # its line has nothing else on it
            return text[: _line_start(text, found.start)] + text[end + 1 :]
        return text[: found.start] + text[end:].lstrip(" \t")
    start = members[index - 1].end if index else _line_end_before(text, found.start)
    return text[:start] + text[end:]


def _find(text: str, path: Path) -> _Member | None:
    found, position = None, _blank(text, 0)
    for key in path:
        if text[position : position + 1] != "{":
            return None
        found = next((member for member in _members(text, position) if member.key == key), None)
        if found is None:
            return None
        position = found.value
    return found


def _insert(text: str, opening: int, path: Path, raw: str, depth: int) -> str:
    """A member at the end of the object at `opening`, on a line of its own where the object has lines."""
    members = _members(text, opening)
    unit = _unit(text)
    outer = _indent(text, opening)
    inner = _indent(text, members[-1].start) if members and "\n" in text[opening : members[0].start] else outer + unit
    for number, key in enumerate(reversed(path)):
        if number:
            deeper = inner + unit * (len(path) - number)
            raw = f"{{\n{deeper}{raw}\n{deeper.removesuffix(unit)}}}"
        raw = f"{_quoted(key)}: {raw}"
    if members:
        last = members[-1].end
        if "\n" not in text[opening:last] and depth:
            return f"{text[:last]}, {raw}{text[last:]}"
        after = _blank(text, last)
        has_comma = text[after] == ","  # one too many for JSON, but it is there
        end = after + 1 if has_comma else last
        line = _REST_OF_LINE.match(text, end)
        comment, rest = (line[0], text[line.end() :]) if line else ("", f"\n{outer}{text[end:].lstrip(' ')}")
        return f"{text[:end]}{'' if has_comma else ','}{comment}\n{inner}{raw}{rest}"
    closing = _blank(text, opening + 1)
    return f"{text[: opening + 1]}{text[opening + 1 : closing].rstrip()}\n{inner}{raw}\n{outer}{text[closing:]}"


def _members_at_top(text: str) -> None:
    """See that the whole text is one object."""
    start = _blank(text, 0)
    if text[start : start + 1] != "{":
        _wrong(text, start, "an object is expected")
    end = _blank(text, _end(text, start, 0))
    if end < len(text):
        _wrong(text, end, "there is something behind the object")


def _members(text: str, opening: int) -> list[_Member]:
    return list(_walk(text, opening, 0))


def _walk(text: str, opening: int, depth: int) -> Iterator[_Member]:
    """The members of the object at `opening`."""
    position = _blank(text, opening + 1)
    while text[position : position + 1] != "}":
        key = _STRING.match(text, position)
        if key is None:
            _wrong(text, position, "a key in double quotes is expected")
        colon = _blank(text, key.end())
        if text[colon : colon + 1] != ":":
            _wrong(text, colon, "a colon is expected")
        value = _blank(text, colon + 1)
        end = _end(text, value, depth + 1)
        yield _Member(msgspec.json.decode(key[0]), position, value, end)
        position = _blank(text, end)
        if text[position : position + 1] == ",":
            position = _blank(text, position + 1)
        elif text[position : position + 1] != "}":
            _wrong(text, position, "a comma or a closing bracket is expected")


def _end(text: str, start: int, depth: int) -> int:
    """Where the value at `start` ends."""
    if depth > _DEEPEST:
        _wrong(text, start, "it is nested too deeply")
    first = text[start : start + 1]
    if first == "{":
        last = start + 1
        for member in _walk(text, start, depth):
            last = member.end
        last = _blank(text, last)
        return (_blank(text, last + 1) if text[last] == "," else last) + 1
    if first == "[":
        position = _blank(text, start + 1)
        while text[position : position + 1] != "]":
            position = _blank(text, _end(text, position, depth + 1))
            if text[position : position + 1] == ",":
                position = _blank(text, position + 1)
            elif text[position : position + 1] != "]":
                _wrong(text, position, "a comma or a closing bracket is expected")
        return position + 1
    found = _STRING.match(text, start) if first == '"' else _WORD.match(text, start)
    if found is None:
        _wrong(text, start, "a value is expected")
    return found.end()


def _plain(text: str) -> Iterator[str]:
    """The text without comments and without commas before closing brackets."""
    position, comma = 0, False
    while position < len(text):
        after = _blank(text, position)
        if after > position:
            yield " "
            position = after
            continue
        string = _STRING.match(text, position)
        piece = string[0] if string else text[position]
        if comma and piece not in "}]":
            yield ","
        comma = piece == ","
        if not comma:
            yield piece
        position += len(piece)


def _blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    assert found is not None
    return found.end()


def _quoted(key: str) -> str:
    return msgspec.json.encode(key).decode()


def _unit(text: str) -> str:
    """What the file is indented by."""
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    return found[1] if found else "  "


def _indent(text: str, position: int) -> str:
    line = text[_line_start(text, position) : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _line_end_before(text: str, position: int) -> int:
    """The end of the line before, where nothing but blanks is between."""
    start = _line_start(text, position)
    return start - 1 if start and not text[start:position].strip() else position


def _wrong(text: str, position: int, what: str) -> NoReturn:
    raise ValueError(f"line {text.count(chr(10), 0, position) + 1}: {what}")
