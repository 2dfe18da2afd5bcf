import json
from collections.abc import Mapping
from typing import Any

import example_requests
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.protocols import CHAT, WIRES
from stepdown.gateway.wire import Envelope, Reader, Unreadable
from stepdown.units import Tokens


def read(body: object, headers: Mapping[str, str] = {}) -> Envelope:
    return CHAT.read(json.dumps(body).encode(), headers)


def asked(**more: Any) -> set[str]:
    return set(read(example_requests.chat(**more)).features) - {"tools"}


def said(*messages: Any) -> set[str]:
    return asked(messages=list(messages))


def test_it_is_called_by_its_name() -> None:
    assert WIRES["chat"] is CHAT
    assert (CHAT.path, CHAT.output_key) == ("/v1/chat/completions", "max_completion_tokens")


def test_the_envelope_of_a_request() -> None:
    body = json.dumps(example_requests.chat(max_tokens=900, reasoning_effort="low")).encode()
    envelope = CHAT.read(body, {"x-session-affinity": "s"})
    assert (envelope.model, envelope.stream, envelope.tools) == ("gpt-5.4", True, 3)
    assert (envelope.effort, envelope.thinking, envelope.signed) == ("low", "", False)
    assert envelope.features == {"tools", "effort"}
    assert body[slice(*envelope.spans["model"])] == b'"gpt-5.4"'
    assert envelope.session == "s"
    assert envelope.prompt == pytest.approx(len(body) / 4, rel=0.15)


@pytest.mark.parametrize(
    ("more", "key", "output"),
    [
        ({"max_tokens": 5}, "max_tokens", 5),
        ({"max_completion_tokens": 6}, "max_completion_tokens", 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens", 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, "max_tokens", 5),
        ({}, "max_completion_tokens", None),
    ],
)
def test_the_most_output_stands_under_either_key(more: dict[str, Any], key: str, output: int | None) -> None:
    envelope = read(example_requests.chat(**more))
    assert (envelope.output_key, envelope.output) == (key, output)
    assert not envelope.features - {"tools"}


def test_a_request_that_names_no_model_is_refused() -> None:
    with pytest.raises(Unreadable, match="'model'"):
        read({"messages": []})


@pytest.mark.parametrize(
    ("more", "features"),
    [
        ({"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "n": 1}, set()),
        ({"temperature": 0.2}, {"sampling"}),
        ({"presence_penalty": 0.5}, {"sampling"}),
        ({"frequency_penalty": "x"}, {"sampling"}),
        ({"logprobs": True, "top_logprobs": 3}, {"sampling"}),
        ({"logprobs": False, "logit_bias": {}, "stop": None}, set()),
        ({"stop": ["\n"]}, {"sampling"}),
        ({"n": 2}, {"param:n"}),
        ({"reasoning_effort": "minimal"}, {"effort", "effort:minimal"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"structured_output"}),
        ({"response_format": {"type": "json_object"}}, {"structured_output"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"web_search_options": {"search_context_size": "low"}}, {"server_tools"}),
        ({"parallel_tool_calls": False}, {"parallel_tools"}),
        ({"parallel_tool_calls": False, "tools": []}, set()),
        ({"service_tier": "auto"}, set()),
        ({"service_tier": "flex"}, {"param:service_tier"}),
        ({"modalities": ["text", "audio"]}, {"param:modalities"}),
        ({"verbosity": "low"}, {"verbosity"}),
        ({"verbosity": "medium"}, set()),
        ({"tool_choice": "none"}, set()),
        ({"tool_choice": "required"}, {"forced_tools"}),
        ({"tool_choice": {"type": "function", "function": {"name": "tool0"}}}, {"forced_tools"}),
        ({"thinking": {"type": "enabled"}}, {"param:thinking"}),
        ({"user": "u", "seed": 1, "store": True, "metadata": {}, "prompt_cache_key": "k"}, set()),
    ],
)
def test_what_parameters_ask_for(more: dict[str, Any], features: set[str]) -> None:
    assert asked(**more) == features


@pytest.mark.parametrize(
    ("tool", "features"),
    [
        ({"type": "function", "function": {"name": "a", "strict": False}}, set()),
        ({"type": "function", "function": {"name": "a", "strict": True}}, {"structured_output"}),
        ({"type": "custom", "custom": {"name": "a"}}, {"server_tools"}),
        ({"type": "of_tomorrow"}, {"tool:of_tomorrow"}),
        ("a", {"odd:tools"}),
    ],
)
def test_what_tools_ask_for(tool: object, features: set[str]) -> None:
    assert asked(tools=[tool]) == features


def test_more_than_128_tools_are_for_those_who_take_them() -> None:
    assert asked(tools=[{"type": "function"}] * 128) == set()
    assert asked(tools=[{"type": "function"}] * 129) == {"tools:129+"}
    assert read(example_requests.chat(offered=141)).tools == 141


@pytest.mark.parametrize(
    ("message", "features"),
    [
        ({"role": "system", "content": "x"}, set()),
        ({"role": "developer", "content": "x"}, {"system_role"}),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}, {"images"}),
        ({"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}}]}, {"images"}),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]}, {"images", "stored"}),
        ({"role": "user", "content": [{"type": "input_audio"}]}, {"block:input_audio"}),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "x"}]}, set()),
        ({"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function"}]}, set()),
        ({"role": "assistant", "tool_calls": [{"id": "functions.a:0", "type": "function"}]}, {"tool_ids:odd"}),
        ({"role": "tool", "tool_call_id": "functions.a:0", "content": "x"}, {"tool_ids:odd"}),
        ({"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}, {"server_tools"}),
        ("hello", {"odd:messages"}),
    ],
)
def test_what_messages_ask_for(message: object, features: set[str]) -> None:
    assert said(message) == features


@pytest.mark.parametrize(
    ("more", "signed"),
    [
        ({}, False),
        ({"reasoning_details": [], "reasoning_content": None, "reasoning": ""}, False),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, True),
        ({"reasoning_content": "I think"}, True),
        ({"tool_calls": [{"id": "a", "extra_content": {"google": {"thought_signature": "x"}}}]}, True),
    ],
)
def test_thinking_that_is_sent_back_is_signed(more: dict[str, Any], signed: bool) -> None:
    assert read(example_requests.chat(messages=[{"role": "assistant", "content": "x", **more}])).signed is signed


def test_images_count_as_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2_000_000}}
    assert read({"model": "m", "messages": [{"role": "user", "content": [image]}]}).prompt == pytest.approx(1600, rel=0.05)


# Answers.


def chunk(delta: Mapping[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    body = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-5.4-mini", "choices": choices, "usage": None, **more}
    return f"data: {json.dumps(body)}\n\n".encode()


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
TEXT = chunk({"content": '"usage":{ "finish_reason":"stop" [DONE]'})
FINISH = chunk({}, finish="tool_calls")
USED = {
    "prompt_tokens": 240,
    "completion_tokens": 50,
    "total_tokens": 290,
    "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
}
USAGE = chunk(usage=USED)
DONE = b"data: [DONE]\n\n"
WHOLE = ROLE + TEXT + TEXT + FINISH + USAGE + DONE
TOKENS = Tokens(input=10, output=50, cache_read=200, cache_write=30)


def after(*pieces: bytes) -> Reader:
    reader = CHAT.reader(stream=True)
    for piece in pieces:
        reader.feed(piece)
    return reader


@given(st.lists(st.integers(0, len(WHOLE)), max_size=8))
def test_a_stream_is_read_however_it_is_cut(places: list[int]) -> None:
    reader = CHAT.reader(stream=True)
    for start, end in zip([0, *sorted(places)], [*sorted(places), len(WHOLE)], strict=True):
        reader.feed(WHOLE[start:end])
    assert (reader.tokens, reader.model, reader.stop) == (TOKENS, "gpt-5.4-mini", "tool_calls")
    assert (reader.began, reader.ended, reader.failure) == (True, True, None)


def test_without_a_usage_chunk_the_use_is_unknown() -> None:
    reader = after(ROLE, TEXT, FINISH, DONE)
    assert (reader.tokens, reader.ended, reader.stop) == (None, True, "tool_calls")


def test_what_is_said_inside_a_text_is_not_believed() -> None:
    reader = after(ROLE, TEXT)
    assert (reader.stop, reader.tokens, reader.ended, reader.failure) == ("", None, False, None)


def test_a_reason_to_stop_is_a_proper_end_where_nothing_is_said_of_one() -> None:
    reader = after(ROLE, TEXT, FINISH)
    assert not reader.ended
    reader.close()
    assert reader.ended
    cut = after(ROLE, TEXT)
    cut.close()
    assert not cut.ended


@pytest.mark.parametrize(
    ("used", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Tokens(input=5, output=2)),
        # DeepSeek, Moonshot.
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, Tokens(input=1, output=2, cache_read=4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 3}, Tokens(input=2, output=2, cache_read=3)),
        # Google and xAI: thinking is in the total alone.
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 17}, Tokens(input=5, output=12)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
            Tokens(output=2, cache_read=9),
        ),
        ({"completion_tokens": 2}, None),
    ],
)
def test_how_providers_tell_their_use(used: dict[str, Any], tokens: Tokens | None) -> None:
    assert after(ROLE, TEXT, chunk(usage=used)).tokens == tokens


def test_moonshot_tells_its_use_inside_the_last_choice() -> None:
    body = {"choices": [{"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}]}
    assert after(TEXT, f"data: {json.dumps(body)}\n\n".encode()).tokens == Tokens(input=5, output=2)


def test_comments_and_a_role_begin_nothing() -> None:
    reader = after(b": OPENROUTER PROCESSING\n\n", ROLE, chunk())
    assert not reader.began
    reader.feed(TEXT)
    assert reader.began
    assert after(chunk({"tool_calls": [{"index": 0}]})).began
    assert after(chunk({}, finish="stop")).began


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"message": "Busy", "type": "server_error", "code": None}, ("server_error", "Busy")),
        ({"message": "Busy", "type": "x", "code": "rate_limit_exceeded"}, ("rate_limit_exceeded", "Busy")),
        ({"message": "Busy", "code": 502}, ("502", "Busy")),
        ("Busy", ("error", "Busy")),
    ],
)
def test_an_error_as_the_first_event_comes_before_the_answer_has_begun(error: object, failure: tuple[str, str]) -> None:
    reader = after(f"data: {json.dumps({'error': error})}\n\n".encode())
    assert (reader.failure, reader.began, reader.ended) == (failure, False, False)


def test_an_error_in_the_middle_leaves_what_was_said() -> None:
    broken = chunk({"content": ""}, finish="error", error={"code": 502, "message": "Gone"})
    reader = after(ROLE, TEXT, broken)
    reader.close()
    assert (reader.failure, reader.began, reader.ended) == (("502", "Gone"), True, False)


def test_an_answer_in_one_piece() -> None:
    reader = CHAT.reader(stream=False)
    message = {"role": "assistant", "content": "x"}
    body = {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}], "usage": USED}
    reader.feed(json.dumps(body).encode())
    reader.close()
    assert (reader.tokens, reader.model, reader.stop) == (TOKENS, "m", "stop")
    assert (reader.began, reader.ended) == (True, True)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"usage":5}', b'{"error":null}'])
def test_of_a_body_that_is_no_answer_nothing_is_known(body: bytes) -> None:
    reader = CHAT.reader(stream=False)
    reader.feed(body)
    reader.close()
    assert (reader.tokens, reader.began, reader.ended, reader.failure) == (None, False, False, None)


# Errors of our own.


def test_errors_are_written_as_the_provider_would() -> None:
    assert json.loads(CHAT.error(402, "budget", "It is used up.")) == {
        "error": {"message": "It is used up.", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
    }
    kinds = ("invalid", "authentication", "not_found", "too_large", "rate_limit", "overloaded", "upstream", "whatever")
    errors = [json.loads(CHAT.error(400, kind, "x"))["error"] for kind in kinds]
    assert [error["code"] for error in errors] == [
        *(None, "invalid_api_key", "model_not_found", "request_too_large", "rate_limit_exceeded"),
        *("server_error", "server_error", "server_error"),
    ]


def test_an_error_event_is_read_as_one() -> None:
    assert after(TEXT, CHAT.error_event("overloaded", "It broke off.")).failure == ("server_error", "It broke off.")


def test_nothing_that_follows_a_failure_makes_an_answer_of_it() -> None:
    reader = after(CHAT.error_event("overloaded", "Busy") + ROLE + TEXT + FINISH + DONE)
    reader.close()
    assert (reader.began, reader.ended, reader.failure) == (False, False, ("server_error", "Busy"))
