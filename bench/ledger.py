"""How fast a ledger of 100,000 attempts answers: ``python -m bench.ledger [attempts]``."""

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stepdown.catalog import Catalog
from stepdown.context import standings
from stepdown.ledger import Attempt, Cap, Outcome, Use, open_ledger
from stepdown.preferences import Preferences
from stepdown.report.tables import Column, table
from stepdown.units import KNOWN_TYPES, TIERS, Tokens

PROJECT = "/projects/7"
"""One of ten, so that what is asked for one project has others to pass over."""
MINE = KNOWN_TYPES[7]
"""A type that this project has."""
MODELS = ("anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-6")
START = 1_770_000_000.0
EVERY = 300.0
"""Seconds between two attempts: 100,000 of them are about a year's work."""
RECEIPT = '{"candidates": "' + "x" * 3_000 + '"}'
"""A decision as JSON is about 3 kB."""


def attempt(number: int, project: str | None = None) -> Attempt:
    return Attempt(
        project=project or f"/projects/{number % 10}",
        unit_type=KNOWN_TYPES[number % len(KNOWN_TYPES)],
        unit_id=f"M{number // 1000:03}/S01/T{number % 1000:03}",
        tier=TIERS[number % 3],
        model=MODELS[number % 3],
        ceiling=MODELS[2],
        downgraded=number % 3 < 2,
        decision=RECEIPT,
        pattern=KNOWN_TYPES[number % len(KNOWN_TYPES)],
        agent="claude",
        started=START + number * EVERY,
        reserved_usd=0.5,
    )


def outcome(number: int) -> Outcome:
    return Outcome(
        failure="quality" if number % 17 == 0 else None,
        verified=True,
        tokens=Tokens(input=50, output=5_000, cache_read=1_000_000, cache_write=40_000),
        cost_usd=0.01 * (number % 100),
        cost_source="reported",
        ceiling_cost_usd=1.0,
        requests=20,
        finished=START + number * EVERY + 60,
    )


def fill(path: Path, attempts: int, *, project: str | None = None) -> None:
    """Make a ledger of so many attempts, of one project or of ten."""
    by_project: dict[str, list[tuple[Attempt, Outcome]]] = {}
    for number in range(attempts):
        one = attempt(number, project)
        by_project.setdefault(one.project, []).append((one, outcome(number)))
    with open_ledger(str(path)) as ledger:
        for name, records in by_project.items():
            ledger.import_records(name, "bench", records)


def median(call: Callable[[], object], times: int) -> float:
    """Seconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def measurements(path: Path, attempts: int) -> list[tuple[str, float]]:
    fill(path, attempts)
    preferences, catalog = Preferences(), Catalog.load()
    with open_ledger(str(path)) as ledger:
        now = START + attempts * EVERY

        def begin_and_settle() -> None:
            ledger.settle(ledger.begin(attempt(attempts)), outcome(attempts))

        caps = [Cap(name="budget_ceiling", limit=1e9), Cap(name="day", limit=1e9, since=now - 86_400)]

        def begin_below_caps() -> None:
            ledger.settle(ledger.begin(attempt(attempts), caps=caps), outcome(attempts))

        running = ledger.begin(attempt(attempts))
        number = itertools.count()

        def note_use(attempt_id: int = running) -> None:
            requests = next(number)  # SQLite does not write what is there already
            ledger.note_use(attempt_id, Use(tokens=Tokens(output=500 * requests), requests=requests, cost_usd=0.25))

        def batch() -> None:
            """What the gateway writes at once where ten units come, ten go and a hundred requests end."""
            with ledger.batch():
                begun = [ledger.begin(attempt(attempts)) for _ in range(10)]
                for attempt_id in begun * 10:
                    note_use(attempt_id)
                for attempt_id in begun:
                    ledger.settle(attempt_id, outcome(attempts))

        def stand() -> None:
            standings(ledger, preferences, PROJECT, catalog=catalog, unit_type=MINE)

        found = [
            ("begin + settle", median(begin_and_settle, 200)),
            ("begin below two caps + settle", median(begin_below_caps, 200)),
            ("note_use", median(note_use, 200)),
            ("10 begin + 100 note_use + 10 settle in one batch", median(batch, 50)),
            ("spent, whole project", median(lambda: ledger.spent(PROJECT), 50)),
            ("spent, last 5 hours", median(lambda: ledger.spent(PROJECT, since=now - 5 * 3600), 50)),
            ("spent, last month, all projects", median(lambda: ledger.spent(since=now - 30 * 86_400 - 7), 50)),
            ("breakdown by tier, one project", median(lambda: ledger.breakdown("tier", PROJECT), 20)),
            ("breakdown by model, all projects", median(lambda: ledger.breakdown("model"), 20)),
            ("records, newest 20", median(lambda: ledger.records(PROJECT, limit=20), 50)),
            ("of_unit", median(lambda: ledger.of_unit(PROJECT, "M007/S01/T007"), 50)),
            ("unfinished", median(ledger.unfinished, 50)),
            ("recent_use", median(lambda: ledger.recent_use(KNOWN_TYPES[0]), 50)),
            ("newest_of_patterns", median(lambda: ledger.newest_of_patterns(PROJECT), 50)),
            ("newest_of_patterns, one type", median(lambda: ledger.newest_of_patterns(PROJECT, unit_type=MINE), 50)),
            ("standings, one type", median(stand, 50)),
            ("expectations", median(ledger.expectations, 50)),
        ]
    return [*found, ("open + close", median(lambda: open_ledger(str(path)).close(), 50))]


def main() -> None:
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.db"
        found = measurements(path, attempts)
        size = path.stat().st_size / 1e6
    print(f"A ledger of {attempts:,} attempts, {size:,.0f} MB; medians")
    rows = [[name, f"{seconds * 1e3:.3f}"] for name, seconds in found]
    print("\n".join(table([Column(title="call"), Column(title="ms", right=True)], rows)))


if __name__ == "__main__":
    main()
