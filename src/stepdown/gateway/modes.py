"""The gateway's modes, in a few words; importing this costs nothing."""

from typing import Final

MODES: Final = {
    "observe": "records what it would do, changes nothing",
    "delegated": "reroutes sub-agents, errands and declared units",
    "full": "reroutes your own turns as well, where leaving the cache pays",
}
"""What the gateway may change."""
