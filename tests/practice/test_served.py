"""What a test can read in the log: with which credential a request came, and that its bytes are those that were sent."""

import hashlib
import json
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.practice.provider import PracticeProvider
from stepdown.practice.served import credentials, fingerprint, received

RAW = b'{ "messages":[{"role":"user","content":"x"}],\n"max_tokens" : 9, "model":"claude-haiku-4-5"}'
KEY, TOKEN = "sk-ant-api03-secret", "oauth-secret-token"


async def test_a_request_is_known_by_its_bytes_its_credentials_and_its_headers(tmp_path: Path) -> None:
    sent = {
        "x-api-key": KEY,
        "authorization": f"Bearer {TOKEN}",
        "anthropic-beta": "one-2026-01-01, two-2026-02-02",
        "anthropic-version": "2023-06-01",
        "x-stepdown-unit": "execute-task",
    }
    log = tmp_path / "log.jsonl"
    async with PracticeProvider(latency=0, log_file=log, keep_bodies=True) as provider:
        async with aiohttp.ClientSession(provider.url, headers=sent) as session:
            for path in ("/v1/messages?beta=true", "/v1/messages/count_tokens?beta=true"):
                async with session.post(path, data=RAW) as response:
                    assert response.status == 200
            async with session.get("/practice/log") as response:
                told = await response.text()
        one, two = provider.log
    for served, path in ((one, "/v1/messages"), (two, "/v1/messages/count_tokens")):
        assert (served.path, served.query, served.model) == (path, "beta=true", "claude-haiku-4-5")
        assert (served.body, served.size) == (hashlib.sha256(RAW).hexdigest(), len(RAW))
        assert served.credentials == {"x-api-key": fingerprint(KEY), "authorization": fingerprint(TOKEN)}
        assert served.betas == ("one-2026-01-01", "two-2026-02-02")
        assert served.headers["anthropic-version"] == "2023-06-01"
        assert served.headers["x-stepdown-unit"] == "execute-task"
        assert provider.bodies[served.id] == RAW
    for text in (told, log.read_text(), repr(provider.log)):
        assert KEY not in text
        assert TOKEN not in text


async def test_what_cannot_be_read_is_in_the_log_as_well_and_bodies_are_kept_for_who_asks() -> None:
    async with PracticeProvider(latency=0) as provider, aiohttp.ClientSession(provider.url) as session:
        async with session.post("/v1/chat/completions", data=b"{") as response:
            assert response.status == 400
        (served,) = provider.log
    assert (served.body, served.size, served.model) == (hashlib.sha256(b"{").hexdigest(), 1, "")
    assert served.credentials == {}
    assert provider.bodies == {}


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie"])
@given(secret=st.text(st.characters(codec="utf-8"), min_size=8))
def test_no_credential_is_ever_shown(header: str, secret: str) -> None:
    served = received(1.0, "req_1", "/v1/messages", "", {header: secret, "accept": "*/*"})
    assert served.credentials == credentials({header: secret})
    assert served.headers == {"accept": "*/*"}
    assert len(served.credentials[header]) == 12


async def test_what_is_not_here_is_said_in_the_protocols_own_shape() -> None:
    async with PracticeProvider(latency=0) as provider, aiohttp.ClientSession(provider.url) as session:
        for path, header in (
            ("/v1/chat/completions", "x-request-id"),
            ("/v1/messages", "request-id"),
            ("/nothing", "request-id"),
        ):
            async with session.get(path) as response:
                answer = json.loads(await response.read())
                assert response.status in {404, 405}
                assert ("type" in answer) == (header == "request-id")
                assert header in response.headers
        for path in ("/v1/models", "/models", "/api/hello", "/"):
            async with session.head(path) as response:
                assert response.status == 200
