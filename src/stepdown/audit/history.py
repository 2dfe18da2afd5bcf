"""All logs together: each answer once, in units, in conversations."""

from collections.abc import Sequence

import msgspec

from stepdown.sessions.records import Counted, Limit, Request, Turn


class Work(msgspec.Struct, frozen=True):
    """One unit with its requests.

    Attributes:
        agent: ``claude``, ...
        turn: what it was.
        requests: in order, at least one.
        costs: what each cost, US dollars; None is unknown.
    """

    agent: str
    turn: Turn
    requests: tuple[Request, ...]
    costs: tuple[float | None, ...]


class History(msgspec.Struct, frozen=True):
    """Everything that the logs say.

    Attributes:
        units: in the order they began.
        limits: per agent, in order of time.
        counted: per agent, per session and model the last count.
        duplicates: copies of requests that were left out.
        troubles: what could not be read or made sense of, and how often.
    """

    units: tuple[Work, ...]
    limits: dict[str, Sequence[Limit]]
    counted: dict[str, Sequence[Counted]]
    duplicates: int
    troubles: dict[str, int]
