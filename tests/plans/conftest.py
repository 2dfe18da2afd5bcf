"""Plan trees on disk, written from a mapping of paths to text."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stepdown.plans import GsdPlan

Write = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below ``project/.gsd``; gives the project's directory."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        project = tmp_path / "project"
        for name, content in files.items():
            path = project / ".gsd" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return project

    return write


@pytest.fixture
def plan_of(write: Write) -> Callable[[Mapping[str, str | bytes]], GsdPlan]:
    """The plan of files below ``.gsd``."""
    return lambda files: GsdPlan.open(write(files))
