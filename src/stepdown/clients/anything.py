"""Programs of which nothing is known: most read the common variables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepdown.clients.records import Start, There
from stepdown.clients.variables import common


class Anything:
    """Any program; those on Anthropic's or OpenAI's SDK find the gateway by their environment."""

    name = ""
    title = "any program"
    programs = frozenset[str]()

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:  # noqa: ARG002 - as in Client
        """By its environment."""
        found, notes = common(there, environ)
        return Start(environment=found, arguments=arguments, notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> None:  # noqa: ARG002 - as in Client
        """Not possible."""
        return
