"""Changing single values of a JSON object and nothing else, byte for byte. Pure.

A provider finds a cached prompt by the text of the request, and a client's body holds what no decoder keeps: spacing, escapes,
the order of keys, numbers with too many digits. So nothing is ever decoded and written again: a value is cut out where it
stands and another put in its place.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from stepdown.gateway.wire import Unreadable

Span = tuple[int, int]
"""Where a value stands in a body: its first byte and one past its last."""

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPACE: Final = rb"[ \t\n\r]*+"
_OPENING: Final = re.compile(_SPACE + rb"\{")
_KEY: Final = re.compile(_SPACE + rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"' + _SPACE + rb":" + _SPACE, re.DOTALL)
_COMMA: Final = re.compile(_SPACE + rb",")
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
