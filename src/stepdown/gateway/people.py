"""People at the gateway: whose token it is, as the ledger said at most a second ago, and what is recorded of them."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from stepdown.errors import LedgerError, StepdownError
from stepdown.gateway.guesses import Guesses
from stepdown.gateway.recorder import Recorder
from stepdown.ledger.open import home, ledger_location, open_ledger
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Key, Person
from stepdown.team.keep import note, revoke
from stepdown.team.keyring import Keyring
from stepdown.team.tokens import PREFIX, digest

FILE: Final = "people.json"
"""In the directory STEPDOWN_HOME: who may come in while the ledger cannot be asked. Digests, no tokens."""

_OFTEN: Final = 1.0
"""Seconds between two looks at the ledger while requests come."""
_STALE: Final = 2.0
"""Seconds after which what is known is not gone by before the ledger was asked."""
_PATIENCE: Final = 0.5
"""Seconds that a request waits for the ledger's answer; then what is known counts."""
_ANYWAY: Final = 30.0
"""Seconds after which everybody is read although nobody was changed."""
_SEEN: Final = 60.0
"""Seconds between two words to the ledger that somebody's token is used."""

_log: Final = logging.getLogger("stepdown.gateway")


class _Kept(msgspec.Struct, frozen=True):
    """What the file holds: of which ledger, and everybody in it."""

    ledger: str
    keys: list[Key]


class People:
    """Keeps a keyring as the ledger has it. The ledger is asked while requests come, and not otherwise.

    Args:
        ring: what is kept.
        recorder: has the ledger.
        file: where to keep it for a start without the ledger; ``people.json`` in STEPDOWN_HOME if not given.
        clock: seconds since the epoch.
        guesses: counts wrong tokens.
    """

    def __init__(
        self,
        ring: Keyring,
        recorder: Recorder,
        file: Path | None = None,
        clock: Callable[[], float] = time.time,
        guesses: Guesses | None = None,
    ) -> None:
        self.ring = ring
        self._recorder = recorder
        self._file = file or home() / FILE
        self._clock = clock
        self._guesses = guesses or Guesses()
        self._ledger = digest(ledger_location())
        self._keys: Sequence[Key] = ()
        self._newest = -1
        self._read = -_ANYWAY
        self._looked = -_STALE
        self._looking: asyncio.Task[None] | None = None
        self._seen: dict[str, float] = {}

    async def start(self) -> None:
        """Read who there is: from the file, and from the ledger where it answers."""
        self._hang(_kept(self._file, self._ledger))
        await self._look()

    async def look(self) -> None:
        """Have what is known at most `_STALE` seconds old, where tokens are needed and the ledger answers."""
        age = self._begin()
        if self._looking is not None and age >= _STALE and self.ring.closed:
            await self._wait()

    async def bearer(self, token: str, address: str) -> Person | float:
        """Whose token it is; else it is counted as `wrong`."""
        found = await self.find(token, address)
        return self.wrong(address) if found is None else found

    async def find(self, token: str, address: str) -> Person | None:
        """Whose token it is.

        One that is not known may have been made just now: it waits until the ledger was asked anew, which is once a second.
        """
        brought = token.strip().encode("utf-8", "surrogateescape")
        found = self.ring.bearer(brought, self._clock())
        if found is None and token.strip().startswith(PREFIX) and not self._guesses.left(address):
            await asyncio.sleep(_OFTEN - (time.monotonic() - self._looked))
            self._begin()
            if self._looking is not None:
                await self._wait()
            found = self.ring.bearer(brought, self._clock())
        self.saw(found)
        return found

    def wrong(self, address: str) -> float:
        """Count what was no token; for how many seconds `address` is to bring no more, 0.0 where it may try another."""
        return self._guesses.wrong(address)

    def visitor(self, cookie: str) -> Person | None:
        """Whose browser keeps this."""
        return self.ring.visitor(cookie, self._clock())

    async def still(self, person: Person | None) -> bool:
        """Whether whoever came in may stay, as far as the ledger said at most two seconds ago."""
        await self.look()
        return self.ring.still(person, self._clock())

    def saw(self, person: Person | None) -> None:
        """Their token was used; the ledger is told now and then."""
        if person is None or not person.name:
            return
        now = time.monotonic()
        if now - self._seen.get(person.name, -_SEEN) >= _SEEN:
            self._seen[person.name] = now
            self._recorder.tell(partial(_saw, person.name, self._clock()))

    def note(self, who: str, act: str, what: str) -> None:
        """Have it recorded that an administrator did something; while the ledger is away, that waits."""
        at = self._clock()
        self._recorder.tell(lambda ledger: note(ledger, who, act, what, at))

    async def revoke(self, name: str, who: str) -> None:
        """Revoke somebody's token; it is worth nothing here from now on, and elsewhere within a second or two.

        Raises:
            StepdownError: there is nobody of that name, or the ledger takes nothing.
        """
        await self._recorder.ask(lambda ledger: revoke(ledger, name, who, self._clock()))
        await self._look()

    def _begin(self) -> float:
        """Begin to look, where that is due; how many seconds old is what is known."""
        age = time.monotonic() - self._looked
        if self._looking is None and age >= _OFTEN:
            self._looking = asyncio.ensure_future(self._look())
            self._looking.add_done_callback(self._has_looked)
        return age

    def _has_looked(self, done: "asyncio.Task[None]") -> None:
        self._looking = None
        if not done.cancelled():
            done.exception()

    async def _wait(self) -> None:
        assert self._looking is not None
        await asyncio.wait({self._looking}, timeout=_PATIENCE)
        if self._looking is not None:  # the next one is not to wait for it as well
            self._looked = time.monotonic() - _OFTEN

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            found = await self._recorder.ask(partial(_people, self._newest, began - self._read >= _ANYWAY))
        except StepdownError:
            self._looked = time.monotonic()  # it is away, which is said elsewhere: what is known stays
            return
        self._looked = began
        if found is None:
            return
        self._newest, self._read = found[0], began
        if list(found[1]) != list(self._keys):
            self._hang(found[1])
            await asyncio.to_thread(self._keep, list(found[1]))

    def _hang(self, keys: Sequence[Key]) -> None:
        self._keys = keys
        self.ring.hang(keys)

    def _keep(self, keys: list[Key]) -> None:
        """Write the file, whole or not at all; nobody else may read it."""
        if not keys and not self._file.exists():
            return
        aside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            aside.unlink(missing_ok=True)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.encode(_Kept(self._ledger, keys)))
            aside.replace(self._file)
        except OSError as problem:
            _log.warning("%s: who has a token cannot be kept for a start without the ledger: %s", self._file, problem.strerror)


def anybody() -> bool:
    """Whether somebody has a token, as the ledger says, or where it does not answer, as it was kept."""
    try:
        with open_ledger(create=False) as ledger:
            keys = ledger.keys()
    except LedgerError:
        keys = _kept(home() / FILE, digest(ledger_location()))
    return any(key.person.revoked is None for key in keys)


def _kept(file: Path, ledger: str) -> Sequence[Key]:
    """What a file holds of this ledger; nothing where it holds another one's."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        if kept.ledger == ledger:
            return kept.keys
    return ()


def _people(newest: int, anyway: bool, ledger: Ledger) -> tuple[int, Sequence[Key]] | None:
    """Everybody, where an act came after `newest`; in the thread that has the ledger."""
    acts = ledger.acts(limit=1)
    last = acts[0].id if acts else 0
    return (last, ledger.keys()) if anyway or last != newest else None


def _saw(name: str, at: float, ledger: Ledger) -> None:
    ledger.saw(name, at)
