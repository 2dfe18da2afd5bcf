"""What an attempt was billed for, asked of the provider afterwards: by a run that was killed and does not know."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from stepdown.agents import open_agent
from stepdown.agents.port import Finished, Job
from stepdown.practice.agent import PracticeAgent
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.served import ATTEMPT
from stepdown.preferences.schema import Preferences, ProviderSettings
from stepdown.units import Tokens, Unit

MESSAGE = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Say something."}]}
RESPONSE = {"model": "gpt-5.4", "input": "Say something."}
PROMPT = "## UNIT: Execute Task T01\n\n## Expected Output\n\n- `docs/new.md`\n"


async def post(url: str, path: str, body: object, attempt: str = "") -> int:
    headers = {ATTEMPT: attempt} if attempt else {}
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body, headers=headers) as response:
        await response.read()
        return response.status


async def usage(url: str, query: str = "") -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/practice/usage{query}") as response:
        found: dict[str, Any] = await response.json()
        return found


def job(workdir: Path, attempt: str) -> Job:
    env = {"STEPDOWN_ATTEMPT": attempt} if attempt else {}
    return Job(unit=Unit("execute-task", "M001/S01/T01"), prompt=PROMPT, workdir=workdir, timeout=20, env=env)


async def finished(agent: PracticeAgent, work: Job) -> Finished:
    events = [event async for event in agent.run(work)]
    last = events[-1]
    assert isinstance(last, Finished)
    return last


async def test_both_protocols_are_added_up_by_attempt(tmp_path: Path) -> None:
    async with PracticeProvider(latency=0, log_file=tmp_path / "log.jsonl") as provider:
        await post(provider.url, "/v1/messages", MESSAGE, "7")
        await post(provider.url, "/v1/responses", RESPONSE, "7")
        await post(provider.url, "/v1/messages/count_tokens", MESSAGE, "7")
        await post(provider.url, "/v1/messages", MESSAGE, "8")
        await post(provider.url, "/v1/messages", MESSAGE)
        provider.faults.add([Fault(kind="status", status=529)])
        assert await post(provider.url, "/v1/messages", MESSAGE, "7") == 529
        seven, all_of_it, none = [await usage(provider.url, query) for query in ("?attempt=7", "", "?attempt=9")]
    billed = sum((served.tokens for served in provider.log[:2]), Tokens())
    assert seven["requests"] == 2
    assert Tokens(**seven["tokens"]) == billed
    assert all_of_it["requests"] == 4
    assert none == {"requests": 0, "tokens": {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0}}
    lines = [json.loads(line)["attempt"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == ["7", "7", "7", "8", "", "7"]


async def test_a_request_that_is_still_being_answered_is_waited_for() -> None:
    async with PracticeProvider(latency=1.0) as provider:
        asking = asyncio.create_task(post(provider.url, "/v1/messages", MESSAGE, "7"))
        await asyncio.sleep(0.4)
        assert (await usage(provider.url, "?attempt=8"))["requests"] == 0
        assert not provider.log  # nobody waits for what belongs to others
        assert (await usage(provider.url, "?attempt=7"))["requests"] == 1
        assert await asking == 200


async def test_a_request_that_hangs_is_not_waited_for() -> None:
    async with PracticeProvider(latency=0, faults=[Fault(kind="hang")]) as provider:
        asking = asyncio.create_task(post(provider.url, "/v1/messages", MESSAGE, "7"))
        async with asyncio.timeout(10):
            while not provider.log:  # noqa: ASYNC110 - the provider tells nobody when it logs
                await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            assert (await usage(provider.url, "?attempt=7"))["requests"] == 0
    assert await asking == 500


async def test_the_agent_names_its_attempt_and_can_ask_for_it(tmp_path: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        agent = PracticeAgent(base_url=provider.url)
        one = await finished(agent, job(tmp_path, "a-1"))
        two = await finished(agent, job(tmp_path, "a-2"))
        await finished(agent, job(tmp_path, ""))
        assert one.tokens is not None
        assert await agent.used("a-1") == (one.tokens, one.requests)
        assert await agent.used("a-2") == (two.tokens, two.requests)
        assert await agent.used("a-3") == (Tokens(), 0)
        assert await agent.used("") is None
    assert {served.attempt for served in provider.log} == {"a-1", "a-2", ""}
    assert await agent.used("a-1") is None  # the provider has gone


async def test_an_agent_with_a_provider_of_its_own_knows_what_it_saw_itself(tmp_path: Path) -> None:
    agent = PracticeAgent(PracticeProvider(latency=0))
    one = await finished(agent, job(tmp_path, "a-1"))
    assert await agent.used("a-1") == (one.tokens, one.requests)
    assert await agent.used("a-2") is None
    assert await agent.used("") is None


async def test_a_provider_of_another_kind_cannot_say() -> None:
    async with PracticeProvider(latency=0) as provider:
        elsewhere = PracticeAgent(base_url=f"{provider.url}/elsewhere")
        assert await elsewhere.used("a-1") is None


async def test_the_preferences_name_an_external_provider(tmp_path: Path) -> None:
    async with PracticeProvider(latency=0) as provider:
        preferences = Preferences(providers={"practice": ProviderSettings(base_url=provider.url)})
        agent = open_agent("practice", preferences)
        assert isinstance(agent, PracticeAgent)
        async with agent:
            assert (await finished(agent, job(tmp_path, "a-1"))).failure is None
        assert await agent.used("a-1") is not None
    assert {served.attempt for served in provider.log} == {"a-1"}
    assert (tmp_path / "docs/new.md").is_file()
