"""Leaving out what another model has thought: what goes, what stays byte for byte, and where it cannot be done."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway import edit
from stepdown.gateway.protocols.signed import digest, digest_of, without

KEY = {"messages": "messages", "chat": "messages", "responses": "input"}
HUMAN = {"role": "user", "content": "Fix it."}
TEXT = {"type": "text", "text": "Done."}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "y"}]}
RAN = {"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "y"}
ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 2_000}}
ADAPTIVE = {"thinking": {"type": "adaptive"}}


def thought(signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "Hm.", "signature": signature}


def spoken(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def reasoning(sealed: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": f"rs_{sealed}", "summary": [], "encrypted_content": sealed}


def but(*signatures: str) -> Callable[[int], bool]:
    """Keeps every block but those that are signed so."""
    return lambda signed: signed not in {digest(one) for one in signatures}


def nothing(_: int) -> bool:
    return False


def left(protocol: str, body: bytes, keep: Callable[[int], bool] = nothing) -> tuple[bytes, int] | None:
    return without(protocol, body, edit.spans(body), keep)


def conversation(protocol: str, talk: list[Any], **more: Any) -> bytes:
    return json.dumps({"model": "m", **more, KEY[protocol]: talk}).encode()


def test_a_digest_is_of_the_text_and_not_of_its_spelling() -> None:
    assert digest("Ärger") == digest("Ärger".encode()) == digest_of('"Ärger"'.encode()) == digest_of(rb'"\u00c4rger"')
    assert digest("a") != digest("b")
    assert 0 <= digest("") < 2**64
    assert digest_of(b'{"a":1}') == digest('{"a":1}')


@pytest.mark.parametrize(
    ("protocol", "written", "expected", "count"),
    [
        (
            "messages",
            rb"""[ {"role":"user" , "content":"caf\u00e9"},
  {"content":[{"type":"thinking","signature":"A","thinking":""} , {"type":"text","text":"\/"}],"role":"assistant"} ]""",
            rb"""[ {"role":"user" , "content":"caf\u00e9"},
  {"content":[ {"type":"text","text":"\/"}],"role":"assistant"} ]""",
            1,
        ),
        (
            "messages",
            (
                b'[{"role":"assistant","content":[{"type":"text","text":"a"}, {"type":"redacted_thinking","data":"A"}, '
                b'{"type":"tool_use"},{"type":"thinking","signature":"A"}]}]'
            ),
            b'[{"role":"assistant","content":[{"type":"text","text":"a"}, {"type":"tool_use"}]}]',
            2,
        ),
        (  # what a person pasted, and what a tool brought, is no thinking of the model's
            "messages",
            (
                b'[{"role":"user","content":[{"type":"thinking","signature":"A"},{"type":"tool_result","content":'
                b'[{"type":"thinking","signature":"A"}]}]}]'
            ),
            (
                b'[{"role":"user","content":[{"type":"thinking","signature":"A"},{"type":"tool_result","content":'
                b'[{"type":"thinking","signature":"A"}]}]}]'
            ),
            0,
        ),
        (
            "messages",
            rb'[{"role":"assistant","content":[{"type":"think\u0069ng","signature":"\ud83d"},{"type":"text","text":"\ud83d"}]}]',
            rb'[{"role":"assistant","content":[{"type":"text","text":"\ud83d"}]}]',
            1,
        ),
        (
            "responses",
            (
                b'[{"role":"user","content":"x"}, {"type":"reasoning","id":"rs_1","encrypted_content":"A"}, '
                b'{"type":"function_call" , "id":"fc_1", "call_id":"c"},{"id":"fc_2","type":"function_call","call_id":"d"}, '
                b'{"type":"function_call_output","call_id":"c","id":"o_1"}, {"type":"message","role":"assistant","id":"m_1"}]'
            ),
            (
                b'[{"role":"user","content":"x"}, '
                b'{"type":"function_call", "call_id":"c"},{"type":"function_call","call_id":"d"}, '
                b'{"type":"function_call_output","call_id":"c","id":"o_1"}, {"type":"message","role":"assistant","id":"m_1"}]'
            ),
            1,
        ),
        (
            "chat",
            (
                b'[{"role":"assistant", "reasoning_content":"Hm.", "content":null, "tool_calls":[ {"id":"c", '
                b'"extra_content":{"google":{"thought_signature":"A"}}, "type":"function"} ], "reasoning":null}]'
            ),
            b'[{"role":"assistant", "content":null, "tool_calls":[ {"id":"c", "type":"function"} ], "reasoning":null}]',
            2,
        ),
        (
            "chat",
            b'[{"reasoning_details":[{"data":"A"}],"role":"assistant","content":"x"}]',
            b'[{"role":"assistant","content":"x"}]',
            1,
        ),
        ("responses", b'"Fix it."', b'"Fix it."', 0),
        ("messages", b"[]", b"[]", 0),
    ],
)
def test_what_another_model_thought_goes_and_nothing_else(protocol: str, written: bytes, expected: bytes, count: int) -> None:
    body = b'{"model": "m", "%s" : %s, "x":1}' % (KEY[protocol].encode(), written)
    assert left(protocol, body) == (expected, count)
    assert left(protocol, body, lambda _: True) == (written, 0)


def test_only_what_is_refused_goes() -> None:
    talk = [HUMAN, spoken(thought("a"), TEXT), HUMAN, spoken(thought("b"), TEXT), HUMAN]
    found = left("messages", conversation("messages", talk), but("a"))
    assert found is not None
    assert (json.loads(found[0]), found[1]) == ([HUMAN, spoken(TEXT), HUMAN, spoken(thought("b"), TEXT), HUMAN], 1)


def test_reasoning_that_stays_keeps_what_it_led_to_as_it_is() -> None:
    known = {**RAN, "id": "fc_1"}
    talk = [HUMAN, reasoning("a"), known, OUTPUT, reasoning("b"), known, OUTPUT]
    found = left("responses", conversation("responses", talk), but("a"))
    assert found is not None
    assert json.loads(found[0]) == [HUMAN, RAN, OUTPUT, reasoning("b"), known, OUTPUT]


LOOP = [HUMAN, spoken(thought("a"), CALL), RESULT]


@pytest.mark.parametrize(
    ("protocol", "talk", "more"),
    [
        ("messages", [HUMAN, spoken(thought("a")), HUMAN], {}),
        ("messages", [HUMAN, spoken(thought("a"), {"type": "redacted_thinking", "data": "b"})], {}),
        ("messages", LOOP, ENABLED),
        ("messages", [*LOOP, spoken(CALL), RESULT], ENABLED),
        ("messages", [*LOOP, {"role": "system", "content": "Be brief."}], ENABLED),
        ("messages", [HUMAN, spoken(thought("a"), TEXT, thought("kept"), TEXT), HUMAN], {}),
        ("responses", [HUMAN, {"type": "compaction", "encrypted_content": "a"}, HUMAN], {}),
        ("responses", [HUMAN, reasoning("a"), {"type": "web_search_call", "id": "ws_1"}, HUMAN], {}),
        ("responses", [HUMAN, reasoning("a"), {"type": "item_reference", "id": "msg_1"}, HUMAN], {}),
        ("responses", [reasoning("a")], {}),
        ("chat", [HUMAN, {"role": "assistant", "content": "", "reasoning_content": "a"}, HUMAN], {}),
        ("messages", [HUMAN, {"role": "assistant", "content": [7]}], {}),
        ("responses", [HUMAN, "reasoning"], {}),
    ],
)
def test_what_would_break_the_request_is_not_done(protocol: str, talk: list[Any], more: dict[str, Any]) -> None:
    assert left(protocol, conversation(protocol, talk, **more), lambda signed: signed == digest("kept")) is None


@pytest.mark.parametrize(
    ("talk", "more"),
    [
        (LOOP, ADAPTIVE),
        (LOOP, {}),
        ([*LOOP, spoken(TEXT), HUMAN], ENABLED),  # a person has spoken: the turn is over
        ([*LOOP, spoken(TEXT), HUMAN, spoken(thought("kept"), CALL), RESULT], ENABLED),
        ([HUMAN, spoken(TEXT, thought("a"), CALL), RESULT], ENABLED),  # it did not begin with thinking before
    ],
)
def test_a_turn_may_lose_its_thinking_where_the_provider_does_not_insist(talk: list[Any], more: dict[str, Any]) -> None:
    found = left("messages", conversation("messages", talk, **more), but("a"))
    assert found is not None
    assert found[1] == 1


SIGNERS = ("opus", "sonnet", "haiku")


@st.composite
def talks(draw: st.DrawFn, protocol: str) -> list[dict[str, Any]]:
    """A conversation that some of three models have held, each answer with the thinking of whoever gave it."""
    talk: list[dict[str, Any]] = []
    for turn in range(draw(st.integers(1, 4))):
        talk.append({"role": "user", "content": draw(st.text(max_size=8))})
        for step in range(draw(st.integers(0, 3))):
            signed = f"{draw(st.sampled_from(SIGNERS))}/{turn}/{step}"
            talk += ANSWERS[protocol](signed, draw(st.text(max_size=8)), draw(st.booleans()))
    return talk


def in_messages(signed: str, words: str, thinks: bool) -> list[dict[str, Any]]:
    block = thought(signed) if len(words) % 2 else {"type": "redacted_thinking", "data": signed}
    return [spoken(*([block] * thinks), {"type": "text", "text": words}, CALL), RESULT]


def in_chat(signed: str, words: str, thinks: bool) -> list[dict[str, Any]]:
    said = {"reasoning_content": signed} if len(words) % 2 else {"reasoning": signed}
    call = {"id": "c", "type": "function", **({"extra_content": signed} if thinks else {}), "function": {"name": words}}
    return [{"role": "assistant", **(said if thinks else {}), "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c"}]


def in_responses(signed: str, words: str, thinks: bool) -> list[dict[str, Any]]:
    known = {"id": f"fc_{signed}"} if thinks else {}
    return [*([reasoning(signed)] * thinks), {"type": "function_call", **known, "arguments": words}, OUTPUT]


ANSWERS = {"messages": in_messages, "chat": in_chat, "responses": in_responses}
STYLES: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"separators": (" ,  ", ": ")},
    {"indent": 1},
    {"ensure_ascii": False, "separators": ("\n,", ":\t")},
]


def bare(value: Any, *foreign: str) -> Any:
    """A decoded conversation without the thinking of some: what has to come out, found in another way."""

    def theirs(signed: object) -> bool:
        return isinstance(signed, str) and signed.partition("/")[0] in foreign

    if isinstance(value, list):
        found: list[Any] = []
        lost = False
        for one in value:
            kind = one.get("type") if isinstance(one, dict) else ""
            lost = (lost and kind == "function_call") or (kind == "reasoning" and theirs(one["encrypted_content"]))
            if kind in {"thinking", "redacted_thinking"} and theirs(one.get("signature") or one.get("data")):
                continue
            if not (lost and kind == "reasoning"):
                found.append({key: item for key, item in bare(one, *foreign).items() if not lost or key != "id"})
        return found
    if isinstance(value, dict):
        keys = {"reasoning_content", "reasoning", "extra_content"}
        return {key: bare(one, *foreign) for key, one in value.items() if not (key in keys and theirs(one))}
    return value


def whose(talk: list[dict[str, Any]]) -> dict[int, str]:
    """Per digest who signed it."""
    written = json.dumps(talk)
    return {
        digest(signed): name
        for name in SIGNERS
        for turn in range(4)
        for step in range(3)
        if (signed := f"{name}/{turn}/{step}") in written
    }


def of(protocol: str, written: str, models: dict[int, str], *names: str) -> bytes:
    """The conversation as a model is sent it that takes what these have signed."""
    body = (f'{{"{KEY[protocol]}":' + written + "}").encode(errors="surrogatepass")
    found = left(protocol, body, lambda signed: models[signed] in names)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("protocol", ANSWERS)
@given(data=st.data(), style=st.sampled_from(STYLES))
def test_every_other_byte_stays_in_its_place(protocol: str, data: st.DataObject, style: dict[str, Any]) -> None:
    talk = data.draw(talks(protocol))
    written, models = json.dumps(talk, **style), whose(talk)
    before = written.encode(errors="surrogatepass")
    for name in SIGNERS:
        after = of(protocol, written, models, name)
        assert json.loads(after) == bare(talk, *(set(SIGNERS) - {name}))
        rest: Iterator[int] = iter(before)
        assert all(byte in rest for byte in after)  # nothing is written anew
    assert of(protocol, written, models, *SIGNERS) == before


@pytest.mark.parametrize("protocol", ANSWERS)
@given(data=st.data(), style=st.sampled_from(STYLES))
def test_a_longer_conversation_begins_as_the_shorter_one(protocol: str, data: st.DataObject, style: dict[str, Any]) -> None:
    """So that each model finds its cached prompt again, and its thinking behind what it stood behind before."""
    talk = data.draw(talks(protocol))
    models = whose(talk)
    pieces = [json.dumps(one, **style) for one in talk]
    comma = style.get("separators", (",\n ",))[0]
    for name in SIGNERS:
        # What every request of an agent ends with: what a person said, or what a tool brought.
        ends = [number for number, one in enumerate(talk, 1) if one.get("role") in {"user", "tool"} or one == OUTPUT]
        sent = [of(protocol, "[" + comma.join(pieces[:end]) + "]", models, name) for end in ends]
        for shorter, longer in itertools.pairwise(sent):
            assert longer.startswith(shorter.removesuffix(b"]"))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["assistant", "thinking", "reasoning"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "signature", "data", "id", "encrypted_content", "tool_calls", "reasoning"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("protocol", KEY)
@given(value=ODD, thinking=ODD)
def test_what_is_odd_is_left_alone_or_not_done(protocol: str, value: Any, thinking: Any) -> None:
    found = left(protocol, json.dumps({KEY[protocol]: value, "thinking": thinking}).encode(), nothing)
    assert found is None or found[1] or json.loads(found[0]) == value
