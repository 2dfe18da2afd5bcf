"""Claude Code as a person sees it: `stepdown connect claude`, then its status line and ``/rate``, in a real terminal."""

import asyncio
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from clients import needs, program
from journey import KEY, Journey, Start
from pane import TMUX, Pane

from stepdown.practice.limits import Limits, Unified, Window

CLAUDE = program("claude")
STEPDOWN = str(Path(sys.executable).with_name("stepdown"))
CEILING, TIER = "claude-opus-4-6", "claude-sonnet-4-6"
PATIENCE = 60.0

pytestmark = [needs(CLAUDE, "Claude Code"), needs(TMUX, "tmux"), pytest.mark.xdist_group("claude")]

Open = Callable[[Journey], Pane]


def environ(way: Journey) -> Mapping[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(way.home),
        "STEPDOWN_HOME": str(way.kept),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def welcomed(way: Journey) -> None:
    """A home in which Claude Code has been used before: it asks nothing."""
    project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    said = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "numStartups": 5,
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(way.project): project},
    }
    (way.home / ".claude.json").write_text(json.dumps(said))


async def connected(way: Journey, *words: str) -> None:
    port = way.url.rpartition(":")[2]
    command = [STEPDOWN, "connect", "claude", "--port", port, *words]

    def call() -> None:
        # Where the preferences say what is behind the gateway: that is not Anthropic itself.
        subprocess.run(command, cwd=way.kept / "project", env=environ(way), capture_output=True, check=True)

    await asyncio.to_thread(call)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Claude Code in a terminal, waiting for its user."""
    panes = []

    def opened(way: Journey) -> Pane:
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ(way).items())
        # In its "auto" mode it asks for what only its provider's server does, so that nothing below the ceiling fits.
        claude = f"{shlex.quote(CLAUDE)} --model {CEILING} --permission-mode acceptEdits"
        command = f"cd {shlex.quote(str(way.project))} && env -i {variables} {claude}"
        panes.append(Pane(tmp_path, command, columns=150, rows=45))
        return panes[-1]

    yield opened
    for pane in panes:
        pane.close()


async def shown(pane: Pane, *words: str) -> str:
    """What it shows, once all of these words are there, whatever lines they are broken over."""
    until = time.monotonic() + PATIENCE
    while True:
        text = await asyncio.to_thread(pane.screen)
        if all(word in " ".join(text.split()) for word in words):
            return text
        assert time.monotonic() < until, f"{words} were never shown:\n{text}"
        await asyncio.sleep(0.1)


async def types(pane: Pane, text: str) -> None:
    await asyncio.to_thread(pane.press, text)
    await asyncio.sleep(0.8)  # Enter right after the letters is taken for a paste
    await asyncio.to_thread(pane.press, "Enter")


async def test_line_and_rate(start: Start, opened: Open) -> None:
    async with start(standard=TIER, mode="full") as way:
        way.provider.limits = Limits(unified=Unified(five_hour=Window(used=0.62), seven_day=Window(used=0.31)))
        welcomed(way)
        await connected(way)
        pane = opened(way)
        await shown(pane, "opus-4-6 · no gateway")  # nothing of this project, or of this session, has passed a gateway yet
        await types(pane, "Say what this project is about.")
        await shown(pane, "practice provider", "[S] sonnet-4-6 · 5h 62% · wk 31%")
        assert {served.model for served in way.served} == {TIER}
        asked = len(way.asked)

        await types(pane, "/rate better")
        await shown(pane, "'better' is no rating: /rate over")
        await types(pane, "/rate under")
        text = await shown(pane, "rated under: counts as 2 failures at standard", "The next similar unit starts at standard")
        assert "sk-" not in text
        assert len(way.asked) == asked  # it has cost no request

        await types(pane, "And what is missing?")
        await shown(pane, "saved $")  # the first unit has ended with the rating
        assert b"/rate" not in way.asked[-1].body  # nor does the conversation know of it
        records = await way.settled()
        assert [(one.attempt.unit_type, one.attempt.model) for one in records] == [("execute-task", f"anthropic/{TIER}")] * 2
        await connected(way, "--undo")
        assert not (way.home / ".claude/settings.json").exists()
        assert not (way.home / ".claude/commands").exists()


async def test_no_gateway(start: Start, opened: Open) -> None:
    async with start(standard=TIER, mode="full") as way:
        welcomed(way)
        await connected(way)
        await way.stop()
        pane = opened(way)
        await shown(pane, "opus-4-6 · no gateway")
        await types(pane, "/rate under")
        await shown(pane, "no gateway is running: start one with `stepdown serve`")
        assert not way.asked


async def test_observe(start: Start, opened: Open) -> None:
    async with start(standard=TIER, mode="observe") as way:
        welcomed(way)
        await connected(way)
        pane = opened(way)
        await shown(pane, "no gateway")
        await types(pane, "/rate under")
        await shown(pane, "nothing of this session has passed the gateway yet")
        await types(pane, "Say what this project is about.")
        await shown(pane, "[H] opus-4-6 · observe")
