"""What has changed, to every page that is open: each part is put together once, however many are looking, and only when due."""

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.dashboard.host import Facts, Host
from stepdown.dashboard.people import read_people
from stepdown.dashboard.reading import Reading
from stepdown.dashboard.render import Parts
from stepdown.dashboard.view import State, Units, read_state, read_units
from stepdown.decision import Context
from stepdown.errors import StepdownError
from stepdown.ledger.port import Ledger

QUIET: Final = 15.0
"""Seconds without news after which a follower is told that we are still there."""
OFTEN: Final = 1.0
"""Seconds between two looks at what runs and what has just ended."""
SELDOM: Final = 5.0
"""Seconds between two looks at sums, budgets and what was learned, where anything was written."""
ANYWAY: Final = 30.0
"""Seconds after which they are read although nothing was written: windows begin anew, blocks end."""
_SHARE: Final = 100
"""Putting it all together may take one in so many seconds of a processor; where that is slow, pages are told less often."""
_GZIP: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""What a stream in gzip begins with: deflated, without a name, made at no time and nowhere."""


class _Part(msgspec.Struct, frozen=True):
    """A part of the page: its HTML, the event that carries it, the same packed, and its number among all that were made."""

    html: str
    event: bytes
    packed: bytes
    number: int


class Channel:
    """The pages of one project.

    Args:
        project: whose.
        host: what is shown.
        reading: the ledger.
        parts: makes HTML of it.
        closing: set when the process ends.
        role: whose pages these are: what they may not do is not offered to them; "" may everything, and there are no people.
    """

    def __init__(
        self, project: str, host: Host, reading: Reading, parts: Parts, closing: asyncio.Event, role: str = ""
    ) -> None:
        self._role = role
        self._project = project
        self._host = host
        self._reading = reading
        self._make = parts
        self._closing = closing
        self._parts: dict[str, _Part] = {}
        self._count = 0
        self._followers = 0
        self._news = asyncio.Event()
        self._said = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._at_once = True
        self._told: object = None
        self._took = 0.0
        # Of the thread that reads.
        self._units: Units | None = None
        self._state: State | None = None
        self._units_stamp = self._state_stamp = -1
        self._state_read = 0.0
        self._context: Context | None = None

    @property
    def watched(self) -> bool:
        """Whether a page is open."""
        return self._followers > 0

    @property
    def projects(self) -> Sequence[str]:
        """All there are, as they were read last; those of others among them."""
        return () if self._state is None else self._state.projects

    def poke(self) -> None:
        """Something was said on a page: look at everything now."""
        self._at_once = True
        self._said.set()

    async def now(self) -> Mapping[str, str]:
        """Every part, for a page that is being opened: as it is after whatever was said before."""
        self._at_once |= self._keeping is None
        await self._refresh()
        return {name: part.html for name, part in self._parts.items()}

    async def events(self, *, packed: bool = False) -> AsyncIterator[bytes]:
        """Server-sent events: every part, and from then on each that is another one; a slow reader misses what is between.

        Args:
            packed: whether they go out in gzip, which is a tenth of the bytes: with many pages, those are most of the work.
        """
        self._followers += 1
        if self._keeping is None:
            self._keeping = asyncio.ensure_future(self._keep())
        seen = 0
        try:
            yield _GZIP + pack(b"retry: 1000\n\n") if packed else b"retry: 1000\n\n"
            while not self._closing.is_set() and self._keeping is not None:  # nobody keeps on: the browser comes again
                news = self._news
                due = [part for part in self._parts.values() if part.number > seen]
                if due:
                    seen = max(part.number for part in due)
                    yield b"".join(part.packed if packed else part.event for part in due)
                elif not await _is_set(news, QUIET):
                    yield pack(b": still here\n\n") if packed else b": still here\n\n"
        finally:
            self._followers -= 1

    async def _keep(self) -> None:
        """Look as long as somebody is looking."""
        ending = asyncio.ensure_future(self._closing.wait())
        ending.add_done_callback(lambda _: self._tell())  # whatever is being read, nobody waits for it
        try:
            while self._followers and not ending.done():
                await self._refresh()
                said = asyncio.ensure_future(self._said.wait())
                pause = min(SELDOM, max(OFTEN, _SHARE * self._took))
                await asyncio.wait({ending, said}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                said.cancel()
                self._said.clear()
        finally:
            ending.cancel()
            self._keeping = None
            self._tell()

    async def _refresh(self) -> None:
        async with self._one_at_a_time:
            at_once, self._at_once = self._at_once, False
            host = self._host
            told = (self._facts(), host.doing(self._project), host.requests(self._project), host.health())
            (preferences, catalog), context = host.world(), host.context(self._project)

            def make(ledger: Ledger) -> dict[str, str]:
                begun = time.thread_time()  # waiting for others is no work
                stamp, now, made = ledger.stamp(), time.time(), dict[str, str]()
                age = now - self._state_read
                changed = stamp != self._state_stamp or context is not self._context
                read_again = at_once or age >= ANYWAY or (changed and age >= SELDOM)
                if self._state is None or read_again:
                    self._state = read_state(ledger, preferences, catalog, self._project, now, context)
                    self._state_read, self._state_stamp, self._context = now, stamp, context
                    made |= self._make.state(self._state)
                    if self._role == "admin":
                        made |= self._make.people(read_people(ledger, now))
                if self._units is None or at_once or stamp != self._units_stamp:
                    self._units, self._units_stamp = read_units(ledger, self._project), stamp
                    made |= self._make.units(self._units, rateable=self._role != "viewer")
                if told != self._told or read_again:
                    made |= self._make.moving(*told, self._state)
                    self._told = told
                self._took = time.thread_time() - begun
                return made

            try:
                self._publish(await self._reading.ask(make))
            except StepdownError as problem:
                self._publish({"trouble": self._make.trouble(str(problem))})
                self._told, self._at_once = None, True  # what was read was not shown, and a ledger opened anew counts anew

    def _facts(self) -> Facts:
        """What the process is, with what this role may switch."""
        facts = self._host.facts()
        return facts if self._role in {"", "admin"} else msgspec.structs.replace(facts, modes={}, pins=False)

    def _publish(self, made: Mapping[str, str]) -> None:
        before = self._count
        for name, html in made.items():
            known = self._parts.get(name)
            if known is None or known.html != html:
                self._count += 1
                event = _event(name, html)
                self._parts[name] = _Part(html, event, pack(event), self._count)
        if self._count != before:
            self._tell()

    def _tell(self) -> None:
        """Wake everybody who waits for news."""
        news, self._news = self._news, asyncio.Event()
        news.set()


class Channels:
    """The projects that are looked at.

    Args:
        make: a channel for a project and a role.
    """

    def __init__(self, make: Callable[[str, str], Channel]) -> None:
        self._make = make
        self._channels: dict[tuple[str, str], Channel] = {}

    def of(self, project: str, role: str = "") -> Channel:
        """The project's, as that role sees it; those that nobody looks at are let go of."""
        found = self._channels.get((project, role))
        if found is None:
            self._channels = {name: one for name, one in self._channels.items() if one.watched}
            found = self._channels[project, role] = self._make(project, role)
        return found

    def poke(self) -> bool:
        """Something was said that concerns them all; whether anybody looks."""
        for channel in self._channels.values():
            channel.poke()
        return any(channel.watched for channel in self._channels.values())


def _event(name: str, html: str) -> bytes:
    """One server-sent event; lines of HTML that are blank say nothing."""
    lines = [line.strip() for line in html.split("\n")]
    return "".join((f"event: {name}\n", *(f"data: {line}\n" for line in lines if line), "\n")).encode()


def pack(text: bytes) -> bytes:
    """A piece of a stream in gzip that refers to nothing before it: it goes to everybody, whatever each has been told."""
    press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return press.compress(text) + press.flush(zlib.Z_SYNC_FLUSH)


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
