"""The gateway's own routes."""

import asyncio
import json
from typing import Any

import pytest
from gateway_house import HAIKU, OPUS, ROUTED, SONNET, UNIT, House, Opening, messages, until

from stepdown.errors import LedgerError
from stepdown.practice.provider import PracticeProvider


async def call(house: House, path: str, body: object = None, *, method: str = "POST") -> Any:
    answer = await house.ask(f"/v1/stepdown/{path}", body, method=method)
    return answer.status, answer.json


async def test_health_says_who_it_is(house: House) -> None:
    for path in ("/healthz", "/readyz"):
        said = (await house.ask(path, method="GET")).json
        assert (said["ok"], said["service"], said["project"]) == (True, "stepdown", str(house.directory))


async def test_status_shows_mode_pin_and_budgets(opening: Opening) -> None:
    async with opening(preferences=ROUTED + "budget_ceiling: 25\n") as house:
        status, said = await call(house, "status", method="GET")
        assert (status, said["mode"], said["pin"]) == (200, "delegated", None)
        assert said["meters"][0]["name"] == "budget_ceiling"
        assert said["meters"][0]["detail"] == "$0.00 of $25.00"


@pytest.mark.parametrize(
    ("protocol", "body", "model"),
    [
        ("", messages(), HAIKU),
        ("messages", {"model": OPUS}, HAIKU),
        ("", {"model": "gpt-5.5", "input": "x"}, "gpt-5.5"),
        ("", {"model": "gpt-5.5", "messages": []}, "gpt-5.5"),
    ],
)
async def test_the_dry_run_says_what_would_become_of_it(
    house: House, provider: PracticeProvider, protocol: str, body: object, model: str
) -> None:
    answer = await house.ask(f"/v1/stepdown/route?protocol={protocol}", body, UNIT)
    said = answer.json
    assert answer.status == 200
    assert (said["unit"], said["id"], said["mode"], said["refused"]) == ("complete-slice", "M001/S01", "delegated", "")
    assert said["hops"][0].endswith(f"/{model}")
    assert said["decision"]["model"] == model
    assert said["decision"]["candidates"] is not None
    assert not provider.log


async def test_the_dry_run_of_what_cannot_be(house: House) -> None:
    assert (await call(house, "route?protocol=what", messages()))[0] == 400
    assert (await call(house, "route", messages("stepdown/huge")))[0] == 404
    assert (await call(house, "route", b"\xff"))[0] == 400
    status, said = await call(house, "route", b"{")
    assert status == 400
    assert "not valid JSON" in said["error"]["message"]


async def test_a_rating_is_taken_and_its_consequence_said(house: House) -> None:
    await house.messages(headers=UNIT)
    status, said = await call(house, "rate", {"word": "under", "unit": "M001/S01"})
    assert status == 200
    assert said["said"]
    ratings = await house.recorder.ask(lambda ledger: list(ledger.ratings(str(house.directory))))
    assert [(rating.word, rating.unit_id) for rating in ratings] == [("under", "M001/S01")]
    await house.messages(headers=UNIT)  # it goes on all the same, as another attempt
    assert [record.outcome is None for record in await house.records()] == [False, True]


BAD = [None, b"", b"{", b"[]", b"\xff", b"3", b"[" * 100_000, {}, {"word": 3}, {"mode": 3}, {"pin": None}]


@pytest.mark.parametrize("path", ["rate", "mode", "pin"])
@pytest.mark.parametrize("body", BAD, ids=lambda body: str(body)[:20])
async def test_what_makes_no_sense_is_said_to_make_none(house: House, path: str, body: object) -> None:
    status, said = await call(house, path, body)
    assert status == 400
    assert "is expected" in said["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("rate", {"word": "good", "unit": "M001/S01"}, "over, under or ok"),
        ("rate", {"word": "ok", "unit": "nobody"}, "nobody"),
        ("mode", {"mode": "all"}, "observe, delegated, full"),
        ("pin", {"pin": "claude-haiku-4-6"}, "did you mean"),
        ("pin", {"pin": "light", "seconds": -1}, "is expected"),
        ("pin", {"pin": "light", "seconds": 0}, "is expected"),
    ],
)
async def test_what_cannot_be_is_said_to_be_so(house: House, path: str, body: object, words: str) -> None:
    await house.messages(headers=UNIT)
    status, said = await call(house, path, body)
    assert status == 400
    assert words in said["error"]["message"]


async def test_a_rating_while_the_ledger_is_broken(opening: Opening, provider: PracticeProvider) -> None:
    def broken() -> Any:
        raise LedgerError("the ledger cannot be used")

    async with opening(provider.url, open_ledger=broken) as house:
        status, said = await call(house, "rate", {"word": "ok", "unit": "u"})
        assert (status, said["error"]["message"]) == (503, "the ledger cannot be used")


async def test_a_pin_is_set_shown_and_let_go(house: House, provider: PracticeProvider) -> None:
    status, said = await call(house, "pin", {"pin": SONNET, "seconds": 60})
    assert (status, said["pin"]) == (200, SONNET)
    await house.messages()
    assert (await call(house, "status", method="GET"))[1]["pin"] == {"pin": SONNET, "until": said["until"]}
    assert (await call(house, "pin", method="DELETE")) == (200, {"pin": None})
    await house.messages()
    assert [served.model for served in provider.log] == [SONNET, OPUS]


async def test_events_tell_of_what_passes(house: House) -> None:
    async with house.asking("/v1/stepdown/events", method="GET") as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b": stepdown\n\n"
        for number in range(3):
            await house.messages(headers={**UNIT, "x-stepdown-unit-id": f"u{number}"})
        for number in range(3):
            event = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
            said = json.loads(event.removeprefix(b"data: "))
            assert (said["id"], said["model"], said["status"]) == (f"u{number}", f"anthropic/{HAIKU}", 200)
    followers = house.books._followers
    await until(lambda: len(followers) == 1)  # the house's own
    assert not [task for task in asyncio.all_tasks() if "Queue.get" in repr(task)]


async def test_a_follower_hears_that_we_are_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepdown.gateway.control._QUIET", 0.05)
    async with house.asking("/v1/stepdown/events", method="GET") as answer:
        await answer.content.readuntil(b"\n\n")
        assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5) == b": still here\n\n"


async def test_followers_hold_up_no_end(opening: Opening) -> None:
    async with opening() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"GET /v1/stepdown/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b": stepdown"), 5)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 2
    assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()
