"""What a project's next unit will find: budgets and how full they are, what was learned, what stands down, what is blocked."""

from collections.abc import Sequence

import msgspec

from stepdown.budget import band
from stepdown.context import build_context
from stepdown.decision import Meter
from stepdown.ledger import Ledger
from stepdown.report.learned import Learned, follows, gather
from stepdown.routing import Router


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, and the pressure that follows from how full it is.

    Attributes:
        meter: how full.
        band: ``none``, ``light`` and so on, as `stepdown.budget.band` names them.
    """

    meter: Meter
    band: str


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Where a project stands.

    Attributes:
        routing: ``on`` or ``off``.
        pin: the model or tier that the user pinned; "" where none is.
        enforcement: what happens when a budget is used up: ``warn``, ``pause`` or ``halt``.
        budgets: those that the preferences set, plans among them.
        learned: what counts as evidence in all projects, and where units of this one start by it.
        changes: what that changes now, a line each; the first says what the others are.
    """

    routing: str
    pin: str
    enforcement: str
    budgets: Sequence[Gauge]
    learned: Learned
    changes: Sequence[str]


def outlook(ledger: Ledger, router: Router, project: str, now: float, *, agent_model: str = "", due: bool = False) -> Outlook:
    """Read it from the ledger.

    Args:
        ledger: what happened so far.
        router: with the preferences in force.
        project: `PlanSource.project`.
        now: seconds since the epoch.
        agent_model: the model the agent itself is configured with.
        due: as in `stepdown.report.learned.gather`.
    """
    preferences, policy = router.preferences, router.policy
    context = build_context(ledger, preferences, project=project, now=now, catalog=router.catalog, agent_model=agent_model)
    learned = gather(router, context, ledger.ratings(), due=due)
    return Outlook(
        routing=learned.routing,
        pin=preferences.pin or "",
        enforcement=preferences.budget_enforcement,
        budgets=[Gauge(meter=meter, band=str(band(meter.used, policy))) for meter in context.meters],
        learned=learned,
        changes=[line.strip() for line in follows(learned, policy)] if learned.evidence else [],
    )
