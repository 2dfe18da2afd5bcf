"""How the practice provider counts: tokens by text length, and a prompt cache that behaves like the real one.

The counts are an estimate (`CHARACTERS_PER_TOKEN`), but an exact one: they depend on the request's text alone, so what a
client adds up and what the provider logged can be compared to the token.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.units import Tokens

CHARACTERS_PER_TOKEN: Final = 4
"""English prose and code run at 3 to 5 characters a token in current tokenisers; the practice provider says 4."""

CACHE_MINIMUM: Final = 1024
"""A shorter prefix is not cached, as the Messages API documents for most models."""

CACHE_SECONDS: Final = {"5m": 300.0, "1h": 3600.0}
"""How long a cached prefix lives after its last use, by the `ttl` of its mark."""

LOOKBACK: Final = 20
"""How many blocks before a mark are searched for a prefix cached earlier, as the Messages API documents."""

_encoder = msgspec.json.Encoder(order="deterministic")


def count(text: str) -> int:
    """Tokens of `text`, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class Block(msgspec.Struct, frozen=True):
    """One piece of a prompt: its text as it counts, and the `ttl` of its cache mark ("" for none)."""

    text: str
    mark: str = ""


def blocks(body: Mapping[str, Any]) -> list[Block]:
    """A request's prompt in the order in which a prefix is cached: tools, system, messages."""
    found = [_block(tool) for tool in body.get("tools") or ()]
    found += [_block(part) for part in _parts(body.get("system") or ())]
    for message in body.get("messages") or ():
        found += [_block(part, role=str(message.get("role"))) for part in _parts(message.get("content") or ())]
    whole = body.get("cache_control")
    if found and isinstance(whole, Mapping):  # a mark on the request itself caches everything in it
        found[-1] = msgspec.structs.replace(found[-1], mark=str(whole.get("ttl", "5m")))
    return found


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of a request's whole prompt, cached or not."""
    return sum(count(block.text) for block in blocks(body))


def _parts(content: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, Sequence):
        yield from (part for part in content if isinstance(part, Mapping))


def _block(part: Mapping[str, Any], *, role: str = "") -> Block:
    mark = part.get("cache_control")
    ttl = str(mark.get("ttl", "5m")) if isinstance(mark, Mapping) else ""
    plain = {key: value for key, value in part.items() if key != "cache_control"}
    text = plain["text"] if plain.get("type") == "text" and isinstance(plain.get("text"), str) else None
    return Block(role + (_encoder.encode(plain).decode() if text is None else text), ttl if ttl in CACHE_SECONDS else "")


class PromptCache:
    """What has been cached, per model. A prefix is written at a mark and found again by a later request's marks."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, bytes], float] = {}

    def bill(self, model: str, body: Mapping[str, Any], now: float) -> Tokens:
        """The prompt of `body` by how it is billed (`output` is 0), and remember what it wrote.

        Args:
            model: whose cache it is; models share nothing.
            body: the request.
            now: seconds on any steady clock.
        """
        prompt = blocks(body)
        ends = list(itertools.accumulate(count(block.text) for block in prompt))
        digests = list(_digests(prompt))
        marks = [index for index, block in enumerate(prompt) if block.mark and ends[index] >= CACHE_MINIMUM]
        if not marks:
            return Tokens(input=ends[-1] if ends else 0)
        warm = self._longest(model, digests, marks, now)
        read = ends[warm] if warm is not None else 0
        for index in marks if warm is None else [*marks, warm]:
            seconds = CACHE_SECONDS[prompt[index].mark or "5m"]
            self._until[model, digests[index]] = max(self._until.get((model, digests[index]), 0.0), now + seconds)
        cached = max(ends[marks[-1]], read)
        return Tokens(input=ends[-1] - cached, cache_read=read, cache_write=cached - read)

    def _longest(self, model: str, digests: Sequence[bytes], marks: Sequence[int], now: float) -> int | None:
        """The index of the last block of the longest prefix that is still warm."""
        for mark in reversed(marks):
            for index in range(mark, max(-1, mark - LOOKBACK - 1), -1):
                if self._until.get((model, digests[index]), now) > now:
                    return index
        return None


def _digests(prompt: Sequence[Block]) -> Iterator[bytes]:
    running = hashlib.sha256()
    for block in prompt:
        running.update(b"%d:" % len(block.text))
        running.update(block.text.encode("utf-8", "surrogatepass"))
        yield running.copy().digest()
