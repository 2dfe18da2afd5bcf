"""When a browser shows the page: Chromium without a window."""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import msgspec
from playwright.sync_api import Browser, sync_playwright

from bench.gateway.install import NotHere
from bench.page.static import File, Files

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
_TOP: Final = Path(__file__).parents[2]
_PARTS: Final = re.compile(r'(?:src|href)="(/page/static/[^"]+)"')
_PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_FIRST_BYTE: Final = "() => performance.getEntriesByType('navigation')[0].responseStart"


class Paint(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was opened; seconds since the browser was told to.

    Attributes:
        first_byte: of the page.
        painted: when there was something to be seen.
    """

    first_byte: float
    painted: float


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """A browser, while this lasts.

    Raises:
        NotHere: there is none.
    """
    found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None:
        raise NotHere(f"none of {', '.join(_PROGRAMS)} is in PATH")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found, args=arguments) as browser:
        yield browser


def paint(browser: Browser, address: str) -> Paint:
    """Open a page with nothing of it in the browser's cache, in a tab that has shown something else of the same server.

    The browser has a process for the tab then: starting one takes longer than anything else, and is not the page's doing.
    """
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(urljoin(address, "/healthz"))
        page.goto(address, wait_until="domcontentloaded")
        painted = page.wait_for_function(_PAINT, polling=20).json_value()
        first_byte = page.evaluate(_FIRST_BYTE)
    return Paint(first_byte=first_byte / 1000, painted=painted / 1000)


@contextlib.contextmanager
def same_bytes(address: str, folder: Path) -> Iterator[str]:
    """The page at `address` as it is now, with its scripts and styles, from a server that only has these: its address."""
    parts = urlsplit(address)
    start = f"{parts.scheme}://{parts.netloc}"
    page = _get(address)
    files: Files = {parts.path: page}
    for part in dict.fromkeys(_PARTS.findall(page.body.decode())):
        files[urlsplit(part).path] = _get(start + part)
    stored = folder / "static.json"
    stored.write_bytes(msgspec.json.encode(files))
    command = [sys.executable, "-m", "bench.page.static", str(stored)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_TOP) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}{parts.path}"


def _get(address: str) -> File:
    asked = urllib.request.Request(address, headers={"accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return File(answer.headers["content-type"], answer.headers.get("cache-control", ""), answer.read())


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of page; seconds.

    Attributes:
        name: what was opened.
        times: how often.
        first_byte: the median.
        painted: the median.
        worst: the latest paint.
        times_base: the median paint as a multiple of the static page's.
    """

    name: str
    times: int
    first_byte: float
    painted: float
    worst: float
    times_base: float


def rows(found: Mapping[str, Sequence[Paint]], base: str) -> list[Row]:
    """One of each, compared with `base`."""
    compared = statistics.median(one.painted for one in found[base])
    return [_row(name, paints, compared) for name, paints in found.items()]


def _row(name: str, paints: Sequence[Paint], base: float) -> Row:
    painted = statistics.median(one.painted for one in paints)
    return Row(
        name=name,
        times=len(paints),
        first_byte=statistics.median(one.first_byte for one in paints),
        painted=painted,
        worst=max(one.painted for one in paints),
        times_base=painted / base,
    )
