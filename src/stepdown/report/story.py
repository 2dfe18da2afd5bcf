"""A unit's whole story, gathered from the ledger and from the plan, and the words it is told in."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from stepdown.catalog import Catalog
from stepdown.decision import Decision
from stepdown.errors import PlanError, StepdownError
from stepdown.ledger import Attempt, Ledger, Outcome, Rating, Record
from stepdown.money import count, dollars
from stepdown.plans import GsdPlan
from stepdown.preferences import Preferences, load_preferences
from stepdown.recorded import attempts_at
from stepdown.savings import Savings, learned_costs, savings
from stepdown.units import Unit


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to tell.

    Attributes:
        attempts: the oldest first; at least one.
        decisions: of each attempt; None where it recorded none, or one that cannot be read any more.
        rating: the one that holds.
        planned: the unit as the plan has it now; None where it has not.
        saved: what was spent on the unit, and what the ceiling would have cost.
    """

    attempts: Sequence[Record]
    decisions: Sequence[Decision | None]
    rating: Rating | None
    planned: Unit | None
    saved: Savings

    @property
    def last(self) -> Attempt:
        """The newest attempt: the unit by its newest title."""
        return self.attempts[-1].attempt

    @property
    def unit(self) -> Unit:
        """The unit."""
        return self.planned or Unit(self.last.unit_type, self.last.unit_id, self.last.title)

    @property
    def spent_usd(self) -> float | None:
        """US dollars of all attempts; None where one is unknown or still running."""
        costs = [None if record.outcome is None else record.outcome.cost_usd for record in self.attempts]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    @property
    def ceiling_usd(self) -> float | None:
        """US dollars that the ceiling would have cost for it, estimated; None where that cannot be known."""
        whole = self.saved.runs and not self.saved.unknown and not self.saved.running and self.last.ceiling
        return self.saved.counterfactual_usd if whole else None


def gather(ledger: Ledger, project: str, name: str) -> Story:
    """Everything the ledger and the plan know of the unit called `name`.

    Raises:
        UsageError: the ledger knows none, or several.
    """
    attempts = attempts_at(ledger, project, name)
    first = attempts[0].attempt
    key = (first.unit_type, first.unit_id)
    return Story(
        attempts=attempts,
        decisions=[_decision(record.attempt) for record in attempts],
        rating=ledger.rating(project, *key),
        planned=_planned(Path(project), key),
        saved=savings(attempts, learned=_learned(ledger, Path(project))),
    )


def _learned(ledger: Ledger, project: Path) -> dict[tuple[str, str], float]:
    """What the ceilings are known to need, US dollars, as `stepdown report` has it."""
    try:
        preferences = load_preferences(project)
    except StepdownError:
        preferences = Preferences()
    catalog = Catalog.load(preferences.catalog)
    return learned_costs(ledger.expectations(), catalog.resolve, preferences.policy.expectation_minimum)


def _decision(attempt: Attempt) -> Decision | None:
    """The receipt; written by another version, or imported from elsewhere, it may be unreadable."""
    try:
        return msgspec.json.decode(attempt.decision, type=Decision) if attempt.decision else None
    except msgspec.DecodeError:
        return None


def _planned(project: Path, key: tuple[str, str]) -> Unit | None:
    try:
        return next((unit for unit in GsdPlan.open(project).units() if (unit.type, unit.id) == key), None)
    except PlanError:
        return None


def plan_says(planned: Unit | None) -> str:
    """Where the unit stands in its plan."""
    if planned is None:
        return "does not list it now"
    return "done" if planned.done else f"waits for {', '.join(planned.waits)}" if planned.waits else "pending"


def change(attempt: Attempt, decision: Decision | None) -> str:
    """Why a later attempt ran where it did; the classification, which is the first one's, stands above already."""
    if decision is None:
        return attempt.reason or "its receipt cannot be read"
    seen = decision.shown
    return "; ".join(step for step in seen.steps if step != seen.classification.reason) or seen.reason


def ended(outcome: Outcome) -> str:
    """How an attempt ended."""
    if outcome.failure is not None:
        return f"FAILED ({outcome.failure})" + (f": {outcome.message}" if outcome.message else "")
    return {True: "done, verified", False: "done, although a check failed", None: "done, unverified"}[outcome.verified]


def used(attempt: Attempt, outcome: Outcome) -> Iterator[str]:
    """What the attempt took: time, requests, tokens, money, as far as each is known."""
    yield f"{max(0.0, outcome.finished - attempt.started):.1f} s"
    if outcome.requests is not None:
        yield f"{outcome.requests} request{'' if outcome.requests == 1 else 's'}"
    if outcome.tokens is not None:
        cached = outcome.tokens.cache_read
        yield f"{count(outcome.tokens.total)} tokens" + (f" ({count(cached)} from the cache)" if cached else "")
    yield "cost unknown" if outcome.cost_usd is None else f"{dollars(outcome.cost_usd)} {outcome.cost_source}"
    if attempt.downgraded and outcome.ceiling_cost_usd is not None:
        yield f"at the ceiling {dollars(outcome.ceiling_cost_usd, estimated=True)}"


def cost_line(story: Story) -> str:
    """What all of it cost, beside what the ceiling would have cost."""
    number = len(story.attempts)
    spent = f"{dollars(story.spent_usd)} for {number} attempt{'' if number == 1 else 's'}"
    saved = story.saved
    if not saved.downgraded:
        return spent
    if story.ceiling_usd is None:
        return f"{spent}; what the ceiling would have cost is not known"
    net = dollars(abs(saved.net_usd), estimated=True)
    lost = f", {dollars(saved.failed_usd, estimated=True)} of it lost to failed attempts" if saved.failed_usd else ""
    verdict = f"saved {net}" if saved.net_usd >= 0 else f"cost {net} more"
    return f"{spent}{lost}; the ceiling {dollars(story.ceiling_usd, estimated=True)}: {verdict} (estimated)"
