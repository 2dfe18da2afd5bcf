"""What passes through the gateway, written down: requests are added up in memory, one thread writes, the others never wait.

An attempt is a unit on a model. Every quarter of a second what changed is written in one transaction; what a killed process was
told since is found in its notes. The same thread reads: it keeps what routing is told of each project up to date, and answers
questions. Nothing of a prompt, an answer or a credential comes here.
"""

import asyncio
import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from stepdown.decision import Context
from stepdown.errors import LedgerError, StepdownError
from stepdown.gateway.entry import End, Entry, Place, acceptable, one_request
from stepdown.gateway.journal import Journal
from stepdown.gateway.left_behind import name_of_run
from stepdown.gateway.news import News
from stepdown.gateway.notes import Notes
from stepdown.gateway.published import FRESH, Published
from stepdown.gateway.rounds import Job, Round, Word
from stepdown.gateway.writer import Name, Writer, keep_newest, log
from stepdown.ledger.open import home
from stepdown.ledger.port import GATEWAY, Ledger
from stepdown.ledger.records import Attempt, Conversation
from stepdown.ledger.rules import LAST_SECOND, accepted_attempt, accepted_conversations
from stepdown.preferences import Preferences
from stepdown.units import Tokens

JOURNAL: Final = "gateway-journal.jsonl"
"""In the directory STEPDOWN_HOME: what the ledger would not take."""

NOTES: Final = "gateway-notes"
"""The directory beside it: what the ledger does not have yet."""

OPEN: Final = 5_000
"""Units at work at once; of more, the one that was silent longest is ended, and begins anew when it comes back."""
_PAST: Final = 500
"""Units that ended last, so that what one of them still uses finds its attempt."""
_TOLD: Final = 1_000
"""Words (`Recorder.tell`) that wait for a ledger in trouble; of more, the oldest are dropped."""

T = TypeVar("T")


class Recorder:
    """Writes down what passes; every method may be called from the event loop and none of them waits for the disk.

    Args:
        open_ledger: opens the ledger; called in the thread that writes, at the start and after every trouble.
        preferences: for what routing is told; without them, of every project that it has no past.
        project: the project whose context has been read when `start` returns; of others it is read when first asked for.
        clock: seconds since the epoch.
        agree: compares that clock with the ledger's, once it is open and every minute; in the thread that writes.
        interval: seconds between a change and its being written.
        fresh: seconds after which what changed in the ledger is in what routing is told.
        idle: seconds after which a unit that is silent has ended.
        journal: where to keep what the ledger does not take; ``gateway-journal.jsonl`` in STEPDOWN_HOME if not given.
    """

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        *,
        preferences: Preferences | None = None,
        project: str = "",
        clock: Callable[[], float] = time.time,
        agree: Callable[[Ledger], None] = lambda _: None,
        interval: float = 0.25,
        fresh: float = FRESH,
        idle: float = 1800.0,
        journal: Path | None = None,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._idle = idle
        self.rounds = 0
        """How often what passed was taken to be written, or tried to."""
        self.run = name_of_run()
        """This process, as its attempts name it."""
        self._name = f"{GATEWAY}-{secrets.token_hex(8)}"
        self._count = 0
        self._published = Published(preferences, clock, idle, fresh)
        self._news = News(self._published.changed, clock, agree)
        if project:
            self._published.add(project)
        journal = journal or home() / JOURNAL
        self._notes = Notes(journal.with_name(NOTES), self._name)
        self._journal = Journal(journal)
        self._writer = Writer(open_ledger, self._journal, self._notes, clock, agree)
        self._untold: deque[Word] = deque(maxlen=_TOLD)  # of the thread alone, as the writer is
        # Guards everything below, which both threads change; never held while anything is written or read.
        self._changed = threading.Condition()
        self._open: OrderedDict[str, Entry] = OrderedDict()  # the one that was silent longest first
        self._past: OrderedDict[str, Attempt] = OrderedDict()  # the one that ended first first
        self._dirty: dict[Entry, None] = {}
        self._talks: dict[Name, Conversation] = {}
        self._told: list[Word] = []
        self._jobs: list[Job] = []
        self._since: float | None = None  # when the first of what is to be written came
        self._at_once = self._woken = False
        self._closing = self._over = False
        self._thread = threading.Thread(target=self._work, name="stepdown-recorder", daemon=True)

    async def start(self) -> None:
        """Begin to write: open the ledger, put in order what a gateway that died has left, read what routing is told.

        A ledger that cannot be used is said in the log and by `trouble`; what passes is kept until it can be.
        """
        self._thread.start()
        await self.refresh()

    @property
    def trouble(self) -> str:
        """Why the ledger takes nothing, one line; "" while it does."""
        return self._writer.trouble

    @property
    def waiting(self) -> int:
        """How many units used what the ledger does not have yet, as far as that is in memory."""
        return len(self._writer.waiting) + len(self._dirty)

    @property
    def kept(self) -> int:
        """Bytes in the journal, which the ledger does not have either."""
        return self._journal.size

    def is_open(self, key: str) -> bool:
        """Whether something is added up under this key."""
        return key in self._open

    def begin(self, key: str, attempt: Attempt) -> None:
        """Begin to add up what `attempt` uses; nothing happens where that is done already.

        Its `agent`, `run` and `key` are set here.

        Raises:
            LedgerError: the attempt has a time, an amount or a count that no attempt can have.
        """
        with self._changed:
            if key not in self._open:
                self._begin(key, attempt)

    def used(
        self,
        key: str,
        tokens: Tokens | None,
        cost_usd: float | None,
        ceiling_usd: float | None,
        *,
        cache_loss_usd: float = 0.0,
        requests: int = 1,
        failure: str | None = None,
        estimated: bool = False,
    ) -> None:
        """Add what a request used. One whose unit has ended meanwhile begins another attempt.

        Args:
            key: what its attempt was begun under.
            tokens: by kind; None is unknown.
            cost_usd: US dollars; None is unknown, but nothing where the provider refused and no tokens are told.
            ceiling_usd: what the same tokens cost at the ceiling's prices; likewise.
            cache_loss_usd: of `cost_usd`, what went into writing a cache anew because routing had changed the model.
            requests: how many these were.
            failure: the kind of SPEC 8; None where it went well.
            estimated: whether the tokens are a guess.

        Raises:
            KeyError: nothing was begun under `key`, which is the caller's mistake.
        """
        with self._changed:
            entry = self._open.get(key) or self._begin_again(key)
            try:
                said = one_request(
                    tokens, cost_usd, ceiling_usd, requests, failure, cache_loss_usd=cache_loss_usd, estimated=estimated
                )
                total = acceptable(entry.used + said)
            except LedgerError as error:
                log.warning("a provider's word on what a request used is not believed: %s", error)
                said = one_request(None, None, None, requests, failure)
                total = entry.used + said
            entry.used, entry.touched, entry.at = total, time.monotonic(), self._now()
            self._notes.note(entry)
            self._open.move_to_end(key)
            self._mark(entry)
            project = self._published.find(entry.place.attempt.project)
            if project is not None:
                project.spent += said.usd

    def end(self, key: str, failure: str | None = None, message: str = "") -> None:
        """No more is coming for this attempt; nothing happens where it has ended.

        Args:
            key: what it was begun under.
            failure: the kind of SPEC 8 if it failed as a whole; None is a success, unless every one of its requests failed.
            message: one line about the failure.
        """
        with self._changed:
            if key in self._open:
                self._end(key, failure or "", message)

    def end_unit(self, project: str, name: str) -> None:
        """No more is coming for a unit, as far as anybody knows: its user judges it. What comes all the same begins anew.

        Args:
            project: whose.
            name: its id, or ``type id``.
        """
        with self._changed:
            meant = [
                key
                for key, entry in self._open.items()
                if (attempt := entry.place.attempt).project == project
                and name in {attempt.unit_id, f"{attempt.unit_type} {attempt.unit_id}"}
            ]
            for key in meant:
                self._end(key)

    def attend(self) -> None:
        """A request has come: for a while, what others write into the ledger is looked for every second."""
        was_idle, self._news.asked = self._news.is_idle, time.monotonic()
        if was_idle:
            with self._changed:
                self._changed.notify()

    def context(self, project: str) -> Context:
        """What routing is told of a project: as it was read last, a second or two after it changed, here or elsewhere.

        The first time it is asked for it has yet to be read: that is a world without a past.
        """
        known = self._published.find(project)
        if known is None:
            with self._changed:
                known = self._published.add(project)
                self._changed.notify()
        known.asked = time.monotonic()
        return known.context

    def contexts(self) -> Sequence[tuple[str, Context]]:
        """The projects that are kept up to date, with what routing is told of them."""
        return [(name, known.context) for name, known in self._published.named()]

    def unseen_usd(self, project: str) -> float:
        """US dollars of requests that ended since the project's context was read."""
        known = self._published.find(project)
        return 0.0 if known is None else max(0.0, known.spent - known.seen)

    def remember(self, project: str, name: str, state: bytes, at: float) -> None:
        """Have what is known of a conversation written down; where that changes again before it is, the last word counts.

        Only as long as nothing else is lost by it: while the ledger is in trouble, the newest are kept in memory and no more.

        Args:
            project: whose it is.
            name: its name in that project.
            state: what is known; a state that no ledger would take is not written, which is said in the log.
            at: seconds since the epoch, when its last request came.
        """
        talk = Conversation(project=project, id=name, at=min(max(at, 0.0), float(LAST_SECOND)), state=state)
        try:
            [(key, accepted)] = accepted_conversations([talk]).items()
        except LedgerError as error:
            log.warning("%s", error)
            return
        with self._changed:
            keep_newest(self._talks, {key: accepted})
            self._wake_later()

    def remembered(self) -> Sequence[Conversation]:
        """What an earlier gateway knew of conversations, the oldest first: as the ledger had it when this one was started."""
        return self._writer.remembered

    def listen(self, heard: Callable[[Sequence[Conversation]], object]) -> None:
        """Have `heard` told of conversations as the ledger has them when somebody wrote, in the thread that has the ledger."""
        self._news.heard = heard

    def tell(self, word: Word) -> None:
        """Have the thread say something to the ledger soon; while that is in trouble, it waits."""
        with self._changed:
            self._told.append(word)
            self._wake_later()

    def alongside(self, call: Callable[[Ledger], None]) -> None:
        """Have `call` called in every transaction that writes what passed, in the thread that writes.

        An error undoes the transaction, and both are tried again. What is kept of a gateway that died is written without it.
        """
        self._writer.alongside.append(call)

    def wake(self) -> None:
        """Have what is called alongside called now, also where nothing else is to be written; never waits."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    async def ask(self, question: Callable[[Ledger], T]) -> T:
        """Call `question` in the thread that has the ledger, after everything noted so far has been written.

        Raises:
            LedgerError: the ledger cannot be opened; and whatever `question` raises.
        """
        return await self._do(lambda: question(self._writer.ledger))

    async def flush(self) -> bool:
        """Write everything noted so far; whether the ledger took it."""
        return await self._do(lambda: not self._writer.trouble)

    def prefer(self, preferences: Preferences) -> None:
        """Go by other preferences from now on."""
        with self._changed:
            self._published.prefer(preferences)
            self._changed.notify()

    async def refresh(self) -> None:
        """Read the contexts of all projects now, so that the next decision knows what has just been said."""
        await self._do(lambda: self._read(at_once=True))

    async def close(self) -> None:
        """End everything, write it (into the journal where the ledger takes nothing) and stop. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is None:
            return  # it was never started
        # The thread may be waiting for another process that is writing; that has its own bound.
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def _do(self, work: Callable[[], T]) -> T:
        job = Job(Future(), work)
        with self._changed:
            if self._closing:
                raise LedgerError("the gateway is stopping: ask the ledger itself")
            self._jobs.append(job)
            self._at_once = True
            self._changed.notify()
        answer: T = await asyncio.wrap_future(job.future)
        return answer

    # Called with the lock held.

    def _begin(self, key: str, attempt: Attempt) -> Entry:
        self._count += 1
        marks = {"agent": GATEWAY, "run": self.run, "key": f"{self._name}-{self._count}.1"}
        entry = Entry(Place(attempt=msgspec.structs.replace(accepted_attempt(attempt), **marks)), touched=time.monotonic())
        self._open[key] = entry
        self._mark(entry)
        if len(self._open) > OPEN:
            self._end(next(iter(self._open)))
        return entry

    def _begin_again(self, key: str) -> Entry:
        if key not in self._past:
            raise KeyError("what a request used cannot be noted: nothing was begun under its key")
        past = self._past.pop(key)
        return self._begin(key, msgspec.structs.replace(past, number=past.number + 1, started=self._now()))

    def _end(self, key: str, failure: str = "", message: str = "") -> None:
        entry = self._open.pop(key)
        attempt = entry.place.attempt
        entry.end = End(at=max(entry.at, attempt.started), failure=failure, message=message)
        self._past[key] = attempt
        if failure:
            self._notes.note(entry)
        if len(self._past) > _PAST:
            self._past.popitem(last=False)
        self._mark(entry)

    def _mark(self, entry: Entry) -> None:
        self._dirty[entry] = None
        self._wake_later()

    def _wake_later(self) -> None:
        """Have the thread look after `interval`; what comes until then goes with it."""
        if self._over:
            log.warning("something passed the gateway after it had stopped writing: it is not in the ledger")
        if self._since is None:
            self._since = time.monotonic()
            self._changed.notify()

    def _due(self) -> float:
        """When there is something to do, on the monotonic clock."""
        if self._at_once or self._closing:
            return -math.inf
        moments = [self._published.due, max(self._news.due, self._writer.retry_at)]
        if self._since is not None:
            moments.append(max(self._since + self._interval, self._writer.retry_at))
        if self._woken or self._writer.is_waiting or self._untold:
            moments.append(self._writer.retry_at)
        if self._open:
            moments.append(next(iter(self._open.values())).touched + self._idle)
        return min(moments)

    def _take(self) -> Round:
        """What is to be done now; who was silent too long has ended, and at the end everybody."""
        self.rounds += 1
        silent = time.monotonic() - self._idle
        while self._open and (self._closing or next(iter(self._open.values())).touched <= silent):
            self._end(next(iter(self._open)))
        self._over = self._closing  # what is noted from here on, nobody writes
        self._published.forget()
        spent = [(project, project.spent) for project in self._published.all()]
        taken = Round(
            *(self._dirty, self._talks, spent, self._told, self._jobs),
            woken=self._woken,
            at_once=self._at_once or self._closing,
            last=self._closing,
        )
        self._notes.turn()
        self._dirty, self._talks, self._told, self._jobs = {}, {}, [], []
        self._since, self._at_once, self._woken = None, False, False
        return taken

    # Called in the thread that writes.

    def _work(self) -> None:
        is_over = False
        try:
            while not is_over:
                with self._changed:
                    while (pause := self._due() - time.monotonic()) > 0:
                        self._changed.wait(min(pause, threading.TIMEOUT_MAX))
                    taken = self._take()
                is_over = taken.last
                self._do_round(taken)
        finally:
            with self._changed:
                self._over = True
            for job in self._jobs:  # nobody will answer them
                job.future.cancel()

    def _do_round(self, taken: Round) -> None:
        self._untold.extend(taken.told)
        has_changed = bool(taken.changed or taken.jobs)  # a question may change what it asks
        if self._writer.write(taken.changed, taken.talks, woken=taken.woken, at_once=taken.at_once):
            self._notes.written()
            for project, spent in taken.spent:
                project.written = spent
            has_changed |= self._say()
        for job in taken.jobs:
            job.answer()
        if has_changed:
            self._published.changed()
        self._read()
        if taken.last:
            if self._untold:
                log.warning("the ledger was not told everything that the gateway noticed: %s", self._writer.trouble)
            self._writer.close()

    def _say(self) -> bool:
        """Tell the ledger what there is to tell; whether there was anything."""
        has_said = False
        while self._untold:
            try:
                self._untold[0](self._writer.ledger)
            except StepdownError as error:
                if not self._writer.is_writable():
                    break
                self._writer.warn(f"the ledger refused what it was told: {error}")
            except Exception:  # noqa: BLE001 - a mistake of whoever told it; the next word is not to wait for that
                log.exception("the ledger could not be told something")
            self._untold.popleft()
            has_said = True
        return has_said

    def _read(self, *, at_once: bool = False) -> None:
        # Before anything is read: what is written from here on is news again.
        if at_once or min(self._news.due, self._published.due) <= time.monotonic():
            try:
                self._news.look(self._writer.ledger)
            except LedgerError as error:
                self._writer.warn(f"{error}; decisions go by what was read before")
        trouble = self._published.read(lambda: self._writer.ledger, at_once=at_once)
        if trouble:
            self._writer.warn(f"{trouble}; decisions go by what was read before")

    def _now(self) -> float:
        """The time as a ledger takes it, also from a clock that is badly wrong."""
        return min(max(self._clock(), 0.0), float(LAST_SECOND))
