"""Lines: what a call wrote, whether it failed, and lines that are not as they should be."""

import io
import json
import random
from typing import Any

import msgspec
import pytest
from codex_logs import PATCH, RATES, VERSIONS, Session, a_session, everything, log_of, read
from hypothesis import given
from hypothesis import strategies as st

from stepdown.sessions.bounded import lines
from stepdown.sessions.codex_reading import NOT_JSON, UNCOUNTED, ZONELESS, Reading
from stepdown.sessions.records import Log
from stepdown.sessions.values import HALF_WRITTEN, TOO_LONG


@pytest.mark.parametrize(
    "call",
    [
        {"kind": "custom_tool_call", "name": "apply_patch", "input": PATCH},
        {"kind": "function_call", "name": "apply_patch", "arguments": json.dumps({"input": PATCH})},
        {"kind": "function_call", "name": "shell", "arguments": json.dumps({"command": ["apply_patch", PATCH]})},
        {"kind": "function_call", "name": "exec_command", "arguments": json.dumps({"cmd": f"apply_patch <<'E'\n{PATCH}\nE\n"})},
        {"kind": "custom_tool_call", "name": "exec", "input": f"text(await tools.apply_patch({json.dumps(PATCH)}))"},
        {"kind": "custom_tool_call", "name": "exec", "input": f"text(await tools.apply_patch(`{PATCH}`))"},
    ],
)
def test_files_are_those_a_patch_adds_or_updates_however_it_is_applied(call: dict[str, Any]) -> None:
    session = Session().ask("Write").item(call.pop("kind"), **call).item("function_call", **{**call, "type": "function_call"})
    (turn,) = log_of(session.answer(1_000)).turns
    assert (turn.files, turn.calls) == (2, 2)


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ('{"output":"no\\n","metadata":{"exit_code":1,"duration_seconds":0.1}}', True),
        ('{"output":"\\"exit_code\\":1","metadata":{"exit_code":0,"duration_seconds":0.1}}', False),
        ("Exit code: 3\nWall time: 0 seconds\nOutput:\n", True),
        ("Exit code: 0\nWall time: 0 seconds\nOutput:\nExit code: 3\n", False),
        ("Chunk ID: 1b82dd\nWall time: 0.0000 seconds\nProcess exited with code 127\nOutput:\n", True),
        ("Chunk ID: 1b82dd\nWall time: 0.0000 seconds\nProcess exited with code 0\nOutput:\nProcess exited with code 1", False),
        ("Wall time: 0.0000 seconds\nOutput:\nExit code: 1\nOutput:\n", True),
        ([{"type": "input_text", "text": "Script failed\nWall time 0.2 seconds\nOutput:\n"}], True),
        ([{"type": "input_text", "text": "Script completed\nWall time 0.2 seconds\nOutput:\n"}], False),
        ({"content": "not there", "success": False}, True),
        ({"content": "there", "success": True}, False),
        ("Exit code: -1\nOutput:\n", True),
        ("the words Exit code: 1 within a text", False),
        (None, False),
    ],
)
def test_errors_are_what_codex_marked_as_failed(output: object, failed: bool) -> None:
    session = Session().ask("Do it").call(output).answer(1_000)
    for raw in (session.bytes(), session.bytes(indent=None)):  # as it is written, and with spaces
        assert read(raw).turns[0].errors == failed


def test_lines_that_are_no_lines_are_counted_and_the_rest_is_read() -> None:
    whole = a_session().bytes().splitlines(keepends=True)
    odd = [b"not json\n", b'{"timestamp":"2026-05\n', b"[1, 2]\n", b"\n", b"\0\0\0\n", b'{"type":"event_msg","payload":null}\n']
    log = read(b"".join([*whole[:4], *odd, *whole[4:]]) + b'{"timestamp":"2026-05-28T2')
    assert log.troubles == {NOT_JSON: 3, HALF_WRITTEN: 1}
    assert log.requests == log_of(a_session()).requests


def test_a_line_that_is_nested_without_end_is_counted() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    for kind, key in ((b"token_count", b"info"), (b"user_message", b"message")):
        head = b'{"timestamp":"2026-05-28T20:27:00.000Z","type":"event_msg","payload":{"type":"' + kind + b'","' + key + b'":'
        log = read(Session().ask("One").answer(1_000).bytes() + head + deep + b"}}\n")
        assert (len(log.requests), log.troubles) == (1, {NOT_JSON: 1})


def test_a_line_that_is_too_long_is_passed_over_without_being_held() -> None:
    raw = b'{"type":"a"}\n' + b"x" * 700_000 + b"\n" + b'{"type":"b"}\n' + b"y" * 50
    assert list(lines(io.BytesIO(raw), longest=40)) == [b'{"type":"a"}\n', None, b'{"type":"b"}\n', None]
    reading = Reading("x")
    reading.take(None)
    assert reading.log().troubles == {TOO_LONG: 1}


def test_bytes_that_are_no_utf_8_do_not_hide_what_a_line_says() -> None:
    session = Session().ask("Hello §").answer(1_000).call("§").ask("More §").answer(1_100)
    raw = session.bytes().replace("§".encode(), b"\xff\xfe")
    assert read(raw).requests == log_of(session).requests
    half = session.bytes().replace("§".encode(), b"\\ud83d")
    assert read(half).requests == log_of(session).requests


def test_times_of_other_zones_are_the_same_moments() -> None:
    session = Session().ask("Hello").answer(1_000)
    for line in session.lines:
        hour = int(line["timestamp"][11:13])
        line["timestamp"] = f"{line['timestamp'][:11]}{hour + 2:02}{line['timestamp'][13:-1]}+02:00"
    assert log_of(session) == log_of(Session().ask("Hello").answer(1_000))


def test_times_without_a_zone_are_utc_and_said_to_be() -> None:
    session = Session().ask("Hello").answer(1_000)
    raw = session.bytes().replace(b'Z","type"', b'","type"')
    log = read(raw)
    assert log.requests == log_of(session).requests
    assert log.troubles.keys() == {ZONELESS}


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_whatever_stands_where_something_else_should_it_is_read(data: st.DataObject) -> None:
    window = {"used_percent": 5.0, "window_minutes": 300, "resets_at": 1}
    session = Session(source={"subagent": {"thread_spawn": {"agent_role": "worker"}}}, forked_from_id="x").ask("One")
    session.call().answer(90_000, rates={**RATES, "primary": window}).compact().done(error={"message": "x"})
    line = data.draw(st.sampled_from(session.lines))
    place: Any = line
    while True:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not (isinstance(place[key], dict | list) and place[key]) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ODD)
    log = log_of(session)
    assert all(0 <= request.turn < len(log.turns) for request in log.requests)
    assert all(min(request.input, request.output, request.cache_read, request.cache_write) >= 0 for request in log.requests)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log


def _shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(one, dice) for one in value]
    if not isinstance(value, dict):
        return value
    items = list(value.items())
    dice.shuffle(items)
    return {key: _shuffled(one, dice) for key, one in items}


@given(st.randoms(use_true_random=False), st.sampled_from(VERSIONS))
def test_the_order_of_keys_and_the_spaces_between_them_change_nothing(dice: random.Random, version: str) -> None:
    session = everything(version)
    plain = log_of(session)
    assert plain.requests
    session.lines = [_shuffled(line, dice) for line in session.lines]
    assert log_of(session) == plain
    assert read(session.bytes(indent=None, separators=(" , ", " : "))) == plain


@given(st.data())
def test_a_log_that_is_cut_anywhere_says_what_stands_in_it_so_far(data: st.DataObject) -> None:
    session = everything(data.draw(st.sampled_from(VERSIONS)))
    raw, whole = session.bytes(), log_of(session)
    log = read(raw[: data.draw(st.integers(0, len(raw)))])
    keys = [request.key for request in whole.requests]
    assert [request.key for request in log.requests] == keys[: len(log.requests)]
    assert set(log.troubles) <= {HALF_WRITTEN, UNCOUNTED}
    assert not log.requests or UNCOUNTED not in log.troubles
