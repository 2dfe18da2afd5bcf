"""Every page that is open is told what has changed, once, and as soon as it is due."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stepdown.catalog import Catalog
from stepdown.dashboard import live
from stepdown.dashboard.host import Doing, Facts, Health, Request
from stepdown.dashboard.live import Channel, Channels
from stepdown.dashboard.reading import Reading
from stepdown.dashboard.render import Parts
from stepdown.decision import Context
from stepdown.errors import LedgerError
from stepdown.ledger import Attempt, Ledger, Outcome, open_ledger
from stepdown.preferences import ModelChoice, Preferences
from stepdown.units import Tier

PROJECT = "/home/ada/shop"
ALL = {"head", "trouble", "doing", "requests", "models", "units", "sums", "chart", "meters", "learned"}
CATALOG = Catalog.load()

Told = dict[str, str]


class Shown:
    """A process with something to show, which a test changes as it likes."""

    def __init__(self) -> None:
        self.mode = "observe"
        self.trouble = ""
        self.under_way: list[Doing] = []
        self.broken: Exception | None = None

    def facts(self) -> Facts:
        modes = {"observe": "looks on", "full": "does it all"}
        return Facts(
            kind="gateway", project=PROJECT, mode=self.mode, modes=modes, started=0.0, where="here", trouble=self.trouble
        )

    def world(self) -> tuple[Preferences, Catalog]:
        return Preferences(models={"default": ModelChoice("claude-opus-4-6")}), CATALOG

    def context(self, project: str) -> Context | None:
        return None

    def doing(self, project: str) -> Sequence[Doing]:
        if self.broken is not None:
            raise self.broken
        return [one for one in self.under_way if one.project == project]

    def requests(self, project: str) -> Sequence[Request]:
        return []

    def health(self) -> Sequence[Health]:
        return []

    def switch(self, mode: str) -> str:
        self.mode = mode
        return ""

    def pin(self, pin: str, seconds: float) -> str:
        return "not here"

    async def rate(self, project: str, unit: str, word: str) -> Sequence[str]:
        return []


class Rig:
    """A channel of a real ledger, and what it takes to follow it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.host = Shown()
        self.closing = asyncio.Event()
        self.opened = 0
        self.broken = ""
        self.held = threading.Event()
        self.held.set()
        self.reading = Reading(self._open)
        self.ledger = open_ledger(f"sqlite:{file}")
        self.parts = Parts("1")
        self.channel = self.made()

    def _open(self) -> Ledger:
        self.opened += 1
        self.held.wait()
        if self.broken:
            raise LedgerError(self.broken)
        return open_ledger(f"sqlite:{self.file}")

    def made(self, project: str = PROJECT, role: str = "") -> Channel:
        return Channel(project, self.host, self.reading, self.parts, self.closing, role)

    def works(self, unit_id: str, usd: float = 0.5) -> None:
        """A unit of the project, done."""
        begun = Attempt(
            project=PROJECT, unit_type="execute-task", unit_id=unit_id, tier=Tier.LIGHT, model="a/b", started=time.time()
        )
        self.ledger.settle(self.ledger.begin(begun), Outcome(cost_usd=usd, cost_source="reported", finished=time.time()))


class Follower:
    """Reads what one page is told."""

    def __init__(self, channel: Channel) -> None:
        self.bytes: list[bytes] = []
        self._events = channel.events()
        self._next: asyncio.Future[bytes] | None = None

    async def says(self, seconds: float = 5.0) -> bytes:
        """What comes next, as it comes; b"" at the end."""
        if self._next is None:
            self._next = asyncio.ensure_future(_next(self._events))
        await asyncio.wait([self._next], timeout=seconds)
        if not self._next.done():
            raise TimeoutError
        said, self._next = self._next.result(), None
        return said

    async def hears(self, seconds: float = 5.0) -> Told:
        """What it is told next, part by part; {} at the end."""
        while said := await self.says(seconds):
            if said.startswith(b"event: "):
                self.bytes.append(said)
                return dict(map(part, said.decode().removesuffix("\n\n").split("\n\n")))
        return {}

    async def hears_of(self, name: str, words: str) -> Told:
        """Wait until a part says so; all that was told until then, the newest of each."""
        told: Told = {}
        while words not in told.get(name, ""):
            more = await self.hears()
            assert more, "it ended"
            told |= more
        return told

    async def hears_nothing(self, seconds: float = 0.2) -> None:
        with pytest.raises(TimeoutError):
            await self.hears(seconds)

    async def leaves(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await self._events.aclose()  # type: ignore[attr-defined]  # (it is a generator)


async def _next(events: AsyncIterator[bytes]) -> bytes:
    return await anext(events, b"")


def part(event: str) -> tuple[str, str]:
    name, _, data = event.partition("\n")
    assert all(line.startswith("data: ") for line in data.split("\n") if line)
    return name.removeprefix("event: "), data.replace("data: ", "")


@contextlib.asynccontextmanager
async def following(channel: Channel) -> AsyncIterator[Follower]:
    follower = Follower(channel)
    try:
        yield follower
    finally:
        await follower.leaves()


def keeping() -> list[Any]:
    """What runs for the sake of pages."""
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "") == "Channel._keep"]


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second takes a fiftieth of one."""
    for name in ("OFTEN", "SELDOM", "ANYWAY"):
        monkeypatch.setattr(live, name, getattr(live, name) / 50)
    monkeypatch.setattr(live, "_SHARE", 0)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path / "ledger.db")
    yield made
    made.held.set()
    made.closing.set()
    await until(lambda: not keeping())
    await made.reading.close()
    made.ledger.close()


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at but what was poked."""
    for name in ("OFTEN", "SELDOM", "ANYWAY"):
        monkeypatch.setattr(live, name, 3600.0)


def doing(name: str) -> Doing:
    return Doing(
        name=name, project=PROJECT, unit="execute-task", id=name, tier=Tier.LIGHT, model="a/b", why="small", since=time.time()
    )


# ------------------------------------------------------------------------------------------------------------- what is told


async def test_a_follower_is_told_everything_and_then_what_is_another(rig: Rig) -> None:
    rig.works("T1")
    async with following(rig.channel) as follower:
        assert set(await follower.hears()) == ALL
        await follower.hears_nothing()
        rig.works("T2")
        told = await follower.hears_of("units", "T2")
        assert set(told) <= {"units", "sums", "chart", "head"}
        rig.host.under_way = [doing("T3")]
        told = await follower.hears_of("doing", "T3")
        assert not set(told) & {"units", "head", "requests", "models", "learned", "meters"}


async def test_what_is_under_way_is_told_though_nobody_wrote_anything(rig: Rig) -> None:
    async with following(rig.channel) as follower:
        assert "T3" not in (await follower.hears())["doing"]
        rig.host.under_way = [doing("T3")]
        assert set(await follower.hears()) == {"doing"}
        rig.host.mode = "full"  # as `stepdown mode` does
        assert set(await follower.hears()) == {"head"}
        rig.host.trouble = "no room on the disk"  # the one who writes says so
        told = await follower.hears()
        assert set(told) == {"trouble"}
        assert "no room on the disk" in told["trouble"]
        rig.host.under_way, rig.host.trouble = [], ""
        assert set(await follower.hears()) == {"doing", "trouble"}
        await follower.hears_nothing()


async def test_what_another_process_writes_is_seen(rig: Rig) -> None:
    code = """
import sys, time
from stepdown.ledger import Attempt, Outcome, open_ledger
with open_ledger("sqlite:" + sys.argv[1]) as ledger:
    begun = Attempt(project=sys.argv[2], unit_type="execute-task", unit_id="theirs", started=time.time())
    ledger.settle(ledger.begin(begun), Outcome(cost_usd=2.5, cost_source="reported", finished=time.time()))
"""
    async with following(rig.channel) as follower:
        assert "No unit of work" in (await follower.hears())["units"]
        command = [sys.executable, "-c", code, str(rig.file), PROJECT]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        told = await follower.hears_of("units", "theirs")
        assert "2.50" in (told if "2.50" in told.get("sums", "") else await follower.hears_of("sums", "2.50"))["sums"]


async def test_two_followers_are_told_the_same_bytes_and_it_is_put_together_once(rig: Rig) -> None:
    async with following(rig.channel) as one, following(rig.channel) as other:
        await asyncio.gather(one.hears(), other.hears())
        assert len(keeping()) == 1
        for number in range(3):
            rig.works(f"T{number}")
            await asyncio.gather(one.hears_of("units", f"T{number}"), other.hears_of("units", f"T{number}"))
        rig.host.under_way = [doing("last")]
        await asyncio.gather(one.hears_of("doing", "last"), other.hears_of("doing", "last"))
        assert b"".join(one.bytes) == b"".join(other.bytes)
    assert rig.opened == 1


async def test_who_comes_later_is_told_everything_as_it_is_now(rig: Rig) -> None:
    async with following(rig.channel) as one:
        await one.hears()
        rig.works("T1")
        await one.hears_of("units", "T1")
        async with following(rig.channel) as other:
            told = await other.hears()
            assert set(told) == ALL
            assert "T1" in told["units"]


async def test_a_slow_follower_misses_what_is_between_and_ends_at_the_newest(rig: Rig) -> None:
    async with following(rig.channel) as quick, following(rig.channel) as slow:
        await asyncio.gather(quick.hears(), slow.hears())
        for number in range(5):
            rig.host.under_way = [doing(f"T{number}")]
            await quick.hears_of("doing", f"T{number}")
        assert set(told := await slow.hears()) == {"doing"}
        assert "T4" in told["doing"]
        await slow.hears_nothing()


async def test_who_is_told_nothing_hears_that_we_are_there(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUIET", 0.05)
    async with following(rig.channel) as follower:
        await follower.hears()
        assert [await follower.says() for _ in range(3)] == [b": still here\n\n"] * 3


@pytest.mark.usefixtures("slowly")
async def test_what_is_said_on_a_page_is_told_at_once(rig: Rig) -> None:
    channels = Channels(lambda _, __: rig.channel)
    assert not channels.poke(), "nobody looks"
    async with following(channels.of(PROJECT)) as follower:
        await follower.hears()
        rig.works("T1")
        rig.host.switch("full")
        await follower.hears_nothing()
        assert channels.poke()
        told = await follower.hears_of("units", "T1")
        assert {"head", "sums", "chart", "units"} <= set(told)
        assert channels.poke()
        await follower.hears_nothing()


@pytest.mark.usefixtures("slowly")
async def test_a_word_that_comes_while_it_is_read_is_not_lost(rig: Rig) -> None:
    async with following(rig.channel) as follower:
        rig.held.clear()
        first = asyncio.ensure_future(follower.hears())
        await until(lambda: rig.opened)
        rig.works("T1")
        rig.host.mode = "full"
        rig.channel.poke()
        rig.held.set()
        told = await first
        if 'value="full" title="does it all" aria-pressed="true"' not in told["head"]:
            await follower.hears_of("head", 'value="full" title="does it all" aria-pressed="true"')


# ------------------------------------------------------------------------------------------------- beginning, end, trouble


async def test_a_page_that_is_opened_has_all_parts_and_needs_nobody_who_keeps_them(rig: Rig) -> None:
    rig.works("T1")
    first = await rig.channel.now()
    assert set(first) == ALL
    assert "T1" in first["units"]
    assert not keeping()
    rig.works("T2")
    assert "T2" in (await rig.channel.now())["units"], "it is of now, not of when somebody looked last"
    async with following(rig.channel) as follower:
        await follower.hears_of("units", "T2")
        assert set(await rig.channel.now()) == ALL


async def test_where_nobody_follows_nothing_runs(rig: Rig) -> None:
    async with following(rig.channel) as one:
        await one.hears()
        async with following(rig.channel) as other:
            await other.hears()
        assert rig.channel.watched
        rig.works("T1")
        await one.hears_of("units", "T1")
    assert not rig.channel.watched
    await until(lambda: not keeping())
    async with following(rig.channel) as again:
        assert set(await again.hears()) == ALL
        rig.works("T2")
        await again.hears_of("units", "T2")
    await until(lambda: not keeping())
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_who_comes_as_the_last_one_goes_is_kept_up_to_date(rig: Rig) -> None:
    for number in range(5):
        async with following(rig.channel) as one:
            await one.hears()
        async with following(rig.channel) as other:
            await other.hears()
            rig.works(f"T{number}")
            await other.hears_of("units", f"T{number}")


@pytest.mark.usefixtures("slowly")
async def test_closing_ends_every_follower_at_once(rig: Rig) -> None:
    async with following(rig.channel) as one, following(rig.channel) as other:
        await asyncio.gather(one.hears(), other.hears())
        ends = asyncio.gather(one.hears(), other.hears())
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        rig.closing.set()
        assert [*await ends] == [{}, {}]
        assert time.monotonic() - begun < 0.5
    await until(lambda: not keeping())
    async with following(rig.channel) as late:
        assert await late.hears() == {}


@pytest.mark.usefixtures("slowly")
async def test_closing_waits_for_no_ledger(rig: Rig) -> None:
    rig.held.clear()
    async with following(rig.channel) as follower:
        ends = asyncio.ensure_future(follower.hears())
        await until(lambda: rig.opened)
        begun = time.monotonic()
        rig.closing.set()
        assert await ends == {}
        assert time.monotonic() - begun < 0.5
    rig.held.set()


async def test_a_ledger_that_cannot_be_read_is_said_and_comes_back(rig: Rig) -> None:
    rig.broken = "the ledger is <locked>"
    async with following(rig.channel) as follower:
        told = await follower.hears()
        assert set(told) == {"trouble"}
        assert "the ledger is &lt;locked&gt;" in told["trouble"]
        await follower.hears_nothing()
        rig.broken = ""
        rig.works("T1")
        told = await follower.hears()
        assert set(told) == ALL
        assert "ledger" not in told["trouble"]


async def test_what_was_written_while_it_could_not_be_read_is_shown_when_it_can(rig: Rig) -> None:
    async with following(rig.channel) as follower:
        await follower.hears()
        rig.broken = "gone"
        with contextlib.suppress(LedgerError):
            await rig.reading.ask(_fail)
        await follower.hears_of("trouble", "gone")
        rig.works("T1")
        rig.broken = ""
        told = await follower.hears_of("units", "T1")
        assert "gone" not in told["trouble"]
        if "0.50" not in told.get("sums", ""):
            await follower.hears_of("sums", "0.50")


def _fail(_: Ledger) -> None:
    raise LedgerError("gone")


async def test_a_fault_of_our_own_ends_the_stream_so_that_the_browser_comes_again(rig: Rig) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with following(rig.channel) as follower:
        await follower.hears()
        rig.host.broken = ZeroDivisionError("ours")
        assert await follower.hears() == {}
    await until(lambda: said)
    assert str(said[0]["exception"]) == "ours"
    rig.host.broken = None
    async with following(rig.channel) as again:
        assert set(await again.hears()) == ALL


async def test_waiting_for_the_ledger_keeps_no_page_waiting_afterwards(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SHARE", 40)
    rig.held.clear()
    asyncio.get_running_loop().call_later(0.3, rig.held.set)
    async with following(rig.channel) as follower:
        await follower.hears()
        rig.host.under_way = [doing("T1")]
        await asyncio.wait_for(follower.hears_of("doing", "T1"), 2.0)  # not forty times as long as that took


async def test_a_page_that_takes_gzip_is_told_the_same_in_it(rig: Rig) -> None:
    packed, plain = rig.channel.events(packed=True), rig.channel.events()
    reader = zlib.decompressobj(wbits=31)
    for _ in range(2):
        assert reader.decompress(await anext(packed)) == await anext(plain)
    rig.host.under_way = [doing("T1")]
    assert reader.decompress(await anext(packed)) == await anext(plain)
    for events in (packed, plain):
        await events.aclose()  # type: ignore[attr-defined]  # (it is a generator)


# ----------------------------------------------------------------------------------------------------------------- projects


async def test_a_project_that_somebody_looks_at_keeps_its_channel(rig: Rig) -> None:
    channels = Channels(rig.made)
    first = channels.of(PROJECT)
    assert channels.of(PROJECT) is first
    async with following(first) as follower:
        await follower.hears()
        assert channels.of("/elsewhere") is not first
        assert channels.of(PROJECT) is first
    await until(lambda: not keeping())
    assert channels.of("/a third") is not None
    assert channels.of(PROJECT) is not first, "nobody looked at it any more"


async def test_each_project_is_told_its_own(rig: Rig) -> None:
    rig.works("T1")
    async with following(rig.made("/elsewhere")) as follower:
        assert "T1" not in (await follower.hears())["units"]
