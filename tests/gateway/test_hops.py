"""Credentials: who is sent whose, seen from the providers (SPEC section 12)."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway_house import HAIKU, KEY, OPUS, PROMPT, UNIT, House, Opening, messages
from hypothesis import given
from hypothesis import strategies as st
from raw_provider import RawProvider, Sent, whole

from stepdown.catalog import Catalog
from stepdown.errors import LedgerError
from stepdown.gateway.guard import Guard
from stepdown.gateway.hops import CREDENTIALS, Map, has_credential, own_name, returned
from stepdown.gateway.protocols import WIRES
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.served import fingerprint
from stepdown.preferences.schema import Preferences, ProviderSettings

OAUTH = "sk-ant-oat01-a-subscription's-token"
ENV = {"ANTHROPIC_API_KEY": "sk-ant-from-the-environment", "DEEPSEEK_API_KEY": "sk-deep-from-the-environment"}
ABROAD = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true, tier_models: {light: far, standard: far}}
catalog:
  far: {provider: deepseek, tier: light, context: 900000, output: 9000, price: {input: 0.01, output: 0.02},
        protocols: [messages], features: [tools, parallel_tools]}
gateway: {mode: delegated}
"""
GOOD = whole(b'{"type":"message"}', "content-type: application/json")


@pytest.fixture
async def far() -> AsyncIterator[RawProvider]:
    """A provider in another country."""
    async with RawProvider(GOOD) as far:
        yield far


@pytest.fixture
async def near() -> AsyncIterator[RawProvider]:
    """The one that the client means."""
    async with RawProvider(GOOD) as near:
        yield near


def both(far: RawProvider) -> str:
    return '\nproviders:\n  anthropic: {base_url: "URL"}\n' + f'  deepseek: {{base_url: "{far.url}"}}\n'


def credentials(sent: Sent) -> dict[str, str]:
    names = {*CREDENTIALS, "cookie"}
    return {name.decode().lower(): value.decode() for name, value in sent.headers if name.decode().lower() in names}


@pytest.mark.parametrize(
    ("brought", "arrives"),
    [
        ({"x-api-key": KEY}, {"x-api-key": KEY}),
        ({"authorization": f"Bearer {OAUTH}"}, {"authorization": f"Bearer {OAUTH}"}),
        ({"authorization": f"bearer {OAUTH}"}, {"authorization": f"bearer {OAUTH}"}),
        ({"x-api-key": "stepdown", "authorization": f"Bearer {OAUTH}"}, None),
        ({}, {"x-api-key": ENV["ANTHROPIC_API_KEY"]}),
        ({"x-api-key": "dummy"}, {"x-api-key": ENV["ANTHROPIC_API_KEY"]}),
        ({"authorization": "Bearer sk-stepdown"}, {"x-api-key": ENV["ANTHROPIC_API_KEY"]}),
        ({"authorization": "Bearer "}, {"x-api-key": ENV["ANTHROPIC_API_KEY"]}),
    ],
)
async def test_at_home_a_clients_own_credential_comes_before_a_key(
    opening: Opening, near: RawProvider, brought: Mapping[str, str], arrives: Mapping[str, str] | None
) -> None:
    """A key from the environment stands in for a placeholder, never for a subscription's token."""
    async with opening(near.url, environ=ENV) as house:
        for headers in ({}, UNIT):
            await house.ask("/v1/messages", messages(), {**brought, **headers})
    for sent in near.sent:
        assert credentials(sent) == (brought if arrives is None else arrives)


async def test_without_any_key_the_provider_says_so_itself(opening: Opening) -> None:
    refusal = whole(b'{"type":"error","error":{"type":"authentication_error"}}', status="401 Unauthorized")
    async with RawProvider(refusal) as provider, opening(provider.url) as house:
        answer = await house.ask("/v1/messages", messages())
        assert (answer.status, answer.json["error"]["type"]) == (401, "authentication_error")
        assert credentials(provider.sent[0]) == {}


async def test_abroad_goes_a_key_of_its_own_and_no_more_than_is_needed(
    opening: Opening, near: RawProvider, far: RawProvider
) -> None:
    private = {
        "authorization": f"Bearer {OAUTH}",
        "cookie": "session=1",
        "x-claude-code-session-id": "s-1",
        "x-app": "cli",
        "x-forwarded-for": "10.0.0.1",
        "referer": "http://intranet.example/",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219",
        "user-agent": "agent/1",
        "accept": "application/json",
    }
    async with opening(near.url, preferences=ABROAD, providers=both(far), environ=ENV) as house:
        answer = await house.ask("/v1/messages?beta=true&api_key=secret", messages(), {**private, **UNIT})
        assert answer.headers["x-stepdown-model"] == "deepseek/far"
    (sent,) = far.sent
    assert not near.sent
    assert sent.line == "POST /v1/messages?beta=true HTTP/1.1"
    assert json.loads(sent.body)["model"] == "far"
    key = ENV["DEEPSEEK_API_KEY"]
    assert credentials(sent) == {"x-api-key": key, "authorization": f"Bearer {key}"}
    names = {name.decode().lower() for name, _ in sent.headers}
    allowed = {"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta"}
    assert names == allowed | {"host", "content-length", "accept-encoding", "x-api-key", "authorization"}


async def test_who_has_no_key_here_is_not_asked(opening: Opening, near: RawProvider, far: RawProvider) -> None:
    """Whatever the client brought is not for them."""
    async with opening(near.url, preferences=ABROAD, providers=both(far)) as house:
        for headers in (UNIT, {**UNIT, "x-stepdown-pin": "far"}):
            answer = await house.ask("/v1/messages", messages(), {"x-api-key": KEY, **headers})
            assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
    assert not far.sent
    assert [credentials(sent) for sent in near.sent] == [{"x-api-key": KEY}] * 2


async def test_home_again_after_a_failure_abroad_with_the_clients_own(
    opening: Opening, near: RawProvider, far: RawProvider
) -> None:
    far.answering = whole(b"{}", status="503 Service Unavailable")
    async with opening(near.url, preferences=ABROAD, providers=both(far), environ=ENV) as house:
        await house.ask("/v1/messages", messages(), {"x-api-key": KEY, "x-app": "cli", **UNIT})
    assert credentials(far.sent[0])["x-api-key"] == ENV["DEEPSEEK_API_KEY"]
    assert credentials(near.sent[0]) == {"x-api-key": KEY}
    assert near.sent[0].header("x-app") == [b"cli"]


async def test_a_local_provider_needs_no_key_and_gets_none(opening: Opening, near: RawProvider, far: RawProvider) -> None:
    local = ABROAD.replace("deepseek", "ollama")
    listed = both(far).replace("deepseek", "ollama")
    async with opening(near.url, preferences=local, providers=listed) as house:
        await house.ask("/v1/messages", messages(), {"x-api-key": KEY, **UNIT})
    assert credentials(far.sent[0]) == {}


async def test_no_gateway_header_and_no_token_of_ours_travels(opening: Opening, near: RawProvider) -> None:
    token = "the-gateway's-own-token"
    headers = {**UNIT, "x-stepdown-project": "/p", "x-stepdown-pin": "light", "x-stepdown-attempt": "a", "connection": "x-hop"}
    async with opening(near.url, guard=Guard(token=token), environ=ENV) as house:
        for way in ({"x-stepdown-token": token}, {"x-api-key": token}, {"authorization": f"Bearer {token}"}):
            answer = await house.ask("/v1/messages", messages(), {**headers, **way, "x-hop": "1"})
            assert answer.status == 200
            await house.ask("/v1/messages/count_tokens", messages(), {**headers, **way})
            await house.ask("/v1/models", headers={**headers, **way, "anthropic-version": "1"}, method="GET")
    assert len(near.sent) == 9
    for sent in near.sent:
        assert token.encode() not in b"\n".join(value for _, value in sent.headers)
        assert not [name for name, _ in sent.headers if name.lower().startswith(b"x-stepdown") or name == b"x-hop"]
        assert credentials(sent) == {"x-api-key": ENV["ANTHROPIC_API_KEY"]}


async def test_counting_and_listing_follow_the_same_rules(house: House, provider: PracticeProvider) -> None:
    for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {OAUTH}"}):
        await house.ask("/v1/messages/count_tokens", messages(), headers)
    found = [served.credentials for served in provider.log]
    assert found == [{"x-api-key": fingerprint(KEY)}, {"authorization": fingerprint(OAUTH)}]


def left_in(directory: Path) -> bytes:
    """All that a gateway has written: its ledger, with what is beside it."""
    files = [path for path in directory.iterdir() if path.is_file() and path.name != "stepdown.yaml"]
    assert "ledger.db" in {path.name for path in files}
    return b"".join(path.read_bytes() for path in files)


SECRETS = (KEY, OAUTH, *ENV.values(), PROMPT, "abracadabra")


async def test_no_key_and_no_prompt_is_written_anywhere(
    opening: Opening, provider: PracticeProvider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    faults = [Fault(kind="status", status=status, message="said") for status in (401, 403, 500)]
    provider.faults.add([*faults, Fault(kind="cut"), Fault(kind="garbage"), Fault(kind="mid_error", status=500)])
    async with opening(provider.url, environ=ENV) as house:
        for number in range(6):
            headers = {"authorization": f"Bearer {OAUTH}", **UNIT, "x-stepdown-unit-id": f"{number}"}
            await house.ask("/v1/messages", messages(stream=number % 2 > 0), headers)
        bad = await house.ask("/v1/messages", json.dumps(messages())[:-2].encode(), {"x-api-key": KEY})
        assert not [secret for secret in SECRETS if secret in str(bad)]
        await house.records()
        said = str(house.lines)
        assert not [secret for secret in SECRETS if secret in said]
    async with opening("http://127.0.0.1:9", environ=ENV) as house:
        down = await house.ask("/v1/messages?key=query-secret", messages(), {"x-api-key": KEY})
        assert down.status == 502
        assert not [secret for secret in (*SECRETS, "query-secret") if secret in str(down)]
    kept = left_in(tmp_path)
    assert b"complete-slice" in kept
    assert not [secret for secret in SECRETS if secret.encode() in kept]
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith(("asyncio", "aiohttp")))
    assert not [secret for secret in SECRETS if secret in ours]


async def test_neither_is_any_of_it_in_the_journal(opening: Opening, provider: PracticeProvider, tmp_path: Path) -> None:
    """Where what the ledger does not take is kept."""

    def broken() -> Any:
        raise LedgerError("the ledger cannot be used: it is broken")

    async with opening(provider.url, open_ledger=broken) as house:
        assert (await house.messages(headers=UNIT)).status == 200
    kept = (tmp_path / "journal.jsonl").read_text()
    assert "complete-slice" in kept
    assert not [secret for secret in SECRETS if secret in kept]


# Pure.


WORLDS = [
    (Preferences(), {}),
    (Preferences(), {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o", "DEEPSEEK_API_KEY": "d"}),
    (Preferences(providers={"vllm": ProviderSettings(base_url="http://h:1/v1")}), {"OPENAI_API_KEY": "o"}),
]


@pytest.mark.parametrize("protocol", WIRES)
@pytest.mark.parametrize(("preferences", "environ"), WORLDS)
def test_a_foreign_model_is_reached_with_a_key_or_not_at_all(
    protocol: str, preferences: Preferences, environ: dict[str, str]
) -> None:
    catalog, wire = Catalog.load(), WIRES[protocol]
    known = Map(preferences, catalog, environ)
    for model in catalog:
        for home in ("anthropic", "openai"):
            for own in (False, True):
                hop = known.hop(model, wire, home, has_credential=own)
                if hop is None:
                    continue
                assert protocol in hop.provider.protocols
                assert hop.home == (model.provider == home)
                if not hop.home:
                    assert hop.provider.local or environ.get(hop.key)
                elif own:
                    assert not hop.key
                assert model.provider in known.reachable(home, wire)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h", "http://h/v1/messages"),
        ("http://h/", "http://h/v1/messages"),
        ("http://h/v1", "http://h/v1/messages"),
        ("http://h/x/v1/", "http://h/x/v1/messages"),
    ],
)
def test_v1_is_there_once(base: str, url: str) -> None:
    preferences = Preferences(providers={"anthropic": ProviderSettings(base_url=base)})
    catalog = Catalog.load()
    model = catalog.resolve(OPUS)
    assert model is not None
    hop = Map(preferences, catalog, {}).hop(model, WIRES["messages"], "anthropic", has_credential=True)
    assert hop is not None
    assert hop.url == url


def test_an_unknown_model_belongs_to_the_one_listed_provider_of_its_protocol() -> None:
    catalog = Catalog.load()
    assert Map(Preferences(), catalog, {}).named("what", WIRES["messages"]).ref == "anthropic/what"
    assert Map(Preferences(), catalog, {}).named("what", WIRES["responses"]).ref == "openai/what"
    one = Preferences(providers={"vllm": ProviderSettings(base_url="http://h:1")})
    assert Map(one, catalog, {}).named("what", WIRES["chat"]).ref == "vllm/what"
    two = Preferences(providers={"vllm": ProviderSettings(base_url="http://h:1"), "ollama": ProviderSettings()})
    assert Map(two, catalog, {}).named("what", WIRES["chat"]).ref == "openai/what"


def test_a_name_that_is_only_ours_is_put_right() -> None:
    model = Catalog.load().resolve(HAIKU)
    assert model is not None
    assert own_name(model, "") == own_name(model, f"anthropic/{HAIKU}") == HAIKU
    assert own_name(model, HAIKU) == own_name(model, "claude-haiku-4-5-20251001") == ""


@given(st.sampled_from(CREDENTIALS), st.text(st.characters(codec="latin-1", exclude_categories=["Cc", "Z"]), min_size=9))
def test_what_is_no_placeholder_is_a_credential(name: str, value: str) -> None:
    assert has_credential({name: value})


def test_an_answers_headers_come_back_without_those_of_its_connection() -> None:
    headers = [("Content-Type", "a/b"), ("Transfer-Encoding", "chunked"), ("X-Stepdown-Tier", "heavy"), ("Set-Cookie", "é")]
    assert returned(headers) == [(b"content-type", b"a/b"), (b"set-cookie", b"\xe9")]
