import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepdown.practice.provider import PracticeProvider


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; nothing of the real user's is in the environment."""
    for name in list(os.environ):
        if name.startswith(("STEPDOWN_", "ANTHROPIC_", "CLAUDE")) or name.endswith(("_API_KEY", "_AUTH_TOKEN", "_BASE_URL")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("STEPDOWN_HOME", str(folder / ".stepdown"))
    return folder


@pytest.fixture
def served() -> Iterator[PracticeProvider]:
    """A provider in a thread of its own, which answers at once."""
    provider = PracticeProvider(latency=0.0)
    provider.start()
    yield provider
    provider.stop()
