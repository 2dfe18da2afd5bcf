"""Whatever bytes come: a request is read or refused, and an answer is read as far as it can be."""

import json
from collections.abc import Callable
from typing import Any

import example_requests
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway import edit
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.wire import Envelope, Unreadable, Wire

EXAMPLES: dict[str, Callable[..., dict[str, Any]]] = {
    "messages": example_requests.messages,
    "chat": example_requests.chat,
    "responses": example_requests.responses,
}
ANSWERS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"x"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"x"},"usage":{"output_tokens":2}}\n\n'
    b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2}}\n\ndata: [DONE]\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":5}}}\n\n'
    b'event: error\ndata: {"type":"error","error":{"type":"x","message":"y"}}\n\n'
    b'event: response.failed\ndata: {"type":"response.failed","response":{"error":null}}\n\n'
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())


def read(wire: Wire, body: bytes) -> Envelope | None:
    """The envelope, which then holds what it promises; None where the request is refused."""
    try:
        envelope = wire.read(body, {"anthropic-beta": "x,,y"})
    except Unreadable as problem:
        refused = problem
    else:
        check(wire, body, envelope)
        return envelope
    assert refused.status == 400
    assert "\n" not in str(refused)
    return None


def check(wire: Wire, body: bytes, envelope: Envelope) -> None:
    assert envelope.model
    assert envelope.prompt >= 0
    assert envelope.output is None or envelope.output >= 0
    changed = edit.replace(body, {"model": b'"other"'}, envelope.spans)
    start, end = envelope.spans["model"]
    assert changed == body[:start] + b'"other"' + body[end:]
    assert wire.read(changed, {}).model == "other"


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """`text` cut short, or with some bytes changed, put in or taken out."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 3))
        end = len(text) if draw(st.integers(0, 5)) == 0 else at + length
        text = (
            text[:at]
            + draw(st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"}", b"[", b",", b"\\", b"null"]))
            + text[end:]
        )
    return text


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value where another could stand: a container and a key or an index."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def is_json(value: Any) -> bool:
    """Whether every number in it is finite: the others can be written, but not in JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@wires
@given(st.binary(max_size=100))
def test_any_bytes_as_a_request(wire: Wire, body: bytes) -> None:
    read(wire, body)


@wires
@given(st.data())
def test_a_damaged_request(wire: Wire, data: st.DataObject) -> None:
    read(wire, data.draw(damaged(json.dumps(EXAMPLES[wire.name](rounds=1, offered=1)).encode())))


@wires
@given(st.data())
def test_a_request_with_anything_anywhere(wire: Wire, data: st.DataObject) -> None:
    body = json.loads(json.dumps(EXAMPLES[wire.name](rounds=1, offered=1)))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(body)))
        container[key] = data.draw(ANYTHING)
    envelope = read(wire, json.dumps(body).encode())
    assert (envelope is not None) == (is_json(body) and isinstance(body["model"], str) and body["model"] != "")


@wires
def test_every_end_that_a_cut_can_leave(wire: Wire) -> None:
    body = json.dumps(EXAMPLES[wire.name](rounds=1, offered=1)).encode()
    assert read(wire, body) is not None
    assert not any(read(wire, body[:length]) for length in range(len(body)))


@wires
@given(st.data(), st.booleans())
def test_any_answer(wire: Wire, data: st.DataObject, stream: bool) -> None:
    text = data.draw(st.binary(max_size=100) | damaged(ANSWERS) | ANYTHING.map(lambda one: json.dumps(one).encode()))
    reader = wire.reader(stream=stream)
    at = data.draw(st.integers(0, len(text)))
    reader.feed(text[:at])
    reader.feed(text[at:])
    reader.close()
    reader.close()
    assert not (reader.ended and not reader.began)


@wires
@given(st.data())
def test_an_event_of_any_shape(wire: Wire, data: st.DataObject) -> None:
    event = {
        "type": data.draw(
            st.sampled_from(["message_start", "message_delta", "error", "response.completed", "response.failed"])
        ),
        **data.draw(st.dictionaries(st.sampled_from(["message", "delta", "usage", "error", "response", "choices"]), ANYTHING)),
    }
    reader = wire.reader(stream=True)
    reader.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    reader.close()
