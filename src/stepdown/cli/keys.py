"""One key after a unit rates it, and nobody waits for it: keys are read while the next unit runs."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from stepdown.cli.screen import complain, say
from stepdown.cli.terminal import in_front
from stepdown.errors import LedgerError, UsageError
from stepdown.ledger.port import Ledger
from stepdown.rating import rating_of
from stepdown.units import Unit

_WORDS: Final = {"o": "over", "u": "under", "k": "ok"}


class RatingKeys:
    """While it is open and standard input is a terminal, `o`, `u` and `k` rate the unit that ended last."""

    def __init__(self, ledger: Ledger, project: str) -> None:
        self._ledger = ledger
        self._project = project
        self._last: Unit | None = None
        self._before: list[Any] | None = None
        self._listens = False

    def __enter__(self) -> Self:
        if in_front(sys.stdin) and sys.stdout.isatty():
            import termios  # noqa: PLC0415  (only where there is a terminal)

            with contextlib.suppress(termios.error, OSError):
                self._before = termios.tcgetattr(sys.stdin)
                self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rest()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While a question is asked: the terminal is as it was, echo and all, and ctrl-C ends the question at once."""
        self._rest()
        # asyncio's own handler waits for the loop, and the loop waits for the answer.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
            if self._before is not None and in_front(sys.stdin):  # after `bg` the terminal is the shell's
                self._listen()

    def _listen(self) -> None:
        import tty  # noqa: PLC0415  (only where there is a terminal)

        tty.setcbreak(sys.stdin)
        asyncio.get_running_loop().add_reader(sys.stdin, self._pressed)
        self._listens = True

    def _rest(self) -> None:
        if self._before is None:
            return
        import termios  # noqa: PLC0415  (only where there is a terminal)

        asyncio.get_running_loop().remove_reader(sys.stdin)
        self._listens = False
        if in_front(sys.stdin):  # in the background it is somebody else's terminal by now, and touching it would stop us
            with contextlib.suppress(termios.error):  # it is gone
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def offer(self, unit: Unit) -> str:
        """Remember the unit that has ended; what to print behind its line."""
        self._last = unit
        return "   (o over, u under, k ok)" if self._listens else ""

    @property
    def offered(self) -> Unit | None:
        """The unit that a key would rate now."""
        return self._last if self._listens else None

    def _pressed(self) -> None:
        try:
            key = os.read(sys.stdin.fileno(), 1)
        except OSError:
            key = b""
        if not key:  # the terminal is gone: it would be ready to be read for ever
            asyncio.get_running_loop().remove_reader(sys.stdin)
            self._listens = False
            return
        word, unit = _WORDS.get(key.decode(errors="replace").lower()), self._last
        if word is None or unit is None:
            return
        self._last = None
        try:
            rated = self._rate(unit, word)
        except LedgerError as error:  # nobody is above this to say it
            complain(str(error))
            return
        if rated:
            say(f"         rated {word}: {unit.type} {unit.id}")

    def _rate(self, unit: Unit, word: str) -> bool:
        """Record it; whether there was something to rate."""
        records = [record for record in self._ledger.of_unit(self._project, unit.id) if record.attempt.unit_type == unit.type]
        try:
            if records:
                self._ledger.rate(rating_of(records, word, time.time()))
        except UsageError:  # it cannot be rated, and a key is no question that wants an answer
            return False
        return bool(records)
