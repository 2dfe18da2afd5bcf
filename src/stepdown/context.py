"""From the world to the pure core: ledger, preferences and clock make a `Context`. The only bridge between them."""

from collections.abc import Iterable, Mapping, Sequence

from stepdown.budget import Pace, pace, window_start
from stepdown.catalog import Catalog
from stepdown.decision import Context, Meter
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Cap, PlanMeter
from stepdown.money import dollars
from stepdown.preferences.schema import Budget, Preferences
from stepdown.savings import Savings, learned_costs, savings_by_run
from stepdown.standing import Standing
from stepdown.standing import stood_down as losing

_PACED = 500
"""Attempts that pacing looks back over; older ones have long faded from its average."""

_LENGTH = {"day": 24 * 3600.0, "week": 7 * 24 * 3600.0}
"""Windows that end, in seconds. Five hours roll, a month is as long as it is, a project goes on."""


def build_context(
    ledger: Ledger,
    preferences: Preferences,
    *,
    project: str,
    now: float,
    catalog: Catalog | None = None,
    unit_type: str = "",
    providers: frozenset[str] | None = None,
    agent_model: str = "",
) -> Context:
    """What routing is told.

    Args:
        ledger: what happened so far.
        preferences: what the user wants; the budgets and thresholds of it.
        project: `PlanSource.project`: whose spending counts towards a budget per project.
        now: seconds since the epoch.
        catalog: the models that routing knows; if not given, it is read where prices are needed.
        unit_type: the type of the unit that is to be decided, which saves judging the patterns of others; "" is any.
        providers: what the agent that will do the work can reach (`Agent.providers`).
        agent_model: the model the agent itself is configured with.
    """
    stood_down = standings(ledger, preferences, project, catalog=catalog, unit_type=unit_type)
    evidence = ledger.evidence(limit=preferences.policy.evidence_window, rating_weight=preferences.policy.rating_weight)
    paced = preferences.dynamic_routing.pressure == "pacing"
    return Context(
        now=now,
        meters=tuple(meters(ledger, preferences, project, now)),
        evidence={name: tuple(events) for name, events in evidence.items()},
        expectations=ledger.expectations(),
        blocked={block.model: block.reason for block in ledger.blocks(now)},
        providers=providers,
        agent_model=agent_model,
        stood_down={name: standing.reason for name, standing in stood_down.items()},
        pace=_price_of_pace(ledger, preferences, project, now) if paced else 0.0,
    )


def standings(
    ledger: Ledger, preferences: Preferences, project: str, *, catalog: Catalog | None = None, unit_type: str = ""
) -> Mapping[str, Standing]:
    """The patterns over which routing has been losing the project's money, so that it stands down for them.

    Other projects have no say: their work differs under the same pattern, and a project that stands down could not find out by
    itself that routing pays again. A new one loses little until it has units enough to judge by, since what failing costs is
    expected from the evidence of all projects.

    Args:
        ledger: what happened so far.
        preferences: for the thresholds, and the catalogue where that is not given.
        project: `PlanSource.project`.
        catalog: as in `build_context`.
        unit_type: likewise.
    """
    policy = preferences.policy
    return losing(
        balances(ledger, preferences, project, catalog=catalog, least=policy.stand_down_minimum, unit_type=unit_type), policy
    )


def balances(
    ledger: Ledger,
    preferences: Preferences,
    project: str,
    *,
    catalog: Catalog | None = None,
    least: int = 1,
    unit_type: str = "",
) -> Mapping[str, Sequence[Savings]]:
    """What routing saved and lost in a project, per pattern and run, the newest run first.

    Of each pattern ``policy.stand_down_window`` units are looked at: what standing down is judged by.

    Args:
        ledger: what happened so far.
        preferences: for the thresholds, and the catalogue where that is not given.
        project: `PlanSource.project`.
        catalog: as in `build_context`.
        least: with fewer attempts below their ceiling than this, nothing is said.
        unit_type: as in `build_context`.
    """
    policy = preferences.policy
    # A unit that lies across the window's edge lacks its first attempts, which failed: it looks better than it was.
    records = ledger.newest_of_patterns(project, unit_type=unit_type, units=policy.stand_down_window)
    if sum(record.attempt.downgraded for record in records) < least:
        return {}
    known = Catalog.load(preferences.catalog) if catalog is None else catalog
    learned = learned_costs(ledger.expectations(), known.resolve, policy.expectation_minimum)
    return savings_by_run(records, learned=learned)


def _price_of_pace(ledger: Ledger, preferences: Preferences, project: str, now: float) -> float:
    """Pacing's λ: the controller over the attempts of the first dollar budget whose window ends."""
    budget = next((one for one in preferences.budgets if one.unit == "usd" and one.window in _LENGTH), None)
    if budget is None:
        return 0.0
    start, length = window_start(budget.window, now), _LENGTH[budget.window]
    state, spent, then = Pace(), 0.0, start
    for record in reversed(ledger.records(project, limit=_PACED)):
        if record.attempt.started < start or record.outcome is None:
            continue
        cost, ended = record.outcome.cost_usd or 0.0, record.outcome.finished
        remains = start + length - then
        state = pace(
            state, spent=cost, took=ended - then, left=budget.limit - spent, remains=remains, policy=preferences.policy
        )
        spent, then = spent + cost, max(then, ended)
    return state.price


def meters(ledger: Ledger, preferences: Preferences, project: str, now: float) -> Iterable[Meter]:
    """The budgets, as far as each is used."""
    hard = preferences.budget_enforcement != "warn"
    if preferences.budget_ceiling is not None:
        ceiling = Budget(unit="usd", limit=preferences.budget_ceiling, window="project")
        yield _meter("budget_ceiling", ceiling, ledger, project, now, hard=hard)
    for number, budget in enumerate(preferences.budgets):
        if budget.unit == "plan":
            yield from _plan(budget, ledger.plan_meters(), now, hard=hard)
        else:
            yield _meter(f"budgets[{number}]", budget, ledger, project, now, hard=hard)


def caps(preferences: Preferences, now: float) -> tuple[Cap, ...]:
    """The hard budgets in dollars, as a reservation has to fit into them."""
    if preferences.budget_enforcement == "warn":
        return ()
    budgets = [(f"budgets[{number}]", budget) for number, budget in enumerate(preferences.budgets) if budget.unit == "usd"]
    if preferences.budget_ceiling is not None:
        budgets.insert(0, ("budget_ceiling", Budget(unit="usd", limit=preferences.budget_ceiling, window="project")))
    return tuple(Cap(name=name, limit=budget.limit, since=window_start(budget.window, now)) for name, budget in budgets)


def _meter(name: str, budget: Budget, ledger: Ledger, project: str, now: float, *, hard: bool) -> Meter:
    """A budget in dollars, tokens or requests: what the project's attempts used since its window began."""
    start = window_start(budget.window, now)
    spent = ledger.spent(project, since=start)
    amount = {"usd": spent.usd, "tokens": float(spent.tokens), "requests": float(spent.requests)}[budget.unit]
    shown = (
        f"{dollars(amount)} of {dollars(budget.limit)}"
        if budget.unit == "usd"
        else f"{amount:,.0f} of {budget.limit:,.0f} {budget.unit}"
    )
    unpriced = budget.unit == "usd" and spent.unpriced
    length = _LENGTH.get(budget.window)
    return Meter(
        name=name,
        used=amount / budget.limit if budget.limit > 0 else 1.0,
        hard=hard,
        detail=shown + (f", and {spent.unpriced} attempts of unknown cost" if unpriced else ""),
        provenance="estimated" if unpriced else "measured",
        remaining=max(0.0, budget.limit - amount) if budget.unit == "usd" else None,
        seconds_left=None if length is None else max(0.0, start + length - now),
    )


def _plan(budget: Budget, meters: Iterable[PlanMeter], now: float, *, hard: bool) -> Iterable[Meter]:
    """A subscription's own meter, as it last reported it; one whose window has begun anew since says nothing."""
    for meter in meters:
        if meter.window != budget.window or (meter.resets is not None and meter.resets <= now):
            continue
        yield Meter(
            name=f"{meter.window} plan ({meter.provider})",
            used=meter.used / budget.limit if budget.limit > 0 else 1.0,
            hard=hard,
            detail=f"{meter.used:.0%} of the {meter.window} window",
            seconds_left=None if meter.resets is None else meter.resets - now,
        )
