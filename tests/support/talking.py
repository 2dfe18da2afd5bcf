"""A conversation with a gateway as an agent has it: every request holds everything so far, thinking included."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway_house import KEY, OPUS, Answered, House

from stepdown.ledger.records import Record
from stepdown.practice.provider import PracticeProvider

FILL = "The library of this project is described at length here. " * 700
"""About ten thousand tokens: enough to be cached."""
TOOLS = [{"name": "Bash", "description": "Runs a command.", "input_schema": {"type": "object"}}]


class Talker:
    """One session of an agent that speaks Messages, with adaptive thinking, a cache and a tool."""

    def __init__(self, house: House, session: str = "s", *, model: str = OPUS, headers: Mapping[str, str] = {}) -> None:
        self.house = house
        self.model = model
        self.history: list[dict[str, Any]] = []
        self.headers = {"x-api-key": KEY, "x-claude-code-session-id": session, **headers}
        self._calls = 0

    async def says(self, text: str, **more: Any) -> Answered:
        """A person's turn."""
        self.history.append({"role": "user", "content": text})
        return await self.ask(**more)

    async def runs(self, *results: str, error: bool = False, **more: Any) -> Answered:
        """The agent has called a tool, and says what came of it: one round for each result."""
        for result in results:
            self._calls += 1
            name = f"toolu_{self._calls:04}"
            call = {"type": "tool_use", "id": name, "name": "Bash", "input": {"command": f"make {self._calls}"}}
            last = self.history[-1]
            if last["role"] == "assistant":
                last["content"] = [*last["content"], call]
            else:
                self.history.append({"role": "assistant", "content": [call]})
            block = {"type": "tool_result", "tool_use_id": name, "content": result, "is_error": error}
            self.history.append({"role": "user", "content": [block]})
        return await self.ask(**more)

    async def ask(self, **more: Any) -> Answered:
        """The next request, as the history stands; what is answered becomes a part of it."""
        cached = {"type": "text", "text": FILL, "cache_control": {"type": "ephemeral"}}
        body = {
            "model": self.model,
            "max_tokens": 4_000,
            "system": [cached],
            "tools": TOOLS,
            "thinking": {"type": "adaptive"},
            "messages": marked(self.history),
            **more,
        }
        answer = await self.house.ask("/v1/messages", body, self.headers)
        if answer.status == 200:
            self.history.append({"role": "assistant", "content": answer.json["content"]})
        return answer


def marked(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history with its end marked to be cached, as agents do."""
    *before, last = history
    blocks = [{"type": "text", "text": last["content"]}] if isinstance(last["content"], str) else list(last["content"])
    blocks[-1] = {**blocks[-1], "cache_control": {"type": "ephemeral"}}
    return [*before, {**last, "content": blocks}]


def models(provider: PracticeProvider) -> list[str]:
    """Who was asked, in order."""
    return [served.model for served in provider.log]


def thoughts(talker: Talker) -> int:
    """Thinking blocks in the history."""
    blocks = [block for message in talker.history if isinstance(message["content"], list) for block in message["content"]]
    return sum(block["type"] == "thinking" for block in blocks)


def units(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Type, id and model of each attempt."""
    return [(one.attempt.unit_type, one.attempt.unit_id, one.attempt.model.partition("/")[2]) for one in records]
