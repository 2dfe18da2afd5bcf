"""aider."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from stepdown.clients.lines import Yaml
from stepdown.clients.records import Entry, Lasting, Start, There, home_of
from stepdown.clients.variables import common

_VARIABLES: Final = "set-env"
"""aider has an option for OpenAI's address; Anthropic's is LiteLLM's variable."""

_OURS: Final = re.compile(r"ANTHROPIC_API_BASE=http://127\.0\.0\.1:[0-9]+")
"""What an earlier `connect` wrote there."""


class Aider:
    """``aider``: the common variables."""

    name = "aider"
    title = "aider"
    programs = frozenset({"aider"})

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:  # noqa: ARG002 - as in Client
        """By its environment."""
        found, notes = common(there, environ)
        return Start(environment=found, arguments=arguments, notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting:
        """``.aider.conf.yml`` of the user."""
        file = home_of(environ) / ".aider.conf.yml"
        variable = f"ANTHROPIC_API_BASE={there.url}"
        obstacle = ""
        try:
            said = Yaml.parse(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # whoever writes it says so
            said = {}
        if _VARIABLES in said and not _OURS.fullmatch(str(said[_VARIABLES])):
            obstacle = f"{file} sets {_VARIABLES} already: add {variable} to it yourself"
        entries = (Entry(("openai-api-base",), there.v1, "openai"), Entry((_VARIABLES,), variable))
        return Lasting(file=file, format=Yaml(), entries=entries, obstacle=obstacle)
