from typing import Any

import pytest

from stepdown.agents.claude_events import Transcript
from stepdown.agents.port import Event, Finished, Started, Step, Used
from stepdown.units import Tokens


def assistant(key: str, *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0}
    return {"type": "assistant", "message": {"id": key, "model": "claude-x", "content": list(blocks), "usage": usage}, **more}


def result(**more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 20, "output_tokens": 50, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 0}
    plain = {"type": "result", "subtype": "success", "is_error": False, "result": "done", "usage": usage, "total_cost_usd": 0.5}
    return plain | more


def read(*events: dict[str, Any]) -> tuple[list[Event], Finished]:
    transcript = Transcript()
    seen = [found for event in events for found in transcript.read(event)]
    assert transcript.finished is not None
    return seen, transcript.finished


def test_usage_counts_once_per_message_and_adds_up_to_the_total() -> None:
    seen, finished = read(
        {"type": "system", "subtype": "init", "model": "claude-x", "session_id": "s"},
        assistant("m1", {"type": "text", "text": "Look"}),
        assistant("m1", {"type": "tool_use", "name": "Read", "input": {"file_path": "/a"}}),
        {"type": "user", "message": {"content": [{"type": "tool_result", "content": "no\nfile", "is_error": True}]}},
        assistant("m2", {"type": "text", "text": "done"}),
        result(),
    )
    assert seen[0] == Started(model="claude-x", session="s")
    assert [event for event in seen if isinstance(event, Step)] == [
        Step("text", detail="Look"),
        Step("tool", name="Read", detail="/a"),
        Step("result", detail="no file", error=True),
        Step("text", detail="done"),
    ]
    used = sum((event.tokens for event in seen if isinstance(event, Used)), Tokens())
    total = Tokens(input=20, output=50, cache_read=200)
    assert used == total
    assert finished == Finished(tokens=total, cost_usd=0.5, requests=2, model="claude-x", text="done")


def test_models_of_sub_agents_count_too() -> None:
    both = {"a": {"inputTokens": 20, "outputTokens": 5}, "b": {"inputTokens": 7, "outputTokens": 1}}
    _, finished = read(assistant("m1"), result(modelUsage=both))
    assert finished.tokens == Tokens(input=27, output=6)


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (result(is_error=True, api_error_status=529), "provider"),
        (result(is_error=True, api_error_status=429), "provider"),
        (result(is_error=True, api_error_status=404), "rejected"),
        (result(is_error=True, api_error_status=401), "rejected"),
        (result(is_error=True, api_error_status=402), "budget"),
        (result(is_error=True, stop_reason="refusal"), "quality"),
        (result(is_error=True, result="API Error: Connection lost"), "provider"),
        (result(is_error=True, result="I gave up"), "quality"),
        (result(is_error=True, subtype="error_max_turns"), "quality"),
        (result(is_error=True, subtype="error_during_execution", errors=["x"]), "quality"),
        (result(is_error=True, subtype="error_max_budget_usd"), "budget"),
        (result(), None),
    ],
)
def test_every_end_has_its_kind(event: dict[str, Any], failure: str | None) -> None:
    _, finished = read(event)
    assert finished.failure == failure
    assert bool(finished.message) == (failure is not None)


def test_an_error_named_in_a_message_decides_where_no_status_is_told() -> None:
    synthetic = {"type": "assistant", "error": "model_not_found", "message": {"model": "<synthetic>", "content": []}}
    _, finished = read(synthetic, result(is_error=True, result="There is an issue with the selected model"))
    assert finished.failure == "rejected"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": 3},
        {"type": "assistant"},
        {"type": "assistant", "message": {"content": "x", "usage": 1}},
        {"type": "new_kind"},
    ],
)
def test_events_of_another_shape_are_passed_over(event: dict[str, Any]) -> None:
    assert all(isinstance(found, Event) for found in Transcript().read(event))


def test_without_a_result_the_tokens_are_unknown() -> None:
    transcript = Transcript()
    list(transcript.read(assistant("m1")))
    assert transcript.unfinished("quality", "stopped").tokens is None
