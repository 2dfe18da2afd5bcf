"""``python scripts/screenshots.py [NAME ...]``: the pictures in docs/images, all or those named, of what the program does.

Needs a Chromium in PATH, for terminals tmux, and for ``claude`` Claude Code (`make clients`). Nothing of this user's own is in
the pictures: homes and ledgers are new, what works is the practice provider, and nothing leaves this machine.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(1, str(ROOT / "tests" / "support"))

from scripts.pictures import audit, claude, day, recordings  # noqa: E402  (found where the lines above say)
from scripts.pictures.studio import IMAGES, Studio  # noqa: E402  (likewise)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MAKERS = (audit, day, recordings, claude)
"""Each has the NAMES of its pictures, and makes those that are wanted."""


def main(names: list[str]) -> int:
    known = [name for maker in MAKERS for name in maker.NAMES]
    wanted = frozenset(names or known)
    if unknown := sorted(wanted.difference(known)):
        print(f"No such picture: {', '.join(unknown)}. There are {', '.join(known)}.", file=sys.stderr)
        return 2
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"No browser: none of {', '.join(BROWSERS)} is in PATH.", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    # Chromium refuses its sandbox to root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for maker in MAKERS:
            if wanted.intersection(maker.NAMES):
                maker.make(Studio(browser, wanted))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
