"""``stepdown status``: where things stand now. Reads the ledger and the preferences, imports little, answers at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from stepdown.budget import band
from stepdown.cli.arguments import TREE, directory
from stepdown.cli.gateways import Glance, glance
from stepdown.cli.screen import print_json, say
from stepdown.context import balances, standings
from stepdown.context import meters as meters_of
from stepdown.decision import Meter
from stepdown.ledger import Block, Ledger, Record, Spent, open_ledger
from stepdown.money import dollars
from stepdown.preferences import Preferences, load_preferences
from stepdown.savings import Savings
from stepdown.standing import Standing
from stepdown.units import Tier

_DAY = 24 * 3600.0
_SHOWN = 5


@click.command("status", short_help="Where things stand now.")
@click.argument("path", type=TREE, default=".")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(*, path: Path, json_: bool) -> None:
    """Show budgets, what is running, the last units and what was spent lately, for the project at PATH."""
    root = directory(path).resolve()
    root = root.parent if root.name == ".gsd" else root
    preferences = load_preferences(root)
    now = time.time()
    with open_ledger(create=False) as ledger:
        status = gather(ledger, preferences, str(root), now)
    status = msgspec.structs.replace(status, gateway=glance(root))
    if json_:
        print_json(status)
    else:
        say(*lines(status, now))


class Sum(msgspec.Struct, frozen=True):
    """What a span of time cost. With `unpriced` attempts `usd` is a lower bound."""

    usd: float
    provenance: str
    unpriced: int
    tokens: int
    attempts: int


class Fill(msgspec.Struct, frozen=True):
    """How full a budget is, the pressure band that follows from it, and what happens at 100 %."""

    name: str
    used: float
    detail: str
    provenance: str
    band: str
    enforcement: str


class Run(msgspec.Struct, frozen=True):
    """One attempt."""

    type: str
    id: str
    title: str
    tier: Tier | None
    model: str
    started: float
    failure: str | None
    cost_usd: float | None
    source: str

    def __str__(self) -> str:
        badge = f"{self.tier.badge} " if self.tier else ""
        return f"{badge}{self.type} {self.id} on {self.model}"


class Loss(msgspec.Struct, frozen=True):
    """A pattern over which routing lost money, so that its units keep their ceiling; US dollars, estimated."""

    pattern: str
    units: int
    lost_usd: float
    provenance: str
    tries_again_after: int
    reason: str


class Balance(msgspec.Struct, frozen=True):
    """What routing saved and lost over the newest units of one pattern; US dollars, estimated.

    Attributes:
        pattern: ``execute-task:docs``.
        units: units that ran below their ceiling.
        cheaper_usd: saved by cheaper models.
        failed_usd: lost to failed attempts.
        cache_usd: lost to caches written anew.
        net_usd: what is left.
        unknown: units that cannot be compared, since a cost is unknown.
    """

    pattern: str
    units: int
    cheaper_usd: float
    failed_usd: float
    cache_usd: float
    net_usd: float
    unknown: int
    provenance: str = "estimated"


class Status(msgspec.Struct, frozen=True):
    """Where things stand; ``stepdown status --json`` is this."""

    project: str
    routing: str
    pin: str | None
    meters: list[Fill]
    spent: dict[str, Sum]
    running: list[Run]
    last: list[Run]
    blocked: list[Block]
    stood_down: list[Loss]
    saved: list[Balance] = []
    gateway: Glance | None = None


def gather(ledger: Ledger, preferences: Preferences, project: str, now: float) -> Status:
    """Read it from the ledger."""
    records = ledger.records(project, limit=20)
    meters = meters_of(ledger, preferences, project, now)
    return Status(
        project=project,
        routing="on" if preferences.dynamic_routing.enabled else "off",
        pin=preferences.pin or None,
        meters=[_fill(meter, preferences) for meter in meters],
        spent={
            "day": _sum(ledger.spent(project, since=now - _DAY)),
            "week": _sum(ledger.spent(project, since=now - 7 * _DAY)),
            "all": _sum(ledger.spent(project)),
        },
        running=[_run(record) for record in records if record.outcome is None],
        last=[_run(record) for record in records if record.outcome is not None][:5],
        blocked=list(ledger.blocks(now)),
        stood_down=[_loss(standing) for standing in standings(ledger, preferences, project).values()],
        saved=_balances(ledger, preferences, project),
    )


def _fill(meter: Meter, preferences: Preferences) -> Fill:
    pressure = str(band(meter.used, preferences.policy))
    return Fill(meter.name, meter.used, meter.detail, meter.provenance, pressure, preferences.budget_enforcement)


def _sum(spent: Spent) -> Sum:
    provenance = "lower bound" if spent.unpriced else "measured"
    return Sum(spent.usd, provenance, spent.unpriced, spent.tokens, spent.attempts)


def _run(record: Record) -> Run:
    attempt, outcome = record.attempt, record.outcome
    return Run(
        type=attempt.unit_type,
        id=attempt.unit_id,
        title=attempt.title,
        tier=attempt.tier,
        model=attempt.model,
        started=attempt.started,
        failure=None if outcome is None else outcome.failure,
        cost_usd=None if outcome is None else outcome.cost_usd,
        source=record.source,
    )


def _balances(ledger: Ledger, preferences: Preferences, project: str) -> list[Balance]:
    """Per pattern, the one that saved most first."""
    found: list[Balance] = []
    for name, runs in balances(ledger, preferences, project).items():
        total = sum(runs, Savings())
        if total.downgraded or total.cache_usd:
            split = (total.cheaper_usd, total.failed_usd, total.cache_usd, total.net_usd)
            found.append(Balance(name, total.downgraded, *split, total.unknown))
    return sorted(found, key=lambda one: (-one.net_usd, one.pattern))


def _loss(standing: Standing) -> Loss:
    numbers = (standing.units, standing.lost_usd, "estimated", standing.tries_again_after)
    return Loss(standing.pattern, *numbers, standing.reason)


def lines(status: Status, now: float) -> Iterator[str]:
    """The status for a terminal."""
    yield f"{Path(status.project).name}: routing is {status.routing}" + (f", pinned to {status.pin}" if status.pin else "")
    ever = status.spent["all"]
    if not ever.attempts:
        yield "  nothing recorded yet: `stepdown report` reads a project's past, `stepdown run` makes new records"
    if status.gateway is not None:
        yield f"  gateway   {status.gateway}"
    for meter in status.meters:
        yield f"  budget    {meter.name}: {meter.detail} ({meter.used:.0%}; {meter.band}; at 100 %: {meter.enforcement})"
    spans = {"day": "24 h", "week": "7 days", "all": "in all"}
    sums = (f"{dollars(status.spent[key].usd)} {label} ({status.spent[key].attempts} attempts)" for key, label in spans.items())
    yield f"  spent     {', '.join(sums)}"
    if ever.unpriced:
        yield f"            and {ever.unpriced} attempts of unknown cost, which no sum includes"
    for run in status.running:
        yield f"  running   {run} since {_ago(now - run.started)}"
    for run in status.last:
        how = dollars(run.cost_usd) if run.failure is None else f"failed ({run.failure})"
        yield f"  last      {run}: {how}, {_ago(now - run.started)} ago"
    yield from map(_said, status.saved[:_SHOWN])
    for loss in status.stood_down:
        yield f"  stood down for {loss.pattern}, which keeps its ceiling: {loss.reason}"
    for block in status.blocked:
        yield f"  blocked   {block.model}: {block.reason}"


def _said(one: Balance) -> str:
    """What routing saved or cost on a pattern, and how that came about where something was lost."""
    lost = [f"{dollars(usd)} {to}" for usd, to in ((one.failed_usd, "failed attempts"), (one.cache_usd, "caches")) if usd]
    split = f" ({dollars(one.cheaper_usd)} by cheaper models, lost: {', '.join(lost)})" if lost else ""
    net = dollars(abs(one.net_usd), estimated=True)
    units = f"{one.units} unit{'' if one.units == 1 else 's'} below their ceiling"
    return f"  routing   {'saved' if one.net_usd >= 0 else 'cost'} {net} on {one.pattern}, {units}{split}"


def _ago(seconds: float) -> str:
    """How long, in the largest unit that says it."""
    for size, unit in ((_DAY, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
