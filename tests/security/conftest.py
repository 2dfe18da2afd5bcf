import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from gateway_house import House, Opening, open_house

from stepdown.practice.provider import PracticeProvider


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; nothing of the real user's is in the environment."""
    for name in list(os.environ):
        if name.startswith(("STEPDOWN_", "LC_", "PYTEST_", "ANTHROPIC_", "CLAUDE")) or name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    for name, value in {"HOME": folder, "STEPDOWN_HOME": folder / ".stepdown", "LANG": "C.UTF-8"}.items():
        monkeypatch.setenv(name, str(value))
    return folder


@pytest.fixture
async def provider() -> AsyncIterator[PracticeProvider]:
    """A provider that answers at once, and keeps what it was sent."""
    async with PracticeProvider(latency=0.0, keep_bodies=True) as provider:
        yield provider


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    """`open_house` in a directory of its own."""
    return partial(open_house, tmp_path)


@pytest.fixture
async def house(opening: Opening, provider: PracticeProvider) -> AsyncIterator[House]:
    """A gateway in front of the practice provider."""
    async with opening(provider.url) as house:
        yield house
