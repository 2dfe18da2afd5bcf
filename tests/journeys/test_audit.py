"""The real Claude Code and the real Codex work, and an audit reads what they logged: to the token what the provider says."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from clients import needs, program
from journey import KEY, TASK, Journey
from stage import git

from stepdown.practice.limits import Codex as Meters
from stepdown.practice.limits import Limits, Window
from stepdown.practice.provider import PracticeProvider
from stepdown.sessions.claude import ClaudeCode
from stepdown.sessions.codex import Codex
from stepdown.sessions.records import Log
from stepdown.sessions.source import Source
from stepdown.units import Tokens

CLAUDE, CODEX = program("claude"), program("codex")
OPUS, SONNET = "claude-opus-4-6", "claude-sonnet-4-6"
GPT, MINI = "gpt-5.4", "gpt-5.4-mini"
CONFIG = """
model = "{model}"
model_provider = "practice"

[model_providers.practice]
name = "practice"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""
"""A provider of its own: with the built-in one Codex first tries for seconds to reach it by another protocol."""


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Journey]:
    """A project, a home and a provider; nothing in between."""
    limits = Limits(codex=Meters(primary=Window(used=0.42), secondary=Window(used=0.125, minutes=10_080, resets_in=86_400.0)))
    async with PracticeProvider(latency=0, strict=True, limits=limits) as provider:
        way = Journey(tmp_path, provider)
        (way.project / "src").mkdir(parents=True)
        (way.project / "src/b.py").write_text("x = 1\n")
        (way.home / ".codex").mkdir(parents=True)
        (way.home / ".codex/config.toml").write_text(CONFIG.format(model=GPT, url=provider.url))
        git(way.project, "init", "--quiet")
        git(way.project, "add", "-A")
        git(way.project, "commit", "--quiet", "-m", "start")
        yield way


async def claude(way: Journey, prompt: str, *arguments: str) -> None:
    environ = {
        "ANTHROPIC_BASE_URL": way.provider.url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [CLAUDE, "-p", "--permission-mode", "acceptEdits", "--output-format", "json", *arguments]
    done = await way.run(command, environ, stdin=prompt)
    assert done.code == 0, done.said


async def codex(way: Journey, prompt: str, *arguments: str) -> None:
    command = [CODEX, "exec", *arguments, "--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox"]
    done = await way.run([*command, "-"], {"OPENAI_API_KEY": KEY, "CODEX_API_KEY": KEY}, stdin=prompt)
    assert done.code == 0, done.said


def logs(way: Journey, source: Source) -> list[Log]:
    environ = {"HOME": str(way.home)}
    return [source.read(file) for place in source.places(environ, []) for file in source.files(place)]


def used(found: Sequence[Log]) -> dict[str, Tokens]:
    """Per model, what logs say; each answer once."""
    answers = {request.key: request for log in found for request in log.requests}
    sums: defaultdict[str, Tokens] = defaultdict(Tokens)
    for request in answers.values():
        sums[request.model] += request.tokens
    return dict(sums)


def billed(way: Journey) -> dict[str, Tokens]:
    """Per model, what the provider says."""
    sums: defaultdict[str, Tokens] = defaultdict(Tokens)
    for served in way.served:
        sums[served.model] += served.tokens
    return dict(sums)


def audit(way: Journey) -> Mapping[str, Any]:
    """What ``stepdown audit --json`` says."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(way.home), "STEPDOWN_HOME": str(way.home / "stepdown")}
    command = [sys.executable, "-m", "stepdown", "audit", "--json"]
    done = subprocess.run(command, cwd=way.project, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    document: Mapping[str, Any] = json.loads(done.stdout)
    return document


def lines(document: Mapping[str, Any], of: str) -> dict[str, Tokens]:
    """Tokens per key."""
    return {line["key"]: Tokens(**line["tokens"]) for line in document[of]}


def kinds(document: Mapping[str, Any]) -> dict[str, int]:
    """How many units of each kind."""
    return {line["key"]: line["units"] for line in document["types"]}


@pytest.mark.xdist_group("codex")
@needs(CODEX, "Codex")
async def test_codexs_logs_are_what_was_billed_and_asked_for(way: Journey) -> None:
    await codex(way, TASK)
    await codex(way, "Thanks. Now say hello.", "resume", "--last", "--model", MINI)
    (first,) = logs(way, Codex())
    session = first.turns[0].session
    await codex(way, "Or say it otherwise.", "fork", session)
    await codex(way, "Look at what was done.", "review")
    found = logs(way, Codex())

    assert used(found) == billed(way)
    assert set(billed(way)) == {GPT, MINI}
    assert [(turn.type, turn.id, turn.origin) for turn in first.turns] == [
        ("execute-task", "M001/S01/T01", "plan"),
        ("execute-task", "", "human"),
    ]
    assert [first.turns[request.turn].id for request in first.requests] == ["M001/S01/T01"] * 3 + [""]
    assert (first.turns[0].calls, first.turns[0].errors, first.turns[0].project) == (4, 0, str(way.project))
    assert {(one.window, one.used) for log in found for one in log.limits} == {("5h", 0.42), ("week", 0.125)}
    assert [log.troubles for log in found] == [{}] * len(found)

    document = audit(way)
    assert lines(document, "models") == billed(way)
    assert kinds(document) == {"execute-task": 3, "subagent/review": 1}
    assert document["total"]["unknown"] == 0
    (check,) = document["checks"]
    assert (check["agent"], check["theirs"], check["differing"], check["notes"]) == ("codex", check["ours"], 0, [])
    assert Tokens(**check["ours"]) == sum(billed(way).values(), Tokens())
    assert {window["window"] for window in document["windows"]} == {"5h", "week"}


@pytest.mark.xdist_group("claude")
@needs(CLAUDE, "Claude Code")
async def test_claude_codes_logs_are_what_was_billed_and_asked_for(way: Journey) -> None:
    await claude(way, TASK, "--model", OPUS)
    await claude(way, "Thanks. Now say hello.", "--continue", "--model", SONNET)
    await claude(way, "Think about how to say it.", "--model", OPUS, "--permission-mode", "plan")
    found = logs(way, ClaudeCode())

    assert used(found) == billed(way)
    assert set(billed(way)) == {OPUS, SONNET}
    first = found[0] if len(found[0].turns) == 2 else found[1]
    assert [(turn.type, turn.id, turn.origin) for turn in first.turns] == [
        ("execute-task", "M001/S01/T01", "plan"),
        ("execute-task", "", "human"),
    ]
    assert (first.turns[0].calls, first.turns[0].files, first.turns[0].project) == (4, 2, str(way.project))
    assert [log.troubles for log in found] == [{}] * len(found)

    document = audit(way)
    assert lines(document, "models") == billed(way)
    assert kinds(document) == {"execute-task": 2, "plan-slice": 1}
    (check,) = document["checks"]
    assert (check["sessions"], check["theirs"], check["differing"]) == (2, check["ours"], 0)
    assert Tokens(**check["ours"]) == sum(billed(way).values(), Tokens())
    assert check["theirs_usd"] == pytest.approx(check["ours_usd"], abs=0.01)
    assert document["total"]["usd"] == pytest.approx(check["ours_usd"])


@pytest.mark.xdist_group("claude")
@needs(CLAUDE, "Claude Code")
async def test_a_fork_of_a_session_is_counted_once(way: Journey) -> None:
    await claude(way, TASK, "--model", SONNET)
    await claude(way, "Say hello.", "--continue", "--fork-session", "--model", SONNET)
    found = logs(way, ClaudeCode())
    assert sum(len(log.requests) for log in found) > len(way.served)  # the fork's log holds a copy
    document = audit(way)
    assert lines(document, "models") == billed(way)
    assert document["duplicates"] == 3
    assert kinds(document) == {"execute-task": 2}
