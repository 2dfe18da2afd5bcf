"""Into the ledger, whatever happens to it: kept in memory, then in the journal, until it takes it. Belongs to one thread."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.errors import LedgerError
from stepdown.gateway.entry import Entry, put
from stepdown.gateway.journal import Journal
from stepdown.gateway.left_behind import settle_left_behind
from stepdown.gateway.notes import Notes
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Conversation
from stepdown.ledger.rules import CONVERSATION_SECONDS

KEPT: Final = 5_000
"""Ended units that wait in memory for a ledger that takes nothing: about 25 MB with their receipts. Of more, all but the newest
half go into the journal; where that takes nothing either, twice as many are kept, then the oldest are lost, and it is said."""

TALKS: Final = 1_000
"""Conversations that wait to be written; of more, the ones that changed longest ago are left as the ledger has them."""

_BATCH: Final = 500
"""Units written in one transaction: about 50 ms, for which other processes that write have to wait."""
_RETRY: Final = 1.0
"""Seconds after which a ledger that took nothing is opened again and tried again."""
_SILENCE: Final = 60.0
"""Seconds between two lines in the log about the same trouble."""

log: Final = logging.getLogger("stepdown.gateway")


Name = tuple[str, str]
"""A project, and a conversation's name in it."""


def keep_newest(talks: dict[Name, Conversation], new: Mapping[Name, Conversation]) -> None:
    """Put `new` into what waits to be written, where there is room for the ones that changed last."""
    for name, talk in new.items():
        talks.pop(name, None)
        talks[name] = talk
    while len(talks) > TALKS:
        del talks[next(iter(talks))]


class Writer:
    """Has the ledger open and what is still to be written into it.

    Args:
        open_ledger: opens it; called again after every trouble.
        journal: takes what would be too much for the memory, and what is left at the end.
        notes: this gateway's own; beside them are those that others left behind.
        clock: seconds since the epoch.
        agree: compares that clock with the ledger's.

    Attributes:
        waiting: what the ledger does not have yet, the oldest first.
        remembered: what the ledger knew of conversations when it was first opened, the oldest first.
        trouble: why it takes nothing; "" while it does.
        alongside: called in every transaction that writes what passed, the last of them where there are several.
        retry_at: before this moment of the monotonic clock `write` does not try again.
    """

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        journal: Journal,
        notes: Notes,
        clock: Callable[[], float],
        agree: Callable[[Ledger], None],
    ) -> None:
        self.waiting: dict[Entry, None] = {}
        self.remembered: Sequence[Conversation] = ()
        self.trouble = ""
        self.alongside: list[Callable[[Ledger], None]] = []
        self.retry_at = 0.0
        self._open_ledger = open_ledger
        self._journal = journal
        self._notes = notes
        self._clock = clock
        self._agree = agree
        self._ledger: Ledger | None = None
        self._talks: dict[Name, Conversation] = {}
        self._is_woken = False  # whether what is called alongside waits for a transaction
        self._is_apart = False  # whether conversations are written by themselves
        self._opening = 0
        self._is_stale = True
        self._has_inherited = False
        self._silent_until = 0.0

    @property
    def ledger(self) -> Ledger:
        """As it is open now, to be read or for one more word; `LedgerError` where it cannot be opened."""
        if self._ledger is None:
            raise LedgerError(self.trouble)
        return self._ledger

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that the ledger does not have and may take later."""
        return bool(self.waiting or self._is_woken or (self.trouble and self._talks))

    def write(
        self, changed: Iterable[Entry], talks: Mapping[Name, Conversation], *, woken: bool = False, at_once: bool = False
    ) -> bool:
        """Write what changed and what waits, in one transaction; whether all of it is in the ledger.

        What is known of conversations does not count: where the ledger takes all but that, it is well.

        Args:
            changed: entries as they are now; one that has ended comes once.
            talks: conversations as they are now.
            woken: call what is called alongside also where nothing else is to be written.
            at_once: try also where it failed a moment ago.
        """
        self.waiting.update(dict.fromkeys(changed))
        keep_newest(self._talks, talks)
        self._is_woken |= woken
        if self.trouble and not at_once and time.monotonic() < self.retry_at:
            return False
        try:
            ledger = self._opened()
            if self.trouble:
                with ledger.batch():  # opening is not writing: whether it takes anything is found out also where nothing waits
                    pass
            written = len(self.waiting)
            talked = () if self._is_apart else list(self._talks.values())
            self._put_all(
                ledger, list(self.waiting), talked, self.alongside if self.waiting or talked or self._is_woken else ()
            )
            self._is_woken = False
            self._put_apart(ledger)
        except LedgerError as error:
            self._failed(str(error))
            return False
        except Exception as error:  # a mistake of ours must not end the only thread that writes
            log.exception("the gateway could not write into the ledger")
            self._failed(f"{type(error).__name__}: {error}")
            return False
        if self.trouble:
            self.trouble, self._silent_until = "", 0.0
            log.warning("the ledger takes what passes again; %s waited", _units(written))
        return True

    def is_writable(self) -> bool:
        """Whether the ledger takes anything, after it has refused something; where not, that is a trouble."""
        try:
            with self.ledger.batch():
                return True
        except LedgerError as error:
            self._failed(str(error))
            return False

    def warn(self, message: str) -> None:
        """A line in the log, one a minute at most."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _SILENCE
            log.warning("%s", message)

    def close(self) -> None:
        """Let go of the ledger; what it did not take is kept in the journal until the next start."""
        entries = list(self.waiting)
        is_kept = True
        if entries:
            try:
                self._journal.append(entries)
            except OSError as error:
                is_kept = False
                log.error("what %s used is lost: %s; %s", _units(len(entries)), self.trouble, self._no_journal(error))  # noqa: TRY400 - the line says it all
            else:
                where = self._journal.path
                log.warning("%s; what %s used is kept in %s for the next start", self.trouble, _units(len(entries)), where)
            self.waiting.clear()
        if self._talks:
            log.warning("what is known of %s is lost", _counted(len(self._talks), "conversation"))
            self._talks.clear()
        self._notes.close(keep=not is_kept)
        self._let_go()

    def _opened(self) -> Ledger:
        """The ledger: opened anew after a trouble, since it may have been moved away meanwhile."""
        if self._is_stale or self._ledger is None:
            self._let_go()
            self._ledger = ledger = self._open_ledger()
            self._opening += 1
            self._agree(ledger)
            self._replay(ledger)
            if not self._has_inherited:
                now = self._clock()
                settle_left_behind(ledger, now)
                self._recall(ledger, now)
                self._has_inherited = True
            self._is_stale = False
        return self._ledger

    def _recall(self, ledger: Ledger, now: float) -> None:
        try:
            self.remembered = ledger.conversations(now - CONVERSATION_SECONDS)
        except LedgerError as error:
            self.warn(f"{error}; conversations begin anew")

    def _replay(self, ledger: Ledger) -> None:
        try:
            kept, broken = self._journal.replay(lambda entries: self._put_all(ledger, entries))
        except BlockingIOError:
            return  # another gateway is just doing it
        except OSError as error:
            self.warn(self._no_journal(error))
            return
        if kept:
            log.warning("what %s used was kept in %s: it is in the ledger now", _units(kept), self._journal.path)
        if broken:
            log.warning("%s of %s could not be read: lost", _counted(broken, "line"), self._journal.path)
        try:
            left = self._notes.left_behind(lambda entries: self._put_all(ledger, entries))
        except OSError as error:
            self.warn(f"what a gateway that died has noted cannot be read: {error}")
            return
        if left:
            log.warning("a gateway died: what %s used is in the ledger, as it was noted", _units(left))

    def _put_all(
        self,
        ledger: Ledger,
        entries: Sequence[Entry],
        talks: Sequence[Conversation] = (),
        alongside: Sequence[Callable[[Ledger], None]] = (),
    ) -> None:
        parts = [entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH)]
        parts = parts or ([[]] if talks or alongside else [])
        for number, part in enumerate(parts, start=1):
            with ledger.batch():
                places = [put(ledger, entry, self._opening) for entry in part]
                if talks:
                    ledger.remember(talks)
                if number == len(parts):
                    for call in alongside:
                        call(ledger)
            if talks:
                talks = ()
                self._talks.clear()
            for entry, place in zip(part, places, strict=True):
                entry.place = place
                self.waiting.pop(entry, None)

    def _put_apart(self, ledger: Ledger) -> None:
        """Write what is known of conversations by itself, after a trouble that may have been about that alone."""
        if self._is_apart and self._talks:
            try:
                ledger.remember(list(self._talks.values()))
            except LedgerError as error:
                self.warn(f"the ledger takes everything but what is known of conversations: {error}")
                return
            self._talks.clear()
        self._is_apart = False

    def _failed(self, message: str) -> None:
        self._is_apart = True
        self.trouble = message
        self.retry_at = time.monotonic() + _RETRY
        self._is_stale = True
        for entry in self.waiting:  # the commit may have come through although it failed
            if entry.place.opening == -1:
                entry.place = msgspec.structs.replace(entry.place, opening=0)
        self._make_room()
        self.warn(f"{message}; requests go on, what they use waits in memory ({_units(len(self.waiting))})")

    def _make_room(self) -> None:
        ended = [entry for entry in self.waiting if entry.end is not None]
        if len(ended) <= KEPT:
            return
        oldest = ended[: len(ended) - KEPT // 2]
        try:
            self._journal.append(oldest)
        except OSError as error:
            oldest = ended[: max(0, len(ended) - 2 * KEPT)]
            if oldest:
                self.warn(f"what {_units(len(oldest))} used is lost: {self.trouble}; {self._no_journal(error)}")
        for entry in oldest:
            del self.waiting[entry]

    def _no_journal(self, error: OSError) -> str:
        return (
            f"{self._journal.path} cannot be used either ({error.strerror or error}): free some space, or check its permissions"
        )

    def _let_go(self) -> None:
        if self._ledger is not None:
            with contextlib.suppress(LedgerError):  # it is in trouble, and what was not committed is still here
                self._ledger.close()
            self._ledger = None


def _units(count: int) -> str:
    return _counted(count, "unit")


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"
