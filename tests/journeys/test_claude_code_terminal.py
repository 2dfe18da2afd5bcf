"""Claude Code in a terminal, in auto mode, in which it begins: conversations and sub-agents go down, and nothing is refused."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from claude_terminal import CLAUDE, PATIENCE, opened, shown, types, welcomed
from clients import needs
from journey import Journey, Start
from pane import TMUX, Pane

OPUS, SONNET, HAIKU = "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"
FIRST_PARTY = {"_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL": "1"}
"""What `stepdown exec` and `connect` set in front of Anthropic's own API."""
AGENT = "---\nname: {name}\ndescription: counts files\n{model}---\nYou count files.\n"
CHECKED = b"safeguard_results"

pytestmark = [needs(CLAUDE, "Claude Code"), needs(TMUX, "tmux"), pytest.mark.xdist_group("claude")]

SETTINGS = pytest.mark.parametrize(
    ("words", "more"),
    [((), {}), (("--permission-mode", "auto"), FIRST_PARTY)],
    ids=["as it begins", "Anthropic's own address"],
)


@contextmanager
def terminal(folder: Path, way: Journey, words: tuple[str, ...], more: dict[str, str]) -> Iterator[Pane]:
    welcomed(way)
    agents = way.project / ".claude/agents"
    agents.mkdir(parents=True)
    (agents / "counter.md").write_text(AGENT.format(name="counter", model=""))
    (agents / "sparing.md").write_text(AGENT.format(name="sparing", model=f"model: {HAIKU}\n"))
    pane = opened(folder, way, "--model", OPUS, *words, ANTHROPIC_BASE_URL=way.url, **more)
    try:
        yield pane
    finally:
        pane.close()


async def answered(way: Journey, pane: Pane, done: Callable[[], bool]) -> None:
    """Waits until that is so, and nothing is left to answer."""
    until = time.monotonic() + PATIENCE
    while not done() or any(b"message_stop" not in one.answer for one in way.asked):
        assert time.monotonic() < until, f"{way.said_models}\n{pane.screen()}"
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)


def asked_by_agents(way: Journey) -> set[str]:
    """Who answered the sub-agents."""
    return {model for one, model in zip(way.asked, way.said_models, strict=True) if "x-claude-code-agent-id" in one.headers}


def check(way: Journey, pane: Pane) -> None:
    """It was in auto mode, its provider judged each answer's calls, and nothing was refused or asked by the way."""
    assert all(b'"safeguards":' in one.body and CHECKED in one.answer for one in way.asked)
    assert {one.status for one in way.served} == {200}
    text = pane.text()
    assert "auto mode on" in text
    assert "can't check" not in text
    assert "Not run" not in text


@SETTINGS
async def test_a_conversation_goes_on_a_tier_below(
    start: Start, tmp_path: Path, words: tuple[str, ...], more: dict[str, str]
) -> None:
    async with start(standard=SONNET, mode="full") as way:
        with terminal(tmp_path, way, words, more) as pane:
            await shown(pane, "auto mode on")
            await types(pane, "Say what this project is about.")
            await answered(way, pane, lambda: len(way.asked) == 1)
            await types(pane, "And what is missing?")
            await answered(way, pane, lambda: len(way.asked) == 2)
            await types(pane, "Ask the sub-agent counter: Count the files here.")
            await answered(way, pane, lambda: bool(asked_by_agents(way)))
            assert set(way.said_models) == {SONNET}
            assert asked_by_agents(way) == {SONNET}
            check(way, pane)
        records = await way.settled()
        assert {record.attempt.model for record in records} == {f"anthropic/{SONNET}"}
        assert {record.attempt.downgraded for record in records} == {True}


@SETTINGS
async def test_delegated_sub_agents_alone_go_down(
    start: Start, tmp_path: Path, words: tuple[str, ...], more: dict[str, str]
) -> None:
    async with start(standard=SONNET, mode="delegated") as way:
        with terminal(tmp_path, way, words, more) as pane:
            await shown(pane, "auto mode on")
            await types(pane, "Ask the sub-agent counter: Count the files here.")
            await answered(way, pane, lambda: SONNET in asked_by_agents(way))
            await types(pane, "Ask the sub-agent sparing: Count the files here.")
            await answered(way, pane, lambda: HAIKU in asked_by_agents(way))
            assert set(way.said_models) == {OPUS, SONNET, HAIKU}
            assert asked_by_agents(way) == {SONNET, HAIKU}
            check(way, pane)
