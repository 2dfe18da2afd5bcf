"""Requests of eight clients, and what each is; `python -m bench.recognise` prints the same as a table."""

from pathlib import Path

import msgspec
import pytest
from example_requests import chat, messages, responses
from hypothesis import given
from hypothesis import strategies as st

from bench.recognise import confusion, labelled, mistaken, tables
from stepdown.asks import COMPACTION, MEMORY, PLANNING, TURN
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.recognised import Recognised, recognised
from stepdown.gateway.wire import Envelope, Talk

CLIENTS = labelled()
DOCUMENT = Path(__file__).parents[2] / "docs/concepts/conversations.md"
ALL = [(client, one) for client, requests in CLIENTS.items() for one in requests]
HEADERS = (
    *("x-claude-code-agent-id", "x-claude-code-agent-type", "x-claude-code-request-class", "x-claude-code-auxiliary-type"),
    *("x-openai-subagent", "x-codex-turn-metadata", "x-codex-parent-thread-id", "x-parent-session-id"),
)
TALKS = st.builds(
    Talk,
    last=st.sampled_from(["", "human", "tool", "agent"]),
    words=st.text(max_size=60) | st.just("## UNIT: Execute Task T01"),
    opening=st.text(max_size=20),
    instructions=st.text(max_size=20) | st.just("You are a title generator"),
    asked=st.text(max_size=20) | st.just("CRITICAL: Respond with TEXT ONLY"),
    turns=st.integers(0, 3),
    planning=st.booleans(),
    delegated=st.booleans(),
    fields=st.sampled_from([(), ("title",)]),
)


def said(**talk: object) -> Envelope:
    return Envelope(model="m", session="s-1", tools=3, talk=msgspec.convert(talk, Talk))


def test_the_set_is_large_enough_to_mean_something() -> None:
    assert len(ALL) >= 60
    assert len(CLIENTS) == 8
    assert all(len({one.name for one in requests}) == len(requests) for requests in CLIENTS.values())


@pytest.mark.parametrize("client", CLIENTS)
def test_the_labelled_requests_are_recognised_but_for_those_that_nothing_tells(client: str) -> None:
    requests = CLIENTS[client]
    assert mistaken(requests) == {one.name for one in requests if one.known_miss}


def test_the_table_counts_every_request_once() -> None:
    table = confusion(one for _, one in ALL)
    assert sum(table.values()) == len(ALL)
    wrong = {is_: taken for is_, taken in table if is_ != taken}
    assert wrong == {"subagent/agent": "execute-task"}


def test_the_table_in_the_documentation_is_the_one_that_is_measured() -> None:
    assert tables() in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize(("protocol", "body"), [("messages", messages(0)), ("chat", chat(0)), ("responses", responses(0))])
def test_without_an_id_a_conversation_is_named_by_how_it_began(protocol: str, body: dict[str, object]) -> None:
    body.pop("metadata", None)
    body.pop("prompt_cache_key", None)
    key = "input" if protocol == "responses" else "messages"
    begun = body[key]
    assert isinstance(begun, list)

    def conversation(**changes: object) -> str:
        text = msgspec.json.encode(body | changes)
        return recognised(WIRES[protocol].read(text, {}), {}).conversation

    first = conversation()
    longer = [*begun, {"role": "assistant", "content": "Done."}, {"role": "user", "content": "More of it."}]
    assert first
    assert conversation(**{key: longer}) == first
    assert conversation(**{key: longer[len(begun) :]}) != first


def test_what_claude_code_says_of_its_billing_does_not_make_another_conversation() -> None:
    def conversation(version: str) -> str:
        system = [
            {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.325.{version}; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral", "ttl": version}},
        ]
        text = msgspec.json.encode(messages(0, metadata={}, system=system))
        return recognised(WIRES["messages"].read(text, {}), {}).conversation

    assert conversation("5da") == conversation("b09") != ""


@pytest.mark.parametrize(
    ("headers", "kind", "origin", "conversation"),
    [
        ({"x-claude-code-agent-id": "a1"}, "subagent/agent", "subagent", "a1"),
        ({"x-claude-code-agent-id": "a1", "x-claude-code-agent-type": "Explore"}, "subagent/explore", "subagent", "a1"),
        ({"x-claude-code-agent-id": "a1", "x-claude-code-agent-type": "../etc"}, "subagent/agent", "subagent", "a1"),
        ({"x-claude-code-agent-id": "a" * 201}, "subagent/agent", "subagent", "s-1"),
        ({"x-openai-subagent": "collab_spawn"}, "subagent/collab-spawn", "subagent", "s-1"),
        ({"x-openai-subagent": "memory_consolidation"}, MEMORY, "agent", "s-1/memory"),
        ({"x-codex-parent-thread-id": "t"}, "subagent/agent", "subagent", "s-1"),
        ({"x-parent-session-id": "t"}, "subagent/agent", "subagent", "s-1"),
        ({"x-codex-turn-metadata": '{"request_kind":"compaction"}'}, COMPACTION, "agent", "s-1"),
        ({"x-codex-turn-metadata": '{"request_kind":"turn"}'}, TURN, "human", "s-1"),
        ({"x-codex-turn-metadata": '{"request_kind":7}'}, TURN, "human", "s-1"),
        ({"x-codex-turn-metadata": "["}, TURN, "human", "s-1"),
        ({"x-claude-code-request-class": "compaction"}, COMPACTION, "agent", "s-1"),
        ({"x-claude-code-request-class": "main"}, TURN, "human", "s-1"),
        ({"x-claude-code-request-class": "auxiliary"}, "hook/auxiliary", "agent", "s-1/auxiliary"),
        (
            {"x-claude-code-request-class": "auxiliary", "x-claude-code-auxiliary-type": "memory_save"},
            *(MEMORY, "agent", "s-1/memory"),
        ),
        ({"user-agent": "claude-cli/2.1 (subagent)"}, TURN, "human", "s-1"),
    ],
)
def test_what_headers_say(headers: dict[str, str], kind: str, origin: str, conversation: str) -> None:
    found = recognised(said(last="human", words="Do it.", opening="Do it.", turns=1), headers)
    assert (found.unit.type, found.origin, found.conversation) == (kind, origin, conversation)


def test_a_unit_of_a_plan_goes_on_as_what_it_is() -> None:
    words = "## UNIT: Complete Slice S01\n\nM001/S01: sum it up."
    first = recognised(said(last="human", words=words, turns=1), {})
    then = recognised(said(last="tool", words=words, turns=1, steps=3), {})
    assert (first.unit.type, first.unit.id, first.origin, first.begins) == ("complete-slice", "M001/S01", "plan", True)
    assert then == msgspec.structs.replace(first, begins=False)
    assert first.words == ""


def test_plan_mode_is_a_persons_turn() -> None:
    found = recognised(said(last="human", words="Plan it.", turns=2, planning=True), {})
    assert (found.unit.type, found.origin, found.planning, found.words) == (PLANNING, "human", True, "Plan it.")


@given(TALKS, st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=30) | st.just("compaction"), max_size=4))
def test_whatever_is_said_it_is_something(talk: Talk, headers: dict[str, str]) -> None:
    found = recognised(Envelope(model="m", session="s-1", talk=talk), headers)
    assert isinstance(found, Recognised)
    assert found.conversation
    assert found.unit.type
    assert found.words == "" or found.origin == "human"
    assert not found.planning or found.origin == "human"
    if talk.last == "tool" and found.origin != "agent":
        assert not found.begins
