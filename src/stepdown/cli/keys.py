"""One key after a unit rates it, and nobody waits for it: keys are read while the next unit runs."""

import asyncio
import contextlib
import os
import sys
import time
from types import TracebackType
from typing import Any, Final, Self

from stepdown.cli.screen import say
from stepdown.ledger.port import Ledger, Rating
from stepdown.units import Unit

_WORDS: Final = {"o": "over", "u": "under", "k": "ok"}


class RatingKeys:
    """While it is open and standard input is a terminal, `o`, `u` and `k` rate the unit that ended last."""

    def __init__(self, ledger: Ledger, project: str) -> None:
        self._ledger = ledger
        self._project = project
        self._last: Unit | None = None
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stdin.isatty() and sys.stdout.isatty():
            import termios  # noqa: PLC0415  (only where there is a terminal)
            import tty  # noqa: PLC0415

            with contextlib.suppress(termios.error, OSError):
                self._before = termios.tcgetattr(sys.stdin)
                tty.setcbreak(sys.stdin)
                asyncio.get_running_loop().add_reader(sys.stdin, self._pressed)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None:
            import termios  # noqa: PLC0415  (only where there is a terminal)

            asyncio.get_running_loop().remove_reader(sys.stdin)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def offer(self, unit: Unit) -> str:
        """Remember the unit that has ended; what to print behind its line."""
        self._last = unit
        return "" if self._before is None else "   (o over, u under, k ok)"

    def _pressed(self) -> None:
        word = _WORDS.get(os.read(sys.stdin.fileno(), 1).decode(errors="replace").lower())
        unit, self._last = self._last, None
        if word is None or unit is None:
            self._last = unit
            return
        records = [record for record in self._ledger.of_unit(self._project, unit.id) if record.attempt.unit_type == unit.type]
        if not records or records[-1].attempt.tier is None:
            return
        attempt = records[-1].attempt
        assert attempt.tier is not None
        rating = Rating(
            project=self._project,
            unit_type=unit.type,
            unit_id=unit.id,
            word=word,
            tier=attempt.tier,
            pattern=attempt.pattern,
            model=attempt.model,
            at=time.time(),
        )
        self._ledger.rate(rating)
        say(f"         rated {word}: {unit.type} {unit.id}")
