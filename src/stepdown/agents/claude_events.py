"""Claude Code's event stream (``--output-format stream-json``), read into the events of the `Agent` port.

What was observed of version 2.1: one ``assistant`` event per content block, all of a message with the same id and the same
usage, whose output count is the one from the message's start; ``result`` has the true totals; its own error messages come as
messages of a model called ``<synthetic>``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.agents.failures import kind_of_status, one_line
from stepdown.agents.port import Event, Finished, Started, Step, Used
from stepdown.agents.program import mapping, records, word
from stepdown.agents.usage import dollars_of, tokens_of
from stepdown.units import Tokens

_SYNTHETIC: Final = "<synthetic>"

_BY_SUBTYPE: Final = {
    "error_max_turns": ("quality", "gave up: the limit of turns is reached"),
    "error_during_execution": ("quality", "an error during execution"),
    "error_max_budget_usd": ("budget", "the cost cap is reached"),
    "error_max_structured_output_retries": ("quality", "gave up on structured output"),
}

_BY_WORD: Final = {
    "authentication_failed": "rejected",
    "oauth_org_not_allowed": "rejected",
    "billing_error": "rejected",
    "model_not_found": "rejected",
    "invalid_request": "rejected",
    "rate_limit": "provider",
    "overloaded": "provider",
    "server_error": "provider",
}
"""What Claude Code calls an error of the API, in ``assistant`` and ``api_retry`` events."""


class Transcript:
    """What has been read so far of one run.

    Attributes:
        finished: the last event, as soon as the result was read; it is not among those that `read` yields.
    """

    def __init__(self) -> None:
        self.finished: Finished | None = None
        self._used: dict[str, Tokens] = {}
        self._model = ""
        self._error = ""

    def read(self, event: Mapping[str, Any]) -> Iterator[Event]:
        """What one event of the stream means; nothing for kinds that are not known."""
        match event.get("type"), event.get("subtype"):
            case "system", "init":
                yield Started(model=word(event, "model"), session=word(event, "session_id"))
            case "system", "api_retry":
                self._error = word(event, "error")
                again = f"{event.get('attempt')} of {event.get('max_retries')}"
                yield Step("text", detail=f"the provider answered {event.get('error_status')}; retry {again}", error=True)
            case "assistant", _:
                yield from self._assistant(event)
            case "user", _:
                yield from _results(event)
            case "result", _:
                yield from self._result(event)

    def unfinished(self, failure: str, message: str) -> Finished:
        """The last event where there was no result: what is known of the tokens falls short, so they are unknown."""
        return Finished(failure=failure, message=message, requests=len(self._used) or None, model=self._model)

    def _assistant(self, event: Mapping[str, Any]) -> Iterator[Event]:
        message = mapping(event, "message")
        self._error = word(event, "error")
        if message.get("model") == _SYNTHETIC:
            return
        if not event.get("parent_tool_use_id"):
            self._model = word(message, "model")
        tokens, key = tokens_of(message.get("usage")), word(message, "id")
        if tokens is not None and key not in self._used:
            self._used[key] = tokens
            yield Used(tokens, model=word(message, "model"))
        for block in _blocks(message):
            if block.get("type") == "text":
                yield Step("text", detail=one_line(word(block, "text")))
            elif block.get("type") in {"tool_use", "server_tool_use"}:
                yield Step("tool", name=word(block, "name"), detail=_shown(mapping(block, "input")))

    def _result(self, event: Mapping[str, Any]) -> Iterator[Event]:
        tokens = _total(event)
        if tokens is not None:
            rest = _difference(tokens, sum(self._used.values(), Tokens()))
            if rest.total:  # the ends of messages, and requests that had no message of their own
                yield Used(rest, model=self._model)
        failure, message = self._failure(event)
        self.finished = Finished(
            failure=failure,
            message=one_line(message),
            tokens=tokens,
            cost_usd=dollars_of(event.get("total_cost_usd")),
            requests=len(self._used) or None,
            model=self._model,
            text=word(event, "result"),
        )

    def _failure(self, event: Mapping[str, Any]) -> tuple[str | None, str]:
        """The kind of failure and its words; None and "" for success."""
        known = _BY_SUBTYPE.get(word(event, "subtype"))
        if known is not None:
            errors = event.get("errors")
            details = "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""
            return known[0], f"{known[1]}: {details}" if details else known[1]
        if event.get("is_error") is not True:
            return None, ""
        words = word(event, "result") or "Claude Code reported an error without words"
        status = event.get("api_error_status")
        if isinstance(status, int):
            return kind_of_status(status), words
        if event.get("stop_reason") == "refusal":
            return "quality", words
        if self._error in _BY_WORD:
            return _BY_WORD[self._error], words
        # Without a status, an error that Claude Code words as the API's own is a connection that failed.
        return ("provider" if words.startswith("API Error") else "quality"), words


def _results(event: Mapping[str, Any]) -> Iterator[Event]:
    for block in _blocks(mapping(event, "message")):
        if block.get("type") == "tool_result":
            content = block.get("content")
            first = content if isinstance(content, str) else next((word(part, "text") for part in records(content)), "")
            yield Step("result", detail=one_line(first), error=block.get("is_error") is True)


def _total(event: Mapping[str, Any]) -> Tokens | None:
    """All tokens of the run: per model where that is told (sub-agents and housekeeping included), else the conversation's."""
    models = [tokens_of(usage) for usage in mapping(event, "modelUsage").values()]
    known = [tokens for tokens in models if tokens is not None]
    return sum(known, Tokens()) if known else tokens_of(event.get("usage"))


def _difference(whole: Tokens, part: Tokens) -> Tokens:
    """`whole` without `part`, no kind below zero."""
    pairs = zip(msgspec.structs.asdict(whole).items(), msgspec.structs.astuple(part), strict=True)
    return Tokens(**{name: max(0, count - taken) for (name, count), taken in pairs})


def _shown(values: Mapping[str, Any]) -> str:
    """A tool's input in a few words: what it is about, by the names that tools use for it."""
    for key in ("file_path", "path", "command", "pattern", "url", "description", "prompt", "query"):
        if isinstance(values.get(key), str):
            return one_line(values[key])
    return one_line(", ".join(sorted(values)))


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return records(message.get("content"))
