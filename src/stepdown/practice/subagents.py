"""Handing work to a sub-agent, where the client offers that and its user asks for it: ``Ask the sub-agent NAME: WORK``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepdown.practice.messages import new_id

_TOOLS: Final = ("Agent", "Task")
"""What Claude Code calls its tool for that, and what it called it."""

_ASKED: Final = re.compile(r"^Ask the sub-agent ([a-zA-Z0-9-]+): (.+)$", re.MULTILINE)


def calls(text: str, tools: Sequence[Mapping[str, Any]], made: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The calls that are still to be made.

    Args:
        text: what the user has asked for so far.
        tools: what the client offers.
        made: what was called with until now.
    """
    offered = {str(tool.get("name")) for tool in tools}
    name = next((tool for tool in _TOOLS if tool in offered), "")
    if not name:
        return []
    handed = {(values.get("subagent_type"), values.get("prompt")) for values in made}
    return [
        {
            "type": "tool_use",
            "id": new_id("toolu"),
            "name": name,
            "input": {"description": "What was asked for", "prompt": work, "subagent_type": kind},
        }
        for kind, work in _ASKED.findall(text)
        if (kind, work) not in handed
    ]
