"""Claude Code's logs: ``~/.claude/projects/**/*.jsonl``, one file per session and, in newer versions, per sub-agent."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stepdown.sessions.records import Log

_BESIDE: Final = 65_536
"""Bytes that are read of the small file beside a sub-agent's log."""


class ClaudeCode:
    """Claude Code (see `stepdown.sessions.source.Source`)."""

    name = "claude"
    title = "Claude Code"
    version = 1

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:  # noqa: ARG002 - none is kept there
        """``projects`` in each directory of CLAUDE_CONFIG_DIR; without it in ``~/.claude`` and ``~/.config/claude``."""
        home = Path(environ.get("HOME") or environ.get("USERPROFILE") or "~")
        named = [part.strip() for part in environ.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()]
        if named:
            roots = [home / one[2:] if one.startswith("~/") else Path(one) for one in named]
        else:
            roots = [home / ".claude", Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "claude"]
        return list(dict.fromkeys(root / "projects" for root in roots))

    def files(self, place: Path) -> Iterator[Path]:
        """Sessions before their sub-agents. What cannot be listed is raised when everything else has been given."""
        problems: list[OSError] = []
        yield from _logs(place, set(), problems)
        missing = [problem for problem in problems if not isinstance(problem, FileNotFoundError | NotADirectoryError)]
        if missing:
            raise missing[0]

    def stamp(self, file: Path) -> tuple[int, int]:
        """Its size and time."""
        said = file.stat()
        return said.st_size, said.st_mtime_ns

    def read(self, file: Path) -> Log:
        """What a session says, or a sub-agent of one."""
        # Where nothing has changed nothing is read, and what reading takes is not waited for.
        from stepdown.sessions.bounded import BLOCK, lines  # noqa: PLC0415
        from stepdown.sessions.claude_reading import Reading  # noqa: PLC0415

        reading = Reading(file.stem, _kind(file))
        with file.open("rb", buffering=BLOCK) as stream:
            for line in lines(stream):
                reading.take(line)
        return reading.log()


def _logs(directory: Path, seen: set[tuple[int, int]], problems: list[OSError]) -> Iterator[Path]:
    """Links are followed, but no directory is entered twice."""
    try:
        here = directory.stat()
        if (here.st_dev, here.st_ino) in seen:
            return
        seen.add((here.st_dev, here.st_ino))
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        problems.append(problem)
        return
    inside: list[str] = []
    for entry in listed:
        with contextlib.suppress(OSError):  # a link to nowhere, or in a circle
            if entry.is_dir():
                inside.append(entry.name)
            elif entry.name.endswith(".jsonl") and entry.is_file():
                yield directory / entry.name
    for name in inside:
        yield from _logs(directory / name, seen, problems)


def _kind(file: Path) -> str:
    """What kind of sub-agent the file beside a log says it is of; "" where there is none."""
    if not file.name.startswith("agent-"):
        return ""
    with contextlib.suppress(OSError), file.with_suffix(".meta.json").open("rb") as beside:
        from stepdown.sessions.claude_lines import agent_type  # noqa: PLC0415 - as above

        return agent_type(beside.read(_BESIDE))
    return ""
