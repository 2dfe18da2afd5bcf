"""A project and a home directory to write preferences into, and one way to load them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stepdown.preferences.load import load_preferences
from stepdown.preferences.schema import Preferences

Write = Callable[..., Path]
Load = Callable[..., Preferences]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".gsd").mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".gsd").mkdir(parents=True)
    (tmp_path / "home" / ".stepdown").mkdir()
    return tmp_path / "home"


@pytest.fixture
def load(project: Path, home: Path) -> Load:
    """Write YAML as the project's front matter and load it: ``load("pin: light")``; first line of the YAML is line 2."""

    def load(yaml: str) -> Preferences:
        (project / ".gsd" / "PREFERENCES.md").write_text(f"---\n{yaml}\n---\n# Notes\n", encoding="utf-8")
        return load_preferences(project, home=home)

    return load
