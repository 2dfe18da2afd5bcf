"""People at a real gateway: whose token it is, for which project, and what their role may."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_house import KEY, Answered, House, Opening, messages, open_house, until
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.errors import LedgerError
from stepdown.gateway.guesses import MOST, SPAN, Guesses
from stepdown.ledger import Ledger, Person
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.practice.provider import PracticeProvider
from stepdown.team.keep import change, create, renew, revoke
from stepdown.team.roles import ROLES

BROWSER = {"accept": "text/html"}


class Team:
    """A gateway with people, whose tokens are known by name."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.tokens: dict[str, str] = {}

    def ledger(self) -> Ledger:
        return SqliteLedger(self.house.directory / "ledger.db")

    def add(self, name: str, role: Any = "member", *projects: str, **more: Any) -> str:
        with self.ledger() as ledger:
            self.tokens[name] = create(ledger, Person(name=name, role=role, projects=projects, **more), "test", time.time())
        return self.tokens[name]

    async def ask(
        self, name: str, path: str, body: object = None, headers: Mapping[str, str] = {}, *, method: str = "POST"
    ) -> Answered:
        """A request with somebody's token; "" brings none."""
        brings = {"x-stepdown-token": self.tokens[name]} if name else {}
        return await self.house.ask(path, body, {**brings, **headers}, method=method)

    async def works(self, name: str, **headers: str) -> Answered:
        return await self.ask(name, "/v1/messages", messages(), {"x-api-key": KEY, **headers})

    async def projects(self) -> set[str]:
        return {record.attempt.project for record in await self.house.records()}


@pytest.fixture
async def team(tmp_path: Path, provider: PracticeProvider) -> AsyncIterator[Team]:
    async with open_house(tmp_path, provider.url) as house:
        team = Team(house)
        team.add("ana", "member", "shop", "bank")
        team.add("vic", "viewer", "shop")
        team.add("root", "admin")
        team.add("eve", "member", "elsewhere")
        await until_closed(team)
        yield team


async def until_closed(team: Team) -> None:
    async with asyncio.timeout(5):
        while (await team.ask("", "/v1/stepdown/status", method="GET")).status != 401:  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(0.05)


async def test_as_long_as_nobody_has_a_token_none_is_needed(house: House) -> None:
    assert (await house.messages()).status == 200
    assert (await house.ask("/v1/stepdown/mode", {"mode": "full"})).status == 200


async def test_from_the_first_token_on_one_is_needed(team: Team, provider: PracticeProvider) -> None:
    before = len(provider.log)
    assert (await team.works("")).status == 401
    assert len(provider.log) == before
    assert (await team.works("ana")).status == 200


@pytest.mark.parametrize("header", ["x-stepdown-token", "x-api-key", "authorization"])
async def test_no_token_goes_to_a_provider(team: Team, provider: PracticeProvider, header: str) -> None:
    token = team.tokens["ana"]
    value = f"Bearer {token}" if header == "authorization" else token
    more = {"x-api-key": KEY} if header != "x-api-key" else {"authorization": f"Bearer {KEY}"}
    answer = await team.house.ask("/v1/messages", messages(), {**more, header: value})
    assert answer.status == 200, answer.body
    assert all("sdt_" not in str(served) for served in provider.log)
    assert all("sdt_" not in value for served in provider.log for value in dict(served.headers).values())


async def test_a_request_counts_for_the_first_of_their_projects_and_for_no_other_than_theirs(team: Team) -> None:
    assert (await team.works("ana")).status == 200
    assert await team.projects() == {"shop"}
    assert (await team.works("ana", **{"x-stepdown-project": "bank"})).status == 200
    assert await team.projects() == {"shop", "bank"}
    refused = await team.works("ana", **{"x-stepdown-project": "elsewhere"})
    assert (refused.status, refused.json["error"]["type"]) == (403, "authentication_error")
    assert await team.projects() == {"shop", "bank"}


async def test_of_two_headers_the_one_that_counts_is_the_one_that_was_looked_at(team: Team) -> None:
    body = json.dumps(messages()).encode()
    for first, second in (("elsewhere", "shop"), ("shop", "elsewhere")):
        head = (
            f"POST /v1/stepdown/route HTTP/1.1\r\nhost: localhost\r\nx-stepdown-token: {team.tokens['ana']}\r\n"
            f"x-stepdown-project: {first}\r\nx-stepdown-project: {second}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", team.house.port)
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ") == (second == "shop")
    assert "elsewhere" not in await team.projects()


async def test_whoever_may_everything_is_counted_as_the_gateway_does(team: Team) -> None:
    assert (await team.works("root")).status == 200
    assert await team.projects() == {str(team.house.directory)}
    team.add("star", "member", "*")
    assert (await team.works("star", **{"x-stepdown-project": "anything"})).status == 200
    assert await team.projects() == {str(team.house.directory), "anything"}


async def test_nobody_but_an_administrator_says_that_a_request_is_counted_elsewhere(team: Team) -> None:
    assert (await team.works("ana", **{"x-stepdown-attempt": "7"})).status == 200
    assert len(await team.house.records()) == 1
    assert (await team.works("root", **{"x-stepdown-attempt": "7"})).status == 200
    assert len(await team.house.records()) == 1


async def test_a_viewer_looks_and_asks_for_nothing(team: Team, provider: PracticeProvider) -> None:
    wanted = {
        "/v1/messages": "authentication_error",
        "/v1/chat/completions": "invalid_request_error",
        "/v1/responses": "invalid_request_error",
    }
    for path, word in wanted.items():
        refused = await team.ask("vic", path, messages())
        assert (refused.status, refused.json["error"]["type"]) == (403, word)
        assert "viewer" in refused.json["error"]["message"]
    for path in ("/v1/messages/count_tokens", "/v1/stepdown/route", "/v1/stepdown/rate", "/page/rate"):
        assert (await team.ask("vic", path, messages())).status == 403
    assert not provider.log
    assert (await team.ask("vic", "/v1/stepdown/status", method="GET")).status == 200
    assert (await team.ask("vic", "/v1/models", method="GET")).status == 200


@pytest.mark.parametrize("name", ["vic", "ana"])
async def test_what_concerns_everybody_is_an_administrators(team: Team, name: str) -> None:
    for path, method in (
        ("/v1/stepdown/mode", "POST"),
        ("/v1/stepdown/pin", "POST"),
        ("/v1/stepdown/pin", "DELETE"),
        ("/page/mode", "POST"),
        ("/page/pin", "POST"),
        ("/page/revoke", "POST"),
        ("/metrics", "GET"),
        ("/metrics", "HEAD"),
    ):
        assert (await team.ask(name, path, {"mode": "full", "pin": "light", "name": "ana"}, method=method)).status == 403, path
    for odd in ("/metrics%0A", "/v1/stepdown/mode%0A", "/page/revoke%0a", "/metrics%00", "/metrics%E2%80%A8"):
        assert (await team.ask(name, odd, {"mode": "full"}, method="GET")).status == 404, odd
    assert (team.house.desk.mode, team.house.desk.pin) == ("delegated", None)
    assert (await team.works("ana")).status == 200


async def test_what_administrators_do_is_recorded_with_their_names(team: Team) -> None:
    assert (await team.ask("root", "/v1/stepdown/mode", {"mode": "full"})).status == 200
    assert (await team.ask("root", "/v1/stepdown/mode", {"mode": "huge"})).status == 400
    assert (await team.ask("root", "/v1/stepdown/pin", {"pin": "heavy", "seconds": 1800})).status == 200
    assert (await team.ask("root", "/v1/stepdown/pin", method="DELETE")).status == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await team.ask("root", "/page/mode", b"mode=observe", form)).status == 303
    assert (await team.ask("root", "/page/revoke", b"name=eve", form)).status == 303
    assert await team.house.recorder.flush()
    with team.ledger() as ledger:
        done = [(one.who, one.act, one.what) for one in reversed(ledger.acts()) if one.who != "test"]
    assert done == [
        ("root", "mode", "full"),
        ("root", "pin set", "heavy for 0.5 h"),
        ("root", "pin released", ""),
        ("root", "mode", "observe"),
        ("root", "token revoked", "eve"),
    ]
    assert (await team.works("eve")).status == 401


async def test_where_no_token_is_needed_it_is_recorded_without_a_name(house: House) -> None:
    assert (await house.ask("/v1/stepdown/mode", {"mode": "full"})).status == 200
    assert await house.recorder.flush()
    with SqliteLedger(house.directory / "ledger.db") as ledger:
        assert [(one.who, one.act, one.what) for one in ledger.acts()] == [("-", "mode", "full")]


async def test_a_project_of_others_is_as_one_that_is_not_there(team: Team) -> None:
    unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "M1/S1"}
    assert (await team.works("eve", **unit)).status == 200
    assert await team.house.recorder.flush()

    async def same(path: str, body: Any = None, *, method: str = "GET") -> None:
        """The same answer for a project of others as for none."""
        answers = []
        for project in ("elsewhere", "nowhere"):
            sent = None if body is None else json.loads(json.dumps(body).replace("%s", project))
            answer = await team.ask("ana", path.replace("%s", project), sent, BROWSER, method=method)
            answers.append((answer.status, answer.body.replace(project.encode(), b"P")))
        assert answers[0] == answers[1], path
        assert answers[0][0] >= 400

    for path in ("/?project=%s", "/page/units?project=%s", "/page/events?project=%s"):
        await same(path)
    await same("/page/unit?project=%s&unit=complete-slice%20M1/S1")
    await same("/v1/stepdown/rate", {"word": "ok", "unit": "complete-slice M1/S1", "project": "%s"}, method="POST")
    form = {"content-type": "application/x-www-form-urlencoded", "hx-request": "true"}
    refused = await team.ask("ana", "/page/rate", b"rate=ok complete-slice M1/S1&project=elsewhere", form)
    assert refused.status == 422
    assert b"nothing is recorded of a project elsewhere" in refused.body
    with team.ledger() as ledger:
        assert not ledger.ratings()


async def test_a_session_of_others_cannot_be_rated(team: Team) -> None:
    session = "5f0e9a52-4f0e-4c1b-9a52-1f0e9a524f0e"
    body = {**messages(), "metadata": {"user_id": json.dumps({"session_id": session})}, "tools": [TOOL]}
    assert (await team.ask("eve", "/v1/messages", body, {"x-api-key": KEY})).status == 200
    asked = {"word": "ok", "session": session}
    unknown = await team.ask("ana", "/v1/stepdown/rate", {**asked, "session": "none"})
    refused = await team.ask("ana", "/v1/stepdown/rate", asked)
    assert (refused.status, refused.body) == (400, unknown.body)


TOOL = {"name": "Bash", "description": "runs", "input_schema": {"type": "object", "properties": {}}}


async def test_the_status_is_of_their_own_project(team: Team) -> None:
    said = (await team.ask("ana", "/v1/stepdown/status", method="GET")).json
    assert said["project"] == "shop"
    assert str(team.house.directory) not in json.dumps(said)
    for path in ("/healthz", "/readyz"):
        assert "project" not in (await team.ask("ana", path, method="GET")).json
    assert (await team.ask("root", "/v1/stepdown/status", method="GET")).json["project"] == str(team.house.directory)


async def test_lines_are_of_their_own_projects_alone(team: Team) -> None:
    token = {"x-stepdown-token": team.tokens["ana"]}
    async with team.house.asking("/v1/stepdown/events", None, token, method="GET") as stream:
        assert (await stream.content.readline()) == b": stepdown\n"
        await stream.content.readline()
        for name in ("eve", "root", "ana"):
            assert (await team.works(name)).status == 200
        line = await asyncio.wait_for(stream.content.readline(), 5)
        assert json.loads(line.removeprefix(b"data: "))["project"] == "shop"


async def test_revoking_ends_what_is_open_too(team: Team) -> None:
    token = {"x-stepdown-token": team.tokens["ana"]}
    async with team.house.asking("/v1/stepdown/events", None, token, method="GET") as stream:
        await stream.content.readline()
        await stream.content.readline()
        with team.ledger() as ledger:
            revoke(ledger, "ana", "test", time.time())
        await asyncio.sleep(2.1)
        assert (await team.works("root", **{"x-stepdown-project": "shop"})).status == 200
        assert await asyncio.wait_for(stream.content.read(), 5) == b""


async def test_a_token_is_worth_nothing_within_two_seconds_of_its_end(team: Team) -> None:
    assert (await team.works("ana")).status == 200
    with team.ledger() as ledger:
        revoke(ledger, "ana", "test", time.time())
    began = time.monotonic()
    async with asyncio.timeout(4):
        while (await team.works("ana")).status != 401:  # noqa: ASYNC110  (no event says so)
            await asyncio.sleep(0.05)
    assert time.monotonic() - began < 2.5
    await asyncio.sleep(2.5)  # after a quiet spell it is looked first, and answered then
    with team.ledger() as ledger:
        revoke(ledger, "eve", "test", time.time())
    assert (await team.works("eve")).status == 401


async def test_a_new_token_and_new_rights_hold_at_once(team: Team) -> None:
    assert (await team.works("root")).status == 200  # it was looked just now
    team.add("new", "viewer", "shop")
    assert (await team.works("new")).status == 403
    with team.ledger() as ledger:
        change(ledger, "new", lambda one: msgspec.structs.replace(one, role="member"), "test", time.time())
    await asyncio.sleep(2.1)
    assert (await team.works("new")).status == 200
    with team.ledger() as ledger:
        _, token = renew(ledger, "new", "test", time.time())
    old, team.tokens["new"] = team.tokens["new"], token
    assert (await team.works("new")).status == 200
    team.tokens["old"] = old
    assert (await team.works("old")).status == 401


async def test_an_expired_token_is_worth_nothing(team: Team) -> None:
    team.add("brief", "member", "shop", expires=time.time() + 1.5)
    assert (await team.works("brief")).status == 200
    await asyncio.sleep(1.6)
    assert (await team.works("brief")).status == 401


async def test_who_revokes_the_last_token_lets_nobody_in(team: Team) -> None:
    with team.ledger() as ledger:
        for name in team.tokens:
            revoke(ledger, name, "test", time.time())
    await asyncio.sleep(2.1)
    assert (await team.works("ana")).status == 401
    assert (await team.works("")).status == 401


async def test_when_a_token_was_used_is_known(team: Team) -> None:
    assert (await team.works("ana")).status == 200
    assert await team.house.recorder.flush()
    with team.ledger() as ledger:
        seen = {key.person.name: key.person.seen for key in list(ledger.keys())}
    assert seen["vic"] is None
    assert seen["ana"] is not None
    assert abs(seen["ana"] - time.time()) < 10


async def test_who_has_a_token_is_known_also_without_the_ledger(
    opening: Opening, tmp_path: Path, provider: PracticeProvider
) -> None:
    async with opening(provider.url) as house:
        team = Team(house)
        team.add("ana", "member", "shop")
        await until_closed(team)
        file = tmp_path / "people.json"
        await until(file.exists)
        assert file.stat().st_mode & 0o777 == 0o600
        assert team.tokens["ana"].encode() not in file.read_bytes()

    def broken() -> Ledger:
        raise LedgerError("it is away")

    async with opening(provider.url, open_ledger=broken) as house:
        again = Team(house)
        again.tokens = team.tokens
        assert (await again.works("")).status == 401
        assert (await again.works("ana")).status == 200


# ---------------------------------------------------------------------------------------------------------------- guessing


async def test_wrong_tokens_are_told_to_wait_and_right_ones_are_not(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    statuses = [(await team.works("", **{"x-stepdown-token": f"wrong-{number}"})).status for number in range(MOST)]
    assert set(statuses) == {401}
    refused = await team.works("", **{"x-stepdown-token": "wrong again"})
    assert (refused.status, refused.json["error"]["type"]) == (429, "rate_limit_error")
    assert 0 < int(refused.headers["retry-after"]) <= SPAN
    assert (await team.works("", authorization="Bearer sdt_" + "a" * 43)).status == 429
    assert (await team.works("ana")).status == 200
    form = {"content-type": "application/x-www-form-urlencoded", **BROWSER}
    tried = await team.house.ask("/page/sign-in", b"token=wrong", form)
    assert (tried.status, tried.headers["retry-after"] != "") == (429, True)
    assert (await team.house.ask("/page/sign-in", f"token={team.tokens['ana']}".encode(), form)).status == 303
    assert caplog.text.count("wrong tokens from 127.0.0.1") == 1
    assert "sdt_" not in caplog.text


async def test_to_bring_nothing_is_no_guess(team: Team) -> None:
    for _ in range(3 * MOST):
        assert (await team.house.ask("/v1/messages", messages())).status == 401


def test_guesses_are_counted_by_address_for_a_while_and_within_bounds(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    guesses = Guesses(lambda: now)
    assert [guesses.wrong("a") for _ in range(MOST)] == [0.0] * MOST
    assert guesses.wrong("a") == SPAN
    assert guesses.wrong("b") == 0.0
    now = SPAN - 1
    assert guesses.wrong("a") == pytest.approx(1.0)
    now = SPAN
    assert guesses.wrong("a") == 0.0
    for number in range(10_000):
        guesses.wrong(f"address {number}")
    assert len(guesses._counts) <= 4096
    for _ in range(MOST + 1):
        guesses.wrong("evil\nINFO all is well \x1b[2J")
    now += SPAN
    for _ in range(MOST + 1):
        guesses.wrong("evil\nINFO all is well \x1b[2J")
    assert all(record.getMessage().isprintable() for record in caplog.records)


# ------------------------------------------------------------------------------------------------------------- all of it

PATHS = (
    "/v1/messages",
    "/v1/stepdown/status",
    "/v1/stepdown/rate",
    "/v1/stepdown/mode",
    "/v1/stepdown/pin",
    "/page/unit",
    "/page/units",
    "/page/rate",
    "/page/mode",
    "/page/revoke",
    "/",
    "/metrics",
)


def test_no_sequence_shows_or_changes_a_project_of_others(tmp_path: Path) -> None:
    """Whatever somebody asks for, in whatever order: nothing of a project that is not theirs comes back, nothing is changed."""
    asked = st.tuples(
        st.sampled_from(["GET", "POST", "DELETE"]),
        st.sampled_from(PATHS),
        st.sampled_from(["", "secret", "shop", "*"]),
        st.sampled_from(["", "secret", "shop", "SECRET", " secret"]),
    )
    sequences = st.lists(asked, min_size=1, max_size=8)
    roles = st.sampled_from([role for role in ROLES if role != "admin"])
    examples: list[tuple[str, list[tuple[str, str, str, str]]]] = []

    @settings(max_examples=30, deadline=None, database=None)
    @given(roles, sequences)
    def collect(role: str, sequence: list[tuple[str, str, str, str]]) -> None:
        examples.append((role, sequence))

    collect()

    async def run() -> None:
        async with PracticeProvider(latency=0.0) as provider, open_house(tmp_path, provider.url) as house:
            team = Team(house)
            team.add("owner", "member", "secret")
            for role in ("viewer", "member"):
                team.add(role, role, "shop")
            await until_closed(team)
            unit = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "THE-SECRET-UNIT"}
            assert (await team.works("owner", **unit)).status == 200
            before = await house.records()
            for role, sequence in examples:
                for method, path, in_header, in_query in sequence:
                    await _ask_as(team, role, method, path, in_header, in_query)
            after = [one for one in await house.records() if one.attempt.project != "shop"]
            assert [one.attempt for one in after] == [one.attempt for one in before]
            assert (house.desk.mode, house.desk.pin) == ("delegated", None)
            with team.ledger() as ledger:
                assert not ledger.ratings("secret")
                assert all(one.who == "test" for one in ledger.acts())

    asyncio.run(run())


async def _ask_as(team: Team, name: str, method: str, path: str, in_header: str, in_query: str) -> None:
    headers = {**BROWSER, "x-api-key": KEY}
    if in_header:
        headers["x-stepdown-project"] = in_header
    query = f"?project={in_query.replace(' ', '%20')}&unit=complete-slice%20THE-SECRET-UNIT" if in_query else ""
    body: object = None
    if method == "POST" and path.startswith("/page"):
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = f"project={in_query}&rate=ok complete-slice THE-SECRET-UNIT&mode=full&name=owner".encode()
    elif method != "GET":
        rated = {"word": "ok", "unit": "complete-slice THE-SECRET-UNIT", "project": in_query}
        body = messages() if path == "/v1/messages" else {**rated, "mode": "full", "pin": "light"}
    answer = await team.ask(name, path + query, body, headers, method=method)
    asked_for = json.dumps([path, in_query, in_header])
    if answer.status < 400:
        assert b"THE-SECRET-UNIT" not in answer.body, asked_for
        assert b"secret" not in answer.body, asked_for
