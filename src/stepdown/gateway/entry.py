"""What passed through the gateway for one unit on one model, added up, and how it gets into a ledger exactly once."""

from typing import Final

import msgspec

from stepdown.ledger.port import Ledger, NotRunningError
from stepdown.ledger.records import Attempt, Outcome, Use
from stepdown.ledger.rules import accepted_use
from stepdown.units import Tokens

_FREE: Final = frozenset({"provider", "rejected"})
"""Failures that cost nothing where nothing is said about tokens: the provider did no work."""

_DUST: Final = 1e-9
"""US dollars that may be left where a sum of binary fractions is taken from itself."""


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What several requests used.

    Attributes:
        tokens: by kind, of the requests that told.
        requests: how many, failed ones included.
        usd: US dollars, of the requests whose cost is known.
        ceiling_usd: what the same tokens cost at the ceiling's prices, likewise.
        cache_loss_usd: US dollars of `usd` that went into writing caches anew (`Outcome.cache_loss_usd`).
        counted: whether any request told its tokens.
        estimated: whether the tokens of one are a guess.
        unpriced: whether the cost of one is unknown.
        ceiling_unpriced: likewise at the ceiling's prices.
        worked: whether one went well.
        failure: the kind of the last that did not; "" where none failed.
    """

    tokens: Tokens = Tokens()
    requests: int = 0
    usd: float = 0.0
    ceiling_usd: float = 0.0
    cache_loss_usd: float = 0.0
    counted: bool = False
    estimated: bool = False
    unpriced: bool = False
    ceiling_unpriced: bool = False
    worked: bool = False
    failure: str = ""

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(
            tokens=self.tokens + other.tokens,
            requests=self.requests + other.requests,
            usd=self.usd + other.usd,
            ceiling_usd=self.ceiling_usd + other.ceiling_usd,
            cache_loss_usd=self.cache_loss_usd + other.cache_loss_usd,
            counted=self.counted or other.counted,
            estimated=self.estimated or other.estimated,
            unpriced=self.unpriced or other.unpriced,
            ceiling_unpriced=self.ceiling_unpriced or other.ceiling_unpriced,
            worked=self.worked or other.worked,
            failure=other.failure or self.failure,
        )

    def less(self, other: "Sum") -> "Sum":
        """What is left of it where `other` is recorded already; never below nothing."""
        mine, theirs = self.tokens, other.tokens
        return msgspec.structs.replace(
            self,
            tokens=Tokens(
                input=max(0, mine.input - theirs.input),
                output=max(0, mine.output - theirs.output),
                cache_read=max(0, mine.cache_read - theirs.cache_read),
                cache_write=max(0, mine.cache_write - theirs.cache_write),
            ),
            requests=max(0, self.requests - other.requests),
            usd=max(0.0, self.usd - other.usd),
            ceiling_usd=max(0.0, self.ceiling_usd - other.ceiling_usd),
            cache_loss_usd=max(0.0, self.cache_loss_usd - other.cache_loss_usd),
        )

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was used, and nothing asked."""
        return not self.requests and not self.tokens.total and self.usd < _DUST

    def use(self) -> Use:
        """For `Ledger.note_use`."""
        return Use(
            tokens=self.tokens,
            requests=self.requests,
            cost_usd=None if self.unpriced else self.usd,
            cache_loss_usd=self.cache_loss_usd,
        )

    def outcome(self, end: "End") -> Outcome:
        """For `Ledger.settle`: a success that nothing checked, unless every request failed or there was none."""
        failure = end.failure or (None if self.worked else self.failure or "cancelled")
        return Outcome(
            failure=failure,
            message=""
            if failure is None
            else end.message or ("every request failed" if self.requests else "nothing came of it"),
            tokens=self.tokens if self.counted else None,
            cost_usd=None if self.unpriced else self.usd,
            cost_source="unknown" if self.unpriced else "estimated" if self.estimated else "priced",
            ceiling_cost_usd=None if self.ceiling_unpriced or not self.counted else self.ceiling_usd,
            cache_loss_usd=self.cache_loss_usd,
            requests=self.requests,
            finished=end.at,
        )


NOTHING: Final = Sum()


class End(msgspec.Struct, frozen=True, kw_only=True):
    """That no more requests are added.

    Attributes:
        at: when the last one ended, seconds since the epoch.
        failure: the kind of SPEC 8 where it is known to have failed as a whole; "" judges by its requests.
        message: one line about that.
    """

    at: float
    failure: str = ""
    message: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something stands in the ledger, as far as is known for certain: a commit that failed may have come through.

    Attributes:
        attempt: as it begins there; its `key` is unlike any other's.
        id: of the attempt that runs; None where there is none (yet).
        part: which attempt of this unit it is, from 1: another begins where somebody else ended one.
        base: what ended attempts have of it: somebody else ended them, or they are in a ledger that was moved away.
        share: what the attempt `id` has of it.
        opening: which opening of the ledger all this was seen in; 0 is uncertain, -1 that nothing was ever written.
    """

    attempt: Attempt
    id: int | None = None
    part: int = 1
    base: Sum = Sum()
    share: Sum = Sum()
    opening: int = -1


class Entry:
    """One unit on one model while it is added up. `used` and `end` are replaced as a whole, never changed in place.

    Attributes:
        place: where it stands in the ledger; belongs to the thread that writes.
        used: everything so far.
        end: set when nothing is added any more; `used` is final then.
        touched: when something was added last, on the monotonic clock.
        at: the same in seconds since the epoch.
    """

    __slots__ = ("at", "end", "place", "touched", "used")

    def __init__(self, place: Place, *, used: Sum = NOTHING, end: End | None = None, touched: float = 0.0) -> None:
        self.place = place
        self.used = used
        self.end = end
        self.touched = touched
        self.at = place.attempt.started


def one_request(
    tokens: Tokens | None,
    cost_usd: float | None,
    ceiling_usd: float | None,
    requests: int,
    failure: str | None,
    *,
    cache_loss_usd: float = 0.0,
    estimated: bool = False,
) -> Sum:
    """What is added for one call of `Recorder.used`.

    Raises:
        LedgerError: an amount or a count that cannot be: nothing that is added to it would be either.
    """
    free = tokens is None and failure in _FREE
    said = Sum(
        tokens=tokens or Tokens(),
        requests=requests,
        usd=cost_usd or 0.0,
        ceiling_usd=ceiling_usd or 0.0,
        cache_loss_usd=cache_loss_usd,
        counted=tokens is not None,
        estimated=estimated,
        unpriced=cost_usd is None and not free,
        ceiling_unpriced=ceiling_usd is None and not free,
        worked=failure is None and requests > 0,
        failure=failure or "",
    )
    return acceptable(said)


def acceptable(used: Sum) -> Sum:
    """The sum itself; `LedgerError` where no ledger would take it."""
    accepted_use(Use(tokens=used.tokens, requests=used.requests, cost_usd=used.usd, cache_loss_usd=used.cache_loss_usd))
    accepted_use(Use(cost_usd=used.ceiling_usd))
    return used


def put(ledger: Ledger, entry: Entry, opening: int) -> Place:
    """Write an entry as it is now, inside the caller's batch; where it stands, once that batch is committed.

    However often it is called, also after a crash or in another process, the ledger has each request once: what is there
    already under the entry's key is looked up where it is not certain, and only the rest is written.

    Raises:
        LedgerError: the ledger cannot be used.
    """
    end, used = entry.end, entry.used  # the end first: with it, what was used is final
    place = entry.place
    if place.opening not in {-1, opening}:
        place = _looked_up(ledger, place)
    try:
        return _written(ledger, place, used, end, opening)
    except NotRunningError:  # somebody else ended it meanwhile
        return _written(ledger, _looked_up(ledger, place), used, end, opening)


def _written(ledger: Ledger, place: Place, used: Sum, end: End | None, opening: int) -> Place:
    share, attempt_id = used.less(place.base), place.id
    if attempt_id is None and share.is_nothing and place.part > 1:
        return msgspec.structs.replace(place, opening=opening)  # ended attempts have it all
    if attempt_id is None:
        attempt_id = ledger.begin(place.attempt)
    if end is not None:
        ledger.settle(attempt_id, share.outcome(end))
    elif not share.is_nothing:
        ledger.note_use(attempt_id, share.use())
    return msgspec.structs.replace(place, id=attempt_id, share=share, opening=opening)


def _looked_up(ledger: Ledger, place: Place) -> Place:
    """Where it really stands: the attempt that runs, else the next to begin, with what ended ones have."""
    attempt = place.attempt
    records = {record.attempt.key: record for record in ledger.of_unit(attempt.project, attempt.unit_id)}
    while (record := records.get(place.attempt.key)) is not None or place.id is not None:
        if record is None:  # it had begun: in a ledger that was moved away, with its share
            place = _next(place, place.share)
        elif record.outcome is None:
            return msgspec.structs.replace(place, id=record.id)
        else:
            place = _next(place, _ended(record.outcome))
    return place


def _next(place: Place, recorded: Sum) -> Place:
    """Another attempt for what comes after `recorded`."""
    attempt, part = place.attempt, place.part + 1
    key = f"{attempt.key.removesuffix(f'.{place.part}')}.{part}"
    again = msgspec.structs.replace(attempt, number=attempt.number + 1, key=key)
    return Place(attempt=again, part=part, base=place.base + recorded, opening=place.opening)


def _ended(outcome: Outcome) -> Sum:
    return Sum(
        tokens=outcome.tokens or Tokens(),
        requests=outcome.requests or 0,
        usd=outcome.cost_usd or 0.0,
        ceiling_usd=outcome.ceiling_cost_usd or 0.0,
        cache_loss_usd=outcome.cache_loss_usd,
    )
