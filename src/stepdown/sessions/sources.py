"""The agents whose logs are read."""

from typing import Final

from stepdown.sessions.claude import ClaudeCode
from stepdown.sessions.codex import Codex
from stepdown.sessions.gsd import Gsd
from stepdown.sessions.opencode import OpenCode
from stepdown.sessions.pi import Pi
from stepdown.sessions.source import Source

SOURCES: Final[tuple[Source, ...]] = (ClaudeCode(), Codex(), OpenCode(), Pi())
"""Those that log in the user's home."""
NEXT_TO_PROJECTS: Final[tuple[Source, ...]] = (Gsd(),)
"""Those that log in the projects they work in."""
