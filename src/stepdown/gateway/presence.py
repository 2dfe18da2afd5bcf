"""Says to the ledger that this gateway is there, so that no other takes what it has running for left behind."""

import asyncio
import time
from typing import Final

from stepdown.gateway.recorder import Recorder
from stepdown.ledger.port import Ledger

_AGAIN: Final = 30.0
"""Seconds between two words; without one the ledger takes a gateway for dead after two minutes."""


class Presence:
    """One gateway's word.

    Args:
        recorder: whose transactions it goes with.
        name: as its attempts have it (`Attempt.run`).
    """

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name
        self._said = float("-inf")
        self._ledger: Ledger | None = None
        recorder.alongside(self._say)

    def _say(self, ledger: Ledger) -> None:
        """In the recorder's thread: with the first thing that is written into a ledger, and then every half minute."""
        now = time.monotonic()
        if ledger is not self._ledger or now - self._said >= _AGAIN:
            ledger.there(self._name)
            self._ledger, self._said = ledger, now

    async def keep(self) -> None:
        """Go on saying it while nothing passes; until cancelled."""
        while True:
            await asyncio.sleep(_AGAIN)
            self._recorder.wake()
