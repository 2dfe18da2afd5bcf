"""Logs as Codex writes them: of now (0.169), of before records of use (0.145), and of before tasks had ids (0.47)."""

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from stepdown.sessions.bounded import lines
from stepdown.sessions.codex_reading import Reading
from stepdown.sessions.records import Log

START: Final = 1_780_000_000.0
"""When the first thread begins, seconds since the epoch: 2026-05-28T20:26:40Z."""

NOW, BEFORE_RECORDS, BEFORE_TASKS = "0.169.0", "0.145.0", "0.47.0"
VERSIONS: Final = (NOW, BEFORE_RECORDS, BEFORE_TASKS)

Line = dict[str, Any]
Numbers = tuple[int, int, int, int, int]
"""Input, of which cached, of which written to the cache; output, of which reasoning."""


def name(at: float, number: int = 0) -> str:
    """A thread's or a task's id: a UUID of version 7, which begins with its time."""
    return str(UUID(int=(int(at * 1000) << 80) | (7 << 76) | (2 << 62) | number))


def usage(numbers: Numbers) -> dict[str, int]:
    """Numbers as the API names them."""
    kinds = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens")
    return {**dict(zip(kinds, numbers, strict=True)), "total_tokens": numbers[0] + numbers[3]}


def _five(numbers: list[int]) -> Numbers:
    first, second, third, fourth, fifth = numbers
    return first, second, third, fourth, fifth


class Session:
    """One thread's log; each method adds what Codex would write, a second after what came before.

    Attributes:
        lines: so far.
        id: the thread's.
        now: the time of the next line.
    """

    def __init__(self, version: str = NOW, *, at: float = START, model: str = "gpt-5.4", **meta: object) -> None:
        self.version, self.model, self.now = version, model, at
        self.id = name(at)
        self.lines: list[Line] = []
        self.total: Numbers = (0, 0, 0, 0, 0)
        self.task = ""
        self._tasks = 0
        known = {"id": self.id, "timestamp": self._stamp(), "cwd": "/home/me/shop", "cli_version": version}
        self.add(
            "session_meta", {**known, "source": "cli", "model_provider": "openai", "base_instructions": "Be kind.", **meta}
        )

    def _stamp(self) -> str:
        return dt.datetime.fromtimestamp(self.now, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def add(self, kind: str, payload: Line) -> "Session":
        """A line."""
        self.lines.append({"timestamp": self._stamp(), "type": kind, "payload": payload})
        self.now += 1
        return self

    def event(self, kind: str, **payload: object) -> "Session":
        """A line of type ``event_msg``."""
        return self.add("event_msg", {"type": kind, **payload})

    def item(self, kind: str, **payload: object) -> "Session":
        """A line of type ``response_item``."""
        return self.add("response_item", {"type": kind, **payload})

    def begin(self, mode: str = "default") -> "Session":
        """A task begins."""
        if self.version != BEFORE_TASKS:
            self._tasks += 1
            self.task = name(self.now, self._tasks)
            self.event("task_started", turn_id=self.task, collaboration_mode_kind=mode)
        return self

    def context(self, mode: str = "default") -> "Session":
        """What a task runs under."""
        named = {"turn_id": self.task, "collaboration_mode": {"mode": mode}} if self.task else {}
        return self.add("turn_context", {**named, "cwd": "/home/me/shop", "model": self.model, "summary": "auto"})

    def say(self, text: str) -> "Session":
        """A prompt, as it is logged next to the message that is sent."""
        self.item("message", role="user", content=[{"type": "input_text", "text": text}])
        if self.version != NOW:
            return self.event("user_message", message=text, images=[])
        item = {"type": "UserMessage", "id": "1", "content": [{"type": "text", "text": text}]}
        return self.event("item_completed", thread_id=self.id, turn_id=self.task, item=item)

    def ask(self, text: str, mode: str = "default") -> "Session":
        """A prompt with all that comes before its first answer."""
        self.begin(mode)
        if self.version == BEFORE_TASKS:
            return self.say(text).context(mode)
        return self.context(mode).say(text)

    def answer(self, *numbers: int, response: str = "", rates: object = None) -> "Session":
        """An answer: what it used, told once or twice."""
        own = _five([*numbers, *[0] * (5 - len(numbers))])
        self.total = _five([before + more for before, more in zip(self.total, own, strict=True)])
        self.item("message", role="assistant", content=[{"type": "output_text", "text": "Done."}])
        if self.version == NOW:
            self.record(own, response)
        return self.count(own, rates)

    def record(self, own: Numbers, response: str = "") -> "Session":
        """What an answer used, and the thread with it."""
        named = {"thread_id": self.id, "turn_id": self.task, "response_id": response or f"resp_{len(self.lines)}"}
        return self.add("token_usage_record", {**named, "usage": usage(own), "thread_token_usage": usage(self.total)})

    def count(self, own: Numbers, rates: object = None) -> "Session":
        """The running total."""
        info = {"total_token_usage": usage(self.total), "last_token_usage": usage(own), "model_context_window": 258_400}
        return self.event("token_count", info=info, rate_limits=rates)

    def call(self, output: object = "Exit code: 0\nOutput:\nfine", **call: object) -> "Session":
        """A tool is called, and answers."""
        self.item("function_call", **{"name": "exec_command", "arguments": '{"cmd":"ls"}', **call, "call_id": "call_1"})
        return self.item("function_call_output", call_id="call_1", output=output)

    def patch(self, text: str) -> "Session":
        """Files are patched by the tool made for it."""
        self.item("custom_tool_call", status="completed", call_id="call_2", name="apply_patch", input=text)
        return self.item("custom_tool_call_output", call_id="call_2", output="Exit code: 0\nOutput:\nSuccess.")

    def compact(self, **payload: object) -> "Session":
        """The conversation is replaced by a summary."""
        history = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "before"}]}]
        return self.add("compacted", {"message": "A summary.", "replacement_history": history, **payload})

    def done(self, **payload: object) -> "Session":
        """The task ends."""
        return self.event("task_complete", turn_id=self.task, last_agent_message="Done.", **payload)

    def forked(self, *, at: float, **meta: object) -> "Session":
        """A thread that begins with a copy of this one, every line stamped with the time of copying, as it was until 0.14x."""
        fork = Session(self.version, at=at, model=self.model, forked_from_id=self.id, **meta)
        fork.lines += [{**line, "timestamp": fork.lines[0]["timestamp"]} for line in self.lines]
        fork.total = self.total
        return fork

    def write(self, directory: Path, **style: Any) -> Path:
        """Put it where Codex would, and say where that is.

        Args:
            directory: ``sessions``.
            style: how JSON is written, as `json.dumps` takes it.
        """
        stamp = self.lines[0]["timestamp"][:19].replace(":", "-")
        file = directory / "2026/05/28" / f"rollout-{stamp}-{self.id}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.bytes(**style))
        return file

    def bytes(self, **style: Any) -> bytes:
        """The log as it stands in its file."""
        style = style or {"separators": (",", ":"), "ensure_ascii": False}
        return "".join(json.dumps(line, **style) + "\n" for line in self.lines).encode()


PATCH: Final = "*** Begin Patch\n*** Add File: docs/a guide.md\n+hello\n*** Update File: src/b.py\n@@\n-x\n+y\n*** End Patch"
"""Writes two files."""
RATES: Final[Line] = {"limit_id": "codex", "rate_limit_reached_type": None}
"""The meters of a plan, without any window."""


def a_session(version: str = NOW) -> Session:
    """Two prompts; the first leads to two calls, two files and two answers."""
    session = Session(version)
    session.ask("Add a page about prices").call().answer(1_000, 0, 100, 50, 20).patch(PATCH).answer(1_300, 1_000, 0, 30).done()
    return session.ask("And translate it").answer(1_500, 1_200, 0, 40).done()


def everything(version: str) -> Session:
    """That, and one of everything else."""
    session = a_session(version).call("Exit code: 2\nOutput:\n")
    session.event("exec_command_end", call_id="1", aggregated_output='"type":"token_count"', exit_code=2)
    session.item("reasoning", summary=[], encrypted_content="x" * 50)
    session.ask("Go on", mode="plan").answer(90_000, rates={**RATES, "primary": {"used_percent": 5, "window_minutes": 300}})
    return session.begin().answer(90_600).compact().done().ask("More").answer(3_000)


def read(raw: bytes) -> Log:
    """What is read of a log whose file's name says nothing."""
    reading = Reading("rollout-of-nobody")
    for line in lines(io.BytesIO(raw)):
        reading.take(line)
    return reading.log()


def log_of(session: Session) -> Log:
    """What is read of it."""
    return read(session.bytes())


def numbers(log: Log) -> list[tuple[int, int, int, int]]:
    """Input, read, written, output of each request."""
    return [(one.input, one.cache_read, one.cache_write, one.output) for one in log.requests]


def types(log: Log) -> list[tuple[str, str, str]]:
    """Type, id and origin of each turn."""
    return [(turn.type, turn.id, turn.origin) for turn in log.turns]
