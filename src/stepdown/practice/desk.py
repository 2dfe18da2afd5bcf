"""What all requests to a practice provider share."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from stepdown.catalog.catalogue import Catalog
from stepdown.practice.faults import Faults
from stepdown.practice.limits import NO_LIMITS, Limits
from stepdown.practice.metering import PromptCache
from stepdown.practice.served import Served


class Desk(msgspec.Struct, kw_only=True):
    """The faults to come, the cache, the log, and when to stop waiting.

    Attributes:
        record: writes one line of the log.
        log: all lines so far.
        latency: seconds before an answer, by model; "" is for all others.
        models: what ``GET /v1/models`` lists.
        context: tokens of a prompt that are accepted.
        catalog: whose facts decide what is rejected; None rejects nothing that the protocol itself allows.
        limits: what the headers of every answer say.
        left: ids of requests whose client went away before the answer's end.
        bodies: request bodies by request id; None keeps none.
        hang_up: closes the connection of the client at an address.
        closing: set when the provider ends.
        moved: set whenever a request is no longer under way.
        underway: by request id, the attempts of requests that came in and are not in the log yet.
    """

    record: Callable[[Served], None]
    log: list[Served]
    faults: Faults
    latency: Mapping[str, float]
    models: tuple[str, ...]
    context: int
    catalog: Catalog | None = None
    limits: Limits = NO_LIMITS
    cache: PromptCache = msgspec.field(default_factory=PromptCache)
    left: list[str] = []
    bodies: dict[str, bytes] | None = None
    hang_up: Callable[[tuple[str, int]], None] = lambda _: None
    closing: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    moved: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    underway: dict[str, str] = {}

    def note(self, served: Served) -> None:
        """Write a request into the log."""
        self.record(served)
        self.leave(served.id)

    def leave(self, request_id: str) -> None:
        """A request is no longer under way."""
        self.underway.pop(request_id, None)
        self.moved.set()
