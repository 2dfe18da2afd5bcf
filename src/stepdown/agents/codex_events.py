"""Codex's event stream (``codex exec --json``), read into the events of the `Agent` port.

What was observed of version 0.169: usage comes once, with ``turn.completed``, and not at all for a turn that failed; its input
counts cached tokens as well. Errors come in words, and only some of them tell the status that the provider answered. A
provider that cannot be reached is waited for without end.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepdown.agents.failures import kind_of_status, one_line
from stepdown.agents.port import Event, Finished, Started, Step, Used
from stepdown.agents.program import mapping, records, word
from stepdown.agents.usage import tokens_of
from stepdown.units import Tokens

UNREACHABLE: Final = 2
"""After so many failing tries a provider that cannot be reached is given up on. Codex makes the second after 5 seconds and goes
on for ever, at growing distances."""

_WAITING: Final = "waiting for network"
_STATUS: Final = re.compile(r"(?:unexpected|last) status:? (\d{3})")

_BY_WORDS: Final = (
    (re.compile(r"incomplete response|context window", re.IGNORECASE), "quality"),
    (re.compile(r"stream disconnected|rate limit|usage limit|quota|credits|capacity|demand", re.IGNORECASE), "provider"),
    (re.compile(r"does not exist|not found|not (?:have )?access|not supported|unsupported|model_not_found"), "rejected"),
    (re.compile(r"environment variable|invalid_request_error|\"error\""), "rejected"),
)
"""What Codex words without a status. A 400 is shown as the provider's own JSON, a 404 by its message alone; where the work
does not fit into the model's window, a stronger model may have a larger one, and this one is not to be blocked."""

_FAILED: Final = frozenset({"failed", "declined"})


class Transcript:
    """What has been read so far of one run.

    Attributes:
        finished: the last event, as soon as the turn has ended; it is not among those that `read` yields.
    """

    def __init__(self, model: str = "") -> None:
        """Begin with the model that is asked for: Codex does not repeat its name."""
        self.finished: Finished | None = None
        self._model = model
        self._text = ""
        self._started: set[str] = set()
        self._unreachable = 0

    def read(self, event: Mapping[str, Any]) -> Iterator[Event]:
        """What one event of the stream means; nothing for kinds that are not known."""
        match event.get("type"):
            case "thread.started":
                yield Started(model=self._model, session=word(event, "thread_id"))
            case "item.started":
                yield from self._begin(mapping(event, "item"))
            case "item.completed":
                self._unreachable = 0
                yield from self._complete(mapping(event, "item"))
            case "turn.completed":
                yield from self._end(tokens_of(_usage(mapping(event, "usage"))))
            case "turn.failed":
                self._fail(word(mapping(event, "error"), "message"))
            case "error":
                yield from self._trouble(word(event, "message"))

    def unfinished(self, failure: str, message: str) -> Finished:
        """The last event where the turn did not end: nothing is known of its tokens."""
        return Finished(failure=failure, message=one_line(message), model=self._model, text=self._text)

    def _begin(self, item: Mapping[str, Any]) -> Iterator[Event]:
        name, detail = _call(item)
        if name:
            self._started.add(word(item, "id"))
            yield Step("tool", name=name, detail=detail)

    def _complete(self, item: Mapping[str, Any]) -> Iterator[Event]:
        match item.get("type"):
            case "agent_message":
                self._text = word(item, "text")
                yield Step("text", detail=one_line(self._text))
            case "error":  # a warning: the turn goes on
                yield Step("text", detail=one_line(word(item, "message")))
            case _:
                name, _ = _call(item)
                if not name:
                    return
                if word(item, "id") not in self._started:
                    yield from self._begin(item)
                yield Step("result", name=name, detail=_outcome(item), error=item.get("status") in _FAILED)

    def _trouble(self, message: str) -> Iterator[Event]:
        """An error that Codex tries to get over; if it does not, ``turn.failed`` says the same again."""
        yield Step("text", detail=one_line(message), error=True)
        self._unreachable += _WAITING in message
        if self._unreachable >= UNREACHABLE:
            self.finished = self.unfinished("provider", f"the provider cannot be reached: {message}")

    def _fail(self, message: str) -> None:
        self.finished = self.unfinished(kind_of_words(message), message or "Codex reported a failure without words")

    def _end(self, tokens: Tokens | None) -> Iterator[Event]:
        if tokens is not None:
            yield Used(tokens, model=self._model)
        # A model that declines leaves a turn without a word: Codex shows no refusals.
        failure, message = (None, "") if self._text else ("quality", "the model ended without an answer")
        self.finished = Finished(failure=failure, message=message, tokens=tokens, model=self._model, text=self._text)


def kind_of_words(message: str) -> str:
    """The failure kind of an error as Codex words it.

    ``provider`` where nothing else is known: that blocks no model and costs no step up.
    """
    status = _STATUS.search(message)
    if status is not None:
        return kind_of_status(int(status[1]))
    return next((kind for words, kind in _BY_WORDS if words.search(message)), "provider")


def _usage(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Codex's usage in the names of the API it speaks, where cached tokens are a part of the input."""
    return {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "input_tokens_details": {"cached_tokens": usage.get("cached_input_tokens")},
    }


def _call(item: Mapping[str, Any]) -> tuple[str, str]:
    """What a tool's item is called on the screen, and what it is about; "" for items that are no tools."""
    match item.get("type"):
        case "command_execution":
            return "command", one_line(word(item, "command"))
        case "file_change":
            return "file_change", one_line(", ".join(word(change, "path") for change in records(item.get("changes"))))
        case "mcp_tool_call":
            return word(item, "tool") or "mcp_tool_call", one_line(word(item, "server"))
        case "web_search":
            return "web_search", one_line(word(item, "query"))
        case "collab_tool_call":
            return word(item, "tool") or "collab_tool_call", one_line(word(item, "prompt"))
    return "", ""


def _outcome(item: Mapping[str, Any]) -> str:
    """What came of a tool, in one line."""
    said = word(item, "aggregated_output") or word(mapping(item, "error"), "message")
    code = item.get("exit_code")
    return one_line(f"exit code {code}: {said}" if code else said or word(item, "status"))
