"""The `Ledger` port: the durable record of attempts, what they cost, and what was learned from them."""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import msgspec

from stepdown.units import Tier, Tokens


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as it starts: committed before the agent runs, so that a crash cannot lose it.

    Attributes:
        project: the plan's `PlanSource.project`.
        unit_type: the unit's type.
        unit_id: the unit's id.
        title: the unit's title.
        tier: the tier it runs at.
        model: the provider-qualified model it runs on.
        ceiling: the provider-qualified ceiling; "" where there is none.
        downgraded: whether routing chose less than the ceiling.
        reason: the decision's reason, one line.
        decision: the whole decision as JSON.
        pattern: what learning files it under: ``execute-task:docs``.
        agent: the agent's name.
        started: seconds since the epoch.
        reserved_usd: what is set aside for it until it ends.
        expected: the tokens it was expected to use.
    """

    project: str
    unit_type: str
    unit_id: str
    title: str = ""
    tier: Tier | None = None
    model: str = ""
    ceiling: str = ""
    downgraded: bool = False
    reason: str = ""
    decision: str = ""
    pattern: str = ""
    agent: str = ""
    started: float
    reserved_usd: float = 0.0
    expected: Tokens = Tokens()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    Attributes:
        failure: None for success; else the kind of SPEC 8.
        message: one line about the failure.
        verified: True or False by a check; None: nothing checked it (``unverified``).
        tokens: what it used; None is unknown.
        cost_usd: what it cost; None is unknown.
        cost_source: ``reported`` (by the agent or provider), ``priced`` (tokens times list price) or ``unknown``.
        ceiling_cost_usd: what the same tokens cost at the ceiling's prices; None is unknown.
        requests: requests to the provider; None is unknown.
        finished: seconds since the epoch.
    """

    failure: str | None = None
    message: str = ""
    verified: bool | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    cost_source: str = "unknown"
    ceiling_cost_usd: float | None = None
    requests: int | None = None
    finished: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the ledger holds it. `outcome` is None while it runs, or when its process died."""

    id: int
    attempt: Attempt
    outcome: Outcome | None = None
    source: str = "run"
    """``run``, or where it was imported from (``gsd``)."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What passed in a span of time. `usd` counts settled costs and reservations of attempts still running.

    Attributes:
        usd: US dollars of attempts whose cost is known, and what is reserved.
        tokens: all kinds together.
        requests: requests to providers.
        unpriced: attempts whose cost is unknown, so that `usd` can be read honestly.
        attempts: attempts in all.
    """

    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    unpriced: int = 0
    attempts: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: attempts that share what they were grouped by.

    Attributes:
        key: the group: a tier, a unit type, a model.
        attempts: how many.
        failed: how many of them failed.
        unverified: how many successes nothing checked.
        downgraded: how many ran on less than the ceiling.
        unpriced: how many have no known cost.
        usd: US dollars of the others.
        ceiling_usd: what the ceiling would have cost for the attempts where both are known.
        comparable_usd: US dollars of exactly those attempts.
        tokens: by kind.
    """

    key: str
    attempts: int = 0
    failed: int = 0
    unverified: int = 0
    downgraded: int = 0
    unpriced: int = 0
    usd: float = 0.0
    ceiling_usd: float = 0.0
    comparable_usd: float = 0.0
    tokens: Tokens = Tokens()


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of what units of a type used on a model.

    Attributes:
        tokens: mean tokens of a unit.
        requests: mean requests of a unit; None is unknown.
        units: how many units the mean is over.
    """

    tokens: Tokens
    requests: float | None = None
    units: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One dated event of SPEC 9: a verified first-attempt outcome, or a rating.

    Attributes:
        at: seconds since the epoch.
        pattern: ``execute-task`` or ``execute-task:docs``.
        tier: the tier it speaks about.
        model: the provider-qualified model, "" where the source did not say.
        success: whether the work was good enough.
        weight: 1 for an outcome, the rating weight for a rating.
        source: ``outcome``, ``rating`` or ``gsd``.
        project: whose it is; "" is unknown.
        unit_id: which unit.
    """

    at: float
    pattern: str
    tier: Tier
    model: str = ""
    success: bool
    weight: float = 1.0
    source: str = "outcome"
    project: str = ""
    unit_id: str = ""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A model the provider rejected for this account, until it is cleared or `until` (seconds since the epoch)."""

    model: str
    reason: str
    until: float


class PlanMeter(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription said of itself.

    Attributes:
        provider: ``anthropic``, ``openai``.
        window: ``5h`` or ``week``.
        used: fraction of the window used, 0 to 1.
        resets: seconds since the epoch at which it starts anew; None is unknown.
        at: when it was said.
    """

    provider: str
    window: str
    used: float
    resets: float | None = None
    at: float


class Ledger(Protocol):
    """Remembers. Every method commits before it returns; several processes may use one ledger at once."""

    def begin(self, attempt: Attempt) -> int:
        """Record that an attempt starts, with its reservation; its id."""
        ...

    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        """Record how it ended; its reservation is released. A second call for the same attempt raises `LedgerError`."""
        ...

    def records(self, project: str | None = None, *, limit: int | None = None) -> Sequence[Record]:
        """Attempts, the newest first."""
        ...

    def spent(self, project: str | None = None, *, since: float = 0.0) -> Spent:
        """What attempts started at or after `since` used, of one project or of all."""
        ...

    def breakdown(self, by: str, project: str | None = None) -> Sequence[Line]:
        """Sums of finished attempts by ``tier``, ``type``, ``model``, ``agent``, ``project`` or ``day``, dearest first."""
        ...

    def expectations(self) -> Mapping[tuple[str, str], Expectation]:
        """Per (unit type, provider-qualified model), the mean use of successful attempts with known tokens, in all projects."""
        ...

    def add_evidence(self, events: Sequence[Evidence]) -> None:
        """Append events; one that is there already (same pattern, tier, unit, source and time) is not added twice."""
        ...

    def evidence(self, *, limit: int = 50) -> Mapping[str, Sequence[Evidence]]:
        """Per pattern, the newest `limit` events of each tier, the oldest first."""
        ...

    def block(self, block: Block) -> None:
        """Block a model; a later block of the same model replaces it."""
        ...

    def blocks(self, now: float) -> Sequence[Block]:
        """The blocks that still hold at `now`."""
        ...

    def unblock(self, model: str | None = None) -> int:
        """Clear one model's block, or all; how many there were."""
        ...

    def set_plan_meter(self, meter: PlanMeter) -> None:
        """Remember the newest word of a subscription's window."""
        ...

    def plan_meters(self) -> Sequence[PlanMeter]:
        """The newest word of each window."""
        ...

    def import_records(self, project: str, source: str, records: Sequence[tuple[Attempt, Outcome]]) -> int:
        """Add attempts from elsewhere, each once however often it is called; how many were new."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
