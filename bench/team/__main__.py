"""``python -m bench.team``: two gateways on one PostgreSQL, and one on SQLite, under load. See `--help`."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.gateway.install import NotHere
from bench.team import table
from bench.team.gateways import POSTGRES, SQLITE
from bench.team.held import Held, held
from bench.team.shares import Row, shares

PARTS = ("held", "share")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Everything.

    Attributes:
        held: each team under load.
        share: what of a request is the ledger's.
    """

    held: Sequence[Held]
    share: Sequence[Row]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.team", description="What a team's gateways hold on one ledger, and what the ledger costs."
    )
    made.add_argument("--minutes", type=float, default=10.0, help="as fast as it goes, of each team; a fifth more at a rate")
    made.add_argument("--connections", type=int, default=8, help="to each gateway (%(default)s)")
    made.add_argument("--budgets", action="store_true", help="with hard budgets, which are never reached")
    made.add_argument("--rate", type=float, default=40.0, help="requests/s for the ledger's share (%(default)s)")
    made.add_argument("--rounds", type=int, default=6, help="of it (%(default)s)")
    made.add_argument("--quick", action="store_true", help="about three minutes instead of half an hour")
    made.add_argument("--only", nargs="+", default=PARTS, choices=PARTS, help="some only")
    made.add_argument(
        "--ledgers", nargs="+", default=("postgresql", "sqlite"), choices=("postgresql", "sqlite"), help="likewise"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there, too")
    return made


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def measure(said: argparse.Namespace, scratch: Path) -> Found:
    """What is asked for."""
    minutes, rounds, turn = (0.5, 2, 5.0) if said.quick else (said.minutes, said.rounds, 10.0)
    teams = [msgspec.structs.replace(one, budgets=said.budgets) for one in (POSTGRES, SQLITE) if one.ledger in said.ledgers]
    found, rows = [], []
    if "held" in said.only:
        found = [held(team, scratch / f"held_{team.ledger}", minutes * 60, said.connections, say) for team in teams]
    if "share" in said.only:
        rows = shares(scratch / "share", said.rate, rounds, turn, say)
    return Found(held=found, share=rows)


def report(found: Found) -> str:
    """All tables, and whether the goals were reached."""
    parts = []
    if found.held:
        parts += [table.loaded(found.held), table.costs(found.held), table.agreed(found.held)]
    if found.share:
        parts.append(table.shared(found.share))
    return "\n\n".join([*parts, "\n".join(table.goals(found.held, found.share))])


def main() -> None:
    said = parser().parse_args()
    # Told to end, it ends what it started: that leads process groups of its own.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    before = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            found = measure(said, Path(scratch))
    except NotHere as problem:
        raise SystemExit(str(problem)) from problem
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if said.json:
        said.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    print(report(found))
    print(f"\nCores: {os.cpu_count()}; load average before {before:.1f}, after {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
