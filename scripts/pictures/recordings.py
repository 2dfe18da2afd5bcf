"""Recordings of `stepdown run` on the example: on its page, and in a terminal."""

import contextlib
import shlex
import time
from collections.abc import Iterator
from typing import Final

from live_page import nearly_enough
from pane import TMUX, Pane
from playwright.sync_api import Page

from scripts.pictures import terminal
from scripts.pictures.film import Film
from scripts.pictures.house import House
from scripts.pictures.studio import Studio
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

NAMES: Final = ("page", "run")
_PATIENCE: Final = 120.0
_COLUMNS: Final = 110
_ROWS: Final = 28


def make(studio: Studio) -> None:
    """Those that are wanted."""
    if "page" in studio.wanted:
        with _at_work(studio, 0.45) as house:
            _page(studio, house)
    if "run" in studio.wanted:
        if TMUX:
            with _at_work(studio, 0.3) as house:
                _run(studio, house)
        else:
            print("run: left out, tmux is not here")


@contextlib.contextmanager
def _at_work(studio: Studio, seconds: float) -> Iterator[House]:
    """The example, whose light model says that it wrote the manual, and did not; each answer takes some seconds."""
    provider = PracticeProvider(
        faults=[
            Fault(kind="wrong", model="claude-haiku-4-5", unit="M002/S02/T03"),
            Fault(kind="late", pause=seconds, times=0),
        ]
    )
    provider.start()
    try:
        with studio.house() as house:
            house.furnish(provider.url)
            yield house
    finally:
        provider.stop()


def _page(studio: Studio, house: House) -> None:
    """A rating makes the next unit of its kind start a tier higher: in this ledger there are nine like it."""
    nearly_enough(house.project, str(house.ledger))
    film, hand = Film(960, 48), (800.0, 560.0)
    command = ("run", "--agent", "practice", "--yes", "--page", "--max-units", "6")
    with studio.window(960, 640, sharp=1) as page, house.running(*command) as address:
        page.goto(address)
        under, rated = page.locator("#units tr", has_text="complete-slice M002/S01").get_by_role("button", name="under"), False
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if not rated and (box := under.bounding_box() if under.count() else None):
                # A hand that comes nearer; what is told anew may move the button meanwhile.
                aim = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
                hand = hand[0] + (aim[0] - hand[0]) * 0.5, hand[1] + (aim[1] - hand[1]) * 0.5
                if abs(aim[0] - hand[0]) + abs(aim[1] - hand[1]) < box["height"]:
                    hand, rated = aim, True
                    under.click()
                page.mouse.move(*hand)
            seen = page.screenshot()
            if page.locator('#connection[data-state="lost"]').count():
                break  # the run is over, and with it its page
            film.take(seen, hand)
    film.save(studio.place("page.gif"))


def _run(studio: Studio, house: House) -> None:
    """As somebody sees it who types the command."""
    film = Film(900, 40)
    said = " ".join(f"{name}={shlex.quote(value)}" for name, value in house.env.items())
    shell = f"cd {shlex.quote(str(house.project))} && exec env -i {said} PS1='$ ' bash --norc --noprofile -i"
    pane = Pane(house.home, shell, columns=_COLUMNS, rows=_ROWS)
    try:
        with studio.window(1200, 800, sharp=1) as page:
            pane.until(lambda text: text.endswith("$"))
            for word in ("stepdown ", "run ", "--agent practice ", "--yes ", "--max-units 6"):
                pane.press("-l", "--", word)
                film.take(shot(page, pane, _COLUMNS, _ROWS))
            pane.press("Enter")
            end = time.monotonic() + _PATIENCE
            while "(estimated)." not in pane.text() and time.monotonic() < end:
                film.take(shot(page, pane, _COLUMNS, _ROWS))
                time.sleep(0.25)
            film.take(shot(page, pane, _COLUMNS, _ROWS))
    finally:
        pane.close()
    film.save(studio.place("run.gif"))


def shot(page: Page, pane: Pane, columns: int, rows: int) -> bytes:
    """What a terminal shows, as a picture."""
    page.set_content(terminal.page(pane.screen(styles=True), columns, rows))
    return page.locator("pre").screenshot()
