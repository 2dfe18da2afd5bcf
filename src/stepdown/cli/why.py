"""``stepdown why``: a unit's whole story, from the ledger and from the plan as far as it still has the unit."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.receipts import as_json, candidate_json
from stepdown.cli.screen import print_json, say
from stepdown.decision import Candidate, Decision
from stepdown.ledger import Record, open_ledger
from stepdown.money import count, dollars
from stepdown.report.story import Story, change, cost_line, ended, gather, plan_says, used
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
        print_json(story_json(story))
    else:
        say(*lines(story))


def story_json(story: Story) -> dict[str, Any]:
    """Money in US dollars, times in seconds since the epoch; null is unknown."""
    return {
        "project": story.last.project,
        "type": story.last.unit_type,
        "id": story.last.unit_id,
        "title": story.unit.title,
        "planned": None if story.planned is None else {"done": story.planned.done, "waits": list(story.planned.waits)},
        "attempts": [
            _attempt_json(record, decision, story.unit)
            for record, decision in zip(story.attempts, story.decisions, strict=True)
        ],
        "rating": None if story.rating is None else {"word": story.rating.word, "at": story.rating.at},
        "spent_usd": story.spent_usd,
        "ceiling_usd": story.ceiling_usd,
        "savings": msgspec.to_builtins(story.saved) | {"net_usd": story.saved.net_usd, "provenance": "estimated"},
    }


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
            "steps": list(decision.shown.steps),
            "candidates": [candidate_json(candidate) for candidate in decision.shown.candidates],
        },
    }


def lines(story: Story) -> Iterator[str]:
    """The story for a terminal."""
    unit = story.unit
    yield f"{unit.type} {unit.id}".rstrip() + (f": {unit.title}" if unit.title else "")
    yield f"  plan      {plan_says(story.planned)}"
    told: tuple[str, ...] = ()
    for record, decision in zip(story.attempts, story.decisions, strict=True):
        # Attempts after a run's first say themselves what they change, and a run that decides the same says nothing new.
        if not told or (record.attempt.cause == "first" and _gist(record, decision) != told):
            yield from _decided(record, decision)
            told = _gist(record, decision)
        yield from _attempt(record, decision)
    if story.rating is not None:
        yield f"  rated     {story.rating.word}, {_moment(story.rating.at)}"
    yield f"  cost      {cost_line(story)}"


def _gist(record: Record, decision: Decision | None) -> tuple[str, ...]:
    """What of a decision would be worth telling again."""
    return (record.attempt.model, record.attempt.reason, "" if decision is None else decision.classification.reason)


def _decided(record: Record, decision: Decision | None) -> Iterator[str]:
    """The first decision of a run: what the unit was taken for, what was chosen, what else there was."""
    if decision is None:
        known = record.attempt.reason or f"not recorded ({record.source})"
        yield f"  because   {known}" + ("; its receipt cannot be read by this version" if record.attempt.decision else "")
        return
    seen = decision.shown
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
        yield f"      because {change(attempt, decision)}"
    if outcome is None:
        so_far = record.so_far
        so_far_used = f"{so_far.requests} requests, {count(so_far.tokens.total)} tokens, {dollars(so_far.cost_usd)} so far"
        yield f"      has not ended: it runs, or its process died; {so_far_used}, {dollars(attempt.reserved_usd)} reserved"
        return
    yield f"      {ended(outcome)}"
    yield f"      {', '.join(used(attempt, outcome))}"
    said = {outcome.message, f"{outcome.failure}: {outcome.message}"}
    yield from (f"      - {line}" for line in outcome.evidence if line not in said)
    if outcome.kept:
        yield f"      its work is kept: git diff {outcome.kept}^ {outcome.kept}"


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y %H:%M:%S} UTC"
