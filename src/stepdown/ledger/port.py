"""The `Ledger` port: the durable record of attempts, what they cost, and what was learned from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol, Self

from stepdown.errors import LedgerError
from stepdown.ledger.records import (
    Account,
    Act,
    Attempt,
    Block,
    Cap,
    Conversation,
    Evidence,
    Expectation,
    Hold,
    Key,
    Line,
    Outcome,
    PlanMeter,
    Rating,
    Record,
    Spent,
    Use,
)

GATEWAY: Final = "gateway"
"""The agent of attempts that pass through the gateway: the process that serves them ends them, and nobody else."""


class NotRunningError(LedgerError):
    """There is no such attempt, or it has ended."""


class Ledger(Protocol):
    """Remembers. Every method commits before it returns, outside of a `batch`; several processes may use one ledger at once."""

    def begin(self, attempt: Attempt, *, caps: Sequence[Cap] = ()) -> int:
        """Record that an attempt starts, with its reservation; its id.

        What is spent, what others have reserved or set aside and this reservation are added up and compared with `caps` in the
        same transaction, so that parallel units cannot overspend together. An attempt that reserves nothing, since its cost is
        not known, fits as long as the cap is not reached.

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

    def rating(self, project: str, unit_type: str, unit_id: str) -> Rating | None:
        """The rating of a unit that holds; None where it has none."""
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

    def one_state(self) -> AbstractContextManager[None]:
        """Everything that is asked inside is asked of one state, whatever others write meanwhile; nothing is written inside."""
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

    def spent(
        self, project: str | None = None, *, since: float = 0.0, person: str | None = None, model: str | None = None
    ) -> Spent:
        """What attempts started at or after `since` used: of one project, one person or one model, or of all.

        Args:
            project: whose; None is everybody's.
            since: seconds since the epoch.
            person: a `Person.name`; "" is what came with no token, None is everybody's.
            model: provider-qualified; None is any.
        """
        ...

    def set_aside(self, holder: str, more: Sequence[Hold], caps: Sequence[Cap]) -> Sequence[float]:
        """Set more aside of budgets for a gateway, beyond what it has, in one transaction; how much was granted of each.

        Of each of `more`, as much as is left: of all `caps` of its scope and measure the tightest counts, and what anybody has
        set aside is not left. Without such a cap all of it is granted.
        """
        ...

    def hold(self, holder: str, holds: Sequence[Hold]) -> None:
        """Say what a gateway has set aside now of each of these scopes; without a word it is free again after a minute."""
        ...

    def there(self, gateway: str) -> None:
        """Say that a gateway is there. Without a word it is taken for dead after two minutes."""
        ...

    def gateways(self) -> frozenset[str]:
        """The gateways that are there."""
        ...

    def now(self) -> float:
        """Seconds since the epoch, by the ledger's own clock: the one that everybody who shares it agrees on."""
        ...

    def put_key(self, key: Key) -> None:
        """Add a person, or replace what is known of them and their token."""
        ...

    def keys(self) -> Sequence[Key]:
        """Everybody, by their names, those whose tokens were revoked or have expired among them."""
        ...

    def saw(self, name: str, at: float) -> None:
        """A person's token was used; said now and then."""
        ...

    def note_act(self, act: Act) -> None:
        """Record something that an administrator did; nothing removes it."""
        ...

    def acts(self, *, limit: int | None = None, before: int | None = None) -> Sequence[Act]:
        """What administrators did, the newest first; with `before`, what came before that `Act.id`."""
        ...

    def breakdown(self, by: str, project: str | None = None) -> Sequence[Line]:
        """Sums of finished attempts by ``tier``, ``type``, ``model``, ``agent``, ``project`` or ``day``, dearest first."""
        ...

    def accounts(self, project: str | None = None, *, since: float = 0.0, daily: bool = False) -> Sequence[Account]:
        """What finished attempts cost and what routing did to that, per pattern, tier and ceiling, or per day and tier.

        Args:
            project: whose; None is everybody's.
            since: seconds since the epoch; the whole day in UTC that it lies in counts.
            daily: each day and tier by itself, whatever the pattern and the ceiling.
        """
        ...

    def projects(self) -> Sequence[str]:
        """The projects with finished attempts; the one worked on last comes first, as far as days tell."""
        ...

    def stamp(self) -> int:
        """A number that is another one once anybody has written anything, in whatever process; it costs next to nothing."""
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
            failed: only units with a failed attempt, each as old as its newest failure, which is among its attempts.
        """
        ...

    def every_unit(self, project: str | None = None) -> Iterator[Sequence[Record]]:
        """Every unit with all its attempts, the oldest first: what a bill is added up from, however long it is.

        They come by project, type and id, and are read while one goes through them; until the last has come, this ledger is
        asked nothing else. A record says whose the attempt was, when, on what, by whom and why it was made, how it ended, what
        it used and cost; the rest of it are defaults.
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

    def conversation(self, project: str, name: str) -> Conversation | None:
        """What is known of one conversation; None where nothing is."""
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
