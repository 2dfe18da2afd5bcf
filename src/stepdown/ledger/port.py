"""The `Ledger` port: the durable record of attempts, what they cost, and what was learned from them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, Self

import msgspec

from stepdown.errors import LedgerError
from stepdown.units import Tier, Tokens

GATEWAY: Final = "gateway"
"""The agent of attempts that pass through the gateway: the process that serves them ends them, and nobody else."""


class NotRunningError(LedgerError):
    """There is no such attempt, or it has ended."""


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
        key: its own name towards the agent and the provider, unlike any other's; "" where it has none.
        run: which run it belongs to; "" where it was imported.
        number: which attempt of its unit in that run, from 1.
        cause: why it was made: ``first``, ``fallback`` (the provider failed), ``step up`` (one tier above a quality failure),
            ``configured`` (the last try, on the model the user configured), ``again`` (a hook asked for it).
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
    key: str = ""
    run: str = ""
    number: int = 1
    cause: str = "first"


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt used so far, or in all.

    Attributes:
        tokens: by kind.
        requests: requests to the provider.
        cost_usd: US dollars; None where a price is unknown.
        ended: whether the agent has said that it is done: what is left then is to verify, and no agent runs again for it.
        cache_loss_usd: see `Outcome`.
    """

    tokens: Tokens = Tokens()
    requests: int = 0
    cost_usd: float | None = 0.0
    ended: bool = False
    cache_loss_usd: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    Attributes:
        failure: None for success; else the kind of SPEC 8.
        message: one line about the failure.
        verified: True or False by a check; None: nothing checked it (``unverified``).
        tokens: what it used; None is unknown.
        cost_usd: what it cost; None is unknown.
        cost_source: ``reported`` (by the agent or provider), ``priced`` (tokens times list price), ``estimated``
            (likewise, of tokens that are in part a guess by size) or ``unknown``.
        ceiling_cost_usd: what the same tokens cost at the ceiling's prices, which had the caches that were written anew. None
            is unknown.
        cache_loss_usd: US dollars of its cost that went into writing caches anew because routing had changed the model,
            beyond what reading them would have cost (SPEC 10).
        requests: requests to the provider; None is unknown.
        finished: seconds since the epoch.
        evidence: what was checked and noticed, one line each: ``passed: pytest tests/test_config.py (1.2 s)``.
        kept: the git ref that keeps a failed attempt's work; "" where there is none.
    """

    failure: str | None = None
    message: str = ""
    evidence: tuple[str, ...] = ()
    kept: str = ""
    verified: bool | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    cost_source: str = "unknown"
    ceiling_cost_usd: float | None = None
    cache_loss_usd: float = 0.0
    requests: int | None = None
    finished: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the ledger holds it. `outcome` is None while it runs, or when its process died."""

    id: int
    attempt: Attempt
    outcome: Outcome | None = None
    source: str = "run"
    """``run``, or where it was imported from (``gsd``)."""
    so_far: Use = Use()
    """What `Ledger.note_use` was told last; of use while `outcome` is None."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What passed in a span of time: what ended with what it used, what still runs with what it used so far.

    Attributes:
        usd: US dollars of attempts whose cost is known; of one that runs its reservation, or what it used where that is more.
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


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Finished attempts of one day, pattern, tier and ceiling, added up: what they cost, and what routing did to that.

    Sums over attempts, so that they are exact however many there are; `stepdown.savings.of_accounts` makes savings of them.

    Attributes:
        day: in UTC, ``2026-03-16``, when they started; "" where all days are added up.
        pattern: ``execute-task:docs``; the unit type where no pattern was recorded.
        tier: None is unknown.
        ceiling: the provider-qualified ceiling; "" where there was none.
        attempts: how many.
        failed: how many of them failed.
        moved: how many were a unit's first and ran on less than the ceiling.
        stepped_up: how many answered a quality failure on a stronger model.
        rescued: how many of those did the work.
        unpriced: how many have no known cost.
        usd: US dollars of the others.
        unknown: how many ran on less than the ceiling and cannot be compared with it, since a price is unknown.
        compared: how many did the work on less than the ceiling, where it would have cost something.
        compared_usd: what those cost, but for writing caches anew.
        ceiling_usd: what the same tokens cost at the ceiling's prices.
        failed_usd: what attempts below the ceiling cost that failed, but for writing caches anew.
        cache_usd: what was paid to write caches anew because routing had changed the model.
        tokens: all kinds together.
        cached: how many of the tokens were read from a cache.
    """

    day: str
    pattern: str
    tier: Tier | None
    ceiling: str
    attempts: int = 0
    failed: int = 0
    moved: int = 0
    stepped_up: int = 0
    rescued: int = 0
    unpriced: int = 0
    usd: float = 0.0
    unknown: int = 0
    compared: int = 0
    compared_usd: float = 0.0
    ceiling_usd: float = 0.0
    failed_usd: float = 0.0
    cache_usd: float = 0.0
    tokens: int = 0
    cached: int = 0


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


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """The user's word on a finished unit (SPEC 9). A unit has one; the last one wins.

    Attributes:
        project: whose unit.
        unit_type: the unit's type.
        unit_id: the unit's id.
        word: ``over`` (a lower tier would have done), ``under`` (it was too weak) or ``ok``.
        tier: the tier the unit ended on.
        pattern: what learning files it under.
        model: the model it ended on.
        at: seconds since the epoch.
    """

    project: str
    unit_type: str
    unit_id: str
    word: str
    tier: Tier
    pattern: str
    model: str = ""
    at: float


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """A hard limit that a reservation has to fit into: `usd` for everything of the project started at or after `since`."""

    name: str
    usd: float
    since: float = 0.0


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


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway knows of a conversation, so that its next request finds it after a restart.

    Attributes:
        project: whose it is.
        id: its name in that project.
        at: seconds since the epoch, when its last request came.
        state: the gateway's own record of it, in its own form; at most 64 KiB.
    """

    project: str
    id: str
    at: float
    state: bytes


class Ledger(Protocol):
    """Remembers. Every method commits before it returns, outside of a `batch`; several processes may use one ledger at once."""

    def begin(self, attempt: Attempt, *, caps: Sequence[Cap] = ()) -> int:
        """Record that an attempt starts, with its reservation; its id.

        What is spent, what others have reserved and this reservation are added up and compared with `caps` in the same
        transaction, so that parallel units cannot overspend together. An attempt that reserves nothing, since its cost is not
        known, fits as long as the cap is not reached.

        Raises:
            BudgetError: the reservation does not fit into one of `caps`; nothing was recorded.
        """
        ...

    def note_use(self, attempt_id: int, use: Use) -> None:
        """Remember what a running attempt has used so far, all of it; a crash then loses at most the request under way.

        Raises:
            NotRunningError: there is no such attempt, or it has ended.
        """
        ...

    def unfinished(self, project: str | None = None) -> Sequence[Record]:
        """Attempts that began and never ended: running now, or left behind by a process that died. The oldest first."""
        ...

    def of_unit(self, project: str, unit_id: str) -> Sequence[Record]:
        """Every attempt of the units with this id, the oldest first."""
        ...

    def recent_use(self, pattern: str, *, limit: int = 200) -> Sequence[Use]:
        """What the newest successful attempts of a pattern used, where it is known; in all projects, the newest first."""
        ...

    def rate(self, rating: Rating) -> None:
        """Record a rating; it replaces the unit's earlier one, which the ledger keeps as history.

        Raises:
            LedgerError: its word is none of the three.
        """
        ...

    def ratings(self, project: str | None = None) -> Sequence[Rating]:
        """The ratings that hold, the newest first."""
        ...

    def consent(self, project: str, what: str, at: float) -> None:
        """Remember that the user agreed to `what` in a project."""
        ...

    def consents(self, project: str) -> frozenset[str]:
        """What the user agreed to in a project."""
        ...

    def first_time(self, key: str, at: float) -> bool:
        """True for exactly one caller per `key`, ever: for what is to be said once."""
        ...

    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        """Record how it ended; its reservation is released. A second call for the same attempt raises `NotRunningError`."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """Everything that is called inside is one transaction with one commit: all of it is kept, or nothing.

        An exception that leaves the block undoes all of it. A call that was refused (no such attempt, an impossible amount, a
        full budget) has done nothing, and the block may go on; where the ledger itself failed, all of it is undone even if
        that is caught. Others who write wait until the block ends, so it should be short.

        Raises:
            LedgerError: it cannot be written, or one is under way already.
        """
        ...

    def records(self, project: str | None = None, *, limit: int | None = None) -> Sequence[Record]:
        """Attempts, the newest first."""
        ...

    def newest_of_patterns(self, project: str, *, unit_type: str = "", units: int = 50) -> Sequence[Record]:
        """Of each pattern of a project the attempts at its newest `units` units: what standing down is decided by.

        Pattern by pattern, in each the newest first. Going back, a pattern's attempts end where one belongs to a unit too many,
        or where there are four times as many as units; what the same units tried before that is missing. A record says whose
        the attempt was, when and why it was made, how it ended and what it cost; the rest of it are defaults. With `unit_type`,
        only the patterns of that type: its own and those with its tags.
        """
        ...

    def spent(self, project: str | None = None, *, since: float = 0.0) -> Spent:
        """What attempts started at or after `since` used, of one project or of all."""
        ...

    def breakdown(self, by: str, project: str | None = None) -> Sequence[Line]:
        """Sums of finished attempts by ``tier``, ``type``, ``model``, ``agent``, ``project`` or ``day``, dearest first."""
        ...

    def accounts(self, project: str | None = None, *, since: float = 0.0, daily: bool = False) -> Sequence[Account]:
        """What finished attempts cost and what routing did to that, per pattern, tier and ceiling.

        Args:
            project: whose; None is everybody's.
            since: seconds since the epoch; the whole day in UTC that it lies in counts.
            daily: each day by itself; otherwise all of them together.
        """
        ...

    def units(
        self,
        project: str,
        *,
        limit: int = 50,
        before: tuple[float, int] | None = None,
        id_starts: str = "",
        failed: bool = False,
    ) -> Sequence[Sequence[Record]]:
        """The units attempted last, each with its newest attempts, the oldest first; without their receipts.

        Args:
            project: whose.
            limit: how many units.
            before: start and id of an attempt: only units whose newest attempt came before that. It is how one reads on.
            id_starts: only units whose ids start so, the first of them in the order of their ids; `before` has no meaning then.
            failed: only units with a failed attempt, each as old as its newest failure.
        """
        ...

    def expectations(self) -> Mapping[tuple[str, str], Expectation]:
        """Per (unit type, provider-qualified model), the mean use of successful attempts with known tokens, in all projects."""
        ...

    def add_evidence(self, events: Sequence[Evidence]) -> None:
        """Append events; one that is there already (same pattern, tier, unit, source and time) is not added twice."""
        ...

    def evidence(
        self, *, limit: int = 50, rating_weight: float = 2.0, with_forgotten: bool = False
    ) -> Mapping[str, Sequence[Evidence]]:
        """Per pattern, the newest `limit` events of each tier, the oldest first; what was forgotten only where it is asked for.

        The ratings that hold are among them, each as one event of source ``rating`` that weighs `rating_weight`
        (``policy.rating_weight``): ``under`` is a failure at the tier the unit ended on, ``ok`` a success at it, ``over`` a
        success one tier below it, or at light where there is none below.
        """
        ...

    def forget(self, pattern: str | None, at: float, *, project: str | None = None) -> int:
        """Let events and ratings no longer count as evidence; they stay in the ledger, and what comes later counts.

        Args:
            pattern: ``execute-task:docs``, or a unit type, which stands for all its tags; None is everything.
            at: seconds since the epoch; what is dated at or before it is forgotten.
            project: whose; None is everybody's.

        Returns:
            How many events and ratings counted until now.
        """
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

    def remember(self, states: Iterable[Conversation]) -> None:
        """Remember conversations as they are now; each replaces what was known of it before.

        Of all conversations the 10,000 newest are kept. What is more than 7 days older than the newest of `states` is dropped.

        Raises:
            LedgerError: an impossible time, or a state that is too large; nothing was remembered.
        """
        ...

    def conversations(self, since: float) -> Sequence[Conversation]:
        """The conversations whose last request came at or after `since`, in all projects, the oldest first."""
        ...

    def forget_conversations(self, before: float) -> int:
        """Forget the conversations whose last request came before that; how many there were."""
        ...

    def import_records(self, project: str, source: str, records: Sequence[tuple[Attempt, Outcome]]) -> int:
        """Add attempts from elsewhere, each once however often it is called; how many were new."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
