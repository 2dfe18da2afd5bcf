"""Qwen Code."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepdown.clients import jsonc
from stepdown.clients.records import Entry, Lasting, Start, There, home_of
from stepdown.clients.variables import common


class Qwen:
    """``qwen``: the common variables; its settings can set them where the environment does not."""

    name = "qwen"
    title = "Qwen Code"
    programs = frozenset({"qwen"})

    def start(self, there: There, arguments: Sequence[str], environ: Mapping[str, str], project: Path) -> Start:  # noqa: ARG002 - as in Client
        """By its environment."""
        found, notes = common(there, environ)
        return Start(environment=found, arguments=arguments, notes=notes)

    def lasting(self, there: There, environ: Mapping[str, str]) -> Lasting:
        """The ``env`` of its user settings."""
        folder = Path(environ.get("QWEN_HOME") or home_of(environ) / ".qwen")
        entries = (
            Entry(("env", "OPENAI_BASE_URL"), there.v1, "openai"),
            Entry(("env", "ANTHROPIC_BASE_URL"), there.url, "anthropic"),
        )
        return Lasting(file=folder / "settings.json", format=jsonc, entries=entries)
