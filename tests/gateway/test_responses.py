import json
from collections.abc import Mapping
from typing import Any

import example_requests
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.gateway.protocols import RESPONSES, WIRES
from stepdown.gateway.wire import Envelope, Reader, Unreadable
from stepdown.units import Tokens

ALWAYS = {"tools", "parallel_tools", "system_role"}
"""What `example_requests.responses` asks for."""


def read(body: object, headers: Mapping[str, str] = {}) -> Envelope:
    return RESPONSES.read(json.dumps(body).encode(), headers)


def asked(**more: Any) -> set[str]:
    return set(read(example_requests.responses(**more)).features) - ALWAYS


def given_items(*items: Any) -> Envelope:
    return read(example_requests.responses(input=list(items)))


def test_it_is_called_by_its_name() -> None:
    assert WIRES["responses"] is RESPONSES
    assert (RESPONSES.path, RESPONSES.output_key) == ("/v1/responses", "max_output_tokens")


def test_the_envelope_of_a_request() -> None:
    body = json.dumps(example_requests.responses(max_output_tokens=7, reasoning={"effort": "high", "summary": "auto"})).encode()
    envelope = RESPONSES.read(body, {"session-id": "s", "thread-id": "t"})
    assert (envelope.model, envelope.stream, envelope.tools) == ("gpt-5.4", True, 3)
    assert (envelope.output, envelope.output_key, envelope.effort) == (7, "max_output_tokens", "high")
    assert (envelope.thinking, envelope.signed) == ("", False)
    assert envelope.features == ALWAYS | {"effort"}
    assert body[slice(*envelope.spans["model"])] == b'"gpt-5.4"'
    assert envelope.session == "t"
    assert envelope.prompt == pytest.approx(len(body) / 4, rel=0.2)


def test_a_request_of_one_line() -> None:
    envelope = read({"model": "m", "input": "hi", "store": False})
    assert envelope.features == set()
    assert envelope.output is None
    assert read(example_requests.responses()).session == "k-1"


def test_a_request_that_names_no_model_is_refused() -> None:
    with pytest.raises(Unreadable, match="'model'"):
        read({"input": "hi"})


def test_what_codex_sends_fits_the_models_of_its_line() -> None:
    tools: list[Any] = [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}, {"type": "web_search"}]
    envelope = read(example_requests.responses(tools=tools))
    for name in ("gpt-5.4", "gpt-5.4-mini"):
        model = Catalog.load().resolve(name)
        assert model is not None
        assert envelope.features <= model.features


@pytest.mark.parametrize(
    ("more", "features"),
    [
        ({"temperature": 1}, set()),
        ({"temperature": 0.5}, {"sampling"}),
        ({"top_logprobs": 2}, {"sampling"}),
        ({"previous_response_id": "resp_1"}, {"stored"}),
        ({"previous_response_id": None, "background": False}, set()),
        ({"conversation": {"id": "c"}}, {"stored"}),
        ({"background": True}, {"stored"}),
        ({"store": True}, {"server_tools"}),
        ({"store": None}, {"server_tools"}),
        ({"truncation": "disabled"}, set()),
        ({"truncation": "auto"}, {"server_tools"}),
        ({"service_tier": "priority"}, {"param:service_tier"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, set()),
        ({"text": {"format": {"type": "json_schema"}}}, {"structured_output"}),
        ({"text": {"verbosity": "low"}}, {"verbosity"}),
        ({"tool_choice": "required"}, {"forced_tools"}),
        ({"tool_choice": {"type": "function", "name": "tool0"}}, {"forced_tools"}),
        ({"reasoning": {"effort": "xhigh"}}, {"effort", "effort:xhigh"}),
        ({"reasoning": {"effort": "low", "context": "all_turns"}}, {"effort", "reasoning_context"}),
        ({"reasoning": None, "text": None}, set()),
        ({"reasoning": "low"}, {"odd:reasoning"}),
        ({"of_tomorrow": 1}, {"param:of_tomorrow"}),
        ({"input": 5}, {"odd:input"}),
    ],
)
def test_what_parameters_ask_for(more: dict[str, Any], features: set[str]) -> None:
    assert asked(**more) == features


def test_that_an_answer_is_kept_is_what_happens_where_nothing_is_said() -> None:
    assert read({"model": "m", "input": "hi"}).features == {"server_tools"}


@pytest.mark.parametrize(
    ("tool", "features", "count"),
    [
        ({"type": "function", "name": "a", "strict": True}, {"structured_output"}, 1),
        ({"type": "web_search", "external_web_access": False}, {"server_tools"}, 1),
        ({"type": "custom", "name": "apply_patch", "format": {}}, {"server_tools"}, 1),
        ({"type": "namespace", "name": "n", "tools": [{"type": "function"}, {"type": "function"}]}, {"tool_search"}, 2),
        ({"type": "namespace", "name": "n", "tools": [{"type": "of_tomorrow"}]}, {"tool_search", "tool:of_tomorrow"}, 1),
        ({"type": "tool_search"}, {"tool_search"}, 1),
        ({"type": "of_tomorrow"}, {"tool:of_tomorrow"}, 1),
    ],
)
def test_what_tools_ask_for(tool: object, features: set[str], count: int) -> None:
    assert asked(tools=[tool]) == features
    assert read(example_requests.responses(tools=[tool])).tools == count


def test_more_than_128_tools_are_for_those_who_take_them() -> None:
    assert asked(tools=[{"type": "function"}] * 128) == set()
    assert asked(tools=[{"type": "function"}] * 129) == {"tools:129+"}


def test_namespaces_without_an_end_are_not_followed_for_ever() -> None:
    tool: dict[str, Any] = {"type": "function"}
    for _ in range(50):
        tool = {"type": "namespace", "tools": [tool]}
    assert read(example_requests.responses(tools=[tool])).tools == 1


def test_tools_may_come_as_an_item() -> None:
    tools = [{"type": "namespace", "tools": [{"type": "custom"}, {"type": "function"}]}]
    item = {"type": "additional_tools", "role": "developer", "tools": tools}
    envelope = read({"model": "m", "input": [item], "store": False})
    assert envelope.features == {"additional_tools", "server_tools", "tool_search", "tools"}
    assert envelope.tools == 2


@pytest.mark.parametrize(
    ("item", "features"),
    [
        ({"role": "user", "content": "x"}, set()),
        ({"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}, {"images"}),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}, {"images", "stored"}),
        ({"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}, {"images"}),
        ({"role": "user", "content": [{"type": "of_tomorrow"}]}, {"block:of_tomorrow"}),
        ({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image", "image_url": "x"}]}, {"images"}),
        ({"type": "function_call", "call_id": "functions.a:0"}, {"tool_ids:odd"}),
        ({"type": "custom_tool_call", "call_id": "a", "input": "x"}, {"server_tools"}),
        ({"type": "computer_call_output", "call_id": "a", "output": {"type": "computer_screenshot"}}, {"server_tools"}),
        ({"type": "web_search_call", "id": "ws"}, {"server_tools"}),
        ({"type": "item_reference", "id": "i"}, {"stored"}),
        ({"type": "of_tomorrow"}, {"item:of_tomorrow"}),
        ("x", {"odd:input"}),
    ],
)
def test_what_items_ask_for(item: object, features: set[str]) -> None:
    assert set(given_items(item).features) - ALWAYS == features


def test_reasoning_that_is_sent_back_is_signed() -> None:
    envelope = given_items({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"})
    assert envelope.signed
    assert "stored" not in envelope.features
    assert given_items({"type": "compaction", "encrypted_content": "x"}).signed


def test_reasoning_of_which_only_the_id_is_sent_is_kept_by_the_provider() -> None:
    assert "stored" in given_items({"type": "reasoning", "id": "rs", "summary": []}).features


def test_images_count_as_images() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 2_000_000}
    assert given_items({"role": "user", "content": [image]}).prompt == pytest.approx(1800, rel=0.2)


# Answers.

USED = {
    "input_tokens": 240,
    "input_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
    "output_tokens": 50,
    "total_tokens": 290,
}
CREATED = {
    "type": "response.created",
    "response": {"model": "gpt-5.4-mini", "status": "in_progress", "error": None, "usage": None},
}
ADDED = {"type": "response.output_item.added", "item": {"type": "message"}}
DELTA = {"type": "response.output_text.delta", "delta": 'event: error "response.failed"'}
DONE: dict[str, Any] = {
    "model": "gpt-5.4-mini",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "output": [],
    "usage": USED,
}
COMPLETED = {"type": "response.completed", "response": DONE}
FAILED = {
    "type": "response.failed",
    "response": {"status": "failed", "error": {"code": "server_is_overloaded", "message": "Busy"}},
}
WHOLE: list[dict[str, Any]] = [CREATED, CREATED | {"type": "response.in_progress"}, ADDED, DELTA, DELTA, COMPLETED]
TOKENS = Tokens(input=10, output=50, cache_read=200, cache_write=30)


def stream(*events: Mapping[str, Any], named: bool = True) -> bytes:
    name = "event: {}\n" if named else ""
    return b"".join(f"{name.format(one['type'])}data: {json.dumps(one)}\n\n".encode() for one in events)


def after(*events: Mapping[str, Any]) -> Reader:
    reader = RESPONSES.reader(stream=True)
    reader.feed(stream(*events))
    return reader


@given(st.lists(st.integers(0, len(stream(*WHOLE))), max_size=8), st.booleans())
def test_a_stream_is_read_however_it_is_cut(places: list[int], named: bool) -> None:
    text = stream(*WHOLE, named=named)
    reader = RESPONSES.reader(stream=True)
    for start, end in zip([0, *sorted(places)], [*sorted(places), len(text)], strict=True):
        reader.feed(text[start:end])
    reader.close()
    assert (reader.tokens, reader.model, reader.stop) == (TOKENS, "gpt-5.4-mini", "completed")
    assert (reader.began, reader.ended, reader.failure) == (True, True, None)


def test_an_incomplete_answer_has_ended_and_says_why() -> None:
    cut = DONE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    reader = after(CREATED, DELTA, {"type": "response.incomplete", "response": cut})
    assert (reader.ended, reader.stop, reader.tokens) == (True, "max_output_tokens", TOKENS)


def test_a_failure_before_anything_was_said_comes_before_the_answer_has_begun() -> None:
    reader = after(CREATED, CREATED | {"type": "response.in_progress"}, FAILED)
    assert (reader.began, reader.ended) == (False, False)
    assert reader.failure == ("server_is_overloaded", "Busy")


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "server_error", "message": "Gone", "param": None},
        {"type": "error", "error": {"type": "server_error", "code": None, "message": "Gone"}},
    ],
)
def test_an_error_in_the_middle_leaves_what_was_said(error: Mapping[str, Any]) -> None:
    reader = after(CREATED, ADDED, DELTA, error)
    assert (reader.began, reader.ended, reader.failure) == (True, False, ("server_error", "Gone"))


def test_what_is_said_inside_a_text_is_not_believed() -> None:
    reader = after(CREATED, ADDED, DELTA)
    reader.close()
    assert (reader.began, reader.ended, reader.failure, reader.tokens) == (True, False, None, None)


def test_an_answer_in_one_piece() -> None:
    reader = RESPONSES.reader(stream=False)
    reader.feed(json.dumps(DONE).encode())
    reader.close()
    assert (reader.tokens, reader.model, reader.stop) == (TOKENS, "gpt-5.4-mini", "completed")
    assert (reader.began, reader.ended) == (True, True)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ({"error": {"type": "server_error", "code": None, "message": "Busy"}}, ("server_error", "Busy")),
        ({"status": "failed", "error": {"code": "server_error", "message": "Busy"}}, ("server_error", "Busy")),
        ({"status": "failed", "error": None}, ("error", "")),
    ],
)
def test_an_error_as_a_body(body: object, failure: tuple[str, str]) -> None:
    reader = RESPONSES.reader(stream=False)
    reader.feed(json.dumps(body).encode())
    reader.close()
    assert (reader.failure, reader.began, reader.ended) == (failure, False, False)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"usage":5}'])
def test_of_a_body_that_is_no_answer_nothing_is_known(body: bytes) -> None:
    reader = RESPONSES.reader(stream=False)
    reader.feed(body)
    reader.close()
    assert (reader.tokens, reader.began, reader.ended, reader.failure) == (None, False, False, None)


# Errors of our own.


def test_errors_are_written_as_the_provider_would() -> None:
    assert json.loads(RESPONSES.error(402, "budget", "It is used up.")) == {
        "error": {"message": "It is used up.", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
    }


def test_an_error_event_says_it_in_both_ways() -> None:
    text = RESPONSES.error_event("overloaded", "It broke off.")
    events = [json.loads(block.partition("data: ")[2]) for block in text.decode().strip().split("\n\n")]
    assert [event["type"] for event in events] == ["error", "response.failed"]
    assert events[0]["error"]["code"] == events[1]["response"]["error"]["code"] == "server_error"
    for event in events:
        assert after(event).failure == ("server_error", "It broke off.")
