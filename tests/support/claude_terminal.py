"""Claude Code as a person uses it: in a terminal, in a home in which it was used before."""

import asyncio
import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from clients import program
from journey import KEY, Journey
from pane import Pane

CLAUDE = program("claude")
PATIENCE = 60.0


def environ(way: Journey, **more: str) -> Mapping[str, str]:
    """What is set where it runs; `more` besides."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(way.home),
        "STEPDOWN_HOME": str(way.kept),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # where nobody is: it reaches this machine, and nothing else
        "NO_PROXY": "127.0.0.1",
        **more,
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


def opened(folder: Path, way: Journey, *words: str, **more: str) -> Pane:
    """Claude Code in a terminal, about to wait for its user; with these `words` on its command line, and `more` set."""
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ(way, **more).items())
    command = f"cd {shlex.quote(str(way.project))} && env -i {variables} {shlex.join([CLAUDE, *words])}"
    return Pane(folder, command, columns=150, rows=45)


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
    """Type a line, and Enter."""
    await asyncio.to_thread(pane.press, text)
    await asyncio.sleep(0.8)  # Enter right after the letters is taken for a paste
    await asyncio.to_thread(pane.press, "Enter")
