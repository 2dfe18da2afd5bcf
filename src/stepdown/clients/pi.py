"""pi."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from stepdown.clients import jsonc
from stepdown.clients.records import Entry, Lasting, Start, There, home_of
from stepdown.clients.variables import common

_EXTENSION: Final = Path(__file__).with_name("pi_gateway.mjs")
"""pi reads no variable for an address. An extension of ours, loaded for the one process, tells it."""


class Pi:
    """``pi``: an extension on its command line."""

    name = "pi"
    title = "pi"
    programs = frozenset({"pi"})

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:  # noqa: ARG002 - as in Client
        """By an extension."""
        found, notes = common(there, environ)
        found |= {"STEPDOWN_GATEWAY_URL": there.url, "STEPDOWN_GATEWAY_PROJECT": there.headers.get("x-stepdown-project", "")}
        return Start(environment=found, arguments=["--extension", str(_EXTENSION), *arguments], notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting:
        """Its ``models.json``."""
        folder = Path(environ.get("PI_CODING_AGENT_DIR") or home_of(environ) / ".pi/agent")
        entries = (
            Entry(("providers", "anthropic", "baseUrl"), there.url, "anthropic"),
            Entry(("providers", "openai", "baseUrl"), there.v1, "openai"),
        )
        return Lasting(file=folder / "models.json", format=jsonc, entries=entries)
