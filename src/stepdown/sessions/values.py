"""What stands in a log, read with care: anyone may have written it, and it may be half of what was meant."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.catalog.names import provider_name
from stepdown.ledger.gsd_json import is_amount, is_count
from stepdown.ledger.rules import LAST_SECOND
from stepdown.providers import KNOWN
from stepdown.sessions.bounded import BLOCK, LONGEST
from stepdown.sessions.bounded import lines as bounded
from stepdown.units import Tokens

HALF_WRITTEN: Final = "half-written lines"
TOO_LONG: Final = "lines too long to be read"
IMPOSSIBLE: Final = "answers with impossible numbers"
UNCOUNTED: Final = "answers whose tokens the log does not say"

_LONGEST: Final = LONGEST
"""Bytes of a line that are held in memory at once."""


def lines(file: Path, troubles: Counter[str]) -> Iterator[bytes]:
    """The lines of a file that are not empty.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb", buffering=BLOCK) as stream:
        for line in bounded(stream, _LONGEST):
            if line is None:
                troubles[TOO_LONG] += 1
            elif not line.isspace():
                yield line


def decoded(text: bytes) -> dict[str, Any]:
    """The JSON object that a text is; empty where it is none.

    JavaScript writes halves of surrogate pairs where it cut a string, and programs print bytes that are no UTF-8. Neither
    touches the numbers, so both are read.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            found = json.loads(text.decode(errors="replace"))
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, dict) else {}


def child(parent: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within another; empty where there is none."""
    found = parent.get(name)
    return found if isinstance(found, dict) else {}


def children(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list within an object; empty where there is none."""
    found = parent.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def prose(value: object) -> str:
    """A text of any number of lines that can be encoded; "" for anything else."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """A whole number from 0, where one that is left out is 0; None for anything else."""
    if value is None:
        return 0
    return int(value) if is_count(value) else None


def tokens_of(*kinds: object) -> Tokens | None:
    """Input, output, cache read and cache write; None where one of them is no number of tokens."""
    found = [count(kind) for kind in kinds]
    if None in found:
        return None
    sent, output, cache_read, cache_write = (number or 0 for number in found)
    return Tokens(input=sent, output=output, cache_read=cache_read, cache_write=cache_write)


def paid(value: object) -> float | None:
    """US dollars. Agents write 0 where they know no price, for subscriptions and models of one's own: that is unknown."""
    return float(value) if is_amount(value) and value > 0 else None


def milliseconds(value: object) -> float:
    """Milliseconds since the epoch, as seconds; 0.0 for anything that is no such time."""
    return value / 1000 if is_amount(value) and value / 1000 <= LAST_SECOND else 0.0


def sold_by(word: str) -> str:
    """The provider as stepdown calls it; "" for a name of the user's own, and for resellers that stepdown does not know."""
    name = provider_name(word)
    return name if name in KNOWN else ""
