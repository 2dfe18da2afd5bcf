"""Models, token counts, and who is there."""

import pytest
from gateway_house import HAIKU, KEY, OPUS, SONNET, UNIT, House, Opening, messages
from raw_provider import RawProvider, whole

from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

ANTHROPIC = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
OPENAI = {"authorization": f"Bearer {KEY}"}


async def test_tokens_are_counted_by_the_models_own_provider(house: House, provider: PracticeProvider) -> None:
    answer = await house.ask("/v1/messages/count_tokens?beta=true", messages(), {**ANTHROPIC, **UNIT})
    assert answer.json["input_tokens"] > 0
    (served,) = provider.log
    assert (served.path, served.query, served.model) == ("/v1/messages/count_tokens", "beta=true", OPUS)
    assert not house.lines  # nothing was done
    assert not await house.records()


async def test_counting_for_a_model_of_ours_counts_for_the_ceiling(house: House, provider: PracticeProvider) -> None:
    await house.ask("/v1/messages/count_tokens", messages("stepdown/light"), ANTHROPIC)
    await house.ask("/v1/messages/count_tokens", messages(f"anthropic/{HAIKU}"), ANTHROPIC)
    assert [served.model for served in provider.log] == [OPUS, HAIKU]


@pytest.mark.parametrize("body", [messages("stepdown/huge")])
async def test_counting_for_nothing(house: House, body: object) -> None:
    answer = await house.ask("/v1/messages/count_tokens", body, ANTHROPIC)
    assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")


async def test_an_error_while_counting_is_the_providers(opening: Opening) -> None:
    limited = whole(b'{"type":"error"}', "retry-after: 9", status="429 Too Many Requests")
    async with RawProvider(limited) as provider, opening(provider.url) as house:
        answer = await house.ask("/v1/messages/count_tokens", messages(), ANTHROPIC)
        assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "9", b'{"type":"error"}')
        assert answer.headers["content-length"] == "16"
    async with opening("http://127.0.0.1:9") as house:
        answer = await house.ask("/v1/messages/count_tokens", messages(), ANTHROPIC)
        assert (answer.status, answer.json["error"]["type"]) == (502, "api_error")


async def test_the_list_is_the_home_providers_own(house: House) -> None:
    listed = (await house.ask("/v1/models?limit=5", headers=ANTHROPIC, method="GET")).json
    assert [model["id"] for model in listed["data"]] == [HAIKU, SONNET, OPUS]
    assert listed["first_id"] == HAIKU
    listed = (await house.ask("/v1/models", headers=OPENAI, method="GET")).json
    assert listed["object"] == "list"
    assert (await house.ask("/models", headers=OPENAI, method="GET")).json == listed


async def test_where_nobody_can_be_asked_it_is_the_catalogues(opening: Opening) -> None:
    for url, headers in (("http://127.0.0.1:9", ANTHROPIC), ("http://127.0.0.1:9", {"anthropic-version": "1"})):
        async with opening(url) as house:
            listed = (await house.ask("/v1/models", headers=headers, method="GET")).json
            names = [model["id"] for model in listed["data"]]
            assert names[:4] == ["stepdown/light", "stepdown/standard", "stepdown/heavy", "stepdown/auto"]
            assert {HAIKU, SONNET, OPUS} <= set(names)
            assert not [name for name in names if name.startswith("gpt")]
            assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (names[0], names[-1], False)
            openai = (await house.ask("/v1/models", method="GET")).json
            assert {"gpt-5.4"} <= {model["id"] for model in openai["data"]}


async def test_one_model(house: House, opening: Opening) -> None:
    assert (await house.ask(f"/v1/models/{OPUS}", headers=ANTHROPIC, method="GET")).json["id"] == OPUS
    assert (await house.ask("/v1/models/stepdown/light", headers=ANTHROPIC, method="GET")).json["id"] == "stepdown/light"
    async with opening("http://127.0.0.1:9") as alone:
        assert (await alone.ask(f"/v1/models/{OPUS}", headers=ANTHROPIC, method="GET")).json["type"] == "model"
        assert (await alone.ask("/v1/models/gpt-5.4", headers=OPENAI, method="GET")).json["object"] == "model"
        missing = await alone.ask("/v1/models/what", headers=ANTHROPIC, method="GET")
        assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("name", ["../../admin", "..%2f..%2fadmin", "%2e%2e/%2e%2e/x", "a/../../x"])
async def test_a_models_name_leads_nowhere_else(opening: Opening, name: str) -> None:
    async with RawProvider(whole(b"{}")) as provider, opening(provider.url) as house:
        answer = await house.ask(f"/v1/models/{name}", headers=ANTHROPIC, method="GET")
        assert answer.status == 404
        assert not provider.sent


async def test_odd_letters_of_a_name_are_written_as_an_address_needs_them(opening: Opening) -> None:
    async with RawProvider(whole(b"{}")) as provider, opening(provider.url) as house:
        await house.ask("/v1/models/openai/a%3Fb%23c%20d%22", headers=OPENAI, method="GET")
        assert provider.sent[0].line == "GET /v1/models/openai/a%3Fb%23c%20d%22 HTTP/1.1"


async def test_a_redirect_is_followed_by_nobody_with_a_key_of_ours(opening: Opening) -> None:
    away = whole(b"", "location: https://elsewhere.example/", status="302 Found")
    async with RawProvider(away) as provider, opening(provider.url, environ={"ANTHROPIC_API_KEY": "k"}) as house:
        answer = await house.ask("/v1/messages/count_tokens", messages())
        assert (answer.status, "location" in answer.headers) == (502, False)
        listed = await house.ask("/v1/models", headers={"anthropic-version": "1"}, method="GET")
        assert (listed.status, listed.json["data"][0]["id"]) == (200, "stepdown/light")


async def test_hello(house: House) -> None:
    for path in ("/", "/api/hello"):
        for method in ("GET", "HEAD"):
            assert (await house.ask(path, method=method)).status == 200


async def test_a_list_while_the_provider_fails_is_still_a_list(house: House, provider: PracticeProvider) -> None:
    provider.faults.add([Fault(kind="status", status=500)])
    assert (await house.ask("/v1/models", headers=ANTHROPIC, method="GET")).status == 200
