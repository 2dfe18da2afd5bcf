"""Codex's lines, one after the other → a `Log`.

A log is one thread: a session of a user, or one sub-agent. A prompt begins a *task*, which has an id from 0.9x on; more prompts
may come while it is under way. To a user each of them is a turn of its own; to a sub-agent, a task is.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from stepdown.asks import COMPACTION, MEMORY, PLANNING, TURN, written_by_a_person
from stepdown.sessions.claude_turns import Clock
from stepdown.sessions.codex_answers import Answers
from stepdown.sessions.codex_limits import Meters
from stepdown.sessions.codex_lines import (
    CALLS,
    OUTPUTS,
    Count,
    count_of,
    glance,
    has_failed,
    is_plain,
    patched,
    stamped,
    unstamped,
    wanted,
)
from stepdown.sessions.codex_thread import Thread
from stepdown.sessions.opened import Opened, asked
from stepdown.sessions.records import Log
from stepdown.sessions.values import HALF_WRITTEN, TOO_LONG, child, children, decoded, prose

NOT_JSON: Final = "lines that are not JSON"
ZONELESS: Final = "times without a zone, read as UTC"
UNCOUNTED: Final = "sessions that count no tokens"
UNLOGGED: Final = "compactions whose tokens the log does not say"

_STOPPED: Final = frozenset({"interrupted", "replaced"})

_Handler = Callable[[dict[str, Any]], None]


class Reading:
    """One log being read.

    Args:
        name: what to call the thread where the log does not say.
    """

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._troubles: Counter[str] = Counter()
        self._thread = Thread(name)
        self._answers = Answers(self._thread, self._touched, self._troubles)
        self._meters = Meters()
        self._turns: list[Opened] = []
        self._open: int | None = None
        self._open_task = ""
        self._untouched = False  # nothing has come of the open turn yet
        self._newest: int | None = None  # the position of the newest answer, if nothing but accounts of it came since
        self._fresh = False
        self._unwrapped = False
        self._repeated = b""
        self._lines: dict[str, _Handler] = {
            "session_meta": self._head,
            "turn_context": self._context,
            "token_usage_record": self._recorded,
            "compacted": self._compacted,
        }
        self._events: dict[str, _Handler] = {
            "task_started": self._start,
            "turn_started": self._start,
            "user_message": self._message,
            "item_completed": self._completed,
            "thread_settings_applied": self._settings,
            "turn_aborted": self._aborted,
            "task_complete": self._complete,
            "turn_complete": self._complete,
            "error": self._fail,
        }

    def take(self, raw: bytes | None) -> None:
        """The next line; None where it was too long to be read."""
        if raw is None:
            self._troubles[TOO_LONG] += 1
            return
        match glance(raw):
            case "":
                pass
            case "token_count":
                self._once(raw)
            case part if part in OUTPUTS:
                self._result(raw)
            case part if part in CALLS and is_plain(raw):
                self._turns[self._touched()].calls += 1
            case _:
                self._line(raw)

    def _once(self, raw: bytes) -> None:
        """A ``token_count``: Codex repeats it often, word for word."""
        said = unstamped(raw)
        if said == self._repeated:
            return
        self._repeated = said
        found = stamped(raw)
        if found is None:
            self._line(raw)
            return
        self._clock.said, count = found
        self._when()
        self._count(count)

    def _line(self, raw: bytes) -> None:
        """A line that has to be decoded."""
        line = decoded(raw)
        if not line:
            if raw.strip(b"\0 \t\r\n"):
                self._troubles[NOT_JSON if raw.endswith(b"\n") else HALF_WRITTEN] += 1
            return
        said, payload = line.get("timestamp"), child(line, "payload")
        if isinstance(said, str) and said:
            self._clock.said = said
        if not payload:
            self._unwrapped |= line.get("type") == "message" or "instructions" in line  # as it was until 0.2x
            return
        self._when()
        kind, part = line.get("type"), payload.get("type")
        if kind == "response_item":
            self._item(payload, raw)
        elif kind == "event_msg" and part == "token_count":
            self._count(count_of(payload))
        elif handler := self._events.get(str(part)) if kind == "event_msg" else self._lines.get(str(kind)):
            handler(payload)

    def _when(self) -> None:
        if self._thread.at(self._clock.now):
            self._whose()

    def log(self) -> Log:
        """Everything that was read."""
        self._answers.log_ends()
        requests = self._answers.requests
        worked = any(turn.calls and turn.session == self._thread.name for turn in self._turns)
        if not requests and (worked or self._unwrapped):
            self._troubles[UNCOUNTED] += 1
        if self._clock.zoneless:
            self._troubles[ZONELESS] += self._clock.zoneless
        return Log(
            requests=tuple(requests),
            turns=tuple(turn.closed() for turn in self._turns),
            limits=tuple(self._meters.limits),
            counted=self._answers.counted,
            troubles=dict(+self._troubles),
        )

    def _head(self, payload: dict[str, Any]) -> None:
        self._thread.head(payload, self._clock.now)

    def _enter(self, payload: dict[str, Any]) -> None:
        """A task goes on, or another one begins."""
        self._newest = None
        copied = self._thread.copied
        if not self._thread.enter(payload.get("turn_id")):
            return
        self._answers.another_task()
        if self._thread.kind:
            self._open = None
        if copied != self._thread.copied:
            self._whose()

    def _whose(self) -> None:
        """A copy begins or ends here."""
        self._open = None
        self._answers.another_part()

    def _start(self, payload: dict[str, Any]) -> None:
        self._enter(payload)
        self._thread.plans = payload.get("collaboration_mode_kind") == "plan"

    def _context(self, payload: dict[str, Any]) -> None:
        self._enter(payload)
        self._thread.settle(payload)
        turn = self._waiting()
        if turn is not None and turn.type == TURN and self._thread.plans:
            turn.type = PLANNING  # older versions say it only here

    def _settings(self, payload: dict[str, Any]) -> None:
        self._thread.variant = ""
        self._thread.settle(child(payload, "thread_settings"))

    def _message(self, payload: dict[str, Any]) -> None:
        self._ask(prose(payload.get("message")))

    def _completed(self, payload: dict[str, Any]) -> None:
        """Newer versions log a prompt as an item; that of a review's own thread as well."""
        item = child(payload, "item")
        if item.get("type") == "UserMessage" and payload.get("thread_id") in (None, self._thread.name):
            self._ask("\n".join(prose(part.get("text")) for part in children(item, "content")))

    def _ask(self, message: str) -> None:
        """A prompt: a turn begins, unless the one it adds to has not been sent yet."""
        self._newest = None
        text = written_by_a_person(wanted(message))
        turn = self._waiting()
        if not text:
            return
        if turn is not None and turn.signals is not None:
            return
        said = asked(text, kind=self._kind or (PLANNING if self._thread.plans else TURN))
        turn = turn or self._begin()
        if said.origin == "plan" or not self._kind:  # a sub-agent's type decides, unless a plan's unit is named
            turn.type, turn.id, turn.origin, turn.signals = said.type, said.id, said.origin, said.signals

    def _waiting(self) -> Opened | None:
        """The turn of this task, as long as nothing has come of it."""
        if self._open is None or not self._untouched or self._open_task != self._thread.task:
            return None
        return self._turns[self._open]

    @property
    def _kind(self) -> str:
        """The type of a sub-agent's units; "" for a user's, and where a sub-agent's log copies one."""
        return "" if self._thread.copied else self._thread.kind

    def _begin(self) -> Opened:
        turn = self._unit(self._kind or (PLANNING if self._thread.plans else TURN), self._clock.now, fresh=self._fresh)
        self._open, self._open_task, self._untouched, self._fresh = len(self._turns) - 1, self._thread.task, True, False
        return turn

    def _unit(self, kind: str, at: float, *, fresh: bool = False) -> Opened:
        origin = "agent" if kind in (COMPACTION, MEMORY) else "subagent" if self._kind else "human"
        owner = self._thread.owner
        turn = Opened(
            conversation=owner,
            session=owner,
            project=self._thread.project,
            type=kind,
            at=at,
            origin=origin,
            fresh=fresh,
        )
        self._turns.append(turn)
        return turn

    def _touched(self) -> int:
        """Something came of the turn under way; what nobody asked for is one as well."""
        if self._open is None:
            self._begin()
        assert self._open is not None
        self._untouched = False
        return self._open

    def _item(self, payload: dict[str, Any], raw: bytes) -> None:
        kind = str(payload.get("type"))
        if kind in CALLS:
            turn = self._turns[self._touched()]
            turn.calls += 1
            turn.written |= patched(raw, payload)
            if kind == "web_search_call" and child(payload, "action").get("type", "search") == "search":
                self._answers.searches += 1
        elif kind in OUTPUTS:
            self._result(raw)

    def _result(self, raw: bytes) -> None:
        """What a tool answered; only whether it failed is looked at."""
        self._turns[self._touched()].errors += has_failed(raw)
        self._newest = None

    def _recorded(self, payload: dict[str, Any]) -> None:
        self._enter(payload)
        if self._answers.record(payload, self._clock.now):
            self._answered()

    def _count(self, count: Count) -> None:
        if not self._thread.copied:
            self._meters.read(count.rate_limits, self._clock.now)
        if count.info is not None and self._answers.count(count.info, self._clock.now):
            self._answered()

    def _answered(self) -> None:
        self._newest = len(self._answers.requests) - 1
        self._fresh = False

    def _compacted(self, payload: dict[str, Any]) -> None:
        """The conversation was summed up.

        The log names the answer that did it, or it is the one right before; one that the provider made (no summary is told) is
        not logged by older versions.
        """
        found = self._answers.ids.get(str(payload.get("compaction_response_id")))
        if found is None and payload.get("message"):
            found = self._newest
        if found is None:
            self._troubles[UNLOGGED] += not self._thread.copied
        else:
            self._unit(COMPACTION, self._answers.requests[found].at)
            answer = self._answers.requests[found]
            self._answers.requests[found] = msgspec.structs.replace(answer, turn=len(self._turns) - 1)
        self._newest, self._fresh = None, True

    def _aborted(self, payload: dict[str, Any]) -> None:
        if str(payload.get("reason")) in _STOPPED:
            self._end("stopped")

    def _complete(self, payload: dict[str, Any]) -> None:
        self._fail(child(payload, "error"))

    def _fail(self, error: dict[str, Any]) -> None:
        """What a task failed of; nothing where it did not."""
        message, known = prose(error.get("message")), error.get("codex_error_info")
        if not message and not known:
            return
        limited = known == "usage_limit_exceeded" or (known is None and "hit your usage limit" in message)
        self._end("limit" if limited else "error")
        if limited and not self._thread.copied and self._clock.now:
            self._meters.refused(self._clock.now)

    def _end(self, how: str) -> None:
        if self._open is not None and self._open_task == self._thread.task:
            self._turns[self._open].ended = how
