"""A ledger of a million units: two years of one busy project, with receipts as long as real ones."""

import time
from pathlib import Path

from stepdown.ledger import Attempt, Ledger, Outcome, Rating, open_ledger
from stepdown.units import KNOWN_TYPES, TIERS, Tokens

PROJECT = "/projects/busy"
MODELS = ("anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-6")
TAGS = ("", ":docs", ":tests", ":refactor")
SPAN = 730 * 86_400.0
"""Seconds that the units are spread over, the last of them a minute ago."""
BATCH = 5_000
RATED = 1_000
"""One unit in so many has a rating."""


def fill(path: Path, units: int) -> None:
    """Make the ledger, with two attempts at one unit in twenty; nothing happens where it is there already."""
    if path.exists():
        return
    now = time.time()
    making = path.with_name(path.name + ".part")
    making.unlink(missing_ok=True)
    with open_ledger(f"sqlite:{making}") as ledger:
        for start in range(0, units, BATCH):
            numbers = range(start, min(units, start + BATCH))
            with ledger.batch():
                for number in numbers:
                    began = now - 60 - SPAN * (units - number - 1) / units
                    _unit(ledger, number, began)
    making.rename(path)


def _unit(ledger: Ledger, number: int, began: float) -> None:
    tier = TIERS[(0, 1, 1, 0, 2)[number % 5]]
    kind = KNOWN_TYPES[number * 7 % len(KNOWN_TYPES)]
    failed = number % 20 == 0
    for attempt_number, at_tier in enumerate((tier, tier.above) if failed else (tier,), start=1):
        attempt = Attempt(
            project=PROJECT,
            unit_type=kind,
            unit_id=f"M{number // 1000:04}/S{number // 100 % 10:02}/T{number % 100:02}",
            title="Retry requests that time out, with jitter",
            tier=at_tier,
            model=MODELS[at_tier.rank],
            ceiling=MODELS[2],
            downgraded=at_tier.rank < 2,
            reason=f"{at_tier}: 3 steps, 2 files",
            decision=RECEIPT,
            pattern=kind + TAGS[number % 4],
            agent="claude",
            started=began + 20 * (attempt_number - 1),
            cause="first" if attempt_number == 1 else "step up",
            number=attempt_number,
            run=f"run-{number // 50}",
        )
        done = attempt_number == 2 or not failed
        outcome = Outcome(
            failure=None if done else "quality",
            message="" if done else "pytest failed",
            verified=done,
            tokens=Tokens(input=50, output=2_000 + number % 999, cache_read=200_000 + number % 9_999, cache_write=9_000),
            cost_usd=0.02 * (1 + at_tier.rank * 3),
            cost_source="reported",
            ceiling_cost_usd=0.14,
            requests=20,
            finished=attempt.started + 15,
        )
        ledger.settle(ledger.begin(attempt), outcome)
    if number % RATED == 0:
        word = ("ok", "over", "under")[number // RATED % 3]
        ledger.rate(
            Rating(project=PROJECT, unit_type=kind, unit_id=attempt.unit_id, word=word, tier=tier, pattern=kind, at=began + 40)
        )


RECEIPT = '{"candidates": "' + "x" * 3_000 + '"}'
"""As long as a decision is as JSON, about 3 kB."""
