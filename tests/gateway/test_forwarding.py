"""Bytes: what a provider is sent and a client gets back, through the whole gateway."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import example_requests
import msgspec
import pytest
from gateway_house import HAIKU, KEY, OPUS, UNIT, House, Opening, messages, open_house
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_provider import RawProvider, Sent, chunk, head, whole

from stepdown.gateway.edit import spans
from stepdown.practice.provider import PracticeProvider

PATHS = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
NAMED = {"messages": OPUS, "chat": "gpt-5.5", "responses": "gpt-5.5"}
CAPS = {"messages": "max_tokens", "chat": "max_completion_tokens", "responses": "max_output_tokens"}
SAID: dict[str, Callable[..., dict[str, Any]]] = {
    "messages": example_requests.messages,
    "chat": example_requests.chat,
    "responses": example_requests.responses,
}
GOOD = whole(b'{"type":"message"}', "content-type: application/json")
TIERS = """
models: {default: claude-opus-4-6}
dynamic_routing:
  enabled: true
  tier_models: {light: TINY, standard: TINY}
catalog:
  tiny: {provider: anthropic, tier: light, context: 900000, output: 500, price: {input: 0.01, output: 0.02},
         protocols: [messages], features: [tools, parallel_tools, system_role]}
  mini: {provider: openai, tier: light, context: 900000, output: 500, price: {input: 0.01, output: 0.02},
         protocols: [chat, responses], features: [tools, parallel_tools, system_role, server_tools]}
gateway: {mode: delegated}
"""
"""Two light models that take nearly everything, and write no more than 500 tokens."""

texts = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
spaces = st.sampled_from(["", " ", "\n", "\r\n  ", "\t"])


@st.composite
def bodies(draw: st.DrawFn, protocol: str) -> bytes:
    """A request as some client may write it: odd spacing, escapes, orders, numbers, keys of its own."""
    said = messages(NAMED["messages"]) if protocol == "messages" else SAID[protocol](rounds=1, offered=1, model=NAMED[protocol])
    said.pop("max_tokens", None)
    said["stream"] = draw(st.booleans())
    if draw(st.booleans()):
        said[CAPS[protocol]] = draw(st.integers(1, 2000))
    said["metadata"] = draw(values)
    said |= {f"x_{key}": value for key, value in draw(st.dictionaries(texts, values, max_size=2)).items()}
    items = draw(st.permutations(list(said.items())))
    ascii_only, space = draw(st.booleans()), draw(spaces)
    colon, comma = draw(spaces) + ":" + draw(spaces), draw(spaces) + "," + draw(spaces)
    members = [
        json.dumps(key, ensure_ascii=ascii_only) + colon + json.dumps(value, ensure_ascii=ascii_only) for key, value in items
    ]
    return (space + "{" + space + comma.join(members) + space + "}" + space).encode("utf-8", "surrogatepass")


answered = st.sampled_from(["plain", "chunked", "stream"])


class Echo:
    """Answers whatever a test put there, in pieces of any size."""

    def __init__(self) -> None:
        self.body = b""
        self.cuts: list[int] = []
        self.kind = "plain"

    async def __call__(self, writer: asyncio.StreamWriter, _: Sent) -> None:
        if self.kind == "plain":
            writer.write(whole(self.body, "content-type: application/json"))
        else:
            kind = "text/event-stream" if self.kind == "stream" else "application/json"
            writer.write(head(f"content-type: {kind}", "transfer-encoding: chunked"))
            edges = sorted({0, len(self.body), *(cut % (len(self.body) + 1) for cut in self.cuts)})
            for start, end in itertools.pairwise(edges):
                writer.write(chunk(self.body[start:end]))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()


@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize("declared", [False, True])
def test_bytes_go_through_as_they_are(tmp_path: Path, protocol: str, *, declared: bool) -> None:
    """Only the model's name and what the receipt lists is another; what comes back is what was answered."""

    @settings(max_examples=40)
    @given(body=bodies(protocol), kind=answered, back=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=4))
    def goes_through(body: bytes, kind: str, back: bytes, cuts: list[int]) -> None:
        runner.run(pass_one(body, kind, back, cuts))

    async def pass_one(body: bytes, kind: str, back: bytes, cuts: list[int]) -> None:
        echo.kind, echo.cuts, echo.body = kind, cuts, _answer(protocol, kind, back)
        provider.sent.clear()
        answer = await house.ask(PATHS[protocol], body, {**(UNIT if declared else {}), "authorization": f"Bearer {KEY}"})
        assert (answer.status, answer.body) == (200, echo.body)
        (sent,) = provider.sent
        assert sent.line.startswith("POST ")
        model, adaptations = await _receipt(house, protocol, body, declared=declared)
        assert sent.body == _expected(body, model, adaptations)

    with asyncio.Runner() as runner:
        stack, echo = contextlib.AsyncExitStack(), Echo()
        try:
            provider = runner.run(stack.enter_async_context(RawProvider(echo)))
            preferences = TIERS.replace("TINY", "tiny" if protocol == "messages" else "mini")
            house = runner.run(stack.enter_async_context(open_house(tmp_path, provider.url, preferences=preferences)))
            goes_through()
        finally:
            runner.run(stack.aclose())


_BEGINNINGS = {
    "messages": b'event: message_start\ndata: {"type":"message_start","message":{"model":"m"}}\n\n',
    "chat": b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n',
    "responses": b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n',
}


def _answer(protocol: str, kind: str, rest: bytes) -> bytes:
    """A good answer: a stream goes on with any bytes once it has begun; what is in one piece has them inside."""
    if kind == "stream":
        return _BEGINNINGS[protocol] + rest
    said = {"type": "message", "choices": [{"finish_reason": "stop"}], "status": "completed", "rest": rest.decode("latin-1")}
    return json.dumps(said, indent=len(rest) % 3).encode()


async def _receipt(house: House, protocol: str, body: bytes, *, declared: bool) -> tuple[str, list[str]]:
    """The model and the adaptations that the gateway says it would make."""
    said = (await house.ask(f"/v1/stepdown/route?protocol={protocol}", body, UNIT if declared else {})).json
    if not said["applied"]:
        return NAMED[protocol], []
    return said["hops"][0].rpartition("/")[2], said["adaptations"]


def _expected(body: bytes, model: str, adaptations: list[str]) -> bytes:
    changes = {"model": json.dumps(model).encode()}
    for line in adaptations:
        key, _, rest = line.partition(" ")
        changes[key] = rest.split(" ")[2].rstrip(",").encode()
    found = spans(body)
    for key in sorted(changes, key=lambda key: -found[key][0]):
        start, end = found[key]
        body = body[:start] + changes[key] + body[end:]
    return body


async def test_a_declared_unit_is_given_to_the_light_model_and_its_cap(opening: Opening) -> None:
    """What the property above says nothing about: that anything is changed at all."""
    body = b'{ "max_tokens" : 32000 , "max_tokens2": 1, "model":"claude-opus-4-6","messages":[{"role":"user","content":"x"}]}'
    async with RawProvider(GOOD) as provider, opening(provider.url, preferences=TIERS.replace("TINY", "tiny")) as house:
        sent = body.replace(b'"max_tokens2": 1, ', b"")
        await house.ask("/v1/messages", sent, UNIT)
        assert provider.sent[0].body == sent.replace(b"32000", b"500").replace(b"claude-opus-4-6", b"tiny")
        (record,) = await house.records()
        assert msgspec.json.decode(record.attempt.decision)["adaptations"] == ["max_tokens 32000 -> 500, the model's cap"]
        # A key that nobody knows goes to the model it was written for.
        await house.ask("/v1/messages", body, {**UNIT, "x-stepdown-unit-id": "other"})
        assert provider.sent[1].body == body


@pytest.mark.parametrize("name", [OPUS, "claude-opus-4.6", "claude-opus-4-6-20260205", "CLAUDE-opus-4-6", "nobody-knows-it"])
async def test_a_model_keeps_the_name_that_its_client_gave_it(opening: Opening, name: str) -> None:
    """Another name of the same model is the provider's business, not ours."""
    async with RawProvider(GOOD) as provider, opening(provider.url) as house:
        answer = await house.messages(name)
        assert answer.status == 200
        assert json.loads(provider.sent[0].body) == messages(name)


async def test_a_name_with_its_provider_before_it_is_ours_to_take_off(opening: Opening) -> None:
    async with RawProvider(GOOD) as provider, opening(provider.url) as house:
        await house.messages(f"anthropic/{OPUS}")
        assert json.loads(provider.sent[0].body)["model"] == OPUS


async def test_the_query_and_the_headers_go_along(house: House, provider: PracticeProvider) -> None:
    headers = {
        "x-api-key": KEY,
        "anthropic-beta": "a-1,b-2",
        "user-agent": "agent/1",
        "x-app": "cli",
        "x-stepdown-unit-id": "u",
    }
    answer = await house.ask("/v1/messages?beta=true&x=%2F", messages(), headers)
    (served,) = provider.log
    assert (served.query, served.betas) == ("beta=true&x=%2F", ("a-1", "b-2"))
    assert served.headers["x-app"] == "cli"
    assert served.headers["user-agent"] == "agent/1"
    assert not [name for name in served.headers if name.startswith("x-stepdown")]
    assert answer.headers["request-id"] == served.id


async def test_every_answer_says_what_was_decided(house: House) -> None:
    answer = await house.messages(headers=UNIT)
    said = {name: value for name, value in answer.headers.items() if name.startswith("x-stepdown-")}
    assert set(said) == {"x-stepdown-model", "x-stepdown-tier", "x-stepdown-reason", "x-stepdown-decision"}
    assert (said["x-stepdown-model"], said["x-stepdown-tier"]) == (f"anthropic/{HAIKU}", "light")
    plain = await house.messages()
    assert plain.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
    assert plain.headers["x-stepdown-reason"].startswith("observed only: ")
    assert plain.headers["x-stepdown-decision"] != said["x-stepdown-decision"]


async def test_a_provider_cannot_speak_in_our_name(opening: Opening) -> None:
    answering = whole(
        b'{"type":"message"}', "content-type: application/json", "x-stepdown-tier: heavy", "x-other: 1", "set-cookie: a=1"
    )
    async with RawProvider(answering) as provider, opening(provider.url) as house:
        answer = await house.messages(headers=UNIT)
        assert answer.headers["x-stepdown-tier"] == "light"
        assert answer.headers["x-other"] == "1"
        assert answer.headers["content-length"] == "18"


async def test_all_three_protocols_are_answered_and_counted(house: House, provider: PracticeProvider) -> None:
    for protocol, path in PATHS.items():
        for stream in (False, True):
            body = SAID[protocol](stream=stream, model=NAMED[protocol])
            answer = await house.ask(path, body, {"authorization": f"Bearer {KEY}"})
            assert answer.status == 200, answer.body
    assert len(provider.log) == 6
    used = await house.used()
    assert sum(tokens.total for tokens in used.values()) == sum(served.tokens.total for served in provider.log) > 0


async def test_clients_may_leave_out_v1(house: House) -> None:
    for path, protocol in (("/chat/completions", "chat"), ("/responses", "responses")):
        answer = await house.ask(path, SAID[protocol](stream=False, model=NAMED[protocol]))
        assert answer.status == 200


async def test_an_answer_that_the_provider_packed_is_passed_on_packed(opening: Opening) -> None:
    packed = b"\x1f\x8b\x08\x00 not really"
    answering = whole(packed, "content-type: application/json", "content-encoding: gzip")
    async with RawProvider(answering) as provider, opening(provider.url) as house:
        answer = await house.messages(headers=UNIT)
        assert (answer.body, answer.headers["content-encoding"]) == (packed, "gzip")
        assert [record.attempt.model for record in await house.records()] == [f"anthropic/{HAIKU}"]


async def test_one_hundred_continue(opening: Opening) -> None:
    """Some clients ask before they send a large body."""
    async with RawProvider(GOOD) as provider, opening(provider.url) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        body = json.dumps(messages()).encode()
        lines = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
        writer.write(lines.encode())
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 ")
        assert provider.sent[0].body == body
        writer.close()
        await writer.wait_closed()


async def test_an_early_hint_is_not_taken_for_the_answer(opening: Opening) -> None:
    early = head("link: </x>; rel=preload", status="103 Early Hints") + whole(b'{"id":1}', "content-type: application/json")
    async with RawProvider(early) as provider, opening(provider.url) as house:
        answer = await house.messages()
        assert (answer.status, answer.body) == (200, b'{"id":1}')


async def test_a_head_gets_one(house: House) -> None:
    for path in ("/", "/api/hello", "/healthz"):
        answer = await house.ask(path, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
