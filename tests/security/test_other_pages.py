"""A web page that the user happens to have open: it may send requests to this machine, and gets nowhere with them."""

import asyncio
import json

import pytest
from gateway_house import House, Opening, messages

from stepdown.practice.provider import PracticeProvider

TOKEN = "a-secret-of-its-user"
FORM = {"content-type": "application/x-www-form-urlencoded"}
CHANGES = [
    ("POST", "/v1/stepdown/mode", b'{"mode": "full"}'),
    ("POST", "/v1/stepdown/pin", b'{"pin": "light"}'),
    ("DELETE", "/v1/stepdown/pin", b""),
    ("POST", "/v1/stepdown/rate", b'{"word": "under", "unit": "x"}'),
    ("POST", "/v1/stepdown/route", json.dumps(messages()).encode()),
    ("POST", "/v1/messages", json.dumps(messages()).encode()),
    ("POST", "/page/mode", b"mode=full"),
    ("POST", "/page/pin", b"pin=light"),
    ("POST", "/page/sign-in", b"token=a-secret-of-its-user"),
]
LOOKS = ["/", "/page/units", "/page/events", "/v1/stepdown/status", "/v1/stepdown/events", "/v1/models", "/metrics"]
REBOUND = [
    {"host": host} for host in ("evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil.example", "")
]
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
]


@pytest.mark.parametrize("foreign", [*REBOUND, *FOREIGN])
async def test_it_changes_nothing_and_asks_nobody(house: House, provider: PracticeProvider, foreign: dict[str, str]) -> None:
    """Also with the content types that a page may send without asking first."""
    for method, path, body in CHANGES:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json"):
            answer = await house.ask(path, body, {"content-type": kind, **foreign}, method=method)
            assert answer.status == 403, (method, path, kind)
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert (house.desk.mode, house.desk.pin) == ("delegated", None)
    assert not provider.log


@pytest.mark.parametrize("foreign", [*REBOUND, *FOREIGN])
async def test_it_sees_nothing(house: House, foreign: dict[str, str]) -> None:
    for path in LOOKS:
        answer = await house.ask(path, headers={"accept": "text/html", **foreign}, method="GET")
        assert answer.status == 403, path
        assert str(house.directory) not in answer.body.decode()


async def test_a_page_may_link_to_ours_and_no_more(house: House) -> None:
    """A link that somebody follows is a navigation: what it shows stays with the user."""
    link = {"accept": "text/html", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = await house.ask("/", headers=link, method="GET")
    assert answer.status == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    framed = await house.ask("/", headers={**link, "sec-fetch-dest": "iframe"}, method="GET")
    assert framed.status == 403
    assert (await house.ask("/page/mode", b"mode=full", {**FORM, **link}, method="POST")).status == 403
    assert house.desk.mode == "delegated"


async def test_programs_and_our_own_page_send_what_they_always_did(house: House) -> None:
    for own in (
        {},
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    ):
        assert (await house.messages(headers=own)).status == 200
        assert (await house.ask("/", headers={"accept": "text/html", **own}, method="GET")).status == 200
    # A program of Node's, whose fetch says how, but not from where.
    assert (await house.messages(headers={"sec-fetch-mode": "cors"})).status == 200


async def test_a_preflight_is_told_nothing(house: House) -> None:
    asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = await house.ask("/v1/messages", headers=asks, method="OPTIONS")
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_the_cookie_stays_with_our_page(opening: Opening) -> None:
    async with opening(token=TOKEN) as house:
        answer = await house.ask("/page/sign-in", f"token={TOKEN}".encode(), {**FORM, "origin": house.url})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie


@pytest.mark.parametrize(
    "target",
    [
        b"/page/static/../app.py",
        b"/page/static/..%2fapp.py",
        b"/page/static/%2e%2e/%2e%2e/app.py",
        b"/page/static/....//app.py",
        b"/page/static/..\\app.py",
        b"/page/static//etc/passwd",
        b"/page/static/%00page.js",
        b"/page/static/page.js%00.html",
        b"/page/static/",
        b"/page/static/%c0%ae%c0%ae/app.py",
    ],
)
async def test_no_other_file_is_served(house: House, target: bytes) -> None:
    """As it is written: no client puts the path in order first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET " + target + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    back = await reader.read()
    writer.close()
    assert back[9:12] in {b"400", b"404"}
    assert b"import " not in back
    assert b"root:" not in back


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "javascript:alert(1)",
    "</title><svg/onload=x>",
]


async def test_names_are_text_on_every_part_of_the_page(house: House) -> None:
    for name in HOSTILE:
        for headers in ({"x-stepdown-unit": name}, {"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": name}):
            assert (await house.messages(name, headers={**headers})).status == 200
        await house.messages(headers={"x-stepdown-project": f"/tmp/{name}"})
    await house.records()
    for path in ("/", "/page/units", "/page/events"):
        plain = {"accept": "text/html", "accept-encoding": "identity"}
        async with house.asking(path, headers=plain, method="GET") as answer:
            text = (await answer.content.readany()).decode()
        for name in HOSTILE:
            if "<" in name:
                assert name not in text, path
