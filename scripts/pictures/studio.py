"""What all pictures are made with: a browser, a folder for a house, and the place where they are put."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, ViewportSize

from scripts.pictures.house import ROOT, House

IMAGES: Final = ROOT / "docs" / "images"


class Studio:
    """Makes the pictures that are wanted.

    Args:
        browser: without a window.
        wanted: their names: ``page-light``.
    """

    def __init__(self, browser: Browser, wanted: frozenset[str]) -> None:
        self._browser = browser
        self.wanted = wanted

    @contextmanager
    def house(self) -> Iterator[House]:
        """An empty one; nothing of it is left."""
        with tempfile.TemporaryDirectory(prefix="stepdown-pictures-", ignore_cleanup_errors=True) as folder:
            yield House(Path(folder))

    @contextmanager
    def window(
        self, width: int, height: int, *, scheme: Literal["light", "dark"] = "light", sharp: int = 2, phone: bool = False
    ) -> Iterator[Page]:
        """A page of the browser; `sharp` pixels for one, so that text is clear where a README shows the picture smaller."""
        context = self._browser.new_context(
            color_scheme=scheme,
            viewport=ViewportSize(width=width, height=height),
            device_scale_factor=sharp,
            is_mobile=phone,
            has_touch=phone,
            locale="en-GB",
        )
        try:
            yield context.new_page()
        finally:
            context.close()

    def place(self, name: str) -> Path:
        """Where a picture goes: ``page.gif``."""
        print(f"docs/images/{name}", flush=True)
        return IMAGES / name
