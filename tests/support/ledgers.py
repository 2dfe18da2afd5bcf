"""Ledgers for the tests of what shows them: a past in which everything has happened that can."""

from collections.abc import Callable
from typing import Final

from stepdown.ledger import Attempt, Block, Evidence, Ledger, Outcome, PlanMeter, Rating
from stepdown.units import Tier, Tokens

PROJECT: Final = "/home/ada/shop"
DAY: Final = 86_400.0
BEGAN: Final = 1_774_000_000.0
"""20 March 2026."""

_MODELS: Final = {
    Tier.LIGHT: "anthropic/claude-haiku-4-5",
    Tier.STANDARD: "anthropic/claude-sonnet-4-6",
    Tier.HEAVY: "anthropic/claude-opus-4-6",
}
_TYPES: Final = ("execute-task", "plan-slice", "complete-slice", "run-uat", "research-slice")


def work(
    ledger: Ledger,
    days: int,
    *,
    project: str = PROJECT,
    named: Callable[[str], str] = lambda word: word,
    known: bool = True,
) -> None:
    """Two units a day: most succeed below their ceiling, some fail and step up, and of some the cost is unknown.

    Args:
        ledger: where to.
        days: on how many days.
        project: whose.
        named: what to call something.
        known: whether anything has a known cost.
    """
    for number in range(2 * days):
        tier = (Tier.LIGHT, Tier.STANDARD, Tier.LIGHT, Tier.HEAVY)[number % 4]
        fails = number % 9 == 4
        tries: list[tuple[Tier, str, str]] = [(tier, "first", "quality")] if fails and tier is not Tier.HEAVY else []
        tries.append((Tier.HEAVY if tries else tier, "step up" if tries else "first", ""))
        for again, (at, cause, failure) in enumerate(tries):
            started = BEGAN + number * DAY / 2 + 60 * again
            attempt = Attempt(
                project=project,
                unit_type=named(_TYPES[number % 5]),
                unit_id=named(f"M001/S01/T{number:03}"),
                title=named(f"Do thing {number}"),
                tier=at,
                model=named(_MODELS[at]),
                ceiling=named(_MODELS[Tier.HEAVY]),
                downgraded=at is not Tier.HEAVY,
                reason=named("2 files and 3 steps"),
                pattern=named(_TYPES[number % 5]),
                agent=named("claude" if number % 3 else "codex"),
                started=started,
                cause=cause,
            )
            priced = known and number % 13 != 5
            cost = 0.05 * (number % 7 + 1) * (1 + 4 * (at is Tier.HEAVY))
            ended = Outcome(
                failure=failure or None,
                verified=None if number % 11 == 3 else not failure,
                tokens=Tokens(input=1_000 + number, output=500, cache_read=20_000, cache_write=100),
                cost_usd=cost if priced else None,
                cost_source="unknown" if not priced else "reported" if number % 5 else "priced",
                ceiling_cost_usd=5 * cost if priced else None,
                cache_loss_usd=0.01 if number % 17 == 2 and priced else 0.0,
                finished=started + 30,
            )
            ledger.settle(ledger.begin(attempt), ended)


def everything(
    ledger: Ledger, *, project: str = PROJECT, named: Callable[[str], str] = lambda word: word, days: int = 40
) -> None:
    """Work, a unit that runs, an imported one, evidence, ratings, a blocked model, plans."""
    work(ledger, days, project=project, named=named)
    now = BEGAN + days * DAY
    running = Attempt(
        project=project, unit_type="execute-task", unit_id=named("running"), tier=Tier.LIGHT, started=now, reserved_usd=0.25
    )
    ledger.begin(running)
    old = Attempt(project=project, unit_type="execute-task", unit_id="M000", model=named("old-model"), started=BEGAN - DAY)
    ledger.import_records(project, "gsd", [(old, Outcome(cost_usd=2.5, cost_source="reported", finished=BEGAN - DAY + 60))])
    ledger.add_evidence(
        [
            Evidence(at=now - number, pattern=pattern, tier=Tier.LIGHT, success=number % 2 == 0, project=project)
            for pattern in (named("execute-task:docs"), "run-uat")
            for number in range(30)
        ]
    )
    for number, word in enumerate(("over", "under", "ok")):
        rated = Rating(
            project=project,
            unit_type="execute-task",
            unit_id=named(f"M001/S01/T{5 * number:03}"),
            word=word,
            tier=Tier.STANDARD,
            pattern=named("execute-task"),
            model=named("anthropic/claude-sonnet-4-6"),
            at=now - 100 * number,
        )
        ledger.rate(rated)
    ledger.block(Block(model=named("openai/gpt-5-mini"), reason=named("404: not for this account"), until=now + DAY))
    ledger.set_plan_meter(PlanMeter(provider=named("anthropic"), window="5h", used=0.62, resets=now + 3600, at=now - 60))
    ledger.set_plan_meter(PlanMeter(provider="openai", window="week", used=0.97, resets=now - 60, at=now - DAY))
