"""Wrong tokens, counted by where they come from."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST: Final = 10
"""Wrong tokens of one address within `SPAN`; for more of them it is told to wait."""
SPAN: Final = 60.0
"""Seconds after which the count begins anew."""
_ADDRESSES: Final = 4096
"""Addresses that are remembered; of more, the one that began first begins anew."""

_log: Final = logging.getLogger("stepdown.gateway")


class Guesses:
    """Says when it is enough. A right token is never asked about: several people may be behind one address.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._silent_until = -SPAN

    def left(self, address: str) -> float:
        """For how many seconds there are to be no more from there; 0 where there may be some."""
        began, count = self._counts.get(address, (0.0, 0))
        return max(0.0, began + SPAN - self._clock()) if count > MOST else 0.0

    def wrong(self, address: str) -> float:
        """Count a wrong token; for how many seconds there is to be no more, or 0."""
        now = self._clock()
        began, count = self._counts.get(address, (now, 0))
        if now - began >= SPAN:
            self._counts.pop(address)
            began, count = now, 0
        self._counts[address] = began, count + 1
        if len(self._counts) > _ADDRESSES:
            self._counts.popitem(last=False)
        left = self.left(address)
        if left and now >= self._silent_until:
            self._silent_until = now + SPAN
            shown = "".join(letter for letter in address[:64] if letter.isalnum() or letter in ".:%")
            _log.warning("more than %d wrong tokens from %s within a minute: it is told to wait for %.0f s", MOST, shown, left)
        return left
