"""Codex's accounts of tokens → answers, each once, and what Codex itself adds up.

What an answer used is told by a ``token_usage_record`` (0.15x and later) and by the running total of ``token_count``, which is
repeated without a new answer, and lacks some of what it has a record of (compactions by the provider).
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from stepdown.sessions.codex_lines import Info, Used, used
from stepdown.sessions.codex_thread import Thread
from stepdown.sessions.records import Counted, Request
from stepdown.sessions.values import IMPOSSIBLE

UNTIMED: Final = "answers without a time"
UNNAMED: Final = "answers of a model that the log does not name"


class _Sums(msgspec.Struct, gc=False):
    """What Codex counted for one model so far."""

    at: float = 0.0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class Answers:
    """What was answered in one log.

    Args:
        thread: where in the log one is.
        turn: the position of the turn that an answer belongs to.
        troubles: as in `Log`.

    Attributes:
        requests: in the order of the log.
        ids: positions of requests by the provider's ids of their answers.
        searches: web searches that no answer was told of yet.
    """

    def __init__(self, thread: Thread, turn: Callable[[], int], troubles: Counter[str]) -> None:
        self.requests: list[Request] = []
        self.ids: dict[str, int] = {}
        self.searches = 0
        self._thread = thread
        self._turn = turn
        self._troubles = troubles
        self._sums: dict[str, _Sums] = {}
        self._keys: Counter[str] = Counter()
        self._total: Used | None = None
        self._recorded: Used | None = None
        self._told: set[Used] = set()

    def another_task(self) -> None:
        """What follows belongs to another task."""
        self._told.clear()

    def another_part(self) -> None:
        """A copy begins or ends: a fork goes on with the sums of its origin, which are not its."""
        self._recorded = None

    def record(self, payload: dict[str, Any], now: float) -> bool:
        """A ``token_usage_record``: an answer."""
        own, sums = used(payload.get("usage")), used(payload.get("thread_token_usage"))
        if own is None:
            self._troubles[IMPOSSIBLE] += 1
            return False
        before, self._recorded = self._recorded, sums
        self._told.add(own)
        answered = self._answer(own, sums, before, now)
        if answered and isinstance(name := payload.get("response_id"), str):
            self.ids[name] = len(self.requests) - 1
        return answered

    def count(self, info: Info, now: float) -> bool:
        """A ``token_count``: an answer where the total has grown and no record told of it."""
        total, own = info.total_token_usage, info.last_token_usage
        if total is not None and total == self._total:
            return False
        if total is None and own is None:
            self._troubles[IMPOSSIBLE] += 1
            return False
        before, self._total = self._total, total
        if own is None or own == Used():  # older versions leave it out; after a compaction it says how full the context is
            own = _grown(total, before) or total
        if own is None or own == Used() or own in self._told or (before is None and total != own and self._thread.is_fork):
            return False  # nothing; told by a record; what a fork goes on with
        return self._answer(own, total, before, now)

    @property
    def counted(self) -> tuple[Counted, ...]:
        """Codex's own sums of this thread, by model."""
        name = self._thread.name
        return tuple(
            Counted(name, model, one.at, one.input, one.output, one.cache_read, one.cache_write)
            for model, one in self._sums.items()
        )

    def log_ends(self) -> None:
        """What was searched for last belongs to the last answer."""
        if self.searches and self.requests:
            last = self.requests[-1]
            self.requests[-1] = msgspec.structs.replace(last, searches=last.searches + self.searches)

    def _answer(self, own: Used, total: Used | None, before: Used | None, now: float) -> bool:
        if not own.is_possible:
            self._troubles[IMPOSSIBLE] += 1
        if not now:
            self._troubles[UNTIMED] += 1
            return False
        if not self._thread.model and not self._thread.copied:  # a copy may leave it out
            self._troubles[UNNAMED] += 1
        tokens = own.tokens
        self.requests.append(
            Request(
                turn=self._turn(),
                at=now,
                key=self._key(own, total, now),
                model=self._thread.model,
                provider=self._thread.provider,
                input=tokens.input,
                output=tokens.output,
                cache_read=tokens.cache_read,
                cache_write=tokens.cache_write,
                searches=self.searches,
                variant=self._thread.variant,
            )
        )
        self.searches = 0
        if total is not None and not self._thread.copied:
            self._add(_grown(total, before) or own, now)
        return True

    def _key(self, own: Used, total: Used | None, now: float) -> str:
        """The same for the same answer in every log that holds it.

        Where tasks have ids: the task, and what was used in it. In older logs: the thread that all copies go back to, and its
        running total.
        """
        if not self._thread.dated:
            return f"{self._thread.root}:{now if total is None else total.mark}:{own.mark}"
        key = f"{self._thread.task}:{own.mark}"
        self._keys[key] += 1
        return key if self._keys[key] == 1 else f"{key}:{self._keys[key]}"

    def _add(self, grown: Used, now: float) -> None:
        """Codex's own count goes on, for the model under which it grew."""
        tokens, sums = grown.tokens, self._sums.setdefault(self._thread.model, _Sums())
        sums.at = now
        sums.input += tokens.input
        sums.output += tokens.output
        sums.cache_read += tokens.cache_read
        sums.cache_write += tokens.cache_write


def _grown(total: Used | None, before: Used | None) -> Used | None:
    """By how much a total has grown; None where it began anew, or nothing is known of it."""
    grown = None if total is None or before is None else total - before
    return grown if grown is not None and grown.is_possible else None
