"""What the page is told by the process that shows it, and what it may ask of that process."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from stepdown.catalog import Catalog
from stepdown.decision import Context
from stepdown.ledger.records import Person
from stepdown.preferences.schema import Preferences
from stepdown.units import Tier


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """A request or an attempt that is under way.

    Attributes:
        name: unlike that of any other that is under way.
        project: whose.
        unit: its unit's type.
        id: its unit's id; "" where it has none.
        title: its unit's title; "" is unknown.
        tier: the tier it runs at.
        model: the provider-qualified model it runs on.
        asked: the model that would run it without routing; "" is the same.
        why: the decision's reason.
        cause: why this attempt is made (`Attempt.cause`); "" of a request.
        since: seconds since the epoch.
        steps: what the agent did last, the newest last.
        counted: how many steps it has taken in all.
        tokens: what it has used so far; None is unknown.
        cost_usd: likewise, US dollars.
    """

    name: str
    project: str
    unit: str
    id: str
    title: str = ""
    tier: Tier | None
    model: str
    asked: str = ""
    why: str
    cause: str = ""
    since: float
    steps: tuple[str, ...] = ()
    counted: int = 0
    tokens: int | None = None
    cost_usd: float | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that has ended.

    Attributes:
        name: names its decision.
        at: seconds since the epoch, when it came.
        project: whose.
        unit: its unit's type.
        id: its unit's id; "" where it has none.
        tier: the tier of the model that answered; None is unknown.
        model: the provider-qualified model that answered; "" where nobody was asked.
        asked: the model that the request named.
        chosen: the provider-qualified model that the decision is for.
        applied: whether the decision held; false where it was only observed.
        why: the decision's reason, or why it was refused.
        failure: the kind of failure; "" for none.
        status: what the client was sent.
        tokens: prompt and output; None is unknown.
        cached: of the tokens, those read from a cache.
        cost_usd: US dollars; None is unknown.
        ceiling_usd: what the same tokens cost on the model that was named; None is unknown.
        first_byte: seconds until the first byte; None where none came.
        seconds: until the end.
    """

    name: str
    at: float
    project: str
    unit: str
    id: str
    tier: Tier | None
    model: str
    asked: str
    chosen: str
    applied: bool
    why: str
    failure: str = ""
    status: int
    tokens: int | None = None
    cached: int = 0
    cost_usd: float | None = None
    ceiling_usd: float | None = None
    first_byte: float | None = None
    seconds: float = 0.0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a model has been answering this process.

    Attributes:
        model: provider-qualified.
        tier: its tier; None is unknown.
        requests: how many of its last requests this is about.
        failed: how many of those the provider failed.
        failure: the kind of the newest failure; "" for none.
        first_byte: the median of seconds until the first byte; None is unknown.
        last: seconds since the epoch, when it was asked last.
        rests: seconds for which its provider asked not to be asked again; 0 is not at all.
        counts: what `requests` are: ``request`` or ``attempt``.
    """

    model: str
    tier: Tier | None
    requests: int
    failed: int
    failure: str
    first_byte: float | None
    last: float
    rests: float = 0.0
    counts: str = "request"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is.

    Attributes:
        kind: ``gateway`` or ``run``.
        project: whose work it shows unless another is chosen.
        mode: what it may change: one of `modes`.
        modes: what can be switched to, each with what it does; empty where nothing can.
        pin: the tier or model that everything is pinned to; "" is nothing.
        pinned_until: seconds since the epoch; None where it holds until the process ends.
        pins: whether a pin can be set here.
        started: seconds since the epoch.
        where: its address, or its agent.
        trouble: why the ledger takes nothing; "" while it does.
    """

    kind: str
    project: str
    mode: str
    modes: dict[str, str]
    pin: str = ""
    pinned_until: float | None = None
    pins: bool = False
    started: float
    where: str
    trouble: str = ""


class Host(Protocol):
    """The process. Called in its event loop; nothing here waits but `rate`."""

    def facts(self) -> Facts:
        """What it is, now."""
        ...

    def world(self) -> tuple[Preferences, Catalog]:
        """The preferences in force, and the models there are."""
        ...

    def context(self, project: str) -> Context | None:
        """What routing is told of a project; None where the page has to read that itself."""
        ...

    def doing(self, project: str) -> Sequence[Doing]:
        """What is under way, the oldest first."""
        ...

    def requests(self, project: str) -> Sequence[Request]:
        """What has ended last, the newest first."""
        ...

    def health(self) -> Sequence[Health]:
        """How the models have been answering."""
        ...

    def switch(self, mode: str) -> str:
        """Change the mode; why it cannot be, or ""."""
        ...

    def pin(self, pin: str, seconds: float) -> str:
        """Pin everything, or nothing with ""; why it cannot be, or ""."""
        ...

    async def rate(self, project: str, unit: str, word: str) -> Sequence[str]:
        """Rate a unit, ``type id``; what follows from it, line by line.

        Raises:
            StepdownError: there is no such unit, or it has not finished.
        """
        ...


class Visitors(Protocol):
    """Who looks, where tokens are needed for that."""

    async def bearer(self, token: str, address: str) -> Person | float:
        """Whose token it is; else for how many seconds `address` is to bring no more, 0.0 where it may try another."""
        ...

    async def still(self, person: Person | None) -> bool:
        """Whether whoever came in may stay."""
        ...

    def note(self, who: str, act: str, what: str) -> None:
        """Have it recorded that an administrator did something."""
        ...

    async def revoke(self, name: str, who: str) -> None:
        """Revoke somebody's token.

        Raises:
            StepdownError: there is nobody of that name, or the ledger takes nothing.
        """
        ...
