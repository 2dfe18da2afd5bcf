"""What the gateway takes the requests of real clients to be: a turn with its tools, and the next turn of the conversation."""

import pytest
from clients import needs, program
from journey import KEY, TASK, Journey, Start

from stepdown.gateway.protocols import WIRES
from stepdown.gateway.recognised import Recognised, recognised

CLAUDE, CODEX = program("claude"), program("codex")
PROTOCOLS = {wire.path: wire for wire in WIRES.values()}
WISH = TASK.removeprefix("## UNIT: Execute Task T01\n\nM001/S01/T01: ")
AGAIN = "Now say what you did, please."
CONFIG = """
model = "gpt-5.4"
model_provider = "stepdown"

[model_providers.stepdown]
name = "stepdown"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""


def seen(way: Journey) -> list[Recognised]:
    """What each request was, as it came from the client."""
    return [recognised(PROTOCOLS[one.path].read(one.body, one.headers), one.headers) for one in way.asked]


def check(found: list[Recognised]) -> None:
    """Two turns of a person, the first of three requests, in one conversation."""
    assert {(one.unit.type, one.origin, one.planning) for one in found} == {("execute-task", "human", False)}
    assert len({one.conversation for one in found}) == 1
    assert [one.begins for one in found] == [True, False, False, True]
    assert [one.words for one in found] == [WISH.strip()] * 3 + [AGAIN]


@needs(CLAUDE, "Claude Code")
@pytest.mark.xdist_group("claude")
@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-opus-5-5"])
async def test_two_turns_of_claude_code(start: Start, model: str) -> None:
    async with start() as way:
        environ = {"ANTHROPIC_BASE_URL": way.url, "ANTHROPIC_API_KEY": KEY, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        command = [CLAUDE, "-p", "--model", model, "--permission-mode", "acceptEdits", "--output-format", "json"]
        first = await way.run(command, environ, stdin=WISH)
        then = await way.run([*command, "-c"], environ, stdin=AGAIN)
        assert (first.code, then.code, way.wrote) == (0, 0, True), first.said + then.said
        check(seen(way))


@needs(CODEX, "Codex")
@pytest.mark.xdist_group("codex")
async def test_two_turns_of_codex(start: Start) -> None:
    async with start() as way:
        (way.home / ".codex").mkdir()
        (way.home / ".codex/config.toml").write_text(CONFIG.format(url=way.url))
        options = ["--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox", "-"]
        first = await way.run([CODEX, "exec", *options], {"OPENAI_API_KEY": KEY}, stdin=WISH)
        then = await way.run([CODEX, "exec", "resume", "--last", *options], {"OPENAI_API_KEY": KEY}, stdin=AGAIN)
        assert (first.code, then.code, way.wrote) == (0, 0, True), first.said + then.said
        check(seen(way))
