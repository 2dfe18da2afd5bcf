"""What the journeys through the gateway stand on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from journey import Journey, Start

from stepdown.practice.provider import PracticeProvider


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a strict provider and a gateway in front of it: ``async with start(light=..., standard=...) as way``."""

    @asynccontextmanager
    async def started(
        *, light: str = "", standard: str = "", mode: str = "delegated", thresholds: object = None, **preferences: object
    ) -> AsyncIterator[Journey]:
        async with PracticeProvider(latency=0, strict=True, keep_bodies=True) as provider:
            tiers = {name: model for name, model in (("light", light), ("standard", standard)) if model}
            house = {
                "dynamic_routing": {"enabled": True, "tier_models": tiers, "thresholds": thresholds or {}},
                "providers": {
                    "anthropic": {"base_url": provider.url},
                    "openai": {"base_url": f"{provider.url}/v1"},
                },
                **preferences,
            }
            async with Journey(tmp_path, provider, mode).running(house) as way:
                yield way

    return started
