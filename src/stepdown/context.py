"""From the world to the pure core: ledger, preferences and clock make a `Context`. The only bridge between them."""

from collections.abc import Iterable, Mapping, Sequence

from stepdown.budget import Pace, pace, used_up, window_start
from stepdown.catalog import Catalog, Model
from stepdown.decision import Context, Meter
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Cap, Person, PlanMeter
from stepdown.ledger.rules import measured
from stepdown.limits import Limit, Resolve, limits
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
    policy, paced = preferences.policy, preferences.dynamic_routing.pressure == "pacing"
    with ledger.one_state():
        stood_down = standings(ledger, preferences, project, catalog=catalog, unit_type=unit_type)
        evidence = ledger.evidence(limit=policy.evidence_window, rating_weight=policy.rating_weight)
        filled = tuple(meters(ledger, preferences, project, now, catalog=catalog))
        return Context(
            now=now,
            meters=filled,
            evidence={name: tuple(events) for name, events in evidence.items()},
            expectations=ledger.expectations(),
            blocked={block.model: block.reason for block in ledger.blocks(now)} | used_up(filled),
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
    budget = next((one for one in preferences.budgets if _is_paced(one)), None)
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


def _is_paced(budget: Budget) -> bool:
    """Whether it is one in dollars of a project's whole work, whose window ends."""
    return budget.unit == "usd" and budget.window in _LENGTH and budget.per == "project" and not budget.model


def meters(
    ledger: Ledger,
    preferences: Preferences,
    project: str,
    now: float,
    *,
    person: Person | None = None,
    catalog: Catalog | None = None,
) -> Iterable[Meter]:
    """The budgets, as far as each is used: a project's, the team's, the models', and where a person is given, theirs."""
    for limit in limits(preferences, project, person, _resolver(preferences, catalog)):
        if person is not None or limit.scope.person is None:
            yield meter_of(limit, ledger, now)
    hard = preferences.budget_enforcement != "warn"
    for budget in preferences.budgets:
        if budget.unit == "plan":
            yield from _plan(budget, ledger.plan_meters(), now, hard=hard)


def caps(
    preferences: Preferences, project: str, now: float, *, model: str = "", catalog: Catalog | None = None
) -> tuple[Cap, ...]:
    """The hard budgets in dollars that a project's work on a model is under, as a reservation has to fit into them."""
    found = limits(preferences, project, None, _resolver(preferences, catalog))
    return tuple(
        limit.cap(now) for limit in found if limit.hard and limit.measure == "usd" and limit.scope.model in {None, model}
    )


def _resolver(preferences: Preferences, catalog: Catalog | None) -> Resolve:
    def resolve(name: str) -> Model | None:
        return (Catalog.load(preferences.catalog) if catalog is None else catalog).resolve(name)

    return resolve


def meter_of(limit: Limit, ledger: Ledger, now: float) -> Meter:
    """A budget in dollars, tokens or requests: what the attempts of its scope used since its window began."""
    cap, scope = limit.cap(now), limit.scope
    spent = ledger.spent(scope.project, since=cap.since, person=scope.person, model=scope.model)
    amount, most, in_dollars = measured(spent, limit.measure), limit.limit, limit.measure == "usd"
    shown = f"{dollars(amount)} of {dollars(most)}" if in_dollars else f"{amount:,.0f} of {most:,.0f} {limit.measure}"
    unpriced = in_dollars and spent.unpriced
    length = _LENGTH.get(limit.window)
    return Meter(
        name=limit.name,
        used=amount / most if most > 0 else 1.0,
        hard=limit.hard,
        detail=shown + (f", and {spent.unpriced} attempts of unknown cost" if unpriced else ""),
        provenance="estimated" if unpriced else "measured",
        remaining=max(0.0, most - amount) if in_dollars else None,
        seconds_left=None if length is None else max(0.0, cap.since + length - now),
        model=scope.model or "",
        whose="" if scope.project is not None else f"person {scope.person}" if scope.person is not None else "team",
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
