"""A real browser for tests of pages: the Chromium of this system, without a window, through Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, Playwright, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none.

    For a fixture of a module, not of the session: while it runs, its thread has an event loop, and asynchronous tests of other
    modules could not have theirs.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(PROGRAMS)} is in PATH")
    with sync_playwright() as playwright, _launched(playwright, program) as browser:
        yield browser


def _launched(playwright: Playwright, program: str) -> Browser:
    """With its sandbox where it can have one: Chromium refuses it to root, and some containers have none."""
    if os.geteuid() != 0:
        try:
            return playwright.chromium.launch(executable_path=program)
        except Error as error:
            if "sandbox" not in str(error):
                raise
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
