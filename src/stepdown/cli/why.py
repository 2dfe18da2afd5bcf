"""``stepdown why``: a unit's whole story, from the ledger and from the plan as far as it still has the unit."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from stepdown.catalog import Catalog
from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.receipts import as_json, candidate_json, shown
from stepdown.cli.screen import print_json, say
from stepdown.decision import Candidate, Decision
from stepdown.errors import PlanError, StepdownError
from stepdown.ledger import Attempt, Ledger, Outcome, Rating, Record, open_ledger
from stepdown.money import count, dollars
from stepdown.plans import GsdPlan
from stepdown.preferences import Preferences, load_preferences
from stepdown.recorded import attempts_at
from stepdown.savings import Savings, learned_costs, savings
from stepdown.units import Unit

_CANDIDATES: Final = 5
"""Candidates that a screen shows; the JSON has all."""


@click.command("why", short_help="A unit's whole story.")
@click.argument("unit", metavar="UNIT", nargs=-1, required=True)
@click.option("--project", type=TREE, default=".", help="Whose unit; default: here.")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(*, unit: tuple[str, ...], project: Path, json_: bool) -> None:
    """Tell the story of UNIT, an id or a type and an id: what it was taken for, what was decided, every attempt, its costs."""
    name = project_at(project)
    with open_ledger(create=False) as ledger:
        story = gather(ledger, name, " ".join(unit))
    if json_:
        print_json(story.as_json())
    else:
        say(*lines(story))


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

    def as_json(self) -> dict[str, Any]:
        """Money in US dollars, times in seconds since the epoch; null is unknown."""
        return {
            "project": self.last.project,
            "type": self.last.unit_type,
            "id": self.last.unit_id,
            "title": self.unit.title,
            "planned": None if self.planned is None else {"done": self.planned.done, "waits": list(self.planned.waits)},
            "attempts": [
                _attempt_json(record, decision, self.unit)
                for record, decision in zip(self.attempts, self.decisions, strict=True)
            ],
            "rating": None if self.rating is None else {"word": self.rating.word, "at": self.rating.at},
            "spent_usd": self.spent_usd,
            "ceiling_usd": self.ceiling_usd,
            "savings": msgspec.to_builtins(self.saved) | {"net_usd": self.saved.net_usd, "provenance": "estimated"},
        }


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
        rating=next((one for one in ledger.ratings(project) if (one.unit_type, one.unit_id) == key), None),
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


def _attempt_json(record: Record, decision: Decision | None, unit: Unit) -> dict[str, Any]:
    attempt, outcome = record.attempt, record.outcome
    return {
        "attempt": record.id,
        "source": record.source,
        "run": attempt.run or None,
        "number": attempt.number,
        "cause": attempt.cause,
        "agent": attempt.agent,
        "model": attempt.model or None,
        "tier": None if attempt.tier is None else attempt.tier.value,
        "ceiling": attempt.ceiling or None,
        "downgraded": attempt.downgraded,
        "reason": attempt.reason,
        "started": attempt.started,
        "reserved_usd": attempt.reserved_usd,
        "so_far": None if outcome else msgspec.to_builtins(record.so_far),
        "outcome": None if outcome is None else msgspec.to_builtins(outcome),
        "decision": None
        if decision is None
        else as_json(unit, decision)
        | {
            "confidence": decision.classification.confidence,
            "steps": list(shown(decision).steps),
            "candidates": [candidate_json(candidate) for candidate in shown(decision).candidates],
        },
    }


def lines(story: Story) -> Iterator[str]:
    """The story for a terminal."""
    unit = story.unit
    yield f"{unit.type} {unit.id}".rstrip() + (f": {unit.title}" if unit.title else "")
    yield f"  plan      {_plan_says(story.planned)}"
    told: tuple[str, ...] = ()
    for record, decision in zip(story.attempts, story.decisions, strict=True):
        # Attempts after a run's first say themselves what they change, and a run that decides the same says nothing new.
        if not told or (record.attempt.cause == "first" and _gist(record, decision) != told):
            yield from _decided(record, decision)
            told = _gist(record, decision)
        yield from _attempt(record, decision)
    if story.rating is not None:
        yield f"  rated     {story.rating.word}, {_moment(story.rating.at)}"
    yield f"  cost      {_cost(story)}"


def _plan_says(planned: Unit | None) -> str:
    if planned is None:
        return "does not list it now"
    return "done" if planned.done else f"waits for {', '.join(planned.waits)}" if planned.waits else "pending"


def _gist(record: Record, decision: Decision | None) -> tuple[str, ...]:
    """What of a decision would be worth telling again."""
    return (record.attempt.model, record.attempt.reason, "" if decision is None else decision.classification.reason)


def _decided(record: Record, decision: Decision | None) -> Iterator[str]:
    """The first decision of a run: what the unit was taken for, what was chosen, what else there was."""
    if decision is None:
        known = record.attempt.reason or f"not recorded ({record.source})"
        yield f"  because   {known}" + ("; its receipt cannot be read by this version" if record.attempt.decision else "")
        return
    seen = shown(decision)
    nature = seen.classification
    yield f"  taken for {nature.tier} (confidence {nature.confidence:.1f}): {nature.reason}"
    signals = [f"{name.replace('_', ' ')} {_value(value)}" for name, value in nature.signals.items() if name != _SOURCES]
    if signals:
        yield f"  signals   {', '.join(signals)}"
    yield f"  decided   {_chosen(seen)}"
    # What was learned, the budget or a pin said; the classification stands above already.
    yield from (f"            {step}" for step in seen.steps if step != nature.reason)
    if decision.would:
        yield f"            routing is off: it ran on {decision.model}"
    total = dollars(seen.expected_total, estimated=True)
    yield f"  expected  {dollars(seen.expected_cost, estimated=True)}, {total} with what failing and stepping up would cost"
    yield from _considered(seen.candidates)


_SOURCES: Final = "from"
"""The signal that says where the others were read; the JSON has it."""


def _chosen(seen: Decision) -> str:
    if not seen.ceiling:
        return f"{seen.model or 'no model'}, without a ceiling"
    if not seen.downgraded:
        return f"{seen.model}, the ceiling ({seen.ceiling_origin})"
    return f"{seen.model}, below {seen.ceiling} ({seen.ceiling_origin}; {dollars(seen.ceiling_cost, estimated=True)} expected)"


def _considered(candidates: Sequence[Candidate]) -> Iterator[str]:
    """The chosen one and those that came nearest to it."""
    shortened = sorted(candidates, key=lambda candidate: not candidate.taken)[:_CANDIDATES]
    if shortened:
        yield "  considered"
    for candidate in shortened:
        cost = dollars(candidate.expected_cost, estimated=True)
        yield f"   {'>' if candidate.taken else ' '} {candidate.model:38} {cost:>9}  {candidate.why}"
    if len(candidates) > _CANDIDATES:
        yield f"            and {len(candidates) - _CANDIDATES} more (--json lists them)"


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _attempt(record: Record, decision: Decision | None) -> Iterator[str]:
    attempt, outcome = record.attempt, record.outcome
    badge = f"{attempt.tier.badge} " if attempt.tier else ""
    cause = attempt.cause if record.source == "run" else f"imported from {record.source}"
    agent = f" by {attempt.agent}" if attempt.agent else ""
    yield f"  {attempt.number:<3} {badge}{attempt.model or 'model unknown'}{agent}, {cause}, {_moment(attempt.started)}"
    if record.source == "run" and attempt.cause != "first":
        yield f"      because {_change(attempt, decision)}"
    if outcome is None:
        so_far = record.so_far
        used = f"{so_far.requests} requests, {count(so_far.tokens.total)} tokens, {dollars(so_far.cost_usd)} so far"
        yield f"      has not ended: it runs, or its process died; {used}, {dollars(attempt.reserved_usd)} reserved"
        return
    yield f"      {_ended(outcome)}"
    yield f"      {', '.join(_used(attempt, outcome))}"
    said = {outcome.message, f"{outcome.failure}: {outcome.message}"}
    yield from (f"      - {line}" for line in outcome.evidence if line not in said)
    if outcome.kept:
        yield f"      its work is kept: git diff {outcome.kept}^ {outcome.kept}"


def _change(attempt: Attempt, decision: Decision | None) -> str:
    """Why a later attempt ran where it did; the classification, which is the first one's, stands above already."""
    if decision is None:
        return attempt.reason or "its receipt cannot be read"
    seen = shown(decision)
    return "; ".join(step for step in seen.steps if step != seen.classification.reason) or seen.reason


def _ended(outcome: Outcome) -> str:
    if outcome.failure is not None:
        return f"FAILED ({outcome.failure})" + (f": {outcome.message}" if outcome.message else "")
    return {True: "done, verified", False: "done, although a check failed", None: "done, unverified"}[outcome.verified]


def _used(attempt: Attempt, outcome: Outcome) -> Iterator[str]:
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


def _cost(story: Story) -> str:
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


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y %H:%M:%S} UTC"
