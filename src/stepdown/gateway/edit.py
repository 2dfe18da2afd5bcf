"""Changing single values of a JSON object and nothing else, byte for byte. Pure.

A provider finds a cached prompt by the text of the request, and a client's body holds what no decoder keeps: spacing, escapes,
the order of keys, numbers with too many digits. So nothing is ever decoded and written again: a value is cut out where it
stands and another put in its place.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.gateway.wire import Unreadable

Span = tuple[int, int]
"""Where a value stands in a body: its first byte and one past its last."""

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw])
_SPACE: Final = rb"[ \t\n\r]*+"
_OPENING: Final = re.compile(_SPACE + rb"\{")
_KEY: Final = re.compile(_SPACE + rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"' + _SPACE + rb":" + _SPACE, re.DOTALL)
_COMMA: Final = re.compile(_SPACE + rb",")
_INSIDE: Final = re.compile(_SPACE + rb"[\[{]")
_GAP: Final = re.compile(_SPACE + rb",?" + _SPACE)
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_CLOSING: Final = re.compile(_SPACE + rb"\}" + _SPACE)


def members(body: bytes) -> tuple[dict[str, bytes], dict[str, Span]]:
    r"""The values of a JSON object's own keys as they are written, and where each stands, both in their order.

    Half of a surrogate pair, which a client leaves where it cuts a text in the middle of a character, is no reason to refuse a
    request; in the values it is ``\ufffd``.

    Raises:
        Unreadable: it is not JSON, not an object, nested too deeply, or has a key twice.
    """
    try:
        raws = _members.decode(body)
    except msgspec.ValidationError as problem:
        raise Unreadable("the request's body has to be a JSON object") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        whole = _SURROGATE.sub(rb"\\ufffd", body)  # as long as before, so that everything stays where it is
        if whole == body:
            raise Unreadable(f"the request's body is not valid JSON: {problem}") from problem
        return members(whole)
    except RecursionError as problem:
        raise Unreadable("the request's body is nested too deeply") from problem
    values = {key: bytes(raw) for key, raw in raws.items()}
    return values, _walk(body, values)


def spans(body: bytes) -> dict[str, Span]:
    """Where each value of a JSON object stands; `members` without the values.

    Raises:
        Unreadable: as there.
    """
    return members(body)[1]


def _walk(body: bytes, values: Mapping[str, bytes]) -> dict[str, Span]:
    """Find each value by stepping from key to key.

    The decoder has said what the values are; if they stand one after the other from brace to brace, that is how the body is to
    be read, and there is no other way. It can only fail where a key comes twice, since the decoder keeps the last of them.
    Which one counts is then a matter of the provider's taste, and the wrong one might be changed.
    """
    opening = _OPENING.match(body)
    found: dict[str, Span] = {}
    at = opening.end() if opening is not None else 0
    for key, value in values.items():
        literal = _KEY.match(body, at)
        if literal is None or not body.startswith(value, literal.end()):
            raise _twice()
        found[key] = literal.end(), literal.end() + len(value)
        comma = _COMMA.match(body, found[key][1])
        at = found[key][1] if comma is None else comma.end()
    if _CLOSING.fullmatch(body, at) is None:
        raise _twice()
    return found


def _twice() -> Unreadable:
    return Unreadable("the request's body has a key twice at its top level, so that it is unclear which one counts")


def replace(body: bytes, changes: Mapping[str, bytes | None], where: Mapping[str, Span]) -> bytes:
    """The body with some values changed; every other byte is as it was.

    A key that is not there is put first. One that goes takes the comma and the space before it along, or the comma after it
    where it was first.

    Args:
        body: a JSON object.
        changes: per key its new value, as JSON; None removes it.
        where: `spans` of this body.
    """
    view = memoryview(body)  # a body is large, and is copied once
    start = done = body.index(b"{") + 1
    pieces: list[bytes | memoryview] = [view[:start]]
    added = [
        msgspec.json.encode(key) + b":" + value for key, value in changes.items() if value is not None and key not in where
    ]
    pieces.append(b",".join(added))
    empty = not added
    for key, (first, end) in where.items():
        value = changes.get(key, b"")
        if value is None:
            pieces.append(view[done:start])
            done = end
        else:
            comma = _COMMA.match(body, start, first)
            if empty == (comma is not None):  # it has become the first, or is no longer
                pieces += [view[done:start], b"" if empty else b","]
                done = start if comma is None else comma.end()
            if value:
                pieces += [view[done:first], value]
                done = end
            empty = False
        start = end
    pieces.append(view[done:])
    return b"".join(pieces)


def elements(array: bytes) -> tuple[list[bytes], list[Span]]:
    r"""The elements of a JSON array as they are written, and where each stands; half a surrogate pair is as in `members`.

    Raises:
        Unreadable: it is not JSON, or no array.
    """
    try:
        raws = _elements.decode(array)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        whole = _SURROGATE.sub(rb"\\ufffd", array)
        if whole == array:
            raise Unreadable("a list was expected") from problem
        return elements(whole)
    values = [bytes(raw) for raw in raws]
    found: list[Span] = []
    at = inside(array)
    for value in values:
        first = _GAP.match(array, at).end()  # type: ignore[union-attr]  # it matches everywhere
        found.append((first, first + len(value)))
        at = found[-1][1]
    return values, found


def inside(value: bytes) -> int:
    """Where a JSON array or object begins behind its bracket."""
    return _INSIDE.match(value).end()  # type: ignore[union-attr]  # it is one of them


def gaps(value: bytes, where: Sequence[Span], out: Collection[int]) -> list[Span]:
    """The bytes that go where some values of an array or object are left out, each with its comma and, in an object, its key.

    As in `replace`, the comma and the space before it go, or the comma after it where nothing is left before.

    Args:
        value: an array or an object.
        where: where each of its values stands, in their order.
        out: the numbers of those that go.
    """
    found: list[Span] = []
    at, first = inside(value), True
    for number, (_, end) in enumerate(where):
        if number in out:
            comma = _COMMA.match(value, end) if first else None
            found.append((at, end if comma is None else comma.end()))
            at = found[-1][1]
        else:
            at, first = end, False
    return found


def cut(value: bytes, where: Iterable[Span]) -> bytes:
    """A value without some of its bytes, which are given in their order."""
    view = memoryview(value)
    pieces: list[memoryview] = []
    done = 0
    for first, end in where:
        pieces.append(view[done:first])
        done = end
    pieces.append(view[done:])
    return b"".join(pieces)
