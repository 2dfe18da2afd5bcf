"""Programs that do a unit with their own connection: the `Agent` port and its implementations.

`open_agent` finds one by name. Each implementation is imported only when it is asked for.
"""

import difflib
import importlib
from collections.abc import Callable
from typing import Final, cast

from stepdown.agents.port import Agent
from stepdown.errors import UsageError
from stepdown.preferences.schema import Preferences

AGENTS: Final = {
    "practice": "stepdown.practice.agent:from_preferences",
    "claude": "stepdown.agents.claude_code:from_preferences",
    "codex": "stepdown.agents.codex:from_preferences",
    "command": "stepdown.agents.command:from_preferences",
}
"""Every agent's name and where the function is that makes it from the preferences and a base URL."""


def open_agent(name: str, preferences: Preferences, *, base_url: str = "") -> Agent:
    """The agent of that name, set up as the preferences say.

    Args:
        name: a key of `AGENTS`.
        preferences: ``agents.<name>`` and ``providers`` are read.
        base_url: where its requests go instead of the provider's own address; "" leaves that to the preferences.

    Raises:
        UsageError: there is no such agent, or it cannot be told a base URL.
        PreferencesError: its settings are wrong.
    """
    place = AGENTS.get(name)
    if place is None:
        near = difflib.get_close_matches(name, AGENTS, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UsageError(f"there is no agent '{name}'{hint}; there are {', '.join(sorted(AGENTS))}")
    module, _, function = place.partition(":")
    make = cast("Callable[[Preferences, str], Agent]", getattr(importlib.import_module(module), function))
    return make(preferences, base_url)
