"""What time it is: by the machine, put right by a shared ledger's clock, which is the one that all gateways agree on."""

import logging
import time
from typing import Final

from stepdown.ledger.port import Ledger

TOLERATED: Final = 2.0
"""Seconds by which a machine's clock may be wrong: windows of budgets and the ends of blocks are longer by far."""

_log: Final = logging.getLogger("stepdown.gateway")


class Clock:
    """Seconds since the epoch. Safe to share between threads.

    Attributes:
        offset: seconds that are added to the machine's clock.
    """

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        """Now."""
        return time.time() + self.offset

    def agree(self, ledger: Ledger) -> None:
        """Compare the machine's clock with the ledger's, and go by that one where they differ by much.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        before, begun = time.time(), time.monotonic()
        now = ledger.now()
        half = (time.monotonic() - begun) / 2
        wrong = now - (before + half)
        offset = wrong if abs(wrong) > TOLERATED + half else 0.0
        if abs(offset - self.offset) > TOLERATED:
            if offset:
                which = "slow" if offset > 0 else "fast"
                _log.warning("this machine's clock is %.0f s %s: the ledger's is gone by; set it right", abs(offset), which)
            else:
                _log.warning("this machine's clock is right again")
        self.offset = offset
