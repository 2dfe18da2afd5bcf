"""Decisions as JSON and as lines for the terminal."""

from collections.abc import Iterator

from stepdown.decision import Candidate, Decision
from stepdown.money import dollars
from stepdown.units import Unit


def reason(decision: Decision) -> str:
    """The reason, marked where routing is off."""
    return f"off: {decision.would.reason}" if decision.would else decision.reason


def as_json(unit: Unit, decision: Decision) -> dict[str, object]:
    """One entry of ``stepdown plan --json``. Costs are US dollars, estimated; null is unknown."""
    seen = decision.shown
    return {
        "type": unit.type,
        "id": unit.id,
        "title": unit.title,
        "phase": seen.phase.value,
        "done": unit.done,
        "waits": list(unit.waits),
        "tier": seen.tier.value,
        "badge": seen.tier.badge,
        "model": seen.model or None,
        "provider": seen.provider or None,
        "ceiling": seen.ceiling or None,
        "ceiling_tier": None if seen.ceiling_tier is None else seen.ceiling_tier.value,
        "downgraded": seen.downgraded,
        "reason": reason(decision),
        "signals": dict(seen.classification.signals),
        "fallbacks": list(seen.fallbacks),
        "expected_cost_usd": seen.expected_cost,
        "expected_total_usd": seen.expected_total,
        "ceiling_cost_usd": seen.ceiling_cost,
        "routing": "off" if decision.would else "on",
        "unchanged": seen.unchanged or None,
        "refused": decision.refused or None,
        "provenance": {
            "expected_cost_usd": provenance(seen.expected_cost),
            "expected_total_usd": provenance(seen.expected_total),
            "ceiling_cost_usd": provenance(seen.ceiling_cost),
            "tokens": seen.tokens_source,
        },
    }


def candidate_json(candidate: Candidate) -> dict[str, object]:
    """One model that was considered."""
    return {
        "model": candidate.model,
        "tier": None if candidate.tier is None else candidate.tier.value,
        "expected_cost_usd": candidate.expected_cost,
        "expected_total_usd": candidate.expected_total,
        "taken": candidate.taken,
        "why": candidate.why,
    }


def provenance(cost: float | None) -> str:
    """Costs before the work are estimates; a missing price makes them unknown."""
    return "unknown" if cost is None else "estimated"


def receipt(unit: Unit, decision: Decision, flips: tuple[str, ...]) -> Iterator[str]:
    """A receipt anyone can read, line by line."""
    seen = decision.shown
    yield f"{seen.tier.badge} {seen.model or 'no model'}" + (f"  ({seen.provider})" if seen.provider else "")
    yield f"  unit      {unit.type} {unit.id}".rstrip() + (f": {unit.title}" if unit.title else "")
    for number, step in enumerate(seen.steps):
        yield f"  {'because' if number == 0 else '':9} {step}"
    if decision.would:
        yield f"  routing   off: it runs on {decision.model} until dynamic_routing.enabled is true"
    if decision.refused:
        yield f"  refused   {decision.refused}"
    if seen.ceiling:
        tier = "unknown tier" if seen.ceiling_tier is None else seen.ceiling_tier.value
        yield f"  ceiling   {seen.ceiling} ({tier}), from {seen.ceiling_origin}"
    yield f"  expected  {_costs(seen)}"
    tokens = seen.tokens
    yield f"            {tokens.total:,} tokens, {tokens.cache_read:,} of them read from the cache ({seen.tokens_source})"
    if len(seen.fallbacks) > 1:
        yield f"  if the provider fails: {', then '.join(seen.fallbacks)}"
    for adaptation in seen.adaptations:
        yield f"  adapted   {adaptation}"
    yield from _considered(seen)
    if flips:
        yield "  what would flip it"
        for flip in flips:
            yield f"    - {flip}"


def _considered(seen: Decision) -> Iterator[str]:
    if seen.candidates:
        yield "  considered"
    for candidate in seen.candidates:
        mark = ">" if candidate.taken else " "
        yield f"   {mark} {candidate.model:42} {dollars(candidate.expected_cost, estimated=True):>9}  {candidate.why}"


def _costs(seen: Decision) -> str:
    """What it costs, with failures, and at the ceiling."""
    cost = f"{dollars(seen.expected_cost, estimated=True)}"
    if seen.expected_total is not None:
        cost += f", {dollars(seen.expected_total, estimated=True)} with what failing and stepping up would cost"
    if seen.downgraded:
        cost += f"; the ceiling {dollars(seen.ceiling_cost, estimated=True)}"
    return cost
