"""The port: where an agent keeps its logs, and how one is read."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stepdown.sessions.records import Log


def home_of(environ: Mapping[str, str]) -> Path:
    """The user's directory, as programs find it."""
    return Path(environ.get("HOME") or "~").expanduser()


class Source(Protocol):
    """One agent's logs.

    Attributes:
        name: ``claude``, ``codex``, ``opencode``, ``pi``, ``gsd``.
        title: what people call it: ``Claude Code``.
        version: of the reader. What an earlier one read is read anew.
    """

    name: str
    title: str
    version: int

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:
        """Where this agent's logs would be, whether anything is there or not.

        Args:
            environ: the environment; ``HOME`` is the user's home.
            projects: directories of projects that are known of, for agents that keep their logs there.
        """

    def files(self, place: Path) -> Iterable[Path]:
        """The logs at a place, in a stable order; none where there is nothing.

        Raises:
            OSError: the place is there but cannot be listed.
        """

    def stamp(self, file: Path) -> tuple[int, int]:
        """Bytes, and when it changed last in nanoseconds: a log with the same stamp says the same.

        Raises:
            OSError: it cannot be looked at.
        """

    def read(self, file: Path) -> Log:
        """What a log says; anything odd in it is counted in `Log.troubles` and never raised.

        Raises:
            OSError: it cannot be read at all.
        """
