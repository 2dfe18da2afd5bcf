"""Bad input: an answer in the protocol's own words, one line, and a process that stays up."""

import asyncio
import gzip
import json
import resource
from collections.abc import AsyncIterator

import pytest
from gateway_house import KEY, OPUS, UNIT, House, Opening, messages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepdown.gateway.client import LARGEST_BODY
from stepdown.practice.provider import PracticeProvider

PATHS = {"/v1/messages": "messages", "/v1/chat/completions": "chat", "/v1/responses": "responses"}


def is_error(path: str, said: object, kind: str) -> bool:
    """Whether this is an error in the words of the protocol at `path`."""
    assert isinstance(said, dict)
    error = said["error"]
    assert isinstance(error["message"], str)
    assert "\n" not in error["message"]
    assert error["message"]
    if path.startswith("/v1/messages"):
        return bool(said["type"] == "error" and error["type"] == kind)
    return bool(set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error")


BAD = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"{}",
    b'{"model": 3}',
    b'{"model": ""}',
    b'{"model": "a", "model": "b"}',
    b'{"model":' + b"[" * 100_000,
    b"[" * 5_000_000,
]


@pytest.mark.parametrize("path", [*PATHS, "/v1/messages/count_tokens"])
@pytest.mark.parametrize("body", BAD, ids=lambda body: body[:20].decode("latin-1"))
async def test_what_cannot_be_read_is_said_to_be_so(house: House, provider: PracticeProvider, path: str, body: bytes) -> None:
    answer = await house.ask(path, body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert is_error(path, answer.json, "invalid_request_error")
    assert not provider.log
    assert not house.lines


@pytest.mark.parametrize("path", [*PATHS, "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"content-type": "text/plain"}, "text/plain"),
        ({"content-type": "application/x-www-form-urlencoded"}, "urlencoded"),
        ({"content-encoding": "gzip"}, "compressed"),
        ({"content-encoding": "zstd"}, "compressed"),
    ],
)
async def test_what_is_no_plain_json_is_refused(
    house: House, provider: PracticeProvider, path: str, headers: dict[str, str], word: str
) -> None:
    body = json.dumps(messages()).encode()
    answer = await house.ask(path, gzip.compress(body) if word == "compressed" else body, headers)
    assert answer.status == 415
    assert is_error(path, answer.json, "invalid_request_error")
    assert word in answer.json["error"]["message"]
    assert not provider.log


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])
async def test_json_by_any_name_is_taken(house: House, kind: str) -> None:
    assert (await house.ask("/v1/messages", messages(), {"content-type": kind, "content-encoding": "identity"})).status == 200


async def _pour(size: int) -> AsyncIterator[bytes]:
    piece = b" " * 1_000_000
    for _ in range(size // len(piece)):
        yield piece


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/stepdown/route"])
@pytest.mark.parametrize("told", [True, False])
async def test_a_body_of_300_mb_is_not_taken_in(house: House, path: str, *, told: bool) -> None:
    """Whether its length is said at the start or not; the connection goes on."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 300_000_000
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    length = f"content-length: {size}" if told else "transfer-encoding: chunked"
    writer.write(f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{length}\r\n\r\n".encode())
    async for piece in _pour(size):
        writer.write(piece if told else b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    writer.write(b"" if told else b"0\r\n\r\n")
    said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert said.startswith(b"HTTP/1.1 413 ")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 3 * LARGEST_BODY
    writer.close()
    await writer.wait_closed()
    assert (await house.messages()).status == 200


async def test_how_large_a_body_may_be_is_said(house: House) -> None:
    async with house.asking("/v1/messages", b" " * (LARGEST_BODY + 1)) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"] == {
            "type": "request_too_large",
            "message": f"the request is larger than {LARGEST_BODY // 1024 // 1024} MB",
        }


@pytest.mark.parametrize(
    "name", ["x-stepdown-unit", "x-stepdown-unit-id", "x-stepdown-project", "x-stepdown-pin", "x-stepdown-attempt"]
)
async def test_a_header_that_is_too_long_is_refused(house: House, name: str) -> None:
    answer = await house.messages(headers={name: "x" * 8000})
    assert answer.status == 400
    assert is_error("/v1/messages", answer.json, "invalid_request_error")
    assert answer.json["error"]["message"].startswith(name)


async def test_long_headers_of_the_clients_own_go_along(house: House, provider: PracticeProvider) -> None:
    assert (await house.messages(headers={"x-own": "y" * 30_000})).status == 200
    assert len(provider.log[0].headers["x-own"]) == 30_000


@pytest.mark.parametrize("model", ["a\r\nx-evil: 1", "a\nb", "é\u2028\U0001f600", "x" * 5000, "../../admin", "a b?c#d"])
async def test_a_models_name_breaks_out_of_nothing(house: House, provider: PracticeProvider, model: str) -> None:
    """It stands in headers of ours, in the ledger and in lines that people read."""
    answer = await house.messages(model, headers=UNIT)
    assert answer.status == 200
    assert "x-evil" not in answer.headers
    assert provider.log[0].model == model
    assert provider.log[0].path == "/v1/messages"
    said = answer.headers["x-stepdown-model"]
    assert said.isascii()
    assert said.isprintable()
    (record,) = await house.records()
    assert record.attempt.model.isprintable()


async def test_an_unknown_path_is_told_so_in_json(house: House) -> None:
    for method, path in (("POST", "/v1/embeddings"), ("GET", "/v1/messages"), ("DELETE", "/v1/responses"), ("GET", "/x")):
        answer = await house.ask(path, method=method)
        assert answer.status in {404, 405}
        assert answer.json["error"]["message"] == f"{method} {path}: there is nothing here"


async def test_a_head_of_the_answering_paths_is_no_error_of_ours(house: House) -> None:
    for path in PATHS:
        answer = await house.ask(path, method="HEAD")
        assert answer.status in {404, 405}


async def test_what_is_no_http_hurts_nobody(house: House) -> None:
    for said in (
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(said)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 5)
        assert not answer or answer.startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()
    assert (await house.messages()).status == 200


async def test_a_provider_without_an_address_is_said_to_have_none(opening: Opening) -> None:
    preferences = "catalog: {own: {provider: mine, tier: light, context: 1000, output: 10, protocols: [messages]}}\n"
    async with opening(preferences=preferences, providers="") as house:
        answer = await house.messages("own")
        assert answer.status == 400
        assert answer.json["error"]["message"].endswith("set providers.mine in the preferences")


async def test_whatever_comes_is_answered(house: House) -> None:
    """Fuzz, through the whole gateway."""
    found: list[tuple[str, bytes]] = []

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(
        path=st.sampled_from(list(PATHS)),
        body=st.binary(max_size=60)
        | st.dictionaries(st.text(max_size=8), st.text(max_size=8)).map(lambda d: json.dumps({"model": OPUS, **d}).encode()),
    )
    def collect(path: str, body: bytes) -> None:
        found.append((path, body))

    collect()
    for path, body in found:
        answer = await house.ask(path, body, {"authorization": f"Bearer {KEY}"})
        assert answer.status in {200, 400, 404}
        assert json.loads(answer.body)
