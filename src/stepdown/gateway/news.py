"""What others write into a shared ledger, looked for while requests come. Belongs to the thread that has the ledger."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Conversation

EVERY: Final = 1.0
"""Seconds between two looks: whether anything was written at all costs one round trip to PostgreSQL."""
WHILE: Final = 30.0
"""Seconds without a request after which nobody looks any more."""
_OVERLAP: Final = 10.0
"""Seconds by which conversations are read again that were seen already: one is known by when its request came, and written when
that has ended. Who is later than that is asked for when they speak here (`elsewhere`)."""
_AGREE: Final = 60.0
"""Seconds between two comparisons of the clocks."""
_SHARE: Final = 10
"""Reading them may take one in so many seconds of the thread's time."""


def nobody(_: Sequence[Conversation]) -> None:
    """Nobody is told."""


class News:
    """What has been seen of the ledger, and when to look again.

    Args:
        changed: called when somebody has written, before anything is read.
        clock: seconds since the epoch.
        agree: compares that clock with the ledger's.

    Attributes:
        asked: when a request came last, on the monotonic clock; written by the thread that decides.
        heard: is told the conversations that were seen, this gateway's own among them.
    """

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float], agree: Callable[[Ledger], None]) -> None:
        self.asked = -math.inf
        self.heard: Callable[[Sequence[Conversation]], object] = nobody
        self._changed = changed
        self._clock = clock
        self._agree = agree
        self._agree_next = 0.0
        self._stamp: int | None = None
        self._next = self._talks_next = 0.0
        self._since = clock()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has asked for long."""
        return self.asked + WHILE < time.monotonic()

    @property
    def due(self) -> float:
        """When to look next, on the monotonic clock."""
        return math.inf if self.is_idle else self._next

    def look(self, ledger: Ledger) -> None:
        """See whether somebody has written, and what.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        begun = time.monotonic()
        self._next = begun + EVERY
        if begun >= self._agree_next:
            self._agree_next = begun + _AGREE
            self._agree(ledger)
        stamp = ledger.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._changed()
            self._hear(ledger)

    def _hear(self, ledger: Ledger) -> None:
        begun = time.monotonic()
        if self.heard is nobody or begun < self._talks_next:
            return
        since, self._since = self._since, self._clock()
        self.heard(ledger.conversations(max(0.0, since - _OVERLAP)))
        self._talks_next = time.monotonic() + _SHARE * (time.monotonic() - begun)
