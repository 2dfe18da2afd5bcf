"""What routing saved: the money that was spent against what the ceiling would have cost. Always an estimate. Pure.

Routing is judged by *runs*. A run is what it took to get one piece of work done: a unit's attempts up to and including the one
that succeeded. The counterfactual is that same work done by the ceiling in one attempt.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import add, mul
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from stepdown.catalog import Model
    from stepdown.ledger.records import Account, Expectation, Record


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """What routing saved, in US dollars, split by cause; every amount an estimate.

    ``counterfactual_usd - spent_usd == net_usd == cheaper_usd - failed_usd - cache_usd``, all over the compared runs.

    Attributes:
        runs: runs that are compared: those that ended and whose costs are known.
        downgraded: runs in which routing chose less than the ceiling, compared or not.
        escalated: of those, the ones that stepped up after a quality failure.
        rescued: of those, the ones that succeeded then.
        unknown: runs that ended but cannot be compared, since a cost or the ceiling's price is unknown; never counted as zero.
        running: runs that have not ended; not compared.
        spent_usd: everything spent on the compared runs.
        counterfactual_usd: what the ceiling would have cost for them.
        cheaper_usd: saved by cheaper models: the counterfactual less the attempts that did the work. Negative where the
            cheaper model turned out dearer.
        failed_usd: lost to failed attempts.
        cache_usd: lost to cache: what was paid to write caches anew that the ceiling would have had.
    """

    runs: int = 0
    downgraded: int = 0
    escalated: int = 0
    rescued: int = 0
    unknown: int = 0
    running: int = 0
    spent_usd: float = 0.0
    counterfactual_usd: float = 0.0
    cheaper_usd: float = 0.0
    failed_usd: float = 0.0
    cache_usd: float = 0.0

    @property
    def net_usd(self) -> float:
        """What is left of the saving when all losses are taken off; negative where routing cost money."""
        return self.cheaper_usd - self.failed_usd - self.cache_usd

    def __add__(self, other: "Savings") -> "Savings":
        return Savings(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


def savings(
    records: "Iterable[Record]",
    *,
    learned: Mapping[tuple[str, str], float] | None = None,
) -> Savings:
    """What routing saved over these attempts.

    The counterfactual of a run is the lower of two: the tokens of the attempt that did the work at the ceiling's prices
    (`Outcome.ceiling_cost_usd`), and what the ceiling is known to need for such work. A cheap model that rambles therefore
    does not make the ceiling look dear. Runs need now more, now less, so they are capped together, at the known mean: a cap for
    each would take from the large ones and give nothing to the small. Failed attempts on the ceiling itself would have been
    made anyway: they stand on both sides, as do runs in which routing changed nothing. A downgraded run that never succeeded
    saved nothing: what its lower attempts cost is lost.

    What an attempt paid to write caches anew (`Outcome.cache_loss_usd`) stands on one side alone, also where it ran on the
    ceiling: without routing the ceiling would have had them.

    Args:
        records: attempts, in any order; of all the units they belong to, none may be left out.
        learned: per (unit type, provider-qualified ceiling), US dollars that such a unit costs on it by its learned tokens.
    """
    reckoning = Reckoning(learned)
    for run in runs(records):
        reckoning.add(run)
    return reckoning.total


class Reckoning:
    """What `savings` says, run by run: a ledger of any size is gone through once, and none of it is held."""

    def __init__(self, learned: Mapping[tuple[str, str], float] | None = None) -> None:
        self._learned = learned or {}
        self._sums = msgspec.structs.astuple(Savings())
        self._means = {key: _Mean() for key in self._learned}
        self._at_ceiling = dict.fromkeys(self._learned, 0.0)
        # What the cap takes off a run is known when all have been seen; until then the runs it will apply to are added up.
        self._uncapped = {key: partial(self._note, key) for key in self._learned}

    def add(self, run: "Sequence[Record]") -> None:
        """Count one of `runs`."""
        for record in run:
            _see(record, self._means)
        found = msgspec.structs.astuple(_of_run(run, self._uncapped))
        self._sums = tuple(map(add, self._sums, found))

    @property
    def total(self) -> Savings:
        """Of all runs so far."""
        over = sum(usd * (1.0 - self._means[key].share(self._learned[key])) for key, usd in self._at_ceiling.items())
        total = Savings(**dict(zip(Savings.__struct_fields__, self._sums, strict=True)))
        return msgspec.structs.replace(
            total, counterfactual_usd=total.counterfactual_usd - over, cheaper_usd=total.cheaper_usd - over
        )

    def _note(self, key: tuple[str, str], usd: float) -> float:
        self._at_ceiling[key] += usd
        return usd


def of_accounts(accounts: "Iterable[Account]", *, learned: Mapping[tuple[str, str], float] | None = None) -> Savings:
    """The same from sums (`Ledger.accounts`), which cost as little to read for a million attempts as for a hundred.

    Over units that have ended and whose costs are known it is what `savings` says. Here every attempt counts as soon as it has
    ended, and one of unknown cost is left out by itself, not with the rest of its run.

    Args:
        accounts: of every day, pattern, tier and ceiling that is meant.
        learned: as in `savings`.
    """
    caps, total = learned or {}, Savings()
    sums: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in accounts:
        sums[one.pattern.partition(":")[0], one.ceiling][0] += one.compared
        sums[one.pattern.partition(":")[0], one.ceiling][1] += one.ceiling_usd
        total += Savings(
            runs=one.attempts - one.unpriced,
            downgraded=one.moved,
            escalated=one.stepped_up,
            rescued=one.rescued,
            unknown=one.unknown,
            spent_usd=one.usd,
            counterfactual_usd=one.usd + one.ceiling_usd - one.compared_usd - one.failed_usd - one.cache_usd,
            cheaper_usd=one.ceiling_usd - one.compared_usd,
            failed_usd=one.failed_usd,
            cache_usd=one.cache_usd,
        )
    over = sum(max(0.0, usd - caps[key] * number) for key, (number, usd) in sums.items() if key in caps)
    return msgspec.structs.replace(
        total, counterfactual_usd=total.counterfactual_usd - over, cheaper_usd=total.cheaper_usd - over
    )


def learned_costs(
    expectations: "Mapping[tuple[str, str], Expectation]", price_of: "Callable[[str], Model | None]", minimum: int
) -> dict[tuple[str, str], float]:
    """What units cost on each model by the tokens they used on it: the argument `learned` of `savings`.

    Args:
        expectations: `Ledger.expectations`.
        price_of: the model of a provider-qualified name; None where it is unknown.
        minimum: units below which a mean says nothing (``policy.expectation_minimum``).
    """
    costs: dict[tuple[str, str], float] = {}
    for (unit_type, name), expectation in expectations.items():
        model = price_of(name) if expectation.units >= minimum else None
        cost = None if model is None else model.cost(expectation.tokens)
        if cost is not None:
            costs[unit_type, name] = cost
    return costs


def savings_by_run(
    records: "Iterable[Record]",
    *,
    learned: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, list[Savings]]:
    """The same per pattern and run, the newest run first: what standing down is decided by (`stepdown.standing`).

    A run is as old as its last attempt.
    """
    records = list(records)
    caps = _together(records, learned or {})
    each = sorted(runs(records), key=lambda run: (run[-1].attempt.started, run[-1].id), reverse=True)
    patterns: defaultdict[str, list[Savings]] = defaultdict(list)
    for run in each:
        patterns[run[0].attempt.pattern or run[0].attempt.unit_type].append(_of_run(run, caps))
    return dict(patterns)


def runs(records: "Iterable[Record]") -> "Iterator[Sequence[Record]]":
    """Attempts grouped into runs, each the oldest first.

    Several calls of ``stepdown run`` may have made the attempts of one run. A unit that is done again after it succeeded (a
    second UAT) starts a new one.
    """
    units: defaultdict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        units[record.attempt.project, record.attempt.unit_type, record.attempt.unit_id].append(record)
    for attempts in units.values():
        yield from runs_of_unit(sorted(attempts, key=lambda record: (record.attempt.started, record.id)))


def runs_of_unit(attempts: "Iterable[Record]") -> "Iterator[Sequence[Record]]":
    """The runs of one unit's attempts, which come the oldest first."""
    run: list[Record] = []
    for record in attempts:
        if run and succeeded(run):
            yield run
            run = []
        run.append(record)
    yield run


def stepped_up(run: "Sequence[Record]") -> bool:
    """Whether a quality failure in this run was answered by a stronger model."""
    return any(record.attempt.cause in _STEPS_UP for record in run)


def succeeded(run: "Sequence[Record]") -> bool:
    """Whether the run ended well."""
    last = run[-1].outcome
    return last is not None and last.failure is None


_Caps = Mapping[tuple[str, str], Callable[[float], float]]
"""Per (unit type, provider-qualified ceiling), what is left of a run's cost at the ceiling's prices."""

_STEPS_UP: Final = frozenset({"step up", "configured"})
"""Causes of an attempt that answers a quality failure (`Attempt.cause`)."""


def _of_run(run: "Sequence[Record]", capped: _Caps) -> Savings:
    # One loop for all sums: a bill goes through a million of these.
    spent = lost = failed = own = 0.0
    downgraded = unknown = False
    for record in run:
        below, outcome = record.attempt.downgraded, record.outcome
        if outcome is None:
            return Savings(running=1)
        downgraded |= below
        if outcome.cost_usd is None:
            unknown = True
            continue
        # Never more than it cost went into writing caches anew.
        loss = min(outcome.cost_usd, outcome.cache_loss_usd)
        spent += outcome.cost_usd
        lost += loss
        if not below:
            own += outcome.cost_usd - loss
        elif outcome.failure is not None:  # it brought nothing, and would not have been made without routing
            failed += outcome.cost_usd - loss
    escalated = downgraded and stepped_up(run)
    base = {"downgraded": int(downgraded), "escalated": int(escalated), "rescued": int(escalated and succeeded(run))}
    at_ceiling = None if unknown else _at_ceiling(run[-1], capped)
    if at_ceiling is None:
        return Savings(**base, unknown=1)
    cheaper = own + at_ceiling - (spent - lost - failed)
    return Savings(
        **base,
        runs=1,
        spent_usd=spent,
        counterfactual_usd=own + at_ceiling,
        cheaper_usd=cheaper if downgraded else 0.0,
        failed_usd=failed,
        cache_usd=lost,
    )


def _at_ceiling(last: "Record", capped: _Caps) -> float | None:
    """What the ceiling would have cost in the place of a run's last attempt; None where that cannot be known.

    Nothing, where that failed, or was the ceiling's own: what that cost is what it costs.
    """
    attempt, outcome = last.attempt, last.outcome
    if outcome is None or outcome.failure is not None or not attempt.downgraded:
        return 0.0
    if outcome.ceiling_cost_usd is None:
        return None
    cap = capped.get((attempt.unit_type, attempt.ceiling))
    return outcome.ceiling_cost_usd if cap is None else cap(outcome.ceiling_cost_usd)


class _Mean:
    """What runs of one type cost at the prices of one ceiling, on the average."""

    def __init__(self) -> None:
        self.runs = 0
        self.usd = 0.0

    def share(self, cap: float) -> float:
        """How much of it is left where the mean is brought down to `cap`."""
        return min(1.0, cap * self.runs / self.usd) if self.usd else 1.0


def _see(record: "Record", means: Mapping[tuple[str, str], _Mean]) -> None:
    """Add an attempt that did the work below a ceiling of which something is learned."""
    outcome, mean = record.outcome, means.get((record.attempt.unit_type, record.attempt.ceiling))
    if mean is None or outcome is None or outcome.failure is not None or not record.attempt.downgraded:
        return
    if outcome.ceiling_cost_usd and outcome.cost_usd is not None:
        mean.runs += 1
        mean.usd += outcome.ceiling_cost_usd


def _together(records: "Sequence[Record]", learned: Mapping[tuple[str, str], float]) -> _Caps:
    """Caps that bring the mean of these runs, at the ceiling's prices, down to the learned one where it is above that."""
    means = {key: _Mean() for key in learned}
    for record in records:
        _see(record, means)
    return {key: partial(mul, mean.share(learned[key])) for key, mean in means.items()}
