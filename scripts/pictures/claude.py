"""Claude Code itself behind the gateway, in a terminal: its status line, and what ``/rate under`` answers."""

import json
import shlex
from typing import Final

from clients import program
from pane import TMUX, Pane

from scripts.pictures.film import keep
from scripts.pictures.house import House
from scripts.pictures.recordings import shot
from scripts.pictures.studio import Studio
from stepdown.practice.limits import Limits, Unified, Window
from stepdown.practice.provider import PracticeProvider

NAMES: Final = ("claude",)
_KEY: Final = "sk-ant-practice-0123456789"
_COLUMNS: Final = 100
_ROWS: Final = 28


def make(studio: Studio) -> None:
    """Where Claude Code is installed."""
    claude = program("claude")
    if not claude or not TMUX:
        print("claude: left out, Claude Code or tmux is not here (make clients)")
        return
    limits = Limits(unified=Unified(five_hour=Window(used=0.62), seven_day=Window(used=0.31)))
    provider = PracticeProvider(latency=0.0, limits=limits, strict=True)
    provider.start()
    try:
        with studio.house() as house:
            house.furnish(provider.url)
            _welcomed(house)
            with house.running("serve", "--port", "0", "--mode", "full") as address:
                house.call("connect", "claude", "--port", address.rpartition(":")[2])
                _talk(studio, house, claude)
    finally:
        provider.stop()


def _welcomed(house: House) -> None:
    """A home in which Claude Code has been used before: it asks nothing."""
    said = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "numStartups": 5,
        "customApiKeyResponses": {"approved": [_KEY[-20:]], "rejected": []},
        "projects": {str(house.project): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
    }
    (house.home / ".claude.json").write_text(json.dumps(said), "utf-8")


def _talk(studio: Studio, house: House, claude: str) -> None:
    env = {**house.env, "ANTHROPIC_API_KEY": _KEY, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    said = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
    # In its "auto" mode it asks for what only its provider's server does, so that nothing below the ceiling fits.
    called = f"{shlex.quote(claude)} --model claude-opus-4-6 --permission-mode acceptEdits"
    command = f"cd {shlex.quote(str(house.project))} && exec env -i {said} {called}"
    pane = Pane(house.home, command, columns=_COLUMNS, rows=_ROWS)
    try:
        pane.until(
            lambda text: "opus-4-6 · " in text
        )  # the status line, though nothing of this session has passed the gateway yet
        _type(pane, "Say what this project is about.")
        pane.until(lambda text: "sonnet-4-6 · " in text)
        _type(pane, "/rate under")
        pane.until(lambda text: "rated under" in text)
        with studio.window(1200, 900) as page:
            keep(shot(page, pane, _COLUMNS, _ROWS), studio.place("claude.png"))
    finally:
        pane.close()


def _type(pane: Pane, text: str) -> None:
    pane.press("-l", "--", text)
    # Enter right after the letters would be taken for a paste.
    pane.until(lambda shown: text in shown)
    pane.press("Enter")
