"""Token counts as programs and APIs report them, brought to one record."""

from collections.abc import Mapping
from typing import Final

from stepdown.units import Tokens

_INPUT: Final = ("input_tokens", "inputTokens", "prompt_tokens", "input")
_OUTPUT: Final = ("output_tokens", "outputTokens", "completion_tokens", "output")
_READ: Final = ("cache_read_input_tokens", "cacheReadInputTokens", "cache_read")
_WRITE: Final = ("cache_creation_input_tokens", "cacheCreationInputTokens", "cache_write")
_LARGEST: Final = 2**53
"""What no count exceeds: the ledger would not take it, and an attempt must not go unrecorded for what its agent says."""
_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")


def tokens_of(usage: object) -> Tokens | None:
    """The tokens of a ``usage`` object: Anthropic's names, OpenAI's (Chat and Responses), Claude Code's or our own.

    OpenAI counts cached tokens inside its prompt tokens; here the kinds do not overlap. None where neither input nor output
    is told, or where a count is no count: unknown is not zero.
    """
    if not isinstance(usage, Mapping):
        return None
    counts = {name: value for name, value in usage.items() if value is not None}
    if not any(name in counts for name in _INPUT + _OUTPUT):
        return None
    try:
        given, output, read, write = (_first(counts, names) for names in (_INPUT, _OUTPUT, _READ, _WRITE))
        cached = sum(
            _first(details, ("cached_tokens",)) for details in map(counts.get, _DETAILS) if isinstance(details, Mapping)
        )
    except ValueError:
        return None
    inside = min(cached, given)
    return Tokens(input=given - inside, output=output, cache_read=read + inside, cache_write=write)


def _first(counts: Mapping[str, object], names: tuple[str, ...]) -> int:
    """The count under the first of `names` that is there; 0 where none is."""
    for name in names:
        value = counts.get(name)
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
                raise ValueError(name)
            return value
    return 0


def dollars_of(value: object) -> float | None:
    """A cost in US dollars; None where it is no cost."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    return None
