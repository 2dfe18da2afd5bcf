"""The audit's page, of its own sample."""

from typing import Final

from scripts.pictures.film import keep
from scripts.pictures.studio import Studio

NAMES: Final = ("audit-light", "audit-dark")


def make(studio: Studio) -> None:
    """As a user without a history has it."""
    with studio.house() as house:
        written = house.home / "audit.html"
        house.project.mkdir()
        house.call("audit", "--sample", "--html", str(written))
        for name in NAMES:
            if name in studio.wanted:
                with studio.window(1200, 960, scheme="dark" if name == "audit-dark" else "light") as page:
                    page.goto(written.as_uri())
                    keep(page.screenshot(), studio.place(f"{name}.png"))
