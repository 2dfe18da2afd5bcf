"""Who may come in."""

import pytest
from gateway_house import KEY, House, Opening, messages
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.guard import Guard
from stepdown.practice.provider import PracticeProvider

TOKEN = "tökén-of-the-gateway"
AS_SENT = TOKEN.encode().decode("latin-1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8787",
        "localhost",
        "LOCALHOST:1",
        "[::1]",
        "[::1]:8787",
        "::1",
        "named.example:80",
        "[fd00::7]:1",
    ],
)
def test_our_own_names_are_let_in(host: str) -> None:
    assert Guard(frozenset({"Named.example", "fd00::7"})).refusal({"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8787",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "[::2]:8787",
        "localhost.",
        "[::1",
    ],
)
def test_other_names_are_not(host: str) -> None:
    """A name of somebody else's that leads here: DNS rebinding."""
    refusal = Guard().refusal({"host": host})
    if host == "[::1":
        assert refusal is None  # it is ours, however it is written
    else:
        assert refusal is not None
        assert refusal[0] == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://localhost:3000",
        "http://127.0.0.1",
        "file://",
        "vscode-webview://x",
        "http://[",
        "",
    ],
)
def test_pages_of_others_are_not(origin: str) -> None:
    """Not even those that this machine serves at another port."""
    refusal = Guard().refusal({"host": "127.0.0.1:8787", "origin": origin})
    assert refusal is not None
    assert refusal[0] == 403


def test_a_page_of_the_gateways_own_is() -> None:
    for host in ("127.0.0.1:8787", "localhost:8787", "[::1]:8787"):
        assert Guard().refusal({"host": host, "origin": f"http://{host}"}) is None


@pytest.mark.parametrize("header", ["x-stepdown-token", "x-api-key", "authorization"])
def test_the_token_may_come_as_any_of_three(header: str) -> None:
    guard = Guard(token=TOKEN)
    for value in (AS_SENT, f"Bearer {AS_SENT}", f"bearer {AS_SENT} "):
        assert guard.refusal({"host": "localhost", header: value}) is None
        assert guard.strip([("a", "b"), (header, value)]) == [("a", "b")]
    for value in ("", "Bearer ", AS_SENT[:-1], AS_SENT + "x", AS_SENT.upper()):
        refusal = guard.refusal({"host": "localhost", header: value})
        assert refusal is not None
        assert refusal[0] == 401


def test_a_token_does_not_open_the_door_for_a_page() -> None:
    refusal = Guard(token=TOKEN).refusal({"host": "evil.example", "x-stepdown-token": AS_SENT})
    assert refusal is not None
    assert refusal[0] == 403


@given(
    st.dictionaries(
        st.sampled_from(["x-stepdown-token", "x-api-key", "authorization"]), st.text(st.characters(codec="latin-1"))
    )
)
def test_any_bytes_may_be_shown(headers: dict[str, str]) -> None:
    guard = Guard(token=TOKEN)
    assert (guard.refusal({"host": "localhost", **headers}) is None) == (
        guard.strip(list(headers.items())) != list(headers.items())
    )


def test_without_a_token_nothing_is_taken_off() -> None:
    headers = [("x-api-key", KEY)]
    assert Guard().strip(headers) is headers
    assert Guard(token=TOKEN).strip(headers) is headers


async def test_whoever_is_refused_hears_it_in_their_own_words(house: House, provider: PracticeProvider) -> None:
    wanted = {
        "/v1/messages": ("error", "type", "authentication_error"),
        "/v1/chat/completions": ("error", "code", "invalid_api_key"),
        "/v1/responses": ("error", "code", "invalid_api_key"),
        "/v1/messages/count_tokens": ("error", "type", "authentication_error"),
        "/v1/stepdown/mode": ("error", "code", "invalid_api_key"),
        "/nowhere": ("error", "code", "invalid_api_key"),
    }
    for path, (error, key, word) in wanted.items():
        for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            answer = await house.ask(path, messages(), headers)
            assert (answer.status, answer.json[error][key]) == (403, word)
            assert "access-control-allow-origin" not in answer.headers
    assert not provider.log


async def test_a_page_can_switch_nothing(house: House) -> None:
    """It can send plain texts without asking, and there its origin is looked at all the same."""
    headers = {"origin": "http://localhost:3000", "content-type": "text/plain"}
    for path, body in (("mode", b'{"mode":"observe"}'), ("pin", b'{"pin":"heavy"}')):
        assert (await house.ask(f"/v1/stepdown/{path}", body, headers)).status == 403
    assert (house.desk.mode, house.desk.pin) == ("delegated", None)


async def test_that_somebody_is_here_may_be_asked_but_not_by_a_page_for_whom(opening: Opening) -> None:
    async with opening(guard=Guard(token="t")) as house:
        whole = (await house.ask("/healthz", headers={"x-stepdown-token": "t"}, method="GET")).json
        assert whole["project"] == str(house.directory)
        unknown = (await house.ask("/healthz", method="GET")).json
        assert unknown == {key: value for key, value in whole.items() if key != "project"}
        page = (await house.ask("/healthz", headers={"host": "evil.example"}, method="GET")).json
        assert page == {"ok": True, "service": "stepdown"}
        assert (await house.ask("/v1/stepdown/status", method="GET")).status == 401
