"""What the ledger is told of a unit's attempts. Pure."""

import hashlib
from collections.abc import Sequence

import msgspec

from stepdown.dispatch.trial import Trial
from stepdown.ledger.records import Attempt, Evidence, Outcome
from stepdown.units import Unit


def attempt_of(trial: Trial, *, project: str, agent: str, run: str, number: int, started: float) -> Attempt:
    """The attempt as it starts, with its receipt and its reservation."""
    decision = trial.decision
    ceiling = f"{decision.ceiling_provider}/{decision.ceiling}" if decision.ceiling_provider else decision.ceiling
    return Attempt(
        project=project,
        unit_type=trial.unit.type,
        unit_id=trial.unit.id,
        title=trial.unit.title,
        tier=trial.tier,
        model=trial.ref,
        ceiling=ceiling,
        downgraded=decision.downgraded and trial.ref == decision.ref,
        reason=decision.reason,
        decision=msgspec.json.encode(decision).decode(),
        pattern=trial.pattern,
        agent=agent,
        started=started,
        reserved_usd=decision.expected_cost or 0.0,
        expected=decision.tokens,
        key=trial.job.env.get("STEPDOWN_ATTEMPT", ""),
        run=run,
        number=number,
        cause=trial.cause,
    )


def evidence_of(trial: Trial, outcome: Outcome, project: str) -> tuple[Evidence, ...]:
    """A verified first attempt is evidence; a rescue, an unverified success and a provider's trouble are not (SPEC 9)."""
    failed = outcome.failure == "quality"
    if trial.cause != "first" or not (failed or (outcome.failure is None and outcome.verified)):
        return ()
    event = Evidence(
        at=outcome.finished,
        pattern=trial.pattern,
        tier=trial.tier,
        model=trial.ref,
        success=not failed,
        project=project,
        unit_id=trial.unit.id,
    )
    return (event,)


def base_name(unit: Unit) -> str:
    """What the snapshot before a unit is called: a name that git takes, whatever the unit is called."""
    return f"unit/{hashlib.sha256(f'{unit.type} {unit.id}'.encode()).hexdigest()[:16]}"


def total(costs: Sequence[float | None]) -> float | None:
    """All of them together, US dollars; None where one is unknown."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
