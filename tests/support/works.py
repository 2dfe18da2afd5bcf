"""Requests, turns and histories for tests of the audit: plain ones, of which a test changes what it is about."""

from collections.abc import Sequence

import msgspec

from stepdown.audit.history import History, gather
from stepdown.audit.price import Prices
from stepdown.catalog import Catalog
from stepdown.sessions.records import Log, Request, Turn

START = 1_793_500_000.0
"""In November 2026."""
CATALOG = Catalog.load(on="2026-11-01")
OPUS, SONNET, HAIKU = "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"


def request(**changes: object) -> Request:
    """An answer of Opus 4.6 to a prompt of 20,000 tokens, most of it cached."""
    plain = Request(
        turn=0,
        at=START,
        key="",
        model=OPUS,
        provider="anthropic",
        input=100,
        output=500,
        cache_read=18_000,
        cache_write=1_900,
    )
    return msgspec.structs.replace(plain, **changes)


def turn(**changes: object) -> Turn:
    """A person's turn in a project."""
    plain = Turn(
        conversation="c1", session="s1", project="/home/ada/shop", type="execute-task", id="", at=START, origin="human"
    )
    return msgspec.structs.replace(plain, **changes)


def growing(
    number: int, *, of: int = 0, start: float = START, first: int = 20_000, step: int = 2_000, **changes: object
) -> list[Request]:
    """The requests of one turn: each reads from the cache what the one before it sent, and writes what is new."""
    made: list[Request] = []
    prompt = 0
    for index in range(number):
        size = first + index * step
        made.append(
            request(
                turn=of,
                at=start + index * 10,
                input=0,
                cache_read=prompt,
                cache_write=size - prompt,
                **changes,
            )
        )
        prompt = size
    return made


def history(turns: Sequence[Turn], requests: Sequence[Request], agent: str = "claude") -> History:
    """One log put together."""
    return gather({agent: [Log(requests=tuple(requests), turns=tuple(turns))]}, Prices(CATALOG))
