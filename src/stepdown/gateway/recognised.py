"""What a request is for, where nobody declared it (SPEC 12): a person's turn, a sub-agent, an errand, a plan's unit. Pure."""

from typing import Literal

import msgspec

from stepdown.units import Unit

Origin = Literal["human", "plan", "subagent", "agent"]
"""Who asked, as in `stepdown.sessions.records.Turn`: a person; a plan; an agent for another; an agent for itself."""


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was recognised to be.

    Attributes:
        unit: its type, with the plan's text where the prompt holds one (``## UNIT:``); its id is the plan's, else "".
        origin: who asked.
        conversation: names the conversation: the client's own id, else derived from its instructions and opening words.
            Sub-agents have one of their own. Requests of one conversation build on each other's cached prompt.
        begins: whether a new unit begins with this request; else it goes on with the conversation's last one.
        planning: whether it is a person's turn in plan mode.
        words: what a person asked for, for the signals; "" where nobody did.
    """

    unit: Unit
    origin: Origin
    conversation: str
    begins: bool
    planning: bool = False
    words: str = ""
