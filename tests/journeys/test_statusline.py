"""Claude Code as a person sees it: `stepdown connect claude`, then its status line and ``/rate``, in a real terminal."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import claude_terminal
import pytest
from claude_terminal import CLAUDE, environ, shown, types, welcomed
from clients import needs
from journey import Journey, Start
from pane import TMUX, Pane

from stepdown.practice.limits import Limits, Unified, Window

STEPDOWN = str(Path(sys.executable).with_name("stepdown"))
CEILING, TIER = "claude-opus-4-6", "claude-sonnet-4-6"

pytestmark = [needs(CLAUDE, "Claude Code"), needs(TMUX, "tmux"), pytest.mark.xdist_group("claude")]

Open = Callable[[Journey], Pane]


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
        panes.append(claude_terminal.opened(tmp_path, way, "--model", CEILING))
        return panes[-1]

    yield opened
    for pane in panes:
        pane.close()


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
