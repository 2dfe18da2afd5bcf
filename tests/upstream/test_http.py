"""Sending: what goes out, over which connection, and what is said where it cannot."""

import asyncio
import hashlib
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_provider import Answering, RawProvider, Sent, answers, chunk, head, reset, whole

from stepdown.upstream import Answer, Call, Headers, Timeouts, UpstreamError
from stepdown.upstream.http import HttpUpstream, _Resolver

QUICK = Timeouts(connect=5, first_byte=5, idle=5, total=10)
TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
OTHERS = {"host", "connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
OTHERS |= {"accept-encoding", "proxy-authenticate", "proxy-authorization", "proxy-connection"}

names = st.text(TOKEN, min_size=1, max_size=20).filter(lambda name: name.lower() not in OTHERS)
values = st.text(max_size=40).map(
    lambda text: "".join(c for c in text if c.isprintable()).strip().encode().decode("latin-1").strip(" ")
)
paths = st.text("".join(map(chr, range(0x21, 0x7F))).translate({ord("#"): None, ord("?"): None}), max_size=40)
queries = st.text("".join(map(chr, range(0x21, 0x7F))).replace("#", ""), max_size=40)


def post(url: str, body: bytes = b"{}", headers: Headers = (), *, method: str = "POST") -> Call:
    return Call(method=method, url=url, headers=headers, body=body)


async def read(answer: Answer) -> bytes:
    try:
        return b"".join([piece async for piece in answer.pieces()])
    finally:
        await answer.close()


def spelt(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether no name comes in two spellings."""
    seen = [name for name, _ in headers]
    return len(set(seen)) == len({name.lower() for name in seen})


def test_what_is_sent_is_what_was_given_to_the_byte() -> None:
    @given(
        path=paths,
        query=queries,
        headers=st.lists(st.tuples(names, values), max_size=12).filter(spelt),
        body=st.binary(max_size=300),
        method=st.sampled_from(["POST", "PUT", "DELETE", "PATCH"]),
    )
    def is_sent(path: str, query: str, headers: list[tuple[str, str]], body: bytes, method: str) -> None:
        target = f"/{path}?{query}" if query else f"/{path}"
        provider.sent.clear()
        answer = runner.run(upstream.send(post(provider.url + target, body, headers, method=method), QUICK))
        assert runner.run(read(answer)) == b""
        (sent,) = provider.sent
        assert sent.line == f"{method} {target} HTTP/1.1"
        assert sent.body == body
        assert sent.headers == [
            (b"Host", f"127.0.0.1:{provider.port}".encode()),
            *((name.encode(), value.encode("latin-1")) for name, value in headers),
            (b"accept-encoding", b"identity"),
            (b"Content-Length", str(len(body)).encode()),
        ]

    with asyncio.Runner() as runner:
        upstream = HttpUpstream()
        provider = runner.run(RawProvider(whole(b"")).__aenter__())
        try:
            is_sent()
        finally:
            runner.run(upstream.close())
            runner.run(provider.__aexit__(None, None, None))


async def test_a_get_has_no_length_and_a_head_no_body(upstream: HttpUpstream) -> None:
    async with RawProvider(head("content-length: 7")) as provider:
        answer = await upstream.send(post(provider.url, b"", method="HEAD"), QUICK)
        assert (answer.status, list(answer.headers), await read(answer)) == (200, [("content-length", "7")], b"")
        await upstream.send(post(provider.url, b"", method="HEAD"), QUICK)
        assert provider.connections == 1
    async with RawProvider(whole(b"x")) as provider:
        await read(await upstream.send(post(provider.url, b"", method="GET"), QUICK))
        assert [name for name, _ in provider.sent[0].headers] == [b"Host", b"accept-encoding"]


async def test_a_large_body_arrives_as_it_is_and_nobody_warns(upstream: HttpUpstream) -> None:
    body = bytes(range(256)) * 80_000
    async with RawProvider(whole(b"")) as provider:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await read(await upstream.send(post(provider.url, body), QUICK))
        assert hashlib.sha256(provider.sent[0].body).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_an_answer_like_any_other(upstream: HttpUpstream, status: str) -> None:
    async with RawProvider(whole(b"there", "Location: /other", status=status)) as provider:
        answer = await upstream.send(post(provider.url), QUICK)
        assert (str(answer.status), answer.headers[-1]) == (status[:3], ("Location", "/other"))
        assert await read(answer) == b"there"
        assert len(provider.sent) == 1


async def test_cookies_are_passed_on_and_never_kept(upstream: HttpUpstream) -> None:
    async with RawProvider(whole(b"", "Set-Cookie: a=1", "set-cookie: b=2")) as provider:
        answer = await upstream.send(post(provider.url), QUICK)
        assert list(answer.headers)[1:] == [("Set-Cookie", "a=1"), ("set-cookie", "b=2")]
        await read(answer)
        await read(await upstream.send(post(provider.url), QUICK))
        assert provider.sent[1].header("cookie") == []


async def test_a_compressed_body_is_passed_on_as_it_is(upstream: HttpUpstream) -> None:
    async with RawProvider(whole(b"\x1f\x8b not really", "content-encoding: gzip")) as provider:
        answer = await upstream.send(post(provider.url), QUICK)
        assert ("content-encoding", "gzip") in answer.headers
        assert await read(answer) == b"\x1f\x8b not really"


async def test_an_early_hint_is_not_the_answer(upstream: HttpUpstream) -> None:
    async with RawProvider(head(status="103 Early Hints") + whole(b"late")) as provider:
        assert await read(await upstream.send(post(provider.url), QUICK)) == b"late"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_ends_at_once(upstream: HttpUpstream, status: str) -> None:
    async with RawProvider(head(status=status)) as provider:
        for _ in range(2):
            assert await read(await upstream.send(post(provider.url), QUICK)) == b""
        assert provider.connections == 1


async def test_one_connection_serves_one_call_after_the_other(upstream: HttpUpstream) -> None:
    async with RawProvider(head("transfer-encoding: chunked") + chunk(b"x") + chunk(b"")) as provider:
        for _ in range(5):
            assert await read(await upstream.send(post(provider.url), QUICK)) == b"x"
        assert provider.connections == 1


@pytest.mark.parametrize("with_reset", [True, False])
async def test_a_kept_connection_that_had_been_closed_is_no_failure_of_the_provider(
    upstream: HttpUpstream, with_reset: bool
) -> None:
    async def answering(writer: asyncio.StreamWriter, sent: Sent) -> None:
        if sum(each.connection == sent.connection for each in provider.sent) == 1:
            writer.write(whole(b"fresh"))
        elif with_reset:
            reset(writer)
        else:
            writer.close()

    async with RawProvider(answering) as provider:
        for _ in range(3):
            assert await read(await upstream.send(post(provider.url, b"body"), QUICK)) == b"fresh"
        assert provider.connections == 3
        assert {sent.body for sent in provider.sent} == {b"body"}


@pytest.mark.parametrize(
    "second", [b"HTTP/1.1 200 OK\r\ncont", b""], ids=["after a part of the head", "late enough to have been an answer"]
)
async def test_a_request_is_not_sent_again_where_it_may_have_been_answered(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch, second: bytes
) -> None:
    async def answering(writer: asyncio.StreamWriter, _sent: Sent) -> None:
        if len(provider.sent) == 1:
            writer.write(whole(b"x"))
            return
        writer.write(second)
        await asyncio.sleep(0 if second else 0.1)
        writer.close()

    monkeypatch.setattr("stepdown.upstream.http.STALE", 60.0 if second else 0.05)
    async with RawProvider(answering) as provider:
        await read(await upstream.send(post(provider.url), QUICK))
        with pytest.raises(UpstreamError, match="broke off before it answered"):
            await upstream.send(post(provider.url), QUICK)
        assert len(provider.sent) == 2


async def test_an_answer_that_nobody_asked_for_is_given_to_nobody(upstream: HttpUpstream) -> None:
    async def answering(writer: asyncio.StreamWriter, sent: Sent) -> None:
        writer.write(whole(sent.body))
        asyncio.get_running_loop().call_later(0.02, writer.write, whole(b"somebody else's"))

    async with RawProvider(answering) as provider:
        for body in (b"1", b"2", b"3"):
            assert await read(await upstream.send(post(provider.url, body), QUICK)) == body
            await asyncio.sleep(0.06)
        assert provider.connections == 3


SECRET = "/v1/messages?key=sk-secret"
NOWHERE = [
    ("http://nowhere.invalid", "the name of nowhere.invalid cannot be resolved"),
    ("http://a..b", "the name of a..b cannot be resolved"),
    ("ftp://host", "not one of http:// or https://"),
    ("host", "not one of http:// or https://"),
    ("http://", "not one of http:// or https://"),
    ("http://host:123456", "not one of http:// or https://"),
    ("http://ho st", "not one of http:// or https://"),
    ("http://me:sk-secret@host", "the address of host has a user in it; name the variable with the key as api_key_env"),
]


async def failure(upstream: HttpUpstream, call: Call, timeouts: Timeouts = QUICK) -> UpstreamError:
    """What sending says: one line that tells no secret, and keeps none behind it either."""
    with pytest.raises(UpstreamError) as caught:
        await upstream.send(call, timeouts)
    message = str(caught.value)
    assert "secret" not in message
    assert "\n" not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(("origin", "said"), NOWHERE)
async def test_an_address_that_leads_nowhere(upstream: HttpUpstream, origin: str, said: str) -> None:
    error = await failure(upstream, post(origin + SECRET))
    assert error.kind == "connect"
    assert said in str(error)


async def test_nobody_listens(upstream: HttpUpstream) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = await failure(upstream, post(f"http://127.0.0.1:{port}{SECRET}"))
    assert (error.kind, str(error)) == ("connect", f"no connection to 127.0.0.1:{port} (Connection refused)")


@pytest.mark.parametrize(
    ("answering", "kind", "said"),
    [
        (answers(end="close"), "broken", "broke off before it answered"),
        (answers(end="reset"), "broken", "broke off before it answered (Connection reset by peer)"),
        (answers(b"HTTP/1.1 200 OK\r\ncontent-", end="close"), "broken", "broke off before it answered"),
        (answers(b"SSH-2.0-OpenSSH_9.6 secret\r\n\r\n", end="hang"), "broken", "cannot be read as HTTP"),
        (answers(b"\x16\x03\x01\x00 secret", end="hang"), "broken", "cannot be read as HTTP"),
        (answers(head("content-length: secret"), end="hang"), "broken", "cannot be read as HTTP"),
        (answers(head("x: " + "secret" * 20_000), end="hang"), "broken", "cannot be read as HTTP"),
    ],
)
async def test_no_answer(upstream: HttpUpstream, answering: Answering, kind: str, said: str) -> None:
    async with RawProvider(answering) as provider:
        error = await failure(upstream, post(provider.url + SECRET, headers=[("x-api-key", "sk-secret")]))
    assert error.kind == kind
    assert f"127.0.0.1:{provider.port}" in str(error)
    assert said in str(error)


@pytest.mark.parametrize("header", [("a", "sk-secret\r\nb: c"), ("a\n", "b"), ("a", "\x00")])
async def test_a_header_cannot_smuggle_another(upstream: HttpUpstream, header: tuple[str, str]) -> None:
    async with RawProvider(whole(b"")) as provider:
        error = await failure(upstream, post(provider.url, headers=[header]))
        assert (error.kind, provider.sent) == ("connect", [])
        assert "control character" in str(error)


async def test_a_certificate_is_checked(serving: ssl.SSLContext, trusting: ssl.SSLContext, upstream: HttpUpstream) -> None:
    async with RawProvider(whole(b"safe"), tls=serving) as provider:
        error = await failure(upstream, post(provider.url))
        assert error.kind == "connect"
        assert str(error) == f"the certificate of 127.0.0.1:{provider.port} cannot be trusted (self-signed certificate)"
        trusted = HttpUpstream(tls=trusting)
        assert await read(await trusted.send(post(provider.url), QUICK)) == b"safe"
        await trusted.close()


async def test_tls_that_the_other_side_does_not_speak(upstream: HttpUpstream) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        error = await failure(upstream, post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert error.kind == "connect"
    assert "no secure connection to 127.0.0.1" in str(error)


async def test_the_environment_s_proxy_is_used_only_where_that_was_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawProvider(whole(b"through")) as proxy, RawProvider(whole(b"past it")) as provider:
        monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{proxy.port}")
        for allowed, bypassed, expected in [(False, "", b"past it"), (True, "", b"through"), (True, "127.0.0.1", b"past it")]:
            monkeypatch.setenv("no_proxy", bypassed)
            upstream = HttpUpstream(trust_env=allowed)
            assert await read(await upstream.send(post(provider.url + "/v1"), QUICK)) == expected
            await upstream.close()
        (sent,) = proxy.sent
        assert sent.line == f"POST {provider.url}/v1 HTTP/1.1"
        assert sent.header("proxy-authorization") == [b"Basic bWU6cHc="]
        assert sent.header("authorization") == []


async def test_what_a_proxy_does_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    async with RawProvider(whole(b"", status="403 Forbidden")) as proxy:
        for address, said in [
            (f"http://127.0.0.1:{proxy.port}", "the proxy does not let us through to api.invalid (it answered 403)"),
            ("http://127.0.0.1:1", "the proxy that leads to api.invalid cannot be reached (Connection refused)"),
            ("socks5://sk-secret@127.0.0.1:1", "the proxy for https:// is none that speaks HTTP; set HTTPS_PROXY"),
        ]:
            monkeypatch.setenv("https_proxy", address)
            upstream = HttpUpstream(trust_env=True)
            error = await failure(upstream, post("https://api.invalid" + SECRET))
            assert (error.kind, str(error)) == ("connect", said)
            await upstream.close()


async def test_closing_ends_what_is_under_way_and_takes_nothing_new(upstream: HttpUpstream) -> None:
    async with RawProvider(answers(head("content-length: 9"), b"part", end="hang")) as provider:
        answer = await upstream.send(post(provider.url), QUICK)
        reading = asyncio.ensure_future(read(answer))
        stuck = RawProvider(take_bodies=False, answering=answers(end="hang"))
        async with stuck:
            sending = asyncio.ensure_future(upstream.send(post(stuck.url, bytes(20_000_000)), QUICK))
            await asyncio.sleep(0.1)
            await asyncio.wait_for(upstream.close(), 1)
            for task in (reading, sending):
                with pytest.raises(UpstreamError, match="stepdown is shutting down"):
                    await task
        with pytest.raises(UpstreamError, match="stepdown is shutting down"):
            await upstream.send(post(provider.url), QUICK)
        await upstream.close()


def test_the_port_is_cheap_to_import() -> None:
    script = "import sys, stepdown.upstream; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "[fe80::1]", "[::ffff:a9fe:a9fe]", "metadata.google.internal"]
)
async def test_nothing_is_sent_to_where_only_machines_ask(host: str) -> None:
    upstream = HttpUpstream()
    with pytest.raises(UpstreamError, match="nothing is sent there") as refused:
        await upstream.send(post(f"http://{host}/latest/meta-data/"), QUICK)
    assert refused.value.kind == "connect"
    await upstream.close()


async def test_a_name_that_leads_there_leads_nowhere() -> None:
    """A number in one piece is read by the system's resolver, as a name would be."""
    with pytest.raises(OSError, match="only machines"):
        await _Resolver().resolve("2852039166", 80)
    assert await _Resolver().resolve("localhost", 80)
