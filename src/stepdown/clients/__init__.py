"""What is known of each client: one file each. Facts were checked with the programs themselves; versions move."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from stepdown.clients.aider import Aider
from stepdown.clients.anything import Anything
from stepdown.clients.claude import Claude
from stepdown.clients.codex import Codex
from stepdown.clients.opencode import OpenCode
from stepdown.clients.pi import Pi
from stepdown.clients.qwen import Qwen
from stepdown.clients.records import Client

CLIENTS: Final[Mapping[str, Client]] = {
    client.name: client for client in (Claude(), Codex(), OpenCode(), Qwen(), Aider(), Pi())
}
"""By the name that `stepdown connect` takes."""


def client_of(program: str) -> Client:
    """Whose program this is, by its file's name; of an unknown one nothing is known."""
    name = PurePath(program).name.lower().removesuffix(".exe").removesuffix(".cmd")
    return next((client for client in CLIENTS.values() if name in client.programs), Anything())
