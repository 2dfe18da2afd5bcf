"""A ledger for replays: what `MemoryLedger` says, kept up to date as it is written instead of worked out when it is asked.

A replay asks after every attempt. Summing up all records each time is most of what it would do.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from heapq import merge
from itertools import islice

import msgspec

from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.records import Evidence, Expectation, Outcome, Record, Use
from stepdown.units import Tier, Tokens

_RECENT = 200
"""As many uses of a pattern as the ledger tells by default."""


class _Sum(msgspec.Struct):
    """What the successful attempts of a unit type on a model used."""

    tokens: Tokens = Tokens()
    requests: int = 0
    units: int = 0


class ReplayLedger(MemoryLedger):
    """The plain twin, quick to ask; for one project whose attempts follow each other, whose use is known,
    and without ratings.

    Args:
        window: how many events per pattern and tier are remembered: ``policy.evidence_window``.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self._window = window
        self._sums: defaultdict[tuple[str, str], _Sum] = defaultdict(_Sum)
        self._uses: defaultdict[str, deque[Use]] = defaultdict(lambda: deque(maxlen=_RECENT))
        self._events: defaultdict[str, defaultdict[Tier, deque[Evidence]]] = defaultdict(
            lambda: defaultdict(lambda: deque(maxlen=window))
        )

    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        """See `Ledger.settle`."""
        super().settle(attempt_id, outcome)
        if outcome.failure is not None or outcome.tokens is None or outcome.requests is None:
            return
        attempt = self._records[attempt_id].attempt
        total = self._sums[attempt.unit_type, attempt.model]
        total.tokens += outcome.tokens
        total.requests += outcome.requests
        total.units += 1
        use = Use(tokens=outcome.tokens, requests=outcome.requests, cost_usd=outcome.cost_usd)
        self._uses[attempt.pattern].appendleft(use)

    def records(self, project: str | None = None, *, limit: int | None = None) -> Sequence[Record]:
        """See `Ledger.records`. There is one project, and attempts begin one after the other."""
        del project
        return list(islice(reversed(self._records.values()), limit))

    def expectations(self) -> Mapping[tuple[str, str], Expectation]:
        """See `Ledger.expectations`."""
        return {
            key: Expectation(tokens=one.tokens.scaled(1 / one.units), requests=one.requests / one.units, units=one.units)
            for key, one in self._sums.items()
        }

    def recent_use(self, pattern: str, *, limit: int = _RECENT) -> Sequence[Use]:
        """See `Ledger.recent_use`."""
        return list(self._uses[pattern])[:limit]

    def add_evidence(self, events: Sequence[Evidence]) -> None:
        """See `Ledger.add_evidence`."""
        for event in events:
            self._events[event.pattern][event.tier].append(event)

    def evidence(
        self, *, limit: int = 50, rating_weight: float = 2.0, with_forgotten: bool = False
    ) -> Mapping[str, Sequence[Evidence]]:
        """See `Ledger.evidence`."""
        del rating_weight, with_forgotten
        assert limit == self._window
        return {name: list(merge(*tiers.values(), key=lambda event: event.at)) for name, tiers in self._events.items()}
