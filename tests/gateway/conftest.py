from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from gateway_house import House, Opening, open_house

from stepdown.practice.provider import PracticeProvider


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
