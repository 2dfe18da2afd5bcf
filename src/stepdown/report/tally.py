"""Adding up a ledger unit by unit: it is gone through once, and only sums of it are held. Pure."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final

from stepdown.ledger.records import Outcome, Record
from stepdown.savings import Reckoning, runs_of_unit, stepped_up, succeeded
from stepdown.units import Tokens

Key = tuple[str, str, str, str, str]
"""Project, unit type, tier, model and agent: every group of a bill is some of these added up."""
PROJECT, TYPE, TIER, MODEL, AGENT = range(5)
"""Where each stands in a `Key`."""

_SHOWN: Final = 12
"""Units that are named: the newest, and the dearest."""

Name = tuple[str, str, str]
"""Project, type and id of a unit."""


class Sum:
    """Finished attempts of one kind, added up.

    Attributes:
        key: what they have in common.
        attempts: how many.
        failed: of them, those that failed.
        unverified: of them, successes that nothing checked.
        downgraded: of them, those that ran on less than the ceiling.
        priced: of them, those of known cost.
        reported: of those, the ones whose cost agent or provider said.
        usd: US dollars of those of known cost.
        tokens: input, output, cache read and cache write.
    """

    __slots__ = ("attempts", "downgraded", "failed", "key", "priced", "reported", "tokens", "unverified", "usd")

    def __init__(self, key: Key = ("", "", "", "", "")) -> None:
        self.key = key
        self.attempts = self.failed = self.unverified = self.downgraded = self.priced = self.reported = 0
        self.usd = 0.0
        self.tokens = [0, 0, 0, 0]

    def add(self, record: Record, outcome: Outcome) -> None:
        """Count one attempt."""
        self.attempts += 1
        if outcome.failure is not None:
            self.failed += 1
        elif outcome.verified is None:
            self.unverified += 1
        self.downgraded += record.attempt.downgraded
        if outcome.cost_usd is not None:
            self.priced += 1
            self.reported += outcome.cost_source == "reported"
            self.usd += outcome.cost_usd
        used = outcome.tokens
        if used is not None:
            sums = self.tokens
            sums[0] += used.input
            sums[1] += used.output
            sums[2] += used.cache_read
            sums[3] += used.cache_write

    def merge(self, other: "Sum") -> None:
        """Count all that another one has counted."""
        for name in self.__slots__:
            if name not in {"key", "tokens"}:
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tokens = [one + more for one, more in zip(self.tokens, other.tokens, strict=True)]

    @property
    def used(self) -> Tokens:
        """The tokens by kind."""
        read, written, cache_read, cache_write = self.tokens
        return Tokens(input=read, output=written, cache_read=cache_read, cache_write=cache_write)


class Tally:
    """What a bill says, added up one unit after the other.

    Attributes:
        first: when the first attempt started; None where there is none.
        last: when the last one started or ended.
        units: units that were attempted, running ones too.
        running: attempts that have not ended.
        reserved_usd: what is set aside for those.
        failures: attempts that failed, by kind.
        stepped_up: runs that a stronger model took over after a quality failure.
        rescued: of those, the ones that then succeeded.
        sources: attempts by origin.
        reckoning: what routing saved.
    """

    def __init__(self, learned: Mapping[tuple[str, str], float] | None = None) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.units = self.running = self.stepped_up = self.rescued = 0
        self.reserved_usd = 0.0
        self.failures: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.reckoning = Reckoning(learned)
        self._sums: dict[Key, Sum] = {}
        self._parts: defaultdict[frozenset[Sum], int] = defaultdict(int)
        self._newest: list[tuple[float, Name]] = []
        self._dearest: list[tuple[float, Name]] = []

    def add(self, unit: Sequence[Record]) -> None:
        """Count a unit with all its attempts, the oldest first."""
        self.units += 1
        parts, spent = set(), 0.0
        for record in unit:
            attempt, outcome = record.attempt, record.outcome
            self.sources[record.source] += 1
            self._spans(attempt.started, attempt.started if outcome is None else outcome.finished)
            if outcome is None:
                self.running += 1
                self.reserved_usd += attempt.reserved_usd
                continue
            tier = "" if attempt.tier is None else attempt.tier.value
            key = (attempt.project, attempt.unit_type, tier, attempt.model, attempt.agent)
            part = self._sums.get(key)
            if part is None:
                part = self._sums[key] = Sum(key)
            part.add(record, outcome)
            parts.add(part)
            spent += outcome.cost_usd or 0.0
            if outcome.failure is not None:
                self.failures[outcome.failure] += 1
        self._parts[frozenset(parts)] += 1
        for run in runs_of_unit(unit):
            self.reckoning.add(run)
            if stepped_up(run):
                self.stepped_up += 1
                self.rescued += succeeded(run)
        last = unit[-1].attempt
        name = (last.project, last.unit_type, last.unit_id)
        _keep(self._newest, last.started, name)
        if spent:
            _keep(self._dearest, spent, name)

    def groups(self, which: int | None = None) -> Iterator[tuple[str, int, Sum]]:
        """Per value of one part of a `Key`, how many units had it and their attempts with it; without a part, all as ""."""
        of: Callable[[Key], str] = (lambda _: "") if which is None else itemgetter(which)
        sums: defaultdict[str, Sum] = defaultdict(Sum)
        for part in self._sums.values():
            sums[of(part.key)].merge(part)
        units: Counter[str] = Counter()
        for parts, count in self._parts.items():
            for value in {of(part.key) for part in parts}:
                units[value] += count
        return ((value, units[value], one) for value, one in sums.items())

    def newest(self) -> list[Name]:
        """The units attempted last, the last one first."""
        return [name for _, name in sorted(self._newest, reverse=True)]

    def dearest(self) -> list[Name]:
        """The units of known cost that cost most, the dearest first."""
        return [name for _, name in sorted(self._dearest, reverse=True)]

    def _spans(self, start: float, end: float) -> None:
        if self.first is None or start < self.first:
            self.first = start
        if self.last is None or end > self.last:
            self.last = end


def _keep(best: list[tuple[float, Name]], amount: float, name: Name) -> None:
    if len(best) < _SHOWN:
        heapq.heappush(best, (amount, name))
    elif amount > best[0][0]:
        heapq.heapreplace(best, (amount, name))
