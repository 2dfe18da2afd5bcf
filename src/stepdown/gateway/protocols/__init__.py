"""The three protocols that the gateway speaks, by name."""

from collections.abc import Mapping
from typing import Final

from stepdown.gateway.protocols.chat import CHAT
from stepdown.gateway.protocols.messages import MESSAGES
from stepdown.gateway.protocols.responses import RESPONSES
from stepdown.gateway.wire import Wire

WIRES: Final[Mapping[str, Wire]] = {wire.name: wire for wire in (MESSAGES, CHAT, RESPONSES)}

__all__ = ["CHAT", "MESSAGES", "RESPONSES", "WIRES"]
