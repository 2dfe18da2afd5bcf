import json
from collections.abc import Mapping
from typing import Any

import example_requests
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.gateway.protocols import MESSAGES, WIRES
from stepdown.gateway.protocols.signed import digest
from stepdown.gateway.wire import Envelope, Reader, Unreadable
from stepdown.units import Tokens

ALWAYS = {"tools", "adaptive_thinking", "effort"}
"""What `example_requests.messages` asks for."""


def read(body: object, headers: Mapping[str, str] = {}) -> Envelope:
    return MESSAGES.read(json.dumps(body).encode(), headers)


def asked(**more: Any) -> set[str]:
    """What a request asks for beyond the ordinary."""
    return set(read(example_requests.messages(**more)).features) - ALWAYS


def said(*content: Any, role: str = "user", **more: Any) -> set[str]:
    """What a message with this content asks for; it does not come last."""
    messages = [{"role": role, "content": list(content), **more}, {"role": "user", "content": "go on"}]
    return asked(messages=messages)


def test_it_is_called_by_its_name() -> None:
    assert WIRES["messages"] is MESSAGES
    assert (MESSAGES.path, MESSAGES.output_key) == ("/v1/messages", "max_tokens")


def test_the_envelope_of_a_request() -> None:
    body = json.dumps(example_requests.messages(rounds=2, offered=3)).encode()
    envelope = MESSAGES.read(body, {"x-claude-code-session-id": "s-9"})
    assert envelope.model == "claude-opus-4-6"
    assert envelope.stream
    assert (envelope.output, envelope.output_key) == (32000, "max_tokens")
    assert (envelope.thinking, envelope.effort, envelope.signed, envelope.tools) == ("adaptive", "high", False, 3)
    assert envelope.features == ALWAYS
    assert body[slice(*envelope.spans["model"])] == b'"claude-opus-4-6"'
    assert envelope.session == "s-9"


def test_a_request_of_one_line_asks_for_nothing() -> None:
    envelope = read({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    assert envelope.features == set()
    assert (envelope.stream, envelope.output, envelope.thinking, envelope.effort) == (False, None, "", "")


@pytest.mark.parametrize(
    "body", [{}, {"model": ""}, {"model": None}, {"model": 3}, {"model": ["m"]}, {"messages": [{"model": "m"}]}]
)
def test_a_request_that_names_no_model_is_refused(body: object) -> None:
    with pytest.raises(Unreadable, match="'model'") as problem:
        read(body)
    assert problem.value.status == 400


@pytest.mark.parametrize(
    ("thinking", "features", "kind"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, {"thinking"}, "enabled"),
        ({"type": "adaptive"}, {"adaptive_thinking"}, "adaptive"),
        ({"type": "disabled"}, {"thinking_off"}, "disabled"),
        ({"type": "between_tools"}, {"thinking:between_tools"}, ""),
        (None, set(), ""),
        ({"type": 3}, {"odd:thinking"}, ""),
        ("yes", {"odd:thinking"}, ""),
    ],
)
def test_the_kind_of_thinking_it_asks_for(thinking: object, features: set[str], kind: str) -> None:
    envelope = read(example_requests.messages(thinking=thinking))
    assert envelope.features - {"tools", "effort"} == features
    assert envelope.thinking == kind


@pytest.mark.parametrize(
    ("config", "features", "effort"),
    [
        ({"effort": "low"}, {"effort"}, "low"),
        ({"effort": "xhigh"}, {"effort", "effort:xhigh"}, "xhigh"),
        ({"effort": None}, set(), ""),
        ({"format": {"type": "json_schema", "schema": {}}}, {"structured_output"}, ""),
        ({"effort": "max"}, {"effort", "effort:max"}, "max"),
        ({"task_budget": {"total": 5}}, {"param:output_config.task_budget"}, ""),
        ({"effort": 5}, {"odd:output_config"}, ""),
        (None, set(), ""),
    ],
)
def test_effort_and_form_of_the_output(config: object, features: set[str], effort: str) -> None:
    envelope = read(example_requests.messages(output_config=config))
    assert envelope.features - {"tools", "adaptive_thinking"} == features
    assert envelope.effort == effort


@pytest.mark.parametrize(
    ("more", "features"),
    [
        ({"temperature": 1, "top_p": 1.0}, set()),
        ({"temperature": 0}, {"sampling"}),
        ({"top_p": 0.9}, {"sampling"}),
        ({"top_k": 5}, {"sampling"}),
        ({"stop_sequences": ["x"], "service_tier": "auto", "speed": "standard"}, set()),
        ({"speed": "fast"}, {"speed"}),
        ({"mcp_servers": [{"type": "url"}]}, {"server_tools"}),
        ({"mcp_servers": []}, set()),
        ({"container": "c_1"}, {"server_tools", "stored"}),
        ({"thread": {"type": "create"}}, {"stored"}),
        ({"output_format": {"type": "json_schema"}}, {"structured_output"}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"parallel_tools"}),
        ({"tool_choice": {"type": "any"}}, {"forced_tools"}),
        ({"tool_choice": {"type": "tool", "name": "Tool0"}}, {"forced_tools"}),
        ({"tool_choice": {"type": "none"}}, set()),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": {"value": 1}}]}}, {"server_tools"}),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, {"server_tools"}),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, {"edit:compact_20260112"}),
        ({"safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}]}, {"safety_check"}),
        ({"safeguards": [{"type": "dangerous_tool_use"}, {"type": "of_tomorrow"}]}, {"safety_check", "safeguard:of_tomorrow"}),
        ({"safeguards": "all"}, {"odd:safeguards"}),
        ({"safeguards": []}, set()),
        ({"diagnostics": {"previous_message_id": None}}, {"cache_diagnosis"}),
        ({"diagnostics": {"previous_message_id": "msg_1"}}, {"cache_diagnosis"}),
        ({"thinking": {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}}, set()),
        ({"thinking": {"type": "adaptive", "of_tomorrow": True}}, {"param:thinking.of_tomorrow"}),
        ({"of_tomorrow": 1}, {"param:of_tomorrow"}),
        ({"of_tomorrow": None}, set()),
    ],
)
def test_what_parameters_ask_for(more: dict[str, Any], features: set[str]) -> None:
    assert asked(**more) == features


@pytest.mark.parametrize(
    ("tool", "features"),
    [
        ({"name": "a", "input_schema": {}, "defer_loading": True, "cache_control": {"type": "ephemeral"}}, set()),
        ({"type": "custom", "name": "a", "allowed_callers": ["direct"]}, set()),
        ({"name": "a", "strict": True}, {"structured_output"}),
        ({"name": "a", "input_examples": [{}]}, {"server_tools"}),
        ({"name": "a", "allowed_callers": ["code_execution_20250825"]}, {"server_tools"}),
        ({"type": "web_search_20250305", "name": "web_search"}, {"server_tools"}),
        ({"type": "web_search_20260318", "name": "web_search"}, {"tool:web_search_20260318"}),
        (5, {"odd:tools"}),
    ],
)
def test_what_tools_ask_for(tool: object, features: set[str]) -> None:
    assert asked(tools=[{"name": "b"}, tool]) | {"tools"} == features | {"tools"}


def test_tools_that_come_again_are_known_and_others_are_not_taken_for_them() -> None:
    first, same, other = (example_requests.messages(offered=n) for n in (3, 3, 2))
    assert [read(body).tools for body in (first, same, other, first)] == [3, 3, 2, 3]
    searching = {"type": "web_search_20250305", "name": "a", "input_schema": {"x": "y" * 70}}
    plain = searching | {"type": "custom_____________"[: len("web_search_20250305")]}
    assert "server_tools" in asked(tools=[searching])
    assert "server_tools" not in asked(tools=[plain])  # as long, and the same to the end


@pytest.mark.parametrize(
    ("block", "features"),
    [
        ({"type": "text", "text": "x"}, set()),
        ({"type": "image", "source": {"type": "base64", "data": "x"}}, {"images"}),
        ({"type": "document", "source": {"type": "base64", "data": "x"}}, {"images"}),
        ({"type": "document", "source": {"type": "text", "data": "x"}}, {"images"}),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, {"images", "stored"}),
        ({"type": "image"}, {"images", "odd:messages"}),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {"type": "url"}}]}, {"images"}),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference"}]}, {"server_tools"}),
        ({"type": "tool_result", "tool_use_id": "t"}, set()),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_result"}]}, {"block:tool_result"}),
        ({"type": "server_tool_use", "id": "s"}, {"server_tools"}),
        ({"type": "tool_addition", "tool": {}}, {"tool_changes"}),
        ({"type": "container_upload", "file_id": "f"}, {"server_tools", "stored"}),
        ({"type": "of_tomorrow"}, {"block:of_tomorrow"}),
        (7, {"odd:messages"}),
    ],
)
def test_what_blocks_ask_for(block: object, features: set[str]) -> None:
    assert said(block) == features


def test_a_system_message_may_set_the_effort_of_a_turn() -> None:
    assert said({"type": "text", "text": "x"}, role="system") == {"system_role"}
    assert said(role="system", output_config={"effort": "low"}) == {"system_role", "turn_effort"}
    assert said(role="system", output_config={}) == {"system_role"}


def test_the_beginning_of_the_answer_may_be_given() -> None:
    assert asked(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]) == {"prefill"}


@pytest.mark.parametrize("call", ["functions.read:0", "", "a" * 65, "é", 'a"b'])
def test_odd_ids_of_calls_are_for_the_model_that_made_them(call: str) -> None:
    assert said({"type": "tool_use", "id": call, "name": "a", "input": {}}, role="assistant") == {"tool_ids:odd"}
    assert said({"type": "tool_result", "tool_use_id": call, "content": "x"}) == {"tool_ids:odd"}


@pytest.mark.parametrize(
    "block", [{"type": "thinking", "thinking": "", "signature": "x"}, {"type": "redacted_thinking", "data": "x"}]
)
def test_thinking_that_is_sent_back_is_signed(block: object) -> None:
    messages = [{"role": "assistant", "content": [block]}, {"role": "user", "content": "go on"}]
    assert read(example_requests.messages(messages=messages)).signed


@pytest.mark.parametrize(("effort", "more"), [("high", set()), ("xhigh", {"effort:xhigh", "thinking_off:xhigh"})])
def test_thinking_that_is_off_is_refused_at_the_highest_efforts(effort: str, more: set[str]) -> None:
    envelope = read(example_requests.messages(thinking={"type": "disabled"}, output_config={"effort": effort}))
    assert envelope.features == {"tools", "effort", "thinking_off"} | more


def test_known_betas_ask_for_nothing_and_unknown_ones_for_themselves() -> None:
    body = example_requests.messages()
    known = "claude-code-20250219, interleaved-thinking-2025-05-14,context-management-2025-06-27,effort-2025-11-24"
    assert read(body, {"anthropic-beta": known}).features == ALWAYS
    assert read(body, {"anthropic-beta": f"{known},new-2027-01-01,"}).features == ALWAYS | {"beta:new-2027-01-01"}


CLAUDE_CODE = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20"
)
AUTO = ",thinking-display-updates-2026-08-18,dangerous-tool-use-2026-09-03,afk-mode-2026-01-31"
FIRST_PARTY = ",prompt-caching-scope-2026-01-05,thinking-binding-controls-2026-08-01,cache-diagnosis-2026-04-07"


@pytest.mark.parametrize(
    ("model", "thinking", "config", "betas"),
    [
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 31999, "display": "omitted"}, None, CLAUDE_CODE),
        ("claude-sonnet-4-6", {"type": "adaptive"}, {"effort": "high"}, f"{CLAUDE_CODE},effort-2025-11-24"),
        ("claude-opus-4-6", {"type": "adaptive"}, {"effort": "high"}, f"{CLAUDE_CODE},context-1m-2025-08-07"),
    ],
)
def test_what_claude_code_sends_to_a_model_fits_that_model(model: str, thinking: object, config: object, betas: str) -> None:
    body = example_requests.messages(model=model, thinking=thinking, output_config=config)
    known = Catalog.load().resolve(model)
    assert known is not None
    assert read(body, {"anthropic-beta": betas}).features <= known.features
    # In a terminal it begins in auto mode, and behind Anthropic's own address it asks for more.
    more = {"safeguards": [{"type": "dangerous_tool_use"}], "diagnostics": {"previous_message_id": None}}
    assert read(body | more, {"anthropic-beta": betas + AUTO + FIRST_PARTY}).features <= known.features


def test_who_is_asked_whether_a_call_is_safe_is_left_to_claude_code() -> None:
    classifier = f"{CLAUDE_CODE},auto-mode-classifier-2026-07-16"
    found = read(example_requests.messages(), {"anthropic-beta": classifier}).features - ALWAYS
    assert found == {"beta:auto-mode-classifier-2026-07-16"}


@pytest.mark.parametrize(
    ("headers", "user", "session"),
    [
        ({"x-claude-code-session-id": "h", "x-session-id": "i"}, '{"session_id":"b"}', "h"),
        ({"x-session-id": "i"}, '{"session_id":"b"}', "i"),
        ({}, '{"device_id":"d","session_id":"b"}', "b"),
        ({}, "user_abc_account__session_01-02", "01-02"),
        ({}, "somebody", ""),
        ({}, '{"session_id":5}', ""),
        ({}, None, ""),
        ({"x-session-id": "a\nb"}, '{"session_id":"b"}', "b"),
        ({"x-session-id": "a" * 201}, None, ""),
    ],
)
def test_where_the_session_stands(headers: dict[str, str], user: str | None, session: str) -> None:
    assert read(example_requests.messages(metadata={"user_id": user}), headers).session == session


def test_text_counts_by_its_length_and_images_each_by_itself() -> None:
    def prompt(*content: Any) -> int:
        return read({"model": "m", "messages": [{"role": "user", "content": list(content)}]}).prompt

    text = {"type": "text", "text": "word " * 8000}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 3_000_000}}
    assert prompt(text) == pytest.approx(10_000, rel=0.01)
    assert prompt(text, image, image) == pytest.approx(13_200, rel=0.02)
    document = {"type": "document", "source": {"type": "base64", "data": "A" * 600_000}}
    assert prompt(document) == pytest.approx(30_000, rel=0.01)
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    assert prompt(result) == pytest.approx(1600, rel=0.1)


def test_tools_and_system_count_as_well() -> None:
    bare = read({"model": "m", "messages": []}).prompt
    more = read({"model": "m", "messages": [], "system": "x" * 4000, "tools": [{"name": "y" * 4000}]}).prompt
    assert more - bare == pytest.approx(2000, rel=0.01)


# Answers.

USED = {"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30, "output_tokens": 1}
START = {"type": "message_start", "message": {"model": "claude-haiku-4-5", "stop_reason": None, "usage": USED}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"type":"error"'}}
STOP = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 50}}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
PING = {"type": "ping"}
WHOLE: list[dict[str, Any]] = [
    START,
    {"type": "content_block_start", "index": 0},
    PING,
    DELTA,
    DELTA,
    STOP,
    {"type": "message_stop"},
]
TOKENS = Tokens(input=10, output=50, cache_read=200, cache_write=30)


def stream(*events: Mapping[str, Any], named: bool = True) -> bytes:
    name = "event: {}\n" if named else ""
    return b"".join(f"{name.format(one['type'])}data: {json.dumps(one)}\n\n".encode() for one in events)


def after(*events: Mapping[str, Any]) -> Reader:
    reader = MESSAGES.reader(stream=True)
    reader.feed(stream(*events))
    return reader


@given(st.lists(st.integers(0, len(stream(*WHOLE))), max_size=8), st.booleans())
def test_a_stream_is_read_however_it_is_cut(places: list[int], named: bool) -> None:
    text = stream(*WHOLE, named=named)
    reader = MESSAGES.reader(stream=True)
    for start, end in zip([0, *sorted(places)], [*sorted(places), len(text)], strict=True):
        reader.feed(text[start:end])
    reader.close()
    assert (reader.tokens, reader.model, reader.stop) == (TOKENS, "claude-haiku-4-5", "tool_use")
    assert (reader.began, reader.ended, reader.failure) == (True, True, None)


def test_an_answer_in_one_piece() -> None:
    reader = MESSAGES.reader(stream=False)
    body = {"type": "message", "model": "m", "content": [], "stop_reason": "end_turn", "usage": USED}
    for byte in json.dumps(body).encode():
        reader.feed(bytes([byte]))
    assert reader.tokens is None
    reader.close()
    assert reader.tokens == Tokens(input=10, output=1, cache_read=200, cache_write=30)
    assert (reader.model, reader.stop, reader.began, reader.ended) == ("m", "end_turn", True, True)


def test_the_last_word_on_the_prompt_counts() -> None:
    late = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 12, "output_tokens": 5}}
    assert after(START, late).tokens == Tokens(input=12, output=5, cache_read=200, cache_write=30)


@pytest.mark.parametrize(("said", "kept"), [(20, 20), (0, 0), (None, 0), (31, 30)])
def test_what_the_cache_keeps_for_an_hour_is_read(said: int | None, kept: int) -> None:
    used = {**USED, "cache_creation": {"ephemeral_1h_input_tokens": said, "ephemeral_5m_input_tokens": 10}}
    start = {"type": "message_start", "message": {"model": "m", "usage": used}}
    reader = after(start, STOP)
    assert (reader.written_1h, reader.tokens) == (kept, TOKENS)


def test_whose_thinking_it_is_is_read_in_passing() -> None:
    signature = {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln\\u00e9"}}
    hidden = {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "ZGF0YQ=="}}
    said = {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "a signature_delta"}}
    reader = after(START, signature, hidden, said)
    assert reader.signed == [digest("c2ln\\u00e9"), digest("ZGF0YQ==")]
    whole = MESSAGES.reader(stream=False)
    thought = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    body = {"type": "message", "model": "m", "content": [thought, {"type": "text", "text": "x"}], "usage": USED}
    whole.feed(json.dumps(body).encode())
    whole.close()
    assert whole.signed == [digest("c2ln")]


def test_pings_and_comments_begin_nothing() -> None:
    reader = after(PING, PING)
    reader.feed(b": waiting\n\n")
    assert not reader.began
    reader.feed(stream(START))
    assert reader.began


def test_an_error_as_the_first_event_comes_before_the_answer_has_begun() -> None:
    reader = after(PING, ERROR)
    assert (reader.began, reader.ended) == (False, False)
    assert reader.failure == ("overloaded_error", "Overloaded")


def test_an_error_in_the_middle_leaves_what_was_said() -> None:
    reader = after(START, DELTA, ERROR)
    assert (reader.began, reader.ended) == (True, False)
    assert reader.failure == ("overloaded_error", "Overloaded")
    assert reader.tokens == Tokens(input=10, output=1, cache_read=200, cache_write=30)


def test_a_stream_that_is_cut_has_not_ended() -> None:
    reader = after(START, DELTA)
    reader.close()
    assert (reader.began, reader.ended, reader.stop) == (True, False, "")


@pytest.mark.parametrize("text", [b"event: error\ndata: busy\n\n", b'event: error\ndata: "busy"\n\n'])
def test_an_error_that_is_no_json_is_one_all_the_same(text: bytes) -> None:
    reader = MESSAGES.reader(stream=True)
    reader.feed(text)
    assert reader.failure is not None
    assert "busy" in reader.failure[1]


def test_an_error_as_a_body() -> None:
    reader = MESSAGES.reader(stream=False)
    reader.feed(json.dumps(ERROR).encode())
    reader.close()
    assert reader.failure == ("overloaded_error", "Overloaded")
    assert (reader.began, reader.ended) == (False, False)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"usage":5}'])
def test_of_a_body_that_is_no_answer_nothing_is_known(body: bytes) -> None:
    reader = MESSAGES.reader(stream=False)
    reader.feed(body)
    reader.close()
    assert (reader.tokens, reader.began, reader.ended, reader.failure) == (None, False, False, None)


# Errors of our own.


def test_errors_are_written_as_the_provider_would() -> None:
    assert json.loads(MESSAGES.error(402, "budget", "It is used up.")) == {
        "type": "error",
        "error": {"type": "billing_error", "message": "It is used up."},
    }
    words = {
        "invalid": "invalid_request_error",
        "authentication": "authentication_error",
        "not_found": "not_found_error",
        "too_large": "request_too_large",
        "rate_limit": "rate_limit_error",
        "overloaded": "overloaded_error",
        "upstream": "api_error",
        "whatever": "api_error",
    }
    assert {kind: json.loads(MESSAGES.error(400, kind, "x"))["error"]["type"] for kind in words} == words


def test_an_error_event_is_read_as_one() -> None:
    reader = MESSAGES.reader(stream=True)
    reader.feed(MESSAGES.error_event("overloaded", 'It broke "off".\n'))
    assert reader.failure == ("overloaded_error", 'It broke "off".\n')


def test_nothing_that_follows_a_failure_makes_an_answer_of_it() -> None:
    reader = after(ERROR, START, DELTA, {"type": "message_stop"})
    assert (reader.began, reader.ended, reader.failure) == (False, False, ("overloaded_error", "Overloaded"))
