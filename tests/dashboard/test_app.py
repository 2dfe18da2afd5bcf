"""The page's routes through a real gateway: who is let in, what they are shown, what they may say."""

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from gateway_house import HAIKU, ROUTED, UNIT, Answered, House, open_house, until
from hypothesis import given, settings
from ledgers import BEGAN, DAY, everything
from pages_seen import ODD, Parts

from stepdown.catalog import Catalog
from stepdown.dashboard import app, render
from stepdown.dashboard.app import COOKIE, cookie_name
from stepdown.dashboard.host import Doing, Facts, Health, Request
from stepdown.dashboard.view import read_state, read_units
from stepdown.ledger import Attempt, Outcome, open_ledger
from stepdown.ledger.memory import MemoryLedger
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import ModelChoice, Preferences
from stepdown.report.story import gather
from stepdown.team.tokens import proof
from stepdown.units import Tier, Tokens

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
PART = {"hx-request": "true", **FORM}
TOKEN = "a-secret-of-its-user"
STATIC = Path(app.__file__).with_name("static")
FILES = sorted(path.name for path in STATIC.iterdir())


@pytest.fixture
async def provider() -> AsyncIterator[PracticeProvider]:
    async with PracticeProvider(latency=0.0) as provider:
        yield provider


@pytest.fixture
async def house(tmp_path: Path, provider: PracticeProvider) -> AsyncIterator[House]:
    async with open_house(tmp_path, provider.url) as house:
        yield house


@pytest.fixture
async def closed(tmp_path: Path, provider: PracticeProvider) -> AsyncIterator[House]:
    async with open_house(tmp_path, provider.url, token=TOKEN) as house:
        yield house


def signed_in(house: House) -> str:
    """What a browser keeps that has brought the token."""
    return f"{cookie_name({'host': f'127.0.0.1:{house.port}'})}={proof(TOKEN)}"


async def see(house: House, path: str = "/", headers: Mapping[str, str] = BROWSER, *, method: str = "GET") -> Answered:
    return await house.ask(path, None, headers, method=method)


async def say(house: House, what: str, headers: Mapping[str, str] = PART, /, **fields: str) -> Answered:
    """Fill in a form of the page."""
    return await house.ask(f"/page/{what}", urlencode(fields).encode(), {**FORM, **headers})


def put(
    house: House, unit_id: str, unit_type: str = "complete-slice", *, ended: bool = True, project: str = "", title: str = ""
) -> None:
    """A unit that somebody else recorded in the same ledger."""
    with open_ledger(f"sqlite:{house.directory / 'ledger.db'}") as ledger:
        attempt = Attempt(
            project=project or str(house.directory),
            unit_type=unit_type,
            unit_id=unit_id,
            title=title,
            tier=Tier.LIGHT,
            model=f"anthropic/{HAIKU}",
            agent="claude",
            started=time.time(),
        )
        number = ledger.begin(attempt)
        if ended:
            ledger.settle(number, Outcome(verified=True, cost_usd=0.5, cost_source="reported", finished=time.time()))


async def ratings(house: House) -> list[tuple[str, str]]:
    return [(one.unit_id, one.word) for one in await house.recorder.ask(lambda ledger: list(ledger.ratings()))]


# ------------------------------------------------------------------------------------------------------------- what is shown


async def test_a_browser_sees_the_page_and_a_program_who_is_there(house: House) -> None:
    page = await see(house)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body.startswith(b"<!DOCTYPE html>")
    for name in ("head", "doing", "units", "requests", "sums", "meters", "chart", "learned", "models"):
        assert f'<div id="{name}"'.encode() in page.body or f'<header id="{name}"'.encode() in page.body
    for accept in ("*/*", "application/json", ""):
        said = await see(house, headers={"accept": accept})
        assert (said.headers["content-type"], said.json) == ("application/json", {"stepdown": "gateway"})


async def test_another_project_has_a_page_of_its_own_and_an_unknown_one_none(house: House) -> None:
    put(house, "T1", project="/another one")
    page = await see(house, "/?project=%2Fanother%20one")
    assert page.status == 200
    assert b"T1" in page.body
    assert b"T1" not in (await see(house)).body
    for path in ("/?project=%2Fnowhere", "/page/events?project=x", "/page/units?project=x", "/page/unit?project=x&unit=T1"):
        missing = await see(house, path)
        assert missing.status == 404
        assert b"nothing is recorded of a project" in missing.body
    assert (await say(house, "rate", project="/nowhere", rate="ok complete-slice T1")).status == 422


async def test_a_project_is_known_from_its_first_request(house: House) -> None:
    await house.messages(headers={**UNIT, "x-stepdown-project": "/new"})
    await house.recorder.flush()  # the unit is still open
    page = await see(house, "/?project=/new")
    assert page.status == 200
    assert b"complete-slice M001/S01" in page.body


async def test_older_units_are_gone_through_page_by_page(house: House) -> None:
    for number in range(45):
        put(house, f"T{number:02}")
    path, seen = "/page/units", list[str]()
    for _ in range(3):
        page = (await see(house, path)).body.decode()
        seen += re.findall(r">complete-slice (T\d\d)</a>", page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else ""
    assert seen == [f"T{number:02}" for number in reversed(range(45))]
    assert not path
    found = (await see(house, "/page/units?starts=T1")).body.decode()
    assert re.findall(r">complete-slice (T\d\d)</a>", found) == [f"T1{number}" for number in range(10)]
    assert "There are none like that" in (await see(house, "/page/units?failed=1")).body.decode()
    assert (await see(house, "/page/units?before=nan-99999999999999999999999")).status == 200


async def test_a_receipt_is_a_part_where_it_is_asked_for_as_one(house: House) -> None:
    await house.messages(headers=UNIT)
    await house.recorder.flush()
    path = "/page/unit?unit=" + quote("complete-slice M001/S01")
    whole, part = await see(house, path), await see(house, path, PART)
    assert whole.body.startswith(b"<!DOCTYPE html>")
    assert b"<html" not in part.body
    for answer in (whole, part):
        assert answer.status == 200
        assert b'id="receipt-h"' in answer.body
        assert b"claude-haiku-4-5" in answer.body
        assert b"Why this model" in answer.body
    for headers in (BROWSER, PART):
        for unit in ("nobody", "", "complete-slice", "%00", "complete-slice%20", "%ff"):
            missing = await see(house, f"/page/unit?unit={unit}", headers)
            assert missing.status == 404
            assert (b"<!DOCTYPE" in missing.body) == (headers is BROWSER)


async def test_head_says_what_get_would(house: House) -> None:
    for path in ("/", "/page/units", "/page/static/page.js", "/page/events"):
        async with asyncio.timeout(2):
            answer = await see(house, path, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"].partition(";")[0] == {
            "/page/static/page.js": "text/javascript",
            "/page/events": "text/event-stream",
        }.get(path, "text/html")
    assert not house.page._channels.of(str(house.directory)).watched, "nobody listens"
    async with asyncio.timeout(2):
        assert (await see(house)).status == 200


@pytest.mark.parametrize("path", ["/", "/page/units", "/page/unit?unit=x", "/?project=x", "/page/events?project=x"])
async def test_every_answer_in_html_is_bound_to_what_is_ours(house: House, path: str) -> None:
    bound((await see(house, path)).headers)


async def test_what_answers_a_form_is_bound_likewise(closed: House) -> None:
    signed = {"cookie": signed_in(closed)}
    bound((await see(closed)).headers)  # asks for the token
    bound((await say(closed, "sign-in", token="x")).headers)
    bound((await say(closed, "rate", {**PART, **signed}, rate="x")).headers)
    bound((await say(closed, "mode", {**PART, **signed}, mode="full")).headers)


def bound(headers: Mapping[str, str]) -> None:
    assert headers["content-type"].startswith("text/html")
    rules = dict(rule.strip().partition(" ")[::2] for rule in headers["content-security-policy"].split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["form-action"] == rules["connect-src"] == "'self'"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


async def test_files_of_the_page_may_be_kept_for_ever(house: House) -> None:
    page = (await see(house)).body.decode()
    linked = re.findall(r'(?:src|href)="(/page/static/[^"]+)"', page)
    assert len(linked) == 5
    assert all("?" in one for one in linked), "the version is in the address"
    for path in (*linked, *(f"/page/static/{name}" for name in FILES)):
        answer = await see(house, path, {"accept": "*/*"})
        assert answer.status == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        name = path.partition("?")[0].rpartition("/")[2]
        if name != "page.css":
            assert answer.body == (STATIC / name).read_bytes()
    licensed = [name for name in FILES if name.endswith(".min.js")]
    assert licensed
    assert all((STATIC / name.replace(".min.js", ".LICENSE")).read_text() for name in licensed)


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "%2e%2e%2fapp.py",
        "..%5capp.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "",
        ".",
        "%00",
        "page.js%00.css",
        "../events",
        "%2e%2e/units",
        "x" * 5000,
        "%ff",
    ],
)
async def test_nothing_else_is_a_file_of_the_page(house: House, closed: House, path: str) -> None:
    for one in (house, closed):
        answer = await see(one, f"/page/static/{path}")
        assert answer.status in {401, 404, 405}
        assert b"import asyncio" not in answer.body
        assert b"root:" not in answer.body
        assert answer.headers["content-type"].startswith("application/json") or answer.status == 401


async def test_what_is_not_there_and_what_is_asked_wrongly(house: House) -> None:
    assert (await see(house, "/page/what")).status == 404
    for path in ("rate", "mode", "pin", "sign-in"):
        assert (await see(house, f"/page/{path}")).status == 405
    for path in ("/", "/page/units", "/page/unit", "/page/events", "/page/static/page.js"):
        assert (await see(house, path, method="POST")).status in {404, 405}


async def test_a_project_whose_name_no_text_can_hold(tmp_path: Path, provider: PracticeProvider) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()  # noqa: ASYNC240  (nobody waits)
    async with open_house(odd, provider.url) as house:
        await house.messages(headers=UNIT)
        await house.recorder.flush()
        for path in ("/", "/page/units", "/page/unit?unit=M001%2FS01"):
            page = await see(house, path)
            assert page.status == 200
            assert b"M001/S01" in page.body
        linked = re.search(r'href="(/page/unit\?[^"]+)"', (await see(house)).body.decode())
        assert linked
        assert (await see(house, linked[1].replace("&amp;", "&"))).status == 200


# ---------------------------------------------------------------------------------------------------------- what may be said


async def test_a_rating_is_taken_and_what_follows_is_said(house: House) -> None:
    await house.messages(headers=UNIT)  # the gateway has it open: the word ends it
    said = await say(house, "rate", rate="under complete-slice M001/S01")
    assert said.status == 200
    assert b"rated under: counts as" in said.body
    assert await ratings(house) == [("M001/S01", "under")]
    assert (await say(house, "rate", rate="ok complete-slice M001/S01")).status == 200
    assert await ratings(house) == [("M001/S01", "ok")]


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("", "is none of over, ok, under"),
        ("good complete-slice T1", "&#39;good&#39; is none of over, ok, under"),
        ("<b> complete-slice T1", "&#39;&lt;b&gt;&#39; is none of"),
        ("over", "is none of"),
        ("over ", "is none of"),
        ("over nobody", "no unit called &#39;nobody&#39;"),
        ("over complete-slice <script>", "&lt;script&gt;"),
        ("over complete-slice \x00", "no unit called"),
        ("over complete-slice RUNS", "has not finished"),
        ("OVER complete-slice T1", "is none of"),
    ],
)
async def test_a_rating_that_cannot_be_is_said_to_be_so(house: House, rate: str, words: str) -> None:
    put(house, "T1")
    put(house, "RUNS", ended=False)
    said = await say(house, "rate", rate=rate)
    assert said.status == 422
    assert words in said.body.decode()
    assert said.body.startswith(b'<p class="wrong">')
    assert await ratings(house) == []


@pytest.mark.parametrize(
    "unit_id", ["a b", "<script>alert(1)</script>", "ok ok", '"', "'", "ü", "a&b=c", "50%", "a+b", "a;b", "-"]
)
async def test_a_unit_of_any_name_can_be_rated_by_the_button_beside_it(house: House, unit_id: str) -> None:
    put(house, unit_id)
    page = Buttons((await see(house)).body.decode())
    (under,) = [value for value in page.values if value.startswith("under ")]
    said = await say(house, "rate", rate=under)
    assert said.status == 200, said.body
    assert await ratings(house) == [(unit_id, "under")]
    assert b'aria-pressed="true"' in (await see(house)).body.split(b'id="units"')[1]


@pytest.mark.parametrize("unit_id", ["T1 ", "\u202eT", "a\x1b[31m"])
async def test_a_unit_whose_name_cannot_be_shown_as_it_is_is_taken_for_no_other(house: House, unit_id: str) -> None:
    put(house, unit_id)
    put(house, "T2")
    for value in Buttons((await see(house)).body.decode()).values:
        if not value.endswith("T2"):
            assert (await say(house, "rate", rate=value)).status == 422
    assert await ratings(house) == []


class Buttons(HTMLParser):
    """What the buttons for rating would send."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "button" and known.get("name") == "rate":
            self.values.append(known["value"] or "")


async def test_the_mode_is_switched(house: House) -> None:
    for mode in ("observe", "full", "delegated"):
        said = await say(house, "mode", mode=mode)
        assert said.status == 200
        assert f"Mode {mode}:" in said.body.decode()
        assert house.desk.mode == mode
        assert f'value="{mode}"' in (await see(house)).body.decode()
        assert re.search(rf'value="{mode}"[^>]* aria-pressed="true"', (await see(house)).body.decode())
    for wrong in ("", "all", "<b>", "FULL"):
        said = await say(house, "mode", mode=wrong)
        assert said.status == 422
        assert b"there is no mode" in said.body
        assert b"<b>" not in said.body
    assert house.desk.mode == "delegated"


async def test_where_routing_is_off_the_mode_says_why_it_stays(tmp_path: Path) -> None:
    async with open_house(tmp_path, preferences=ROUTED.replace("enabled: true", "enabled: false")) as house:
        said = await say(house, "mode", mode="full")
        assert said.status == 422
        assert b"routing is off" in said.body
        assert house.desk.mode == "observe"


@pytest.mark.parametrize(("pin", "meant"), [("heavy", "heavy"), ("haiku", HAIKU), (HAIKU, HAIKU), (" light ", "light")])
async def test_everything_is_pinned_for_a_while_and_let_go(house: House, pin: str, meant: str) -> None:
    said = await say(house, "pin", pin=pin, hours="0.5")
    assert said.status == 200
    assert f"pinned to {meant}." in said.body.decode()
    assert house.desk.pin is not None
    assert house.desk.pin.pin == meant
    assert house.desk.pin.until == pytest.approx(time.time() + 1800, abs=5)
    assert f"<strong>{meant}</strong>" in (await see(house)).body.decode()
    said = await say(house, "pin", pin="")
    assert (said.status, b"Nothing is pinned" in said.body) == (200, True)
    assert house.desk.pin is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pin": "claude-haiku-4-6"}, "did you mean"),
        ({"pin": "<b>"}, "&#39;&lt;b&gt;&#39; is neither"),
        *(
            ({"pin": "light", "hours": hours}, "up to 720 hours")
            for hours in ("0", "-1", "nan", "inf", "721", "x", "", "1e999")
        ),
    ],
)
async def test_a_pin_that_cannot_be_is_said_to_be_so(house: House, fields: dict[str, str], words: str) -> None:
    said = await say(house, "pin", **fields)
    assert said.status == 422
    assert words in said.body.decode()
    assert house.desk.pin is None


@pytest.mark.parametrize("what", ["rate", "mode", "pin", "sign-in"])
@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", b"{}", b"&&&==%", b"a=b&" * 3000, b"mode=" + b"f" * 20_000, os.urandom(300)]
)
async def test_a_form_that_makes_no_sense_changes_nothing(house: House, what: str, body: bytes) -> None:
    answer = await house.ask(f"/page/{what}", body, PART)
    if what == "pin" and answer.status == 200:
        assert b"Nothing is pinned" in answer.body
    else:
        assert answer.status == (401 if what == "sign-in" else 422)
    assert (house.desk.mode, house.desk.pin, await ratings(house)) == ("delegated", None, [])


async def test_who_goes_away_in_the_middle_of_a_form_leaves_nothing_behind(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"POST /page/pin HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\npin=light")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
    assert (await see(house)).status == 200
    assert house.desk.pin is None
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_without_scripts_the_browser_is_sent_back_to_where_it_was(house: House) -> None:
    came = f"{house.url}/?project=x"
    said = await say(house, "mode", {**BROWSER, "referer": came}, mode="full")
    assert (said.status, said.headers["location"]) == (303, came)
    said = await say(house, "pin", {**BROWSER}, pin="light")
    assert (said.status, said.headers["location"]) == (303, "/")
    wrong = await say(house, "mode", {**BROWSER}, mode="all")
    assert (wrong.status, b"there is no mode" in wrong.body) == (422, True)


async def test_what_was_said_is_on_the_next_page_whoever_else_looks(house: House) -> None:
    async with house.asking(
        "/page/events", None, {"accept": "text/event-stream", "accept-encoding": "identity"}, method="GET"
    ) as answer:
        await answer.content.readuntil(b"event: ")
        for number in range(6):
            put(house, f"T{number}")
            mode = ("full", "observe")[number % 2]
            assert (await say(house, "mode", BROWSER, mode=mode)).status == 303
            page = (await see(house)).body.decode()
            assert re.search(rf'value="{mode}"[^>]* aria-pressed="true"', page), number
            assert f"complete-slice T{number}" in page


# ----------------------------------------------------------------------------------------------------------- who is let in


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost"},
        {"host": "evil.example"},
        {"host": "evil.example:8787"},
    ],
)
async def test_other_pages_may_neither_look_nor_speak(house: House, closed: House, foreign: dict[str, str]) -> None:
    for one in (house, closed):
        cookie = {"cookie": signed_in(one)}
        for path in ("/", "/page/units", "/page/events", "/page/static/page.js"):
            assert (await see(one, path, {**BROWSER, **cookie, **foreign})).status == 403
        for what, fields in (("mode", {"mode": "full"}), ("pin", {"pin": "light"}), ("sign-in", {"token": TOKEN})):
            refused = await say(one, what, {**PART, **cookie, **foreign}, **fields)
            assert refused.status == 403
            assert "set-cookie" not in refused.headers
        assert (one.desk.mode, one.desk.pin) == ("delegated", None)


async def test_the_pages_own_forms_come_from_itself(house: House) -> None:
    assert (await say(house, "mode", {**PART, "origin": house.url}, mode="full")).status == 200


async def test_who_knows_the_token_is_given_a_cookie_that_is_not_it(closed: House) -> None:
    for path in ("/", "/page/units", "/page/unit?unit=x"):
        asked = await see(closed, path)
        assert asked.status == 401
        assert b'action="/page/sign-in"' in asked.body
        assert str(closed.directory).encode() not in asked.body
    for wrong in ("", "x", TOKEN + "x", TOKEN[:-1], proof(TOKEN), "ü", "\x00"):
        refused = await say(closed, "sign-in", BROWSER, token=wrong)
        assert (refused.status, "set-cookie" in refused.headers) == (401, False)
        assert b"That is not this gateway" in refused.body
    taken = await say(closed, "sign-in", BROWSER, token=f" {TOKEN} ")
    assert (taken.status, taken.headers["location"]) == (303, "/")
    cookie, *kept = taken.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(kept)
    assert TOKEN not in taken.headers["set-cookie"]
    page = await see(closed, "/", {**BROWSER, "cookie": cookie})
    assert page.status == 200
    assert b'id="units"' in page.body
    assert (await say(closed, "mode", {**PART, "cookie": cookie}, mode="full")).status == 200


async def test_the_cookie_opens_the_page_and_nothing_else(closed: House, provider: PracticeProvider) -> None:
    cookie = {"cookie": signed_in(closed)}
    for path, method in (
        ("/v1/messages", "POST"),
        ("/v1/chat/completions", "POST"),
        ("/v1/responses", "POST"),
        ("/v1/stepdown/mode", "POST"),
        ("/v1/stepdown/status", "GET"),
        ("/v1/stepdown/events", "GET"),
        ("/v1/models", "GET"),
        ("/metrics", "GET"),
        ("/page", "GET"),
        ("/pagex/units", "GET"),
    ):
        assert (await see(closed, path, {**BROWSER, **cookie}, method=method)).status == 401, path
    assert not provider.log
    assert (await see(closed, "/page/static/page.css", {"accept": "*/*"})).status == 200, "to sign in, one has to see"


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "=",
        ";;;",
        COOKIE,
        f"{COOKIE}=",
        f"{COOKIE}={TOKEN}",
        f"{COOKIE}={proof('another')}",
        f"{COOKIE}={proof('')}",
        f"{COOKIE}={proof(TOKEN)}x",
        f"{COOKIE}={proof(TOKEN).upper()}",
        f"x{COOKIE}={proof(TOKEN)}",
        f"{COOKIE}=\xff\xfe",
        '"; \\',
    ],
)
async def test_any_other_cookie_opens_nothing(closed: House, cookie: str) -> None:
    head = f"GET /page/units HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", closed.port)
    writer.write(head.encode("latin-1"))
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 401 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("others", ['seen={"a": 1}', "a[b]=c", "ü=ü", 'q="a b', "=x", "a,b=c", "plain"])
async def test_cookies_of_other_programs_on_this_machine_do_not_shut_one_out(closed: House, others: str) -> None:
    """A browser keeps cookies by name of the machine, whatever the port."""
    for cookie in (f"{others}; {signed_in(closed)}", f"{signed_in(closed)}; {others}"):
        assert (await see(closed, "/", {**BROWSER, "cookie": cookie})).status == 200


async def test_a_gateway_without_a_token_takes_none(house: House) -> None:
    assert (await say(house, "sign-in", token="")).status == 401
    assert (await say(house, "sign-in", token="x")).status == 401


# ------------------------------------------------------------------------------------------------------------------ events


async def test_events_begin_with_every_part(house: House) -> None:
    put(house, "T1")
    async with house.asking(
        "/page/events", None, {"accept": "text/event-stream", "accept-encoding": "identity"}, method="GET"
    ) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert await answer.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
        told: dict[str, bytes] = {}
        while len(told) < 10:
            name, _, data = (await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)).partition(b"\n")
            told[name.removeprefix(b"event: ").decode()] = data
        assert b"T1" in told["units"]
        assert (await say(house, "mode", mode="full")).status == 200
        said = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
        while not (said.startswith(b"event: head\n") and b'value="full"' in said):
            said = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)


async def test_an_open_page_holds_up_no_end(tmp_path: Path) -> None:
    async with open_house(tmp_path, drain=30) as house:
        streams = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(b"GET /page/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"event: "), 5)
            streams.append((reader, writer))
        begun = time.monotonic()
    assert time.monotonic() - begun < 1.5
    for reader, writer in streams:
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()


async def test_a_page_that_is_shut_is_not_told_any_more(house: House) -> None:
    channel = house.page._channels.of(str(house.directory))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /page/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"event: "), 5)
    assert channel.watched
    writer.close()
    await writer.wait_closed()
    await until(lambda: not channel.watched)


async def test_nor_is_one_that_never_took_what_it_was_told(house: House) -> None:
    for number in range(20):
        put(house, f"T{number}", title="long " * 100_000)  # more than sockets hold
    channel = house.page._channels.of(str(house.directory))
    with socket.create_connection(("127.0.0.1", house.port)) as lazy:
        lazy.sendall(b"GET /page/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await until(lambda: channel.watched and len(channel._parts) == 10, 20)
        await asyncio.sleep(0.2)
    await until(lambda: not channel.watched)
    assert (await see(house)).status == 200


# ------------------------------------------------------------------------------------------------- names that mean harm

PARTS = render.Parts("1")
CATALOG = Catalog.load()
PREFERENCES = Preferences(models={"default": ModelChoice("claude-opus-4-6")})


def everything_shown(text: str, project: str) -> Iterator[str]:
    """Every part and page, of a world in which everything is called so."""
    ledger = MemoryLedger()
    everything(ledger, project=project, named=lambda _: text, days=2)
    tried = Attempt(
        project=project, unit_type="execute-task", unit_id="T1", title=text, model=text, reason=text, agent=text, cause=text,
        started=BEGAN,
    )  # fmt: skip
    ended = Outcome(failure="quality", message=text, evidence=(text,), kept=text, tokens=Tokens(input=1), finished=BEGAN)
    ledger.settle(ledger.begin(tried), ended)
    ledger.begin(tried)
    units, state = read_units(ledger, project), read_state(ledger, PREFERENCES, CATALOG, project, BEGAN + 2 * DAY, None)
    facts = Facts(kind=text, project=project, mode=text, modes={text: text}, pin=text, pins=True, started=0.0, where=text)
    doing = Doing(
        name=text, project=project, unit=text, id=text, title=text, tier=Tier.LIGHT, model=text, asked=text, why=text,
        cause=text, since=0.0, steps=(text, text), counted=2, tokens=3,
    )  # fmt: skip
    request = Request(
        name=text, at=0.0, project=project, unit=text, id=text, tier=None, model=text, asked=text, chosen=text, applied=False,
        why=text, failure=text, status=500,
    )  # fmt: skip
    health = Health(model=text, tier=None, requests=2, failed=1, failure=text, first_byte=0.1, last=0.0)
    parts = {**PARTS.units(units), **PARTS.state(state), **PARTS.moving(facts, [doing], [request], [health], state)}
    yield from (*parts.values(), PARTS.trouble(text), PARTS.page(facts, project, parts), PARTS.all_units(facts, project, units))
    story = gather(ledger, project, "execute-task T1")
    yield from (PARTS.unit(facts, story, alone=True), PARTS.unit(facts, story, alone=False))
    yield from (PARTS.said([text, text], wrong=True), PARTS.problem(text), PARTS.sign_in(text))


@cache
def of_ours() -> set[tuple[str, str]]:
    """The elements of all pages, each also with its attributes, where nothing means harm."""
    pages = (page for word in ("word", "") for page in everything_shown(word, "/shop"))
    return {(tag, name) for page in pages for tag, names in Parts(page).tags for name in ("", *names)}


@settings(max_examples=50)
@given(ODD, ODD)
def test_no_name_becomes_a_part_of_a_page(text: str, project: str) -> None:
    ours = of_ours()
    for page in everything_shown(text, project):
        assert {(tag, name) for tag, names in Parts(page).tags for name in ("", *names)} <= ours
        assert not any(forbidden in page for forbidden in ("\x1b", "\u202e", "\r"))
        page.encode()  # as it goes out
