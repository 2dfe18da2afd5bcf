"""What a request used where no answer says so: many Chat streams tell no usage, and an answer that broke off tells none. Pure.

Budgets have to see everything that passes, so that a guess which is marked as one is better than nothing.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from stepdown.gateway import sse
from stepdown.units import Tokens

SAMPLE: Final = 16 * 1024
"""Bytes of a stream's beginning that are kept to see how much of it is text: some forty events."""

_TEXT: Final = 4
"""Bytes of text a token; as `protocols.request.TEXT`."""

_SAID: Final = frozenset(
    {"text", "thinking", "partial_json", "content", "reasoning", "reasoning_content", "arguments", "delta", "refusal"}
)
"""What the three protocols call a piece of what a model writes."""

_any: Final = msgspec.json.Decoder()


def estimated(told: Tokens | None, *, prompt: int, size: int, sample: bytes) -> Tokens:
    """What a request is likely to have used.

    Args:
        told: what the answer said before it broke off; None is nothing.
        prompt: tokens of its prompt, estimated from its size.
        size: bytes of the answer that came in.
        sample: the first of them where it is a stream; b"" where it came in one piece.
    """
    share = text_in(sample) / len(sample) if sample else 1.0
    output = round(size * share) // _TEXT
    if told is None:
        return Tokens(input=prompt, output=output)
    return msgspec.structs.replace(told, output=max(told.output, output))


def text_in(sample: bytes) -> int:
    """Bytes of what the model wrote in the beginning of a stream."""
    return sum(len(text.encode("utf-8", "replace")) for event in sse.Events().feed(sample) for text in _texts(event))


def _texts(event: bytes) -> Iterator[str]:
    try:
        found: Any = _any.decode(sse.data_of(event))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            yield from (text for key, text in value.items() if key in _SAID and isinstance(text, str))
            waiting += [inner for inner in value.values() if isinstance(inner, dict | list)]
