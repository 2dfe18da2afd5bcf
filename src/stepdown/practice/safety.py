"""The check of a model's calls that Claude Code asks its provider for in auto mode (``safeguards``), and the verdicts on them.

Shapes are those that Claude Code 2.1.325 sends and reads; where they stand in an answer is in pleaseai/shunt#622. The practice
model means no harm: nothing is flagged. Who does not check, as others than Anthropic, says nothing of it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stepdown.agents.program import records
from stepdown.catalog.catalogue import Catalog
from stepdown.practice.messages import Reply

CHECK: Final = "dangerous_tool_use"
"""The one kind of check that is known."""


def checked(reply: Reply, body: Mapping[str, Any], catalog: Catalog | None) -> Reply:
    """The reply with a verdict on each of its calls, where the request asks for verdicts.

    Args:
        reply: what the model says.
        body: the request.
        catalog: knows whose calls are checked; None has those of all checked.
    """
    if not any(asked.get("type") == CHECK for asked in records(body.get("safeguards"))):
        return reply
    model = catalog.resolve(str(body["model"])) if catalog is not None else None
    if model is not None and "safety_check" not in model.features:
        return reply
    calls = [str(block["id"]) for block in reply.content if block["type"] == "tool_use"]
    status = {"type": "available", "tool_uses": {call: {"type": "evaluated", "outcome": "not_flagged"} for call in calls}}
    return msgspec.structs.replace(reply, verdicts=({"type": CHECK, "status": status},))
