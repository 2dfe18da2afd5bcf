"""``python -m bench.page``: what the live page costs over a ledger of a million units. See `--help`."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.gateway.install import NotHere
from bench.gateway.running import Load, loading, providing
from bench.page import paint, questions, table, watched
from bench.page.filled import fill
from bench.page.gateway import gateway

FEW: Final = 1_000
"""Units of the ledger that the large one is compared with."""
STATIC: Final = "the same bytes, static"

GOAL_QUESTION: Final = 0.050
GOAL_PAINT: Final = 0.300
GOAL_SHARE: Final = 0.05


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured.

    Attributes:
        times: how often each question is asked.
        opened: how often each page is opened.
        fresh: how many gateways are started to open their first page.
        rounds: of open pages.
        turn: seconds of one turn of them.
    """

    times: int
    opened: int
    fresh: int
    rounds: int
    turn: float


FULL: Final = Bounds(times=20, opened=12, fresh=3, rounds=6, turn=10.0)
QUICK: Final = Bounds(times=5, opened=3, fresh=1, rounds=2, turn=4.0)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.page", description="What the live page costs over a large ledger.")
    made.add_argument("--units", type=int, default=1_000_000, help="of the large ledger (%(default)s)")
    made.add_argument(
        "--ledger",
        type=Path,
        default=Path(tempfile.gettempdir()) / "stepdown-bench" / "page.db",
        help="where the large ledger is, or is made, which takes minutes; some thousand requests are added (%(default)s)",
    )
    made.add_argument("--quick", action="store_true", help="about three minutes instead of fifteen")
    made.add_argument("--only", nargs="+", default=(), choices=("questions", "paint", "pages"), help="some only")
    return made


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def ask(small: Path, large: Path, units: int, bounds: Bounds) -> str:
    """The questions."""
    say("questions")
    found = questions.questions(small, large, bounds.times)
    late = questions.over(found, GOAL_QUESTION)
    worst = max((row for row in found if row.question != questions.TOGETHER), key=lambda row: row.worst)
    why = f"{len(late)} took longer, " if late else ""
    why += f"the slowest {worst.worst * 1000:.1f} ms: {worst.looking_at}, {worst.question}"
    return f"{table.asked(found, units, FEW)}\n\n{table.verdict('every question under 50 ms', held=not late, why=why)}"


def see(small: Path, large: Path, units: int, bounds: Bounds, scratch: Path) -> str:
    """The first paint."""
    names = {small: f"{FEW:,} units", large: f"{units:,} units"}
    found: dict[str, list[paint.Paint]] = {}
    with contextlib.ExitStack() as stack:
        load, provider = stack.enter_context(loading()), stack.enter_context(providing())
        browser = stack.enter_context(paint.browsing())
        with gateway(small, scratch / "warm", provider, load) as one:
            paint.paint(browser, one.page)  # the browser's own first page is not what is measured
        for number in range(bounds.fresh):
            for ledger, name in names.items():
                say(f"first page of a gateway, {name}")
                with gateway(ledger, scratch / f"fresh-{ledger.name}-{number}", provider, load) as one:
                    found.setdefault(f"first page of a gateway, {name}", []).append(paint.paint(browser, one.page))
        pages = {
            name: stack.enter_context(gateway(ledger, scratch / f"again-{ledger.name}", provider, load)).page
            for ledger, name in names.items()
        }
        pages[STATIC] = stack.enter_context(paint.same_bytes(pages[names[large]], scratch))
        for _ in range(bounds.opened):
            for name, address in pages.items():
                found.setdefault(name, []).append(paint.paint(browser, address))
    rows = paint.rows(found, STATIC)
    worst = max((row for row in rows if row.name != STATIC), key=lambda row: row.worst)
    goal = table.verdict(
        "first paint under 300 ms", held=worst.worst < GOAL_PAINT, why=f"the latest {worst.worst * 1000:.0f} ms, {worst.name}"
    )
    return f"{table.painted(rows)}\n\n{goal}"


def follow(large: Path, bounds: Bounds, scratch: Path) -> str:
    """The open pages."""
    with contextlib.ExitStack() as stack:
        loads: tuple[Load, Load] = (stack.enter_context(loading()), stack.enter_context(loading()))
        provider = stack.enter_context(providing())
        one = stack.enter_context(gateway(large, scratch / "followed", provider, loads[0]))
        turns = watched.watched(one.running, loads, rounds=bounds.rounds, seconds=bounds.turn, say=say)
    rows = watched.rows(turns)
    return "\n".join([table.followed(rows), "", *goals(rows)])


def goals(rows: Sequence[watched.Row]) -> list[str]:
    """Both readings of the goal: of what the gateway takes for its requests, and of a core."""
    found = []
    for row in rows:
        if row.pages < max(watched.PAGES):
            continue
        what = f"{row.pages} pages at {row.rate:g} requests/s"
        if row.more_share is not None:
            why = f"{row.more_share:.1%}"
            found.append(table.verdict(f"{what} under 5 % of the gateway's CPU", held=row.more_share < GOAL_SHARE, why=why))
        why = f"{row.more_core:.2%}"
        found.append(table.verdict(f"{what} under 5 % of a core", held=row.more_core < GOAL_SHARE, why=why))
    return found


def main() -> None:
    said = parser().parse_args()
    # Told to end, it ends what it started: those lead process groups of their own.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    bounds, chosen = QUICK if said.quick else FULL, said.only or ("questions", "paint", "pages")
    said.ledger.parent.mkdir(parents=True, exist_ok=True)
    say(f"a ledger of {said.units:,} units at {said.ledger}: {'found' if said.ledger.exists() else 'made, once'}")
    fill(said.ledger, said.units)
    before, parts = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        small = scratch / "small.db"
        fill(small, FEW)
        try:
            if "questions" in chosen:
                parts.append(ask(small, said.ledger, said.units, bounds))
            if "paint" in chosen:
                parts.append(see(small, said.ledger, said.units, bounds, scratch))
            if "pages" in chosen:
                parts.append(follow(said.ledger, bounds, scratch))
        except (NotHere, ConnectionError) as problem:
            raise SystemExit(f"bench.page: {problem}") from problem
    print(f"Cores: {os.cpu_count()}; load average before {before:.1f}, after {os.getloadavg()[0]:.1f}.", *parts, sep="\n\n")


if __name__ == "__main__":
    main()
