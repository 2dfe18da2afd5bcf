import json
from typing import Any

import aiohttp
import pytest

from stepdown.practice.faults import Fault
from stepdown.practice.limits import Allowance, Codex, Limits, Unified, Window, headers
from stepdown.practice.provider import PracticeProvider

NOW = 1_800_000_000.5
PLAN = Limits(
    unified=Unified(
        five_hour=Window(used=0.62, resets_in=600), seven_day=Window(used=1.0, resets_in=86_400), representative="seven_day"
    ),
    codex=Codex(primary=Window(used=0.125, resets_in=60), secondary=Window(used=0.5, minutes=10_080)),
    requests=Allowance(limit=50, remaining=49, resets_in=0.12),
    tokens=Allowance(limit=1_000, remaining=10, resets_in=361),
    input_tokens=Allowance(limit=800, remaining=9),
)
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    "/v1/responses": {"model": "m", "input": "x"},
}


def test_anthropics_headers() -> None:
    start = "anthropic-ratelimit-"
    assert headers(PLAN, "messages", NOW) == {
        f"{start}unified-status": "allowed",
        f"{start}unified-5h-status": "allowed",
        f"{start}unified-5h-utilization": "0.62",
        f"{start}unified-5h-reset": "1800000600",
        f"{start}unified-7d-status": "rejected",
        f"{start}unified-7d-utilization": "1",
        f"{start}unified-7d-reset": "1800086400",
        f"{start}unified-representative-claim": "seven_day",
        f"{start}unified-reset": "1800086400",
        f"{start}requests-limit": "50",
        f"{start}requests-remaining": "49",
        f"{start}requests-reset": "2027-01-15T08:00:00Z",
        f"{start}tokens-limit": "1000",
        f"{start}tokens-remaining": "10",
        f"{start}tokens-reset": "2027-01-15T08:06:01Z",
        f"{start}input-tokens-limit": "800",
        f"{start}input-tokens-remaining": "9",
        f"{start}input-tokens-reset": "2027-01-15T08:01:00Z",
    }


def test_openais_headers() -> None:
    keys = {
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "49",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "6m1s",
    }
    assert headers(PLAN, "chat", NOW) == keys
    assert headers(PLAN, "responses", NOW) == keys | {
        "x-codex-primary-used-percent": "12.5",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": "1800000060",
        "x-codex-primary-reset-after-seconds": "60",
        "x-codex-secondary-used-percent": "50",
        "x-codex-secondary-window-minutes": "10080",
        "x-codex-secondary-reset-at": "1800003600",
        "x-codex-secondary-reset-after-seconds": "3600",
    }


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert all(
        headers(Limits(unified=None, codex=Codex()), protocol, NOW) == {} for protocol in ("messages", "chat", "responses")
    )


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("fault", [None, Fault(kind="status", status=429, retry_after=120)])
async def test_every_answer_carries_them_and_they_can_be_changed_while_it_runs(path: str, fault: Fault | None) -> None:
    faults = [fault] if fault else []
    async with (
        PracticeProvider(latency=0, limits=PLAN, faults=faults) as provider,
        aiohttp.ClientSession(provider.url) as session,
    ):
        async with session.post(path, json=BODIES[path]) as response:
            assert response.status == (429 if fault else 200)
            said = {name for name in response.headers if "ratelimit" in name}
            assert said == {name for name in headers(PLAN, path.split("/")[2], NOW) if "ratelimit" in name}
        fuller = {"unified": {"five_hour": {"used": 0.9}}, "tokens": {"limit": 5, "remaining": 1}}
        async with session.put("/practice/limits", json=fuller) as response:
            assert (await response.json())["unified"]["five_hour"]["used"] == 0.9
        assert provider.limits.tokens == Allowance(limit=5, remaining=1)
        async with session.put("/practice/limits", data=b'{"unified": {"hour": 1}}') as response:
            assert response.status == 400
            assert "limits are needed" in json.loads(await response.read())["error"]["message"]
        async with session.delete("/practice/limits"):
            pass
        async with session.post(path, json=BODIES[path]) as response:
            assert not [name for name in response.headers if "ratelimit" in name]
