"""What the page shows of the ledger. Every question asked here takes as long for a million units as for a hundred."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepdown.budget import Band, band
from stepdown.catalog import Catalog
from stepdown.context import build_context
from stepdown.decision import Context
from stepdown.ledger import Account, Attempt, Ledger, Record
from stepdown.ledger.rules import SECONDS_PER_DAY, clean
from stepdown.ledger.units import place
from stepdown.preferences.schema import Preferences
from stepdown.recorded import is_finished, is_open
from stepdown.report import charts
from stepdown.report.learned import Learned, follows, gather
from stepdown.routing import Router
from stepdown.savings import Savings, learned_costs, of_accounts, savings
from stepdown.units import Tokens

PAGE: Final = 20
"""Units shown at once."""
DAYS: Final = 30
"""Days of the chart."""
TONES: Final = ("light", "standard", "heavy", "unknown")
SPANS: Final = {"today": 1, "last 7 days": 7, "in all": 0}
"""What sums are shown of, in days of UTC that end today; 0 is all of them."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A unit in a list.

    Attributes:
        attempts: its newest, the oldest first.
        rated: the word that holds; "" is none.
        spent_usd: US dollars of those attempts; None where one is unknown.
        tokens: of those attempts, as far as they are known.
        cached: of the tokens, those read from a cache.
        saved_usd: what the ceiling would have cost, less what was spent; None where routing chose nothing less, or a cost is
            unknown.
    """

    attempts: Sequence[Record]
    rated: str
    spent_usd: float | None
    tokens: int
    cached: int
    saved_usd: float | None

    @property
    def last(self) -> Record:
        """Its newest attempt."""
        return self.attempts[-1]

    @property
    def attempt(self) -> Attempt:
        """Likewise."""
        return self.last.attempt

    @property
    def name(self) -> str:
        """Type and id."""
        return f"{self.attempt.unit_type} {self.attempt.unit_id}".rstrip()

    @property
    def can_be_rated(self) -> bool:
        """Whether there is something to judge; a unit in the gateway is over when its user judges it."""
        return self.attempt.tier is not None and (is_finished(self.last) or is_open(self.last))

    @property
    def ended(self) -> str:
        """``running``, ``open`` (more requests of it may come), ``verified``, ``unverified``, ``failed``."""
        outcome = self.last.outcome
        if outcome is None:
            return "open" if is_open(self.last) else "running"
        return "failed" if outcome.failure is not None else "verified" if outcome.verified else "unverified"


class Units(msgspec.Struct, frozen=True, kw_only=True):
    """Units, the newest first.

    Attributes:
        rows: of them.
        before: of which the next ones are asked for; "" where there are no more.
        starts: how their ids have to start.
        failed: whether only those that failed are meant.
    """

    rows: Sequence[Row]
    before: str = ""
    starts: str = ""
    failed: bool = False


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What finished attempts of some days cost.

    Attributes:
        span: which days: a key of `SPANS`.
        attempts: how many.
        usd: US dollars of those whose cost is known.
        unpriced: how many others there are.
        tokens: of all kinds.
        cached: of them, those read from a cache.
        saved: what routing saved.
    """

    span: str
    attempts: int
    usd: float
    unpriced: int
    tokens: int
    cached: int
    saved: Savings


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, or a window of a plan.

    Attributes:
        name: of it.
        used: the fraction used; may be above 1.
        detail: in words: ``$12.40 of $25.00``.
        band: what the pressure does (`Band`); "" where it is no budget of the user's.
        alerts: the fractions that are announced.
        hard: whether it refuses work once it is full.
        resets: seconds until it starts anew; None is unknown, or never.
    """

    name: str
    used: float
    detail: str
    band: str
    alerts: Sequence[float]
    hard: bool
    resets: float | None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that changes more slowly than units do.

    Attributes:
        project: whose.
        projects: all there are, the one worked on last first.
        sums: of today, of a week, of all.
        chart: what the last days cost, by tier.
        days: those days: name, US dollars by tier, attempts.
        tones: the tiers that occur in the chart.
        meters: budgets, and plans.
        learned: what was learned.
        follows: what follows from that, line by line.
        blocked: models that a provider will not serve, and why.
        blocked_until: seconds since the epoch, per model.
    """

    project: str
    projects: Sequence[str]
    sums: Sequence[Sum]
    chart: charts.Columns
    days: Sequence[tuple[str, Mapping[str, float], int]]
    tones: Sequence[str]
    meters: Sequence[Meter]
    learned: Learned
    follows: Sequence[str]
    blocked: Mapping[str, str]
    blocked_until: Mapping[str, float]


def read_units(ledger: Ledger, project: str, *, before: str = "", starts: str = "", failed: bool = False) -> Units:
    """A page of units.

    Args:
        ledger: where.
        project: whose.
        before: `Units.before` of the page that comes before it; what is none of ours begins at the newest.
        starts: how their ids have to start.
        failed: whether only those that failed are meant.
    """
    found = ledger.units(project, limit=PAGE + 1, before=_place(before), id_starts=starts, failed=failed)
    shown = found[:PAGE]
    rows = [_row(ledger, project, unit) for unit in shown]
    more = len(found) > len(shown) and not starts
    at, number = place(shown[-1], failed=failed) if more else (0.0, 0)
    return Units(rows=rows, before=f"{at!r}-{number}" if more else "", starts=starts, failed=failed)


def read_state(
    ledger: Ledger, preferences: Preferences, catalog: Catalog, project: str, now: float, context: Context | None
) -> State:
    """The rest.

    Args:
        ledger: where.
        preferences: those in force.
        catalog: the models there are.
        project: whose.
        now: seconds since the epoch.
        context: what routing is told, where that is known already.
    """
    if context is None:
        context = build_context(ledger, preferences, project=project, now=now, catalog=catalog)
    router = Router(preferences, catalog)
    costs = learned_costs(context.expectations, catalog.resolve, preferences.policy.expectation_minimum)
    learned = gather(router, context, (), due=False)
    days = _days(ledger, project, now)
    tones = [tone for tone in TONES if any(usd.get(tone) for _, usd, _ in days)]
    return State(
        project=clean(project),
        projects=list(dict.fromkeys([clean(project), *ledger.projects()])),
        sums=[_sum(span, ledger.accounts(project, since=_since(count, now)), costs) for span, count in SPANS.items()],
        chart=charts.stacked([usd for _, usd, _ in days], TONES, [_day(name) for name, _, _ in days]),
        days=days,
        tones=tones,
        meters=[*_budgets(context, preferences), *_plans(ledger, context, now)],
        learned=learned,
        follows=list(follows(learned, preferences.policy)) if learned.evidence else [],
        blocked=context.blocked,
        blocked_until={block.model: block.until for block in ledger.blocks(now)},
    )


def _row(ledger: Ledger, project: str, attempts: Sequence[Record]) -> Row:
    last = attempts[-1].attempt
    rating = ledger.rating(project, last.unit_type, last.unit_id)
    costs = [record.so_far.cost_usd if record.outcome is None else record.outcome.cost_usd for record in attempts]
    used = [record.so_far.tokens if record.outcome is None else record.outcome.tokens or Tokens() for record in attempts]
    saved = savings(attempts)
    compared = saved.runs and saved.downgraded and not saved.unknown
    return Row(
        attempts=attempts,
        rated="" if rating is None else rating.word,
        spent_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        tokens=sum(tokens.total for tokens in used),
        cached=sum(tokens.cache_read for tokens in used),
        saved_usd=saved.net_usd if compared else None,
    )


def _place(text: str) -> tuple[float, int] | None:
    at, _, number = text.rpartition("-")
    try:
        found = float(at), int(number)
    except ValueError:
        return None
    return found if math.isfinite(found[0]) and 0 <= found[1] < 2**63 else None


def _since(days: int, now: float) -> float:
    return now - (days - 1) * SECONDS_PER_DAY if days else 0.0


def _sum(span: str, accounts: Sequence[Account], costs: Mapping[tuple[str, str], float]) -> Sum:
    return Sum(
        span=span,
        attempts=sum(one.attempts for one in accounts),
        usd=sum(one.usd for one in accounts),
        unpriced=sum(one.unpriced for one in accounts),
        tokens=sum(one.tokens for one in accounts),
        cached=sum(one.cached for one in accounts),
        saved=of_accounts(accounts, learned=costs),
    )


def _days(ledger: Ledger, project: str, now: float) -> list[tuple[str, dict[str, float], int]]:
    """The last `DAYS` days, those without anything included."""
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    usd: dict[str, dict[str, float]] = {}
    attempts: dict[str, int] = {}
    for one in ledger.accounts(project, since=now - (DAYS - 1) * SECONDS_PER_DAY, daily=True):
        usd.setdefault(one.day, {})[str(one.tier or "unknown")] = one.usd
        attempts[one.day] = attempts.get(one.day, 0) + one.attempts
    names = [(today - dt.timedelta(days=back)).isoformat() for back in reversed(range(DAYS))]
    return [(name, usd.get(name, {}), attempts.get(name, 0)) for name in names]


def _day(name: str) -> str:
    day = dt.date.fromisoformat(name)
    return f"{day.day} {day:%b}"


def _budgets(context: Context, preferences: Preferences) -> list[Meter]:
    policy = preferences.policy
    return [
        Meter(
            name=meter.name,
            used=meter.used,
            detail=meter.detail,
            band=str(band(meter.used, policy)) if preferences.dynamic_routing.budget_pressure else str(Band.NONE),
            alerts=policy.alerts,
            hard=meter.hard,
            resets=meter.seconds_left,
        )
        for meter in context.meters
    ]


def _plans(ledger: Ledger, context: Context, now: float) -> list[Meter]:
    """What subscriptions say of themselves, unless it is shown as a budget already."""
    shown = {meter.name for meter in context.meters}
    return [
        Meter(
            name=f"{meter.window} plan ({meter.provider})",
            used=meter.used,
            detail=f"{meter.used:.0%} of the {meter.window} window",
            band="",
            alerts=(),
            hard=False,
            resets=None if meter.resets is None else meter.resets - now,
        )
        for meter in ledger.plan_meters()
        if (meter.resets is None or meter.resets > now) and f"{meter.window} plan ({meter.provider})" not in shown
    ]
