"""More clients in conversations that nobody declared: down where that pays and up again, in mid-conversation; light errands."""

import contextlib
import json
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml
from clients import needs, program, sdk_python
from journey import KEY, Done, Journey, Start

from stepdown.ledger import Record

OPENCODE, QWEN, AIDER, PYTHON = program("opencode"), program("qwen"), program("aider"), sdk_python()
SCRIPTS = Path(__file__).parent / "scripts"
HARD = "Think about how to migrate the database, redesign the architecture and keep authentication and encryption secure."
EASY = "Please write two files.\n\n## Files to write\n\n- `a.md`\n- `src/b.py`\n"
TURNS: Final = (HARD, EASY, HARD)
PAYS: Final = {"turn_requests": 500, "switch_returns": 0}
"""So long a turn is expected that leaving any cache pays: what is tried here is the leaving."""


class Way(msgspec.Struct, frozen=True):
    """A protocol: OpenCode's package for it, the model that a client names, and those of the tiers."""

    package: str
    ceiling: str
    standard: str
    light: str


CHAT: Final = Way("@ai-sdk/openai-compatible", "gpt-5.5", "gpt-5.4-mini", "gpt-5.4-nano")
RESPONSES: Final = msgspec.structs.replace(CHAT, package="@ai-sdk/openai")
MESSAGES: Final = Way("@ai-sdk/anthropic", "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5")
OVER: Final = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}


async def opencode(way: Journey, over: Way, text: str, *more: str) -> Done:
    """One turn; titles are asked of the very model that works."""
    provider = {
        "npm": over.package,
        "name": "stepdown",
        "options": {"baseURL": f"{way.url}/v1", "apiKey": KEY},
        "models": {over.ceiling: {}},
    }
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "model": f"stepdown/{over.ceiling}",
        "small_model": f"stepdown/{over.ceiling}",
        "permission": {"edit": "allow", "bash": "allow", "webfetch": "deny"},
        "provider": {"stepdown": provider},
    }
    (way.home / "opencode.json").write_text(json.dumps(settings))
    environ = {
        "OPENCODE_CONFIG": str(way.home / "opencode.json"),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }
    return await way.run([OPENCODE, "run", *more, "-m", f"stepdown/{over.ceiling}"], environ, stdin=text)


async def qwen(way: Journey, speaks: str, over: Way, text: str, *more: str) -> Done:
    name, base = speaks.upper(), f"{way.url}/v1" if speaks == "openai" else way.url
    environ = {f"{name}_BASE_URL": base, f"{name}_API_KEY": KEY, f"{name}_MODEL": over.ceiling}
    return await way.run([QWEN, *more, "--auth-type", speaks, "-y", "-p", text], environ)


async def aider(way: Journey, *turns: str) -> Done:
    """Several turns of one conversation, as they are typed; commit messages are asked of the very model that works."""
    names = {"name": f"openai/{CHAT.ceiling}", "edit_format": "diff", "weak_model_name": f"openai/{CHAT.ceiling}"}
    (way.home / "models.yml").write_text(yaml.safe_dump([names]))
    environ = {"OPENAI_API_BASE": f"{way.url}/v1", "OPENAI_API_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    quiet = (
        *("--no-analytics", "--no-check-update", "--no-show-model-warnings", "--no-show-release-notes"),
        *("--no-pretty", "--no-fancy-input", "--no-gitignore", "--map-tokens", "0", "--yes-always"),
    )
    settings = ["--model-settings-file", str(way.home / "models.yml")]
    typed = "".join(f"{{turn\n{text}\nturn}}\n" for text in turns)
    return await way.run([AIDER, "--model", f"openai/{CHAT.ceiling}", *settings, *quiet, "src/b.py"], environ, stdin=typed)


async def talk(way: Journey, script: str, protocol: str, *turns: str) -> Done:
    """Several turns of one conversation, with an SDK."""
    model = OVER[protocol].ceiling
    command = [PYTHON, str(SCRIPTS / f"{script}.py"), way.url, protocol, model]
    return await way.run(command, {}, stdin=json.dumps(turns))


def started(start: Start, over: Way, mode: str) -> contextlib.AbstractAsyncContextManager[Journey]:
    """A gateway that may use the tiers of a protocol, and for which leaving a conversation's model always pays."""
    return start(light=over.light, standard=over.standard, mode=mode, thresholds=PAYS)


async def ended(way: Journey, *, wrote: bool) -> list[Record]:
    """The ledger's attempts, the oldest first, where no error was met with, and the work was done or not as is said."""
    await way.stop()
    assert {served.status for served in way.served} == {200}
    assert set(way.statuses) == {200}
    assert way.wrote == wrote
    return sorted(way.records(), key=lambda record: record.id)


async def went_down_and_up(way: Journey, over: Way, *, wrote: bool = True) -> list[Record]:
    """The attempts where three turns of one conversation ran on the ceiling, the model below, and the ceiling again."""
    records = await ended(way, wrote=wrote)
    asked = turns(records)
    assert [named(record) for record in asked] == [over.ceiling, over.standard, over.ceiling]
    assert [record.attempt.downgraded for record in asked] == [False, True, False]
    in_one_conversation(asked)
    return records


async def stayed(way: Journey, over: Way, *, units: int = 1, wrote: bool = True) -> list[Record]:
    """The attempts where every turn of one conversation ran on the model that its client named."""
    records = await ended(way, wrote=wrote)
    asked = turns(records)
    assert [(named(record), record.attempt.downgraded) for record in asked] == [(over.ceiling, False)] * units
    in_one_conversation(asked)
    return records


def in_one_conversation(asked: list[Record]) -> None:
    """Each turn is a unit of its own, and they are counted."""
    names = [record.attempt.unit_id.rpartition("#") for record in asked]
    assert [number for _, _, number in names] == [str(number + 1) for number in range(len(asked))]
    assert len({name for name, _, _ in names}) == 1


def turns(records: list[Record]) -> list[Record]:
    """The attempts at what a person asked for."""
    return [record for record in records if record.attempt.unit_type == "execute-task"]


def errands(records: list[Record]) -> list[tuple[str, str]]:
    """What the agent asked for itself: the unit's type and the model."""
    return [(record.attempt.unit_type, named(record)) for record in records if record.attempt.unit_type != "execute-task"]


def named(record: Record) -> str:
    return record.attempt.model.partition("/")[2]


def left_out(records: list[Record]) -> list[bool]:
    """Per turn, whether another model's thinking was left out of it."""
    return ["left out" in record.attempt.decision for record in turns(records)]


@needs(OPENCODE, "OpenCode")
@pytest.mark.parametrize("over", OVER)
async def test_opencode_goes_down_and_up_in_mid_conversation_and_its_title_is_light(start: Start, over: str) -> None:
    way_over = OVER[over]
    async with started(start, way_over, "full") as way:
        for text, more in zip(TURNS, ((), ("-c",), ("-c",)), strict=True):
            done = await opencode(way, way_over, text, *more)
            assert done.code == 0, done.said
        records = await went_down_and_up(way, way_over)
        assert errands(records) == [("hook/title", way_over.light)]
        assert left_out(records) == ([False, True, True] if over == "responses" else [False] * 3)


@needs(OPENCODE, "OpenCode")
async def test_in_delegated_opencode_keeps_its_model_and_its_title_is_light(start: Start) -> None:
    async with started(start, MESSAGES, "delegated") as way:
        done = await opencode(way, MESSAGES, EASY)
        assert done.code == 0, done.said
        assert errands(await stayed(way, MESSAGES)) == [("hook/title", MESSAGES.light)]


@needs(QWEN, "Qwen Code")
@pytest.mark.parametrize(("speaks", "over"), [("openai", CHAT), ("anthropic", MESSAGES)])
async def test_qwen_code_goes_down_and_up_in_mid_conversation(start: Start, speaks: str, over: Way) -> None:
    """It sends no id, so its conversation is known by what it began with; over Messages its thinking is signed."""
    async with started(start, over, "full") as way:
        for text, more in zip(TURNS, ((), ("--continue",), ("--continue",)), strict=True):
            done = await qwen(way, speaks, over, text, *more)
            assert done.code == 0, done.said
        records = await went_down_and_up(way, over)
        assert left_out(records) == ([False, True, True] if over is MESSAGES else [False] * 3)
        assert set(errands(records)) <= {("subagent/memory", over.standard)}  # it may end before it comes to that


@needs(QWEN, "Qwen Code")
async def test_in_delegated_qwen_code_keeps_its_model(start: Start) -> None:
    async with started(start, CHAT, "delegated") as way:
        done = await qwen(way, "openai", CHAT, EASY)
        assert done.code == 0, done.said
        assert set(errands(await stayed(way, CHAT))) <= {("subagent/memory", CHAT.standard)}


@needs(AIDER, "aider")
@pytest.mark.xdist_group("aider")
async def test_aider_goes_down_and_up_in_mid_conversation(start: Start) -> None:
    async with started(start, CHAT, "full") as way:
        done = await aider(way, *TURNS)
        assert done.code == 0, done.said
        records = await went_down_and_up(way, CHAT)
        assert set(errands(records)) == {("hook/commit-message", CHAT.light)}


@needs(AIDER, "aider")
@pytest.mark.xdist_group("aider")
async def test_in_delegated_aiders_edit_keeps_its_model_and_the_commit_message_is_light(start: Start) -> None:
    async with started(start, CHAT, "delegated") as way:
        done = await aider(way, EASY)
        assert done.code == 0, done.said
        assert errands(await stayed(way, CHAT)) == [("hook/commit-message", CHAT.light)]


@needs(PYTHON, "the SDKs' environment")
@pytest.mark.xdist_group("sdks")
@pytest.mark.parametrize("over", OVER)
async def test_the_sdks_go_down_and_up_in_mid_conversation(start: Start, over: str) -> None:
    """openai's over Chat and Responses, anthropic's over Messages; they have no tools here, and write nothing."""
    async with started(start, OVER[over], "full") as way:
        done = await talk(way, "turns", over, *TURNS)
        assert done.code == 0, done.said
        records = await went_down_and_up(way, OVER[over], wrote=False)
        assert errands(records) == []
        assert left_out(records) == ([False] * 3 if over == "chat" else [False, True, True])


@needs(PYTHON, "the SDKs' environment")
@pytest.mark.xdist_group("sdks")
@pytest.mark.parametrize("over", ["chat", "messages"])
async def test_pydantic_ai_goes_down_and_up_in_mid_conversation(start: Start, over: str) -> None:
    async with started(start, OVER[over], "full") as way:
        done = await talk(way, "typed_turns", over, *TURNS)
        assert done.code == 0, done.said
        assert errands(await went_down_and_up(way, OVER[over])) == []


@needs(PYTHON, "the SDKs' environment")
@pytest.mark.xdist_group("sdks")
async def test_pydantic_ai_stays_over_responses_and_is_told_why(start: Start) -> None:
    """It asks for ``reasoning.context``, which the cheaper model is not known to take."""
    async with started(start, RESPONSES, "full") as way:
        done = await talk(way, "typed_turns", "responses", *TURNS)
        assert done.code == 0, done.said
        records = await stayed(way, RESPONSES, units=3)
        assert f"{RESPONSES.standard} does not offer reasoning_context" in records[1].attempt.reason


@needs(PYTHON, "the SDKs' environment")
@pytest.mark.xdist_group("sdks")
@pytest.mark.parametrize("over", OVER)
async def test_in_delegated_the_sdks_keep_their_model(start: Start, over: str) -> None:
    async with started(start, OVER[over], "delegated") as way:
        done = await talk(way, "turns", over, HARD, EASY)
        assert done.code == 0, done.said
        assert errands(await stayed(way, OVER[over], units=2, wrote=False)) == []
