"""The bill: what was spent on what, how that is known, and what routing saved."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Account, Outcome
from stepdown.money import dollars
from stepdown.report.tally import AGENT, MODEL, PROJECT, TIER, TYPE, Name, Sum, Tally
from stepdown.savings import Savings
from stepdown.units import Tier, Tokens

MEASURED: Final = "measured"
ESTIMATED: Final = "estimated"
UNKNOWN: Final = "unknown"


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """Money and how it is known.

    Attributes:
        usd: US dollars of what is known; None where nothing is.
        provenance: ``measured`` (as agent or provider reported it), ``estimated`` (some of it is tokens times list price, or
            it is a counterfactual) or ``unknown``.
        unknown: how many attempts (of a counterfactual: runs) are not in `usd`, because their cost is unknown.
    """

    usd: float | None = 0.0
    provenance: str = MEASURED
    unknown: int = 0

    def __str__(self) -> str:
        return dollars(self.usd, estimated=self.provenance == ESTIMATED)


class SpendingLine(msgspec.Struct, frozen=True, kw_only=True):
    """Finished attempts that share a tier, a unit type, a model or a project.

    Attributes:
        key: what they share; ``unknown`` where the ledger does not know it.
        units: how many units they belong to. One that stepped up stands in the lines of two tiers.
        attempts: how many.
        failed: how many of them failed.
        unverified: how many successes nothing checked.
        downgraded: how many ran on less than the ceiling.
        tokens: of the attempts whose use is known.
        spent: what they cost.
    """

    key: str
    units: int
    attempts: int
    failed: int
    unverified: int
    downgraded: int
    tokens: Tokens
    spent: Amount


class SpendingDay(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent on one day.

    Attributes:
        day: in UTC, ``2026-03-16``, when the attempts started.
        attempts: finished ones.
        unknown: of them, those of unknown cost.
        tiers: US dollars of the others by tier; one that is not known is ``unknown``.
    """

    day: str
    attempts: int
    unknown: int
    tiers: dict[str, float]


class UnitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One unit, by all its attempts.

    Attributes:
        project: whose.
        type: its type.
        id: its id.
        title: its newest title.
        started: when its newest attempt started.
        attempts: how many there were.
        tier: that of the newest.
        model: likewise.
        ceiling: likewise; "" where there was none.
        downgraded: whether that ran on less than the ceiling.
        reason: why it ran there.
        ended: ``done``, ``unverified`` (done, and nothing checked it), ``running``, or the kind of its failure.
        tokens: of the attempts whose use is known.
        spent: what they cost.
    """

    project: str
    type: str
    id: str
    title: str
    started: float
    attempts: int
    tier: Tier | None
    model: str
    ceiling: str
    downgraded: bool
    reason: str
    ended: str
    tokens: Tokens
    spent: Amount


class SpendingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent, on what, and what routing saved. All times are seconds since the epoch.

    Attributes:
        project: whose; "" is all projects.
        first: when the first attempt started; None where there is none.
        last: when the last one started or ended.
        units: units that were attempted, running ones too.
        running: attempts that have not ended, or whose process died.
        reserved_usd: what is set aside for those.
        total: all finished attempts.
        failures: attempts that failed, by kind (SPEC 8), the most frequent first.
        stepped_up: how often a unit was given to a stronger model after a quality failure.
        rescued: how often that unit then succeeded.
        counterfactual: what the ceiling would have cost for the runs of `savings`.
        tiers: per tier, dearest first.
        types: per unit type, dearest first.
        models: per model, dearest first.
        agents: per agent, dearest first.
        projects: per project, dearest first; empty in the report of one project.
        days: what was spent when; days on which nothing was attempted are left out.
        newest: the units attempted last, the last one first.
        dearest: the units that cost most, the dearest first; those of unknown cost are not among them.
        sources: attempts per origin: ``run``, ``gsd``.
        savings: what routing saved, and why.
    """

    project: str
    first: float | None
    last: float | None
    units: int
    running: int
    reserved_usd: float
    total: SpendingLine
    failures: dict[str, int]
    stepped_up: int
    rescued: int
    counterfactual: Amount
    tiers: tuple[SpendingLine, ...]
    types: tuple[SpendingLine, ...]
    models: tuple[SpendingLine, ...]
    agents: tuple[SpendingLine, ...]
    projects: tuple[SpendingLine, ...]
    days: tuple[SpendingDay, ...]
    newest: tuple[UnitLine, ...]
    dearest: tuple[UnitLine, ...]
    sources: dict[str, int]
    savings: Savings

    def as_json(self) -> dict[str, Any]:
        """The report as JSON's own types; `Savings.net_usd` and its provenance are spelled out."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        document["savings"] |= {"net_usd": self.savings.net_usd, "provenance": ESTIMATED}
        return document


def spending_report(
    ledger: Ledger,
    project: str | None = None,
    *,
    since: float = 0.0,
    learned: Mapping[tuple[str, str], float] | None = None,
) -> SpendingReport:
    """The bill for one project, or for all.

    The ledger is gone through unit by unit, so that what this holds does not grow with it.

    Args:
        ledger: what to read.
        project: the plan's `PlanSource.project`; None is all.
        since: only attempts that started at or after this, in seconds since the epoch; of `SpendingReport.days`, whole days.
        learned: see `stepdown.savings.savings`.
    """
    tally = Tally(learned)
    for unit in ledger.every_unit(project):
        if meant := [record for record in unit if record.attempt.started >= since]:
            tally.add(meant)
    saved = tally.reckoning.total
    [total] = [_line("total", units, one) for _, units, one in tally.groups()] or [_line("total", 0, Sum())]
    return SpendingReport(
        project=project or "",
        first=tally.first,
        last=tally.last,
        units=tally.units,
        running=tally.running,
        reserved_usd=tally.reserved_usd,
        total=total,
        failures=dict(sorted(tally.failures.items(), key=lambda item: (-item[1], item[0]))),
        stepped_up=tally.stepped_up,
        rescued=tally.rescued,
        counterfactual=Amount(
            usd=saved.counterfactual_usd if saved.runs or not saved.unknown else None,
            provenance=ESTIMATED if saved.runs or not saved.unknown else UNKNOWN,
            unknown=saved.unknown,
        ),
        tiers=_lines(tally, TIER),
        types=_lines(tally, TYPE),
        models=_lines(tally, MODEL),
        agents=_lines(tally, AGENT),
        projects=_lines(tally, PROJECT) if project is None else (),
        days=tuple(_days(ledger, project, since)),
        newest=tuple(_unit(ledger, name) for name in tally.newest()),
        dearest=tuple(_unit(ledger, name) for name in tally.dearest()),
        sources=dict(sorted(tally.sources.items())),
        savings=saved,
    )


def together(lines: Sequence[SpendingLine]) -> SpendingLine:
    """Several lines as one."""
    known = [line.spent.usd for line in lines if line.spent.usd is not None]
    sources = {line.spent.provenance for line in lines if line.spent.usd is not None}
    return SpendingLine(
        key="",
        units=sum(line.units for line in lines),
        attempts=sum(line.attempts for line in lines),
        failed=sum(line.failed for line in lines),
        unverified=sum(line.unverified for line in lines),
        downgraded=sum(line.downgraded for line in lines),
        tokens=sum((line.tokens for line in lines), Tokens()),
        spent=Amount(
            usd=sum(known) if known else None,
            provenance=UNKNOWN if not known else ESTIMATED if ESTIMATED in sources else MEASURED,
            unknown=sum(line.spent.unknown for line in lines),
        ),
    )


def _line(key: str, units: int, one: Sum) -> SpendingLine:
    return SpendingLine(
        key=key or UNKNOWN,
        units=units,
        attempts=one.attempts,
        failed=one.failed,
        unverified=one.unverified,
        downgraded=one.downgraded,
        tokens=one.used,
        spent=_spent(one),
    )


def _spent(one: Sum) -> Amount:
    unknown = one.attempts - one.priced
    if unknown and not one.priced:
        return Amount(usd=None, provenance=UNKNOWN, unknown=unknown)
    return Amount(usd=one.usd, provenance=MEASURED if one.reported == one.priced else ESTIMATED, unknown=unknown)


def _lines(tally: Tally, which: int) -> tuple[SpendingLine, ...]:
    lines = [_line(key, units, one) for key, units, one in tally.groups(which)]
    return tuple(sorted(lines, key=lambda line: (-(line.spent.usd or 0.0), -line.tokens.total, line.key)))


def _days(ledger: Ledger, project: str | None, since: float) -> Iterator[SpendingDay]:
    days: defaultdict[str, list[Account]] = defaultdict(list)
    for account in ledger.accounts(project, since=since, daily=True):
        days[account.day].append(account)
    for day, accounts in sorted(days.items()):
        tiers: defaultdict[str, float] = defaultdict(float)
        for account in accounts:
            tiers[str(account.tier or UNKNOWN)] += account.usd
        attempts, unknown = (sum(numbers) for numbers in zip(*((one.attempts, one.unpriced) for one in accounts), strict=True))
        yield SpendingDay(day=day, attempts=attempts, unknown=unknown, tiers=dict(tiers))


def _unit(ledger: Ledger, name: Name) -> UnitLine:
    project, unit_type, unit_id = name
    attempts = [record for record in ledger.of_unit(project, unit_id) if record.attempt.unit_type == unit_type]
    spent = Sum()
    for record in attempts:
        if record.outcome is not None:
            spent.add(record, record.outcome)
    last = attempts[-1].attempt
    return UnitLine(
        project=project,
        type=unit_type,
        id=unit_id,
        title=last.title,
        started=last.started,
        attempts=len(attempts),
        tier=last.tier,
        model=last.model,
        ceiling=last.ceiling,
        downgraded=last.downgraded,
        reason=last.reason,
        ended=_ended(attempts[-1].outcome),
        tokens=spent.used,
        spent=_spent(spent) if spent.attempts else Amount(usd=None, provenance=UNKNOWN),
    )


def _ended(outcome: Outcome | None) -> str:
    if outcome is None:
        return "running"
    return outcome.failure or ("unverified" if outcome.verified is None else "done")
