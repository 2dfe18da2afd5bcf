"""Real clients in conversations that nobody declared: down where that pays and up again, in the middle of one, and no error."""

import pytest
from clients import needs, program
from journey import KEY, Done, Journey, Start

from stepdown.ledger import Record

CLAUDE, CODEX = program("claude"), program("codex")
OPUS, SONNET = "claude-opus-4-6", "claude-sonnet-4-6"
GPT, MINI = "gpt-5.5", "gpt-5.4-mini"
HARD = "Think about how to migrate the database, redesign the architecture and keep authentication and encryption secure."
EASY = "Please write two files.\n\n## Files to write\n\n- `a.md`\n- `src/b.py`\n"
CONFIG = """
model = "{model}"
model_provider = "stepdown"

[model_providers.stepdown]
name = "stepdown"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""
PAYS = {"turn_requests": 500, "switch_returns": 0}
"""So long a turn is expected that leaving any cache pays: what is tried here is the leaving."""


async def claude(way: Journey, text: str, *more: str) -> Done:
    environ = {
        "ANTHROPIC_BASE_URL": way.url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [CLAUDE, "-p", *more, "--model", OPUS, "--permission-mode", "acceptEdits", "--output-format", "json"]
    return await way.run(command, environ, stdin=text)


async def codex(way: Journey, text: str, *more: str) -> Done:
    (way.home / ".codex").mkdir(exist_ok=True)
    (way.home / ".codex/config.toml").write_text(CONFIG.format(url=way.url, model=GPT))
    command = [CODEX, "exec", *more, "--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox", "-"]
    return await way.run(command, {"OPENAI_API_KEY": KEY}, stdin=text)


def models(way: Journey) -> list[str]:
    """Who was asked, in order, each as often as it was asked in a row counted once."""
    asked = [served.model for served in way.served]
    return [model for number, model in enumerate(asked) if not number or asked[number - 1] != model]


async def units(way: Journey) -> list[Record]:
    """The ledger's attempts when the gateway has ended, the oldest first."""
    await way.stop()
    return sorted(way.records(), key=lambda record: record.id)


@needs(CLAUDE, "Claude Code")
@pytest.mark.xdist_group("claude")
async def test_claude_code_goes_down_and_up_in_mid_conversation(start: Start) -> None:
    async with start(standard=SONNET, mode="full", thresholds=PAYS) as way:
        for text, more in ((HARD, ()), (EASY, ("-c",)), (HARD, ("-c",))):
            done = await claude(way, text, *more)
            assert done.code == 0, done.said
        assert way.wrote
        assert models(way) == [OPUS, SONNET, OPUS]
        assert {served.status for served in way.served} == {200}
        records = await units(way)
        assert [record.attempt.unit_type for record in records] == ["execute-task"] * 3
        assert len({record.attempt.unit_id.partition("#")[0] for record in records}) == 1
        assert [record.attempt.downgraded for record in records] == [False, True, False]
        assert "thinking block" in records[1].attempt.decision
        assert sum(record.outcome.cache_loss_usd for record in records if record.outcome) > 0


@needs(CLAUDE, "Claude Code")
@pytest.mark.xdist_group("claude")
async def test_claude_code_stays_where_leaving_would_not_pay_and_in_delegated(start: Start) -> None:
    async with start(standard=SONNET, mode="full", thresholds={"turn_requests": 1}) as way:
        for text, more in ((HARD, ()), (EASY, ("-c",))):
            assert (await claude(way, text, *more)).code == 0
        assert models(way) == [OPUS]
        assert "would not pay" in (await units(way))[1].attempt.reason


@needs(CODEX, "Codex")
@pytest.mark.xdist_group("codex")
async def test_codex_goes_down_and_up_in_mid_conversation(start: Start) -> None:
    async with start(standard=MINI, mode="full", thresholds=PAYS) as way:
        for text, more in ((HARD, ()), (EASY, ("resume", "--last")), (HARD, ("resume", "--last"))):
            done = await codex(way, text, *more)
            assert done.code == 0, done.said
        assert way.wrote
        assert models(way) == [GPT, MINI, GPT]
        assert {served.status for served in way.served} == {200}
        assert [record.attempt.downgraded for record in await units(way)] == [False, True, False]


@needs(CODEX, "Codex")
@pytest.mark.xdist_group("codex")
async def test_delegated_leaves_a_persons_turns_alone(start: Start) -> None:
    async with start(standard=MINI, thresholds=PAYS) as way:
        assert (await codex(way, EASY)).code == 0
        assert models(way) == [GPT]
