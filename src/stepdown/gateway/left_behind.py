"""Attempts that a gateway which died has left running in the ledger: ended with what they had used."""

import contextlib
import os
from pathlib import Path

from stepdown.ledger.port import GATEWAY, Ledger
from stepdown.ledger.records import Outcome, Record


def name_of_run() -> str:
    """The name of this process, unlike any other before or after it, wherever it runs: ``gateway-PLACE-PID-START``."""
    return f"{GATEWAY}-{_place()}-{os.getpid()}-{_start(os.getpid())}"


def settle_left_behind(ledger: Ledger, now: float) -> int:
    """End the attempts of gateways that run no more, in one transaction; how many there were.

    One on another machine, or in another container, is known by what it says of itself (`Ledger.there`). Should one still run
    after all, nothing is lost by this: it begins another attempt for what it sees from then on.

    Args:
        ledger: this gateway's own.
        now: seconds since the epoch.

    Raises:
        LedgerError: the ledger cannot be used.
    """
    with ledger.batch():  # from the first look on: another gateway may be starting at the same moment
        running = [one for one in ledger.unfinished() if one.attempt.agent == GATEWAY]
        there = ledger.gateways()
        dead = {run for run in {one.attempt.run for one in running} if not _is_alive(run, there)}
        left = [one for one in running if one.attempt.run in dead]
        for record in left:
            ledger.settle(record.id, _outcome(record, now))
    return len(left)


def _outcome(record: Record, now: float) -> Outcome:
    """As far as the ledger was told. What used tokens went well, as far as anyone can say now."""
    used = record.so_far
    went_well = used.tokens.total > 0
    return Outcome(
        failure=None if went_well else "cancelled",
        message="" if went_well else "its gateway ended before it did",
        evidence=("the gateway died: as far as was written down, a request under way may be missing",),
        tokens=used.tokens if went_well else None,
        cost_usd=used.cost_usd,
        cache_loss_usd=used.cache_loss_usd,
        cost_source="unknown" if used.cost_usd is None else "priced",
        requests=used.requests,
        finished=max(now, record.attempt.started),
    )


def _is_alive(run: str, there: frozenset[str]) -> bool:
    place, _, process = run.removeprefix(f"{GATEWAY}-").partition("-")
    pid, _, start = process.partition("-")
    if place != _place() or not pid.isdecimal():
        return run in there
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is somebody else's, but it is there
    return _start(int(pid)) == start


def _place() -> str:
    """Which start of the machine this is, and in which container, since each counts its processes by itself."""
    said = []
    with contextlib.suppress(OSError):
        said.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8])
    with contextlib.suppress(OSError):
        said.append("".join(letter for letter in str(Path("/proc/self/ns/pid").readlink()) if letter.isdecimal()))
    return "".join(said) or "0"


def _start(pid: int) -> str:
    """When a process began, in the system's own count; "0" where it does not say. A number used again began later."""
    with contextlib.suppress(OSError, IndexError):
        # The second field is the program's name in brackets, which may contain anything.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    return "0"
