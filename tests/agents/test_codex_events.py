from typing import Any

import pytest

from stepdown.agents.codex_events import UNREACHABLE, Transcript, kind_of_words
from stepdown.agents.port import Event, Finished, Started, Step, Used
from stepdown.units import Tokens

USAGE = {"input_tokens": 1000, "cached_input_tokens": 900, "output_tokens": 50, "reasoning_output_tokens": 20}
COMMAND = {"id": "item_1", "type": "command_execution", "command": "/bin/bash -lc 'make test'"}
WAITING = {"type": "error", "message": "Reconnecting... waiting for network (Connection failed: error sending request)"}


def read(*events: dict[str, Any]) -> tuple[list[Event], Finished | None]:
    transcript = Transcript("gpt-5.4-mini")
    found = [one for event in events for one in transcript.read(event)]
    return found, transcript.finished


def item(kind: str, **values: object) -> dict[str, Any]:
    return {"type": kind, "item": values}


def test_a_turn_that_went_well() -> None:
    events, finished = read(
        {"type": "thread.started", "thread_id": "t-1"},
        {"type": "turn.started"},
        item("item.started", **COMMAND, status="in_progress", exit_code=None),
        item("item.completed", **COMMAND, status="failed", exit_code=2, aggregated_output="no rule\n"),
        item("item.completed", id="item_2", type="file_change", changes=[{"path": "a.py", "kind": "add"}], status="completed"),
        item("item.completed", id="item_3", type="reasoning", text="hm"),
        item("item.completed", id="item_4", type="agent_message", text="Done.\nReally."),
        {"type": "turn.completed", "usage": USAGE},
    )
    tokens = Tokens(input=100, cache_read=900, output=50)
    assert events == [
        Started(model="gpt-5.4-mini", session="t-1"),
        Step("tool", name="command", detail="/bin/bash -lc 'make test'"),
        Step("result", name="command", detail="exit code 2: no rule", error=True),
        Step("tool", name="file_change", detail="a.py"),
        Step("result", name="file_change", detail="completed"),
        Step("text", detail="Done. Really."),
        Used(tokens, model="gpt-5.4-mini"),
    ]
    assert finished == Finished(tokens=tokens, model="gpt-5.4-mini", text="Done.\nReally.")


def test_a_turn_without_a_word_is_no_success() -> None:
    _, finished = read({"type": "turn.completed", "usage": USAGE})
    assert finished is not None
    assert (finished.failure, finished.tokens) == ("quality", Tokens(input=100, cache_read=900, output=50))


def test_a_turn_without_usage_has_unknown_tokens() -> None:
    said = item("item.completed", id="item_1", type="agent_message", text="Done.")
    events, finished = read(said, {"type": "turn.completed"})
    assert finished is not None
    assert (finished.failure, finished.tokens) == (None, None)
    assert not any(isinstance(event, Used) for event in events)


def test_a_provider_that_is_never_reached_is_given_up_on() -> None:
    assert read(*[WAITING] * (UNREACHABLE - 1))[1] is None
    events, finished = read(*[WAITING] * UNREACHABLE)
    assert finished is not None
    assert (finished.failure, finished.tokens) == ("provider", None)
    assert all(isinstance(event, Step) and event.error for event in events)
    progress = item("item.completed", **COMMAND, status="completed", exit_code=0)
    assert read(WAITING, progress, WAITING)[1] is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("exceeded retry limit, last status: 429 Too Many Requests", "provider"),
        ("unexpected status 529 <unknown status code>: busy, url: http://x/v1/responses", "provider"),
        ("unexpected status 502 Bad Gateway: <html>not found</html>, url: http://x/v1/responses", "provider"),
        ("unexpected status 401 Unauthorized: Incorrect API key, url: http://x/v1/responses", "rejected"),
        ("unexpected status 402 Payment Required: budget, url: http://x/v1/responses", "budget"),
        ("We\u2019re currently experiencing high demand, which may cause temporary errors.", "provider"),
        ("Selected model is at capacity. Please try a different model.", "provider"),
        ("Quota exceeded. Check your plan and billing details.", "provider"),
        ("You've hit your usage limit. Upgrade to Pro", "provider"),
        ("stream disconnected before completion: stream closed before response.completed", "provider"),
        ("stream disconnected before completion: Incomplete response returned, reason: content_filter", "quality"),
        ("Incomplete response returned, reason: max_output_tokens", "quality"),
        ("Codex ran out of room in the model's context window. Start a new thread or clear earlier history.", "quality"),
        ("The model `gpt-9` does not exist or you do not have access to it.", "rejected"),
        ('{"error": {"message": "Unsupported parameter", "type": "invalid_request_error", "code": null}}', "rejected"),
        ("Missing environment variable: `MY_KEY`.", "rejected"),
        ("something nobody has seen yet", "provider"),
    ],
)
def test_a_failure_has_its_kind(message: str, kind: str) -> None:
    assert kind_of_words(message) == kind
    _, finished = read({"type": "turn.failed", "error": {"message": message}})
    assert finished is not None
    assert (finished.failure, finished.tokens) == (kind, None)
    assert finished.message


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": None},
        {"type": "turn.failed", "error": "words"},
        {"type": "turn.completed", "usage": {"input_tokens": -1, "cached_input_tokens": "x"}},
        {"type": "item.completed", "item": []},
        {"type": "item.completed", "item": {"type": "file_change", "changes": {"path": 1}}},
        {"type": "item.started", "item": {"type": "command_execution", "command": ["a"]}},
        {"type": "error"},
    ],
)
def test_an_event_of_another_shape_does_no_harm(event: dict[str, Any]) -> None:
    _, finished = read(event)
    assert finished is None or (finished.failure, finished.tokens) in {("provider", None), ("quality", None)}
