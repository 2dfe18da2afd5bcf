"""Requests that are no requests, or two, and headers with more in them than a header: what a client's bytes can do."""

import asyncio
import json
import re

import pytest
from gateway_house import KEY, UNIT, House, Opening, messages, until
from raw_provider import RawProvider, answers, whole

from stepdown.practice.provider import PracticeProvider

BODY = json.dumps(messages()).encode()
ANSWER = whole(b'{"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}}', "content-type: application/json")


async def exchange(house: House, raw: bytes, *, patience: float = 3.0) -> bytes:
    """These bytes, and all that comes back until the gateway closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        writer.write(raw)
        await writer.drain()
        back = b""
        try:
            async with asyncio.timeout(patience):
                while piece := await reader.read(65_536):
                    back += piece
        except (TimeoutError, ConnectionError):
            pass
        return back
    finally:
        writer.transport.abort()


def request(*headers: bytes, body: bytes = BODY, target: bytes = b"/v1/messages", length: bool = True) -> bytes:
    lines = [b"POST " + target + b" HTTP/1.1", b"host: 127.0.0.1", b"x-api-key: " + KEY.encode(), *headers]
    lines += [b"content-length: %d" % len(body)] if length else []
    return b"\r\n".join([*lines, b"", b""]) + body


def statuses(back: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", back)


SECOND = b"POST /v1/stepdown/mode HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 15\r\n\r\n" + b'{"mode":"full"}'


@pytest.mark.parametrize(
    "raw",
    [
        # A length and chunks: whoever believes the one sees a request where the other sees a body.
        request(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n" + SECOND, length=False),
        request(b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n" + SECOND, length=False),
        request(b"transfer-encoding: xchunked", b"content-length: 5", body=b"0\r\n\r\n" + SECOND, length=False),
        request(b"content-length: 5", b"content-length: 6", body=b"0\r\n\r\n" + SECOND, length=False),
        request(b"content-length: +5", body=b"0\r\n\r\n" + SECOND, length=False),
        request(b"content-length: 5 5", body=b"0\r\n\r\n" + SECOND, length=False),
        request(b"content-length: -1", body=SECOND, length=False),
        request(b"transfer-encoding: chunked", body=b"5;\n\r\nhello\r\n0\r\n\r\n" + SECOND, length=False),
        request(b"transfer-encoding: chunked", body=b"ffffffffffffffffff\r\n" + SECOND, length=False),
    ],
)
async def test_one_request_is_never_two(house: House, raw: bytes) -> None:
    """The second, inside of the first, would switch the mode."""
    back = await exchange(house, raw, patience=1.0)
    assert house.desk.mode == "delegated"
    assert all(status.startswith(b"4") for status in statuses(back)), back
    assert len(statuses(back)) <= 1


@pytest.mark.parametrize(
    "header",
    [
        b"x-stepdown-unit: a\r\nx-injected: yes",
        b"x-stepdown-unit-id: a\nx-injected: yes",
        b"x-stepdown-unit-id: a\rx-injected: yes",
        b"x-stepdown-unit-id: a\x00b",
        b"x-stepdown-project: /p\x1b[31m",
        b"x-stepdown-project: \x85x-injected: yes",
        b"x-stepdown-unit-id: \xe2\x80\xa8next",  # a line separator in UTF-8
        b"x-stepdown-unit: \xc3\xbcnit\xff",
    ],
)
async def test_what_a_client_says_of_its_unit_stays_in_one_header(house: House, header: bytes) -> None:
    """Ids and projects stand in answers' headers and in reasons. Whatever is in them, an answer has our headers alone."""
    back = await exchange(house, request(header, b"connection: close"))
    head = back.partition(b"\r\n\r\n")[0]
    assert statuses(back)[0] in {b"200", b"400"}
    assert b"x-injected" not in head.lower()
    assert all(0x20 <= byte < 0x7F for byte in head.replace(b"\r\n", b""))


@pytest.mark.parametrize(
    "name", ["claude\r\nx-injected: yes", "c\x00d", "c\x1b[31m", "c\u2028x-injected: yes", "\ud800", "ü" * 400]
)
@pytest.mark.parametrize("declared", [{}, UNIT])
async def test_a_models_name_stays_in_one_header(house: House, name: str, declared: dict[str, str]) -> None:
    answer = await house.messages(name, headers=declared)
    assert "x-injected" not in answer.headers
    assert all(
        value.isascii() and value.isprintable() for key, value in answer.headers.items() if key.startswith("x-stepdown-")
    )


async def test_what_a_provider_says_stays_in_its_own_headers(opening: Opening) -> None:
    """Bytes that no header may have are the provider's fault; ours cannot be said by anybody else."""
    hostile = ["x-stepdown-model: mine", "x-stepdown-decision: 1", "set-cookie: a=b", "content-type: application/json"]
    async with RawProvider(whole(b"{}", *hostile)) as provider, opening(provider.url) as house:
        answer = await house.messages()
        assert "mine" not in answer.headers["x-stepdown-model"]
    for bad in (b"x-a: b\x00c\r\n", b"x-a: b\rset-cookie: c=d\r\n", b"x-a\x01: b\r\n", b"no colon\r\n"):
        broken = b"HTTP/1.1 200 OK\r\n" + bad + b"content-length: 2\r\n\r\n{}"
        async with RawProvider(broken) as provider, opening(provider.url) as house:
            answer = await house.messages()
            assert "set-cookie" not in answer.headers
            assert all("\x00" not in value and "\r" not in value for value in answer.headers.values())


LONG = b"a" * 1_000_000


@pytest.mark.parametrize(
    "raw",
    [
        request(b"x-long: " + LONG),
        request(b"x-long: " + LONG)[:900_000],
        request(*[b"x-%d: y" % number for number in range(200_000)]),
        b"POST /" + LONG + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        request(b"transfer-encoding: chunked", body=b"1\r\n{\r\n0\r\nx-trailer: " + LONG + b"\r\n\r\n", length=False),
        request(b"transfer-encoding: chunked", body=b"1;" + LONG + b"\r\n{\r\n0\r\n\r\n", length=False),
    ],
)
async def test_a_head_has_its_bounds(house: House, provider: PracticeProvider, raw: bytes) -> None:
    """Before anybody has looked whether it may come in."""
    back = await exchange(house, raw)
    assert all(status == b"400" for status in statuses(back)), back[:200]
    assert (await house.messages()).status == 200, "others are served"
    assert len(provider.log) == 1


@pytest.mark.parametrize("size", [30_000, 200_000])
async def test_a_long_head_is_read_all_the_same(house: House, size: int) -> None:
    back = await exchange(house, request(b"cookie: " + b"c" * size, b"connection: close"))
    assert statuses(back) == [b"200"]


async def test_many_requests_in_one_go_are_each_counted_alone(house: House) -> None:
    one = request(b"cookie: " + b"c" * 30_000)
    back = await exchange(house, one * 20 + request(b"connection: close"), patience=10)
    assert statuses(back) == [b"200"] * 21


async def test_one_who_says_nothing_or_little_holds_up_nobody(house: House) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(200)]
    for _, writer in idle[::2]:
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{")
    assert (await house.messages()).status == 200
    for _, writer in idle:
        writer.transport.abort()


# ------------------------------------------------------------------------------------------------- where a request can go


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"http://ELSE/v1/messages", ()),
        (b"//ELSE/v1/messages", ()),
        (
            b"/v1/messages",
            (b"x-forwarded-host: ELSE", b"forwarded: host=ELSE", b"x-forwarded-for: ELSE", b"x-original-url: //ELSE/"),
        ),
        (
            b"/v1/messages",
            (b"x-stepdown-base-url: http://ELSE", b"x-base-url: http://ELSE", b"anthropic-base-url: http://ELSE"),
        ),
        (b"/v1/messages?base_url=http://ELSE&provider=ELSE", ()),
        (b"/v1/messages/../../@ELSE", ()),
        (b"/v1/messages@ELSE", ()),
        (b"/v1/messages%00@ELSE", ()),
    ],
)
async def test_a_request_cannot_choose_who_is_asked(opening: Opening, target: bytes, headers: tuple[bytes, ...]) -> None:
    """Only the preferences say where providers are: what is asked goes there or nowhere."""
    async with RawProvider(ANSWER) as other, RawProvider(ANSWER) as provider, opening(provider.url) as house:
        other_place = b"127.0.0.1:%d" % other.port
        sent = [each.replace(b"ELSE", other_place) for each in (*headers, b"connection: close")]
        back = await exchange(house, request(*sent, target=target.replace(b"ELSE", other_place)))
        assert statuses(back)[0] in {b"200", b"400", b"404"}
        assert not other.sent
        for one in provider.sent:
            assert one.line.startswith("POST /v1/messages")
            assert one.header("host") == [b"127.0.0.1:%d" % provider.port]


async def test_a_tunnel_or_a_trace_is_not_to_be_had(house: House, provider: PracticeProvider) -> None:
    for line in (b"CONNECT 127.0.0.1:22 HTTP/1.1", b"TRACE /v1/messages HTTP/1.1", b"OPTIONS * HTTP/1.1"):
        back = await exchange(house, line + b"\r\nhost: 127.0.0.1\r\ncookie: secret=1\r\n\r\n", patience=1.0)
        assert all(status.startswith(b"4") for status in statuses(back)), back
        assert b"secret=1" not in back
    assert not provider.log


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_no_redirect_is_followed_and_no_credential_goes_along(opening: Opening, status: str) -> None:
    async with RawProvider(ANSWER) as other, RawProvider() as provider:
        provider.answering = answers(whole(b"", f"location: {other.url}/v1/messages", status=status))
        async with opening(provider.url, environ={"ANTHROPIC_API_KEY": "sk-ant-ours"}) as house:
            with_key = await house.ask("/v1/messages", messages())
            assert with_key.status == 502
            assert "location" not in with_key.headers, "a client would take its own credential there"
            await house.messages()
            await house.ask("/v1/models", headers={"x-api-key": KEY}, method="GET")
            await house.ask("/v1/messages/count_tokens", messages(), {"x-api-key": KEY})
        await until(lambda: len(provider.sent) >= 3)
        assert not other.sent
