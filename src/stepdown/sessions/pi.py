"""pi's sessions: ``sessions/<directory>/<time>_<id>.jsonl``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from stepdown.sessions.records import Log
from stepdown.sessions.source import home_of


class Pi:
    """The log of pi (npm ``@mariozechner/pi-coding-agent``); what stands in it is told in `stepdown.sessions.pi_entries`."""

    name = "pi"
    title = "pi"
    version = 1

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:  # noqa: ARG002 - as in Source
        """``sessions`` in ``PI_CODING_AGENT_DIR``, else in ``~/.pi/agent``; ``PI_CODING_AGENT_SESSION_DIR`` besides."""
        home = home_of(environ)
        agent = environ.get("PI_CODING_AGENT_DIR")
        own = environ.get("PI_CODING_AGENT_SESSION_DIR")
        found = [(tilde(agent, home) if agent else home / ".pi/agent") / "sessions"]
        return found + [tilde(own, home) for own in (own,) if own]

    def files(self, place: Path) -> Iterable[Path]:
        """Every session."""
        return session_files(place)

    def stamp(self, file: Path) -> tuple[int, int]:
        """Of the file."""
        there = file.stat()
        return there.st_size, there.st_mtime_ns

    def read(self, file: Path) -> Log:
        """One session."""
        from stepdown.sessions.pi_entries import Entries, Setting  # noqa: PLC0415 - only where something has changed

        entries = Entries()
        entries.read(file, Setting(file.stem))
        return entries.tally.log()


def tilde(path: str, home: Path) -> Path:
    """A path of the environment, whose ``~`` is the given home."""
    return home / path[2:] if path.startswith("~/") else Path(path)


def session_files(place: Path) -> Iterator[Path]:
    """The sessions in a directory: in one directory per directory worked in, and, by older versions, beside those.

    Raises:
        OSError: it is there but cannot be listed.
    """
    try:
        found = sorted(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in found:
        if path.suffix == ".jsonl":
            yield path
        elif path.is_dir():
            yield from sorted(one for one in path.iterdir() if one.suffix == ".jsonl")
