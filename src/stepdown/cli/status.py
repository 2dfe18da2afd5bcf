"""``stepdown status``: where things stand now. Reads the ledger and the preferences, imports little, answers at once."""

import time
from pathlib import Path

import click
import msgspec

from stepdown.budget import band
from stepdown.cli.screen import print_json
from stepdown.cli.workspace import TREE, ledger_for_reading
from stepdown.context import meters
from stepdown.ledger import Ledger, Record, Spent
from stepdown.preferences import Preferences, load_preferences
from stepdown.report.money import dollars

_DAY = 24 * 3600.0


@click.command("status", short_help="Where things stand now.")
@click.argument("path", type=TREE, default=".")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(*, path: Path, json_: bool) -> None:
    """Show budgets, what is running, the last units and what was spent lately, for the project at PATH."""
    root = path.resolve().parent if path.name == ".gsd" else path.resolve()
    preferences = load_preferences(root)
    now = time.time()
    with ledger_for_reading() as ledger:
        status = gather(ledger, preferences, str(root), now)
    if json_:
        print_json(status)
    else:
        click.echo("\n".join(lines(status, now)))


def gather(ledger: Ledger, preferences: Preferences, project: str, now: float) -> dict[str, object]:
    """The status as data. Dollars are measured except where `unpriced` attempts make the sum a lower bound."""
    records = ledger.records(project, limit=20)
    return {
        "project": project,
        "routing": "on" if preferences.dynamic_routing.enabled else "off",
        "pin": preferences.pin or None,
        "meters": [
            {
                "name": meter.name,
                "used": meter.used,
                "detail": meter.detail,
                "provenance": meter.provenance,
                "band": str(band(meter.used, preferences.policy)),
                "enforcement": preferences.budget_enforcement,
            }
            for meter in meters(ledger, preferences, project, now)
        ],
        "spent": {
            "day": _spent(ledger.spent(project, since=now - _DAY)),
            "week": _spent(ledger.spent(project, since=now - 7 * _DAY)),
            "all": _spent(ledger.spent(project)),
        },
        "running": [_record(record) for record in records if record.outcome is None],
        "last": [_record(record) for record in records if record.outcome is not None][:5],
        "blocked": [msgspec.to_builtins(block) for block in ledger.blocks(now)],
    }


def _spent(spent: Spent) -> dict[str, object]:
    return {
        "usd": spent.usd,
        "provenance": "lower bound" if spent.unpriced else "measured",
        "unpriced": spent.unpriced,
        "tokens": spent.tokens,
        "attempts": spent.attempts,
    }


def _record(record: Record) -> dict[str, object]:
    attempt, outcome = record.attempt, record.outcome
    return {
        "type": attempt.unit_type,
        "id": attempt.unit_id,
        "title": attempt.title,
        "tier": None if attempt.tier is None else attempt.tier.value,
        "model": attempt.model,
        "started": attempt.started,
        "failure": None if outcome is None else outcome.failure,
        "cost_usd": None if outcome is None else outcome.cost_usd,
        "source": record.source,
    }


def lines(status: dict[str, object], now: float) -> list[str]:
    """The status for a terminal."""
    seen = msgspec.convert(status, _Seen)
    shown = [f"{Path(seen.project).name}: routing is {seen.routing}" + (f", pinned to {seen.pin}" if seen.pin else "")]
    if not seen.spent["all"].attempts:
        shown.append("  nothing recorded yet: `stepdown report` reads a project's past, `stepdown run` makes new records")
    for meter in seen.meters:
        shown.append(
            f"  budget    {meter.name}: {meter.detail} ({meter.used:.0%}; {meter.band}; at 100 %: {meter.enforcement})"
        )
    spans = {"day": "24 h", "week": "7 days", "all": "in all"}
    sums = [f"{dollars(seen.spent[key].usd)} {label} ({seen.spent[key].attempts} units)" for key, label in spans.items()]
    shown.append(f"  spent     {', '.join(sums)}")
    unpriced = seen.spent["all"].unpriced
    if unpriced:
        shown.append(f"            and {unpriced} units of unknown cost, which no sum includes")
    for record in seen.running:
        shown.append(f"  running   {record.line()} since {_ago(now - record.started)}")
    for record in seen.last:
        how = dollars(record.cost_usd) if record.failure is None else f"failed ({record.failure})"
        shown.append(f"  last      {record.line()}: {how}, {_ago(now - record.started)} ago")
    for block in seen.blocked:
        shown.append(f"  blocked   {block['model']}: {block['reason']}")
    return shown


def _ago(seconds: float) -> str:
    """How long, in the largest unit that says it."""
    for size, unit in ((_DAY, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


class _SeenSpent(msgspec.Struct):
    usd: float
    unpriced: int
    attempts: int


class _SeenMeter(msgspec.Struct):
    name: str
    used: float
    detail: str
    band: str
    enforcement: str


class _SeenRecord(msgspec.Struct):
    type: str
    id: str
    tier: str | None
    model: str
    started: float
    failure: str | None
    cost_usd: float | None

    def line(self) -> str:
        badge = f"[{self.tier[0].upper()}] " if self.tier else ""
        return f"{badge}{self.type} {self.id} on {self.model}"


class _Seen(msgspec.Struct):
    project: str
    routing: str
    pin: str | None
    meters: list[_SeenMeter]
    spent: dict[str, _SeenSpent]
    running: list[_SeenRecord]
    last: list[_SeenRecord]
    blocked: list[dict[str, object]]
