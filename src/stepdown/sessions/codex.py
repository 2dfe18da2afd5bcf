"""Codex's logs: ``~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl``, one file per thread, and the same of archived threads."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from stepdown.sessions.records import Log
from stepdown.sessions.source import home_of

_DIRECTORIES: Final = ("sessions", "archived_sessions")
_PACKED: Final = ".jsonl.zst"
_ID: Final = 36
"""Characters of a thread's id, with which its file's name ends."""


class Codex:
    """Codex (see `stepdown.sessions.source.Source`).

    What stands in its logs was seen in those of 0.20, 0.36, 0.47, 0.80, 0.110, 0.130, 0.145 and 0.169, made with the real
    programs.
    """

    name = "codex"
    title = "Codex"
    version = 1

    def places(self, environ: Mapping[str, str], projects: Sequence[Path]) -> list[Path]:  # noqa: ARG002 - as in Source
        """``sessions`` and ``archived_sessions`` in CODEX_HOME, else in ``~/.codex``."""
        home = Path(environ.get("CODEX_HOME") or home_of(environ) / ".codex")
        return [home / name for name in _DIRECTORIES]

    def files(self, place: Path) -> Iterator[Path]:
        """All threads, by the time they began. What cannot be listed is raised when everything else has been given."""
        problems: list[OSError] = []
        for directory, inside, names in os.walk(place, onerror=problems.append):
            inside.sort()
            for name in sorted(names):
                if name.startswith("rollout-") and name.endswith((".jsonl", _PACKED)):
                    yield Path(directory, name)
        missing = [problem for problem in problems if not isinstance(problem, FileNotFoundError | NotADirectoryError)]
        if missing:
            raise missing[0]

    def stamp(self, file: Path) -> tuple[int, int]:
        """Its size and time."""
        said = file.stat()
        return said.st_size, said.st_mtime_ns

    def read(self, file: Path) -> Log:
        """What a thread says."""
        if file.name.endswith(_PACKED):
            raise OSError("compressed with zstd, which cannot be read yet")
        # Where nothing has changed nothing is read, and what reading takes is not waited for.
        from stepdown.sessions.bounded import BLOCK, lines  # noqa: PLC0415
        from stepdown.sessions.codex_lines import born  # noqa: PLC0415
        from stepdown.sessions.codex_reading import Reading  # noqa: PLC0415

        name = file.stem[-_ID:]
        reading = Reading(name if born(name) is not None else file.stem)
        with file.open("rb", buffering=BLOCK) as stream:
            for line in lines(stream):
                reading.take(line)
        return reading.log()
