"""A connection of the page's own to the ledger, in a thread of its own: whatever it reads, nobody else waits."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stepdown.errors import LedgerError
from stepdown.ledger.port import Ledger

T = TypeVar("T")


class Reading:
    """Answers questions, one at a time.

    Args:
        open_ledger: opens the ledger; called in the thread, when something is asked first and after every trouble.
    """

    def __init__(self, open_ledger: Callable[[], Ledger]) -> None:
        self._open = open_ledger
        self._ledger: Ledger | None = None
        self._thread = ThreadPoolExecutor(1, "stepdown-page")

    async def ask(self, question: Callable[[Ledger], T]) -> T:
        """Call `question` in the thread.

        Raises:
            LedgerError: the ledger cannot be read; and whatever `question` raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)

    def begin(self, work: Callable[[], None]) -> None:
        """Have something done in the thread that needs no ledger; nobody waits for it."""
        self._thread.submit(work)

    def _answer(self, question: Callable[[Ledger], T]) -> T:
        if self._ledger is None:
            self._ledger = self._open()
        try:
            return question(self._ledger)
        except LedgerError:
            self._forget()
            raise

    def _forget(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            with contextlib.suppress(LedgerError):
                ledger.close()

    async def close(self) -> None:
        """Wait for the question that is being answered, and let go of the ledger."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
        self._thread.shutdown(wait=False)
