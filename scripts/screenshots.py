"""``python scripts/screenshots.py``: the pictures of pages in docs/images, taken of what the program itself writes.

Needs a Chromium in PATH. Nothing of this user's own is in the pictures: home and ledger are new and empty.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Shot(NamedTuple):
    """One picture: what writes the page (``FILE`` is where to), in which colours, how much of its top in pixels."""

    name: str
    command: tuple[str, ...]
    scheme: Literal["light", "dark"]
    width: int = 1200
    height: int = 960


SHOTS = (
    Shot("audit-light", ("audit", "--sample", "--html", "FILE"), "light"),
    Shot("audit-dark", ("audit", "--sample", "--html", "FILE"), "dark"),
)


def write_page(shot: Shot, scratch: Path) -> Path:
    """Run the command as a user without a history would."""
    page = scratch / f"{shot.name}.html"
    arguments = [str(page) if argument == "FILE" else argument for argument in shot.command]
    env = {"PATH": os.environ["PATH"], "HOME": str(scratch), "STEPDOWN_HOME": str(scratch / "stepdown"), "LC_ALL": "C.UTF-8"}
    subprocess.run([sys.executable, "-m", "stepdown", *arguments], cwd=scratch, env=env, check=True, stdout=subprocess.DEVNULL)
    return page


def take(browser: Browser, shot: Shot, page: Path) -> None:
    """Two pixels for one, so that text is sharp where a README shows the picture smaller."""
    viewport = ViewportSize(width=shot.width, height=shot.height)
    tab = browser.new_page(color_scheme=shot.scheme, viewport=viewport, device_scale_factor=2)
    tab.goto(page.as_uri())
    tab.screenshot(path=IMAGES / f"{shot.name}.png")
    tab.close()


def main() -> int:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"No browser: none of {', '.join(BROWSERS)} is in PATH.", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    # Chromium refuses its sandbox to root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="stepdown-shots-") as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for shot in SHOTS:
            take(browser, shot, write_page(shot, Path(name)))
            print(f"docs/images/{shot.name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
