"""What becomes of a request when things go wrong, and of its client."""

import asyncio
import gc
import json
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import pytest
from gateway_house import HAIKU, KEY, OPUS, PROMPT, ROUTED, SONNET, UNIT, House, Opening, messages, tokens_of, until
from raw_provider import Answering, RawProvider, Sent, answers, chunk, head, whole

from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens
from stepdown.upstream.port import Timeouts

GOOD = whole(b'{"type":"message","usage":{"input_tokens":3,"output_tokens":4}}', "content-type: application/json")
EVENTS = head("content-type: text/event-stream", "transfer-encoding: chunked")
START = b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":9}}}\n\n'
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
OVER = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
ALONE = ROUTED.replace("enabled: true", "enabled: false")
CHAIN = [HAIKU, SONNET, OPUS]
"""Whom a declared unit is asked of: what was decided, the user's fallback, the model that was named."""


def asked(provider: PracticeProvider) -> list[str]:
    return [served.model for served in provider.log]


def bodies(provider: RawProvider) -> list[str]:
    return [json.loads(sent.body)["model"] for sent in provider.sent]


def by_model(**said: bytes | Answering) -> Answering:
    """Answers by the name that the request's model ends on; whoever is not named answers well."""

    async def answering(writer: asyncio.StreamWriter, sent: Sent) -> None:
        model = json.loads(sent.body)["model"]
        answer = next((answer for name, answer in said.items() if name in model), GOOD)
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        else:
            await answer(writer, sent)

    return answering


def streamed(*pieces: bytes) -> bytes:
    return EVENTS + b"".join(map(chunk, pieces)) + b"0\r\n\r\n"


FAULTS = [
    *(Fault(kind="status", status=status) for status in (429, 500, 502, 503, 529, 408, 404, 403, 401, 400)),
    Fault(kind="status", status=529, retry_after=120),
    Fault(kind="cut"),
    Fault(kind="html", status=502),
    Fault(kind="garbage"),
    Fault(kind="sse_error", status=529),
    Fault(kind="sse_error", status=429),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status}")
async def test_before_the_first_byte_the_next_is_asked(
    house: House, provider: PracticeProvider, fault: Fault, *, stream: bool
) -> None:
    provider.faults.add([fault])
    answer = await house.messages(headers=UNIT, stream=stream)
    assert answer.status == 200
    assert answer.headers["x-stepdown-model"] == f"anthropic/{SONNET}"
    assert asked(provider) == CHAIN[:2]
    (line,) = house.lines
    assert (line.tried, line.failure, line.status, line.model) == (2, "", 200, f"anthropic/{SONNET}")


@pytest.mark.parametrize(
    "bad",
    [
        streamed(),
        streamed(PING),
        streamed(b": nothing to say\n\n"),
        streamed(PING, OVER),
        streamed(OVER[:20], OVER[20:]),
        streamed(b"event: error\ndata: not even JSON\n\n"),
        streamed(b"data: {{{{\n\n"),
        whole(b"", "content-type: application/json"),
        whole(b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', "content-type: application/json"),
        whole(b"<html>", "content-type: text/html"),
        whole(b"", "location: https://elsewhere.example/v1", status="307 Temporary Redirect"),
        whole(b'{"type":"mess', "content-type: application/json"),
        head("content-type: application/json", "content-length: 100") + b'{"type":"mess',
        EVENTS + chunk(PING),
        b"SMTP ready\r\n\r\n",
    ],
)
async def test_an_answer_that_never_begins_is_none(opening: Opening, bad: bytes) -> None:
    """Nor is one that breaks off before it says anything."""
    closing = answers(bad, end="close")
    async with RawProvider(by_model(haiku=closing)) as provider, opening(provider.url) as house:
        answer = await house.messages(headers=UNIT, stream=True)
        assert (answer.status, bodies(provider)) == (200, CHAIN[:2])


async def test_a_provider_that_is_down_or_too_slow_is_passed_over(opening: Opening) -> None:
    slow = Timeouts(connect=1, first_byte=0.2, idle=0.2, total=5)
    silent = answers(streamed()[:0], end="hang")
    stuck = answers(EVENTS, end="hang")
    for haiku in (silent, stuck):
        async with RawProvider(by_model(haiku=haiku)) as provider, opening(provider.url, timeouts=slow) as house:
            answer = await house.messages(headers=UNIT, stream=True)
            assert (answer.status, bodies(provider)) == (200, CHAIN[:2])
    nobody = '\nproviders:\n  anthropic: {base_url: "http://127.0.0.1:9"}\n  deepseek: {base_url: "URL"}\n'
    elsewhere = ROUTED.replace("light: claude-haiku-4-5", "light: near").replace("[claude-sonnet-4-6]", "[near]")
    elsewhere += (
        "catalog: {near: {provider: ollama, tier: light, context: 100000, output: 999, features: [], protocols: [messages],"
    )
    elsewhere += " price: {input: 0, output: 0}}}\n"
    async with RawProvider(GOOD) as provider:
        down = nobody + '  ollama: {base_url: "http://127.0.0.1:9", protocols: [messages]}\n'
        async with opening(provider.url, preferences=elsewhere, providers=down) as house:
            answer = await house.messages(headers=UNIT)
            assert (answer.status, answer.json["error"]["type"]) == (502, "api_error")
            assert "no connection to 127.0.0.1:9" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("answering", "status", "kind", "words"),
    [
        (answers(b"", end="hang"), 504, "api_error", "did not begin to answer"),
        (answers(EVENTS, end="hang"), 504, "api_error", "fell silent"),
        (answers(b"", end="close"), 502, "api_error", "broke off before it answered"),
        (answers(EVENTS + chunk(PING), end="close"), 502, "api_error", "broke off"),
        (answers(streamed(), end="close"), 502, "api_error", "answered nothing"),
        (answers(streamed(OVER), end="close"), 529, "overloaded_error", "Overloaded"),
        (answers(b"NOT HTTP\r\n\r\n", end="close"), 502, "api_error", "cannot be read as HTTP"),
    ],
)
async def test_the_last_failure_is_told_in_the_protocols_own_words(
    opening: Opening, answering: Answering, status: int, kind: str, words: str
) -> None:
    quick = Timeouts(connect=1, first_byte=0.3, idle=0.3, total=5)
    async with RawProvider(answering) as provider, opening(provider.url, timeouts=quick, preferences=ALONE) as house:
        answer = await house.messages(stream=True)
        assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (status, "error", kind)
        assert words in answer.json["error"]["message"]
        assert "retry-after" not in answer.headers
        assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
        assert house.lines[0].failure == "provider"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("rate_limit_error", 429),
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("api_error", 500),
        ("timeout_error", 504),
        ("what_is_this", 502),
    ],
)
async def test_an_error_in_a_good_answer_becomes_the_status_it_should_have_had(
    opening: Opening, kind: str, status: int
) -> None:
    said = {"type": "error", "error": {"type": kind, "message": "So it is."}}
    event = b"event: error\ndata: " + json.dumps(said).encode() + b"\n\n"
    answering = EVENTS.replace(b"\r\n\r\n", b"\r\nrequest-id: req_7\r\nretry-after: 3\r\n\r\n") + chunk(event) + b"0\r\n\r\n"
    async with RawProvider(answering) as provider, opening(provider.url, preferences=ALONE) as house:
        answer = await house.messages(stream=True)
        assert (answer.status, answer.json["error"]["message"]) == (status, "So it is.")
        assert (answer.headers["request-id"], answer.headers["retry-after"]) == ("req_7", "3")
        assert answer.headers["content-type"] == "application/json"


async def test_the_last_ones_error_goes_through_as_it_is(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=503, model=HAIKU), Fault(kind="status", status=500, model=SONNET)])
    provider.faults.add(
        [Fault(kind="status", status=529, model=OPUS, retry_after=7, message="Not today.", headers={"x-y": "z"})]
    )
    answer = await house.messages(headers=UNIT)
    assert (answer.status, answer.json["error"]["message"]) == (529, "Not today.")
    assert (answer.headers["retry-after"], answer.headers["x-y"]) == ("7", "z")
    assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
    assert asked(provider) == CHAIN


async def test_nobody_is_asked_twice_for_one_request(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=500, times=0)])
    await house.messages(headers=UNIT)
    assert asked(provider) == CHAIN


async def test_what_observe_sees_fail_fails(opening: Opening, provider: PracticeProvider) -> None:
    """It changes nothing, so that nobody else is asked either."""
    async with opening(provider.url, preferences=ROUTED.replace("mode: delegated", "mode: observe")) as house:
        provider.faults.add([Fault(kind="status", status=529, retry_after=60)])
        answer = await house.messages(headers=UNIT)
        assert (answer.status, answer.headers["retry-after"], asked(provider)) == (529, "60", [OPUS])


async def test_a_conversation_falls_back_to_what_the_user_listed(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=529)])
    answer = await house.messages()
    assert (answer.status, asked(provider)) == (200, [OPUS, SONNET])


async def test_who_asks_for_rest_gets_it_while_there_is_another(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=429, retry_after=300)])
    await house.messages(headers=UNIT)
    await house.messages(headers=UNIT)
    await house.messages(HAIKU)
    assert asked(provider) == [HAIKU, SONNET, SONNET, HAIKU]


async def test_a_short_rest_is_soon_over(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=429, headers={"retry-after-ms": "200"})])
    await house.messages(headers=UNIT)
    await asyncio.sleep(0.25)
    await house.messages(headers=UNIT)
    assert asked(provider) == [HAIKU, SONNET, HAIKU]


@pytest.mark.parametrize("status", [404, 403, 402])
async def test_a_rejected_model_is_blocked_once_another_has_answered(
    house: House, provider: PracticeProvider, status: int
) -> None:
    provider.faults.add([Fault(kind="status", status=status)])
    await house.messages(headers=UNIT)
    assert await house.recorder.ask(lambda ledger: [block.model for block in ledger.blocks(time.time())]) == [
        f"anthropic/{HAIKU}"
    ]
    await house.recorder.refresh()
    await house.messages(headers={**UNIT, "x-stepdown-unit-id": "another"})
    assert asked(provider) == [HAIKU, SONNET, SONNET]
    # Whoever names it is told by its provider, and not by us.
    assert (await house.messages(HAIKU)).headers["x-stepdown-model"] == f"anthropic/{HAIKU}"


async def test_what_nobody_takes_blocks_nobody(house: House, provider: PracticeProvider) -> None:
    """A wrong base_url makes every model unknown."""
    provider.faults.add([Fault(kind="status", status=404, times=0)])
    assert (await house.messages(headers=UNIT)).status == 404
    assert await house.recorder.ask(lambda ledger: list(ledger.blocks(time.time()))) == []
    assert (await house.records())[-1].so_far.tokens == Tokens()


async def test_a_unit_is_not_sent_back_to_who_rejected_it(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=400, message="adaptive thinking is not supported on this model")])
    for _ in range(2):
        await house.messages(headers=UNIT)
    await house.messages(headers={**UNIT, "x-stepdown-unit-id": "another"})
    assert asked(provider) == [HAIKU, SONNET, SONNET, HAIKU]


async def test_a_bad_request_is_told_to_be_one(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=400, message="messages: too few", times=0)])
    answer = await house.messages(headers=UNIT)
    assert (answer.status, answer.json["error"]["message"]) == (400, "messages: too few")
    assert house.lines[0].failure == "rejected"


async def test_thoughts_go_back_to_who_had_them(house: House, provider: PracticeProvider) -> None:
    """A fallback answered, and its thinking is replayed: nobody else would take it."""
    provider.faults.add([Fault(kind="status", status=529)])
    await house.messages(headers=UNIT)
    thought = {"type": "thinking", "thinking": "", "signature": "s"}
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [thought]}, {"role": "user", "content": "b"}]
    await house.messages(headers=UNIT, messages=talk)
    provider.faults.add([Fault(kind="status", status=529, times=0)])
    answer = await house.messages(headers=UNIT, messages=talk)
    assert (answer.status, asked(provider)) == (529, [HAIKU, SONNET, SONNET, SONNET])


async def test_thoughts_of_somebody_unknown_go_to_the_model_that_is_named(house: House, provider: PracticeProvider) -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "s"}
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [thought]}, {"role": "user", "content": "b"}]
    provider.faults.add([Fault(kind="status", status=529)])
    answer = await house.messages(headers=UNIT, messages=talk)
    assert (answer.status, asked(provider)) == (529, [OPUS])


# After the first byte.


async def test_an_error_in_the_middle_is_passed_on_as_it_is(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="mid_error", status=529)])
    answer = await house.messages(headers=UNIT, stream=True)
    assert answer.status == 200
    assert b"message_start" in answer.body
    assert answer.body.rstrip().endswith(b"}}")
    assert b"event: error" in answer.body
    assert asked(provider) == [HAIKU]
    (record,) = await house.records()
    assert house.lines[0].failure == "provider"
    assert record.so_far.tokens.input == 9


async def test_a_cut_is_passed_on_as_a_cut(opening: Opening, caplog: pytest.LogCaptureFixture) -> None:
    ends: tuple[Literal["close", "reset"], ...] = ("close", "reset")
    for end in ends:
        answering = answers(EVENTS + chunk(START), chunk(DELTA), end=end, gap=0.05)
        async with RawProvider(answering) as provider, opening(provider.url) as house:
            reader, writer = await _begun(house, stream=True)
            rest = await asyncio.wait_for(reader.read(), 5)
            assert DELTA in rest
            assert not rest.endswith(b"0\r\n\r\n")  # nothing says that this was all
            writer.close()
            await writer.wait_closed()
            await until(partial(getattr, house, "lines"))
            assert (house.lines[0].failure, house.lines[0].status) == ("provider", 200)
            assert house.lines[0].estimated
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_whole_answer_that_is_cut_is_cut(opening: Opening) -> None:
    """It is longer than what is held back."""
    large = head("content-type: application/json", "content-length: 9000000") + b'{"a":"' + b"x" * 4_000_000
    async with RawProvider(answers(large, end="close")) as provider, opening(provider.url) as house:
        reader, writer = await _begun(house)
        rest = await asyncio.wait_for(reader.read(), 10)
        assert len(rest) == 4_000_006
        writer.close()
        await writer.wait_closed()


async def _begun(house: House, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose answer's head has come."""
    reader, writer = await _sent(house, **more)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
    return reader, writer


async def _sent(house: House, headers: Sequence[str] = (), **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=1024)
    body = json.dumps(messages(**more)).encode()
    lines = ["POST /v1/messages HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("when", ["waiting", "held", "streaming"])
async def test_a_client_that_goes_takes_its_request_along(opening: Opening, when: str) -> None:
    """Also while nothing has come yet; its provider hears of it within a tenth of a second."""
    parts = {"waiting": b"", "held": EVENTS + chunk(PING), "streaming": EVENTS + chunk(START)}[when]
    async with RawProvider(answers(parts, end="hang")) as provider, opening(provider.url) as house:
        _, writer = await (_begun(house, stream=True) if when == "streaming" else _sent(house, stream=True))
        await until(lambda: provider.sent)
        await asyncio.sleep(0.05)
        assert not provider.left.is_set()
        began = time.monotonic()
        writer.close()
        await asyncio.wait_for(provider.left.wait(), 5)
        assert time.monotonic() - began < 0.1
        await until(lambda: house.lines)
        (line,) = house.lines
        assert (line.failure, line.status, line.estimated) == ("cancelled", 499, True)
        await writer.wait_closed()


async def test_a_client_that_goes_while_it_sends_is_nothing(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url) as house:
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await house.messages()).status == 200
        assert len(provider.log) == len(house.lines) == 1


async def test_a_connection_is_used_again(house: House) -> None:
    """What looks out for the client of one request is gone when the next comes on its connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = json.dumps(messages()).encode()
    for _ in range(20):
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).lower()
        assert lines.startswith(b"http/1.1 200")
        length = int(lines.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["type"] == "message"
    writer.close()
    await writer.wait_closed()
    assert {line.status for line in house.lines} == {200}
    gc.collect()
    assert not [task for task in asyncio.all_tasks() if "_until_gone" in repr(task)]


async def test_two_requests_at_once_on_one_connection(house: House) -> None:
    """Nobody does so, but it is HTTP."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = json.dumps(messages()).encode()
    one = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    writer.write(one + one)
    for _ in range(2):
        lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).lower()
        assert lines.startswith(b"http/1.1 200")
        await reader.readexactly(int(lines.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    await writer.wait_closed()


async def test_pings_alone_are_shown_after_a_while(opening: Opening) -> None:
    """Silence trips a client's watchdog; what has come is passed on, and the rest when it comes."""
    parts = [EVENTS + chunk(PING), chunk(b""), chunk(START), chunk(DELTA), b"0\r\n\r\n"]

    async def answering(writer: asyncio.StreamWriter, _: Sent) -> None:
        writer.write(parts[0])
        await asyncio.sleep(0.6)
        writer.write(b"".join(parts[2:]))
        await writer.drain()

    async with RawProvider(answering) as provider, opening(provider.url, hold=0.2) as house:
        began = time.monotonic()
        reader, writer = await _begun(house, stream=True)
        assert 0.15 < time.monotonic() - began < 0.5
        assert PING in await asyncio.wait_for(reader.readuntil(PING), 1)
        rest = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        assert START in rest
        assert DELTA in rest
        writer.close()
        await writer.wait_closed()
        await until(lambda: house.lines)
        assert house.lines[0].tokens is not None


async def test_silence_alone_is_waited_for(opening: Opening) -> None:
    answering = answers(EVENTS, chunk(START) + b"0\r\n\r\n", gap=0.4)
    async with RawProvider(answering) as provider, opening(provider.url, hold=0.1) as house:
        assert (await house.messages(stream=True)).body == START


async def test_a_failure_after_the_pings_were_shown_is_passed_on(opening: Opening) -> None:
    answering = answers(EVENTS + chunk(PING), chunk(OVER) + b"0\r\n\r\n", gap=0.4)
    async with RawProvider(answering) as provider, opening(provider.url, hold=0.1) as house:
        answer = await house.messages(stream=True, headers=UNIT)
        assert (answer.status, answer.body, bodies(provider)) == (200, PING + OVER, [HAIKU])
        assert house.lines[0].failure == "provider"


async def test_a_slow_client_slows_its_provider(opening: Opening) -> None:
    """What nobody takes is not taken in either."""
    written = 0

    async def pouring(writer: asyncio.StreamWriter, _: Sent) -> None:
        nonlocal written
        writer.write(EVENTS + chunk(START))
        for _number in range(2000):
            writer.write(chunk(DELTA * 300))
            await writer.drain()
            written += len(DELTA) * 300

    async with RawProvider(pouring) as provider, opening(provider.url) as house:
        reader, writer = await _begun(house, stream=True)
        await asyncio.sleep(0.5)
        before = written
        await asyncio.sleep(0.3)
        assert written == before < 40_000_000  # of 65; the rest is in the kernel's buffers
        taken = 0
        while taken < 30_000_000:
            taken += len(await reader.read(1_000_000))
        assert written > before
        writer.close()
        await writer.wait_closed()


async def test_streams_end_when_the_gateway_does(opening: Opening) -> None:
    answering = answers(EVENTS + chunk(START), chunk(DELTA), chunk(DELTA) + b"0\r\n\r\n", gap=0.3)
    async with RawProvider(answering) as provider:
        async with opening(provider.url) as house:
            reader, writer = await _begun(house, stream=True)
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert house.lines[0].failure == ""


async def test_streams_that_do_not_end_are_cut_and_counted(opening: Opening) -> None:
    async with RawProvider(answers(EVENTS + chunk(START), end="hang")) as provider:
        async with opening(provider.url, drain=0) as house:
            reader, writer = await _begun(house, stream=True)
        assert not (await asyncio.wait_for(reader.read(), 5)).endswith(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert house.books.streams == 0
        assert house.books.unseen_usd(str(house.directory)) < 0.001


async def test_a_redirect_is_told_to_who_meant_it_and_to_nobody_else(opening: Opening) -> None:
    away = whole(b"", "location: https://elsewhere.example/", status="308 Permanent Redirect")
    async with RawProvider(away) as provider:
        async with opening(provider.url) as house:
            answer = await house.messages()
            assert (answer.status, answer.headers["location"]) == (308, "https://elsewhere.example/")
        async with opening(provider.url, environ={"ANTHROPIC_API_KEY": "k"}) as house:
            answer = await house.ask("/v1/messages", messages())
            assert answer.status == 502
            assert "location" not in answer.headers
            assert "correct providers.anthropic.base_url" in answer.json["error"]["message"]


# What it used.


async def test_what_is_counted_is_what_the_provider_bills(house: House, provider: PracticeProvider) -> None:
    await asyncio.gather(
        *(house.messages(headers={**UNIT, "x-stepdown-unit-id": f"u{n % 7}"}, stream=n % 2 > 0) for n in range(50))
    )
    await house.messages()
    used = await house.used()
    for model in (HAIKU, OPUS):
        billed = sum((served.tokens for served in provider.log if served.model == model), Tokens())
        assert used[f"anthropic/{model}"] == billed
        assert billed.total > 0
    records = await house.records()
    assert sum(record.so_far.requests + ((record.outcome.requests or 0) if record.outcome else 0) for record in records) == 51
    assert house.books.unseen_usd(str(house.directory)) == pytest.approx(house.recorder.unseen_usd(str(house.directory)))


async def test_who_was_given_up_is_in_the_ledger_and_cost_nothing(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=529), Fault(kind="status", status=400)])
    await house.messages(headers=UNIT)
    records = await house.records()
    assert [record.attempt.model for record in records] == [f"anthropic/{model}" for model in CHAIN]
    assert [record.attempt.cause for record in records] == ["first", "fallback", "fallback"]
    assert [record.so_far.requests for record in records] == [1, 1, 1]
    assert [record.so_far.cost_usd == 0 for record in records] == [True, True, False]
    await house.recorder.close()
    from stepdown.ledger.sqlite import SqliteLedger  # noqa: PLC0415  (once here)

    with SqliteLedger(house.directory / "ledger.db") as ledger:
        ended = {record.attempt.model: record.outcome for record in ledger.records()}
    kinds = [outcome.failure for model in CHAIN if (outcome := ended[f"anthropic/{model}"])]
    assert kinds == ["provider", "rejected", None]


async def test_a_chat_stream_that_tells_no_usage_is_estimated(house: House, provider: PracticeProvider) -> None:
    words = [{"role": "user", "content": PROMPT * 20}]
    body = {"model": "gpt-5.5", "stream": True, "messages": words}
    answer = await house.ask("/v1/chat/completions", body, {"authorization": f"Bearer {KEY}"})
    assert b'"usage":{' not in answer.body
    (served,) = provider.log
    (line,) = house.lines
    (record,) = await house.records()
    assert line.estimated
    used = tokens_of(record)
    assert served.tokens.input * 0.5 < used.input < served.tokens.input * 2
    assert served.tokens.output * 0.5 < used.output < served.tokens.output * 2
    assert record.so_far.cost_usd == pytest.approx(line.cost_usd)


@pytest.mark.parametrize("stream", [True, False])
async def test_who_goes_early_is_counted_for_what_was_asked(opening: Opening, *, stream: bool) -> None:
    parts = EVENTS + chunk(START) + chunk(DELTA * 50) if stream else b""
    async with RawProvider(answers(parts, end="hang")) as provider, opening(provider.url) as house:
        opened = await (_begun(house, stream=True) if stream else _sent(house))
        await until(lambda: provider.sent)
        if stream:
            await asyncio.wait_for(opened[0].readuntil(DELTA[-40:]), 5)
            await asyncio.sleep(0.1)
        opened[1].close()
        await opened[1].wait_closed()
        await until(lambda: house.lines)
        (record,) = await house.records()
        used = tokens_of(record)
        assert used.input == 9 if stream else used.input > 5
        assert used.output == (50 // 4 if stream else 0)
        assert (house.lines[0].estimated, house.lines[0].failure) == (True, "cancelled")
