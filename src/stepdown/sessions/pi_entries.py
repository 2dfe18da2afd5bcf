"""The entries of pi's sessions, which GSD writes as well.

A session is a file of JSON lines. The first is its header (``session``: id, cwd, parentSession), the others are entries that
hang together by ``id`` and ``parentId``, so that one file can hold several branches; none is ever taken back. What counts here:

- ``message`` with a role: ``user`` begins a turn, ``assistant`` is an answered request (``usage``: input, output, cacheRead,
  cacheWrite, which do not overlap; output has the thinking in it; ``cost.total`` is by pi's price list), ``toolResult`` tells
  how a call went.
- ``custom_message``: what an extension put in. GSD tells the agent its unit in one.
- ``compaction`` and ``branch_summary``: the agent summed up what it left out. The request for that is not in the log.

A fork copies entries into a new file with their ids, but a session of the first version has no ids and gets new ones in each
copy. What identifies an answer is therefore what it says itself: its moment to the millisecond, its model and its tokens.

Sub-agents (the extension ``subagent``, which GSD brings) run without a session of their own. Their messages stand in the
result of the call, ``details.results``.

Source: pi-coding-agent 0.73.1, ``docs/session-format.md`` and ``dist/core/session-manager.js``; GSD 2, ``activity-log.ts``.
"""

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown import asks
from stepdown.ledger.gsd_json import moment, word
from stepdown.sessions.opened import Answer, Asked, Opened, Tally, asked, key_of
from stepdown.sessions.values import (
    HALF_WRITTEN,
    IMPOSSIBLE,
    UNCOUNTED,
    child,
    children,
    count,
    decoded,
    lines,
    milliseconds,
    paid,
    prose,
    sold_by,
    tokens_of,
)
from stepdown.units import Tokens

SUMMARIES: Final = "summaries of conversations, whose requests the log does not have"
ONLY_SUMS: Final = "sub-agents of which only sums are known"

_DISPATCHED: Final = frozenset({"gsd-auto", "gsd-dispatch"})
"""What GSD calls the messages with which it sends a unit off. Others of its messages urge on what is under way."""
_WRITES: Final = frozenset({"edit", "write", "multiedit", "hashline_edit"})
_PATHS: Final = ("path", "file_path", "filePath")
_FULL: Final = re.compile(r"\busage limit\b", re.IGNORECASE)
"""How providers word it when a plan's window is full, as against a rate limit."""


class Setting(msgspec.Struct, frozen=True):
    """What is known of a file before it is read.

    Attributes:
        session: what to call the session where the file does not say.
        project: the directory that its units belong to; "" takes what the file says.
        unit: what an extension's dispatch is where its text names no unit; None is a person's turn.
    """

    session: str
    project: str = ""
    unit: Asked | None = None


class Entries:
    """What the entries of one or more files add up to.

    Attributes:
        tally: the sum.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._prompts: dict[str, int] = {}
        self._setting = Setting("")
        self._session = ""
        self._project = ""
        self._turn: int | None = None
        self._fresh = False

    def read(self, file: Path, setting: Setting) -> None:
        """Add a file.

        Raises:
            OSError: it cannot be read.
        """
        self._setting = setting
        self._session, self._project = setting.session, setting.project
        self._turn, self._fresh = None, False
        for line in lines(file, self.tally.troubles):
            entry = decoded(line)
            if entry:
                self._entry(entry)
            else:
                self.tally.troubles[HALF_WRITTEN] += 1

    def _entry(self, entry: dict[str, Any]) -> None:
        kind = entry.get("type")
        if kind == "session":
            self._session = word(entry.get("id")) or self._session
            self._project = self._project or word(entry.get("cwd"))
        elif kind == "message":
            self._message(entry)
        elif kind == "custom_message":
            self._told(entry)
        elif kind in ("compaction", "branch_summary"):
            self.tally.troubles[SUMMARIES] += 1
            self._fresh = kind == "compaction"

    def _message(self, entry: dict[str, Any]) -> None:
        message = child(entry, "message")
        role = message.get("role")
        if role == "user":
            text = asks.written_by_a_person(_text(message))
            first = self._setting.unit if self._turn is None else None
            if text or self._turn is None:
                found = asked(text)
                self._prompt(entry, message, first if first and found.origin != "plan" else found)
        elif role == "assistant":
            self._answer(entry, message)
        elif role == "toolResult" and self._turn is not None:
            self.tally.turns[self._turn].errors += message.get("isError") is True
            for number, result in enumerate(children(child(message, "details"), "results")):
                self._subagent(result, f"{word(message.get('toolCallId'))}/{number}", _moment(entry, message))

    def _told(self, entry: dict[str, Any]) -> None:
        """What an extension put in begins a unit where it names one or sends one off."""
        text = _text(entry)
        found = asked(text)
        if found.origin != "plan":
            if entry.get("customType") not in _DISPATCHED:
                return
            found = self._setting.unit or asked(text, origin="plan")
        self._prompt(entry, entry, found)

    def _prompt(self, entry: dict[str, Any], message: dict[str, Any], found: Asked) -> None:
        """A turn begins."""
        at = _moment(entry, message)
        self._turn = self._begin(found, at, f"{word(entry.get('id'))}@{at}", fresh=self._fresh)
        self._fresh = False

    def _begin(self, found: Asked, at: float, key: str, *, within: str = "", fresh: bool = False) -> int:
        """A turn begins, unless another file had its prompt: then what follows goes on with it."""
        if at and key in self._prompts:
            return self._prompts[key]
        number = self.tally.begin(
            Opened(
                conversation=self._session + within,
                session=self._session,
                project=self._project,
                type=found.type,
                id=found.id,
                at=at,
                origin=found.origin,
                signals=found.signals,
                fresh=fresh,
            )
        )
        self._prompts[key] = number
        return number

    def _answer(self, entry: dict[str, Any], message: dict[str, Any]) -> None:
        at = _moment(entry, message)
        if self._turn is None:
            self._turn = self._begin(self._setting.unit or asked(""), at, f"{self._session}@{at}")
        self._count(self._turn, message, at)

    def _count(self, number: int, message: dict[str, Any], at: float) -> None:
        """An answered request of a turn, and what it called for."""
        turn = self.tally.turns[number]
        answer = self._answered(message, at)
        if answer is not None and not self.tally.add(number, answer):
            return
        turn.ended = _ended(message)
        for call in children(message, "content"):
            if call.get("type") == "toolCall":
                turn.calls += 1
                if word(call.get("name")).lower() in _WRITES:
                    given = child(call, "arguments")
                    turn.written.update(word(given.get(name)) for name in _PATHS if word(given.get(name)))

    def _answered(self, message: dict[str, Any], at: float) -> Answer | None:
        """None where nothing was used, or where that is impossible."""
        usage = child(message, "usage")
        tokens = _used(usage)
        if tokens is None:
            self.tally.troubles[IMPOSSIBLE] += 1
            return None
        if not tokens.total:
            if not _ended(message):
                self.tally.troubles[UNCOUNTED] += 1
            return None
        model, seller = word(message.get("model")), word(message.get("provider"))
        cost = usage.get("cost")  # one number in GSD's oldest files
        return Answer(
            at=at,
            key=key_of(milliseconds(message.get("timestamp")) or at, f"{seller}/{model}", tokens),
            model=model,
            provider=sold_by(seller),
            tokens=tokens,
            usd=paid(cost.get("total") if isinstance(cost, dict) else cost),
        )

    def _subagent(self, result: dict[str, Any], key: str, at: float) -> None:
        """A sub-agent by what its call brought back: its messages, or at least the sum of what they used."""
        if result.get("sessionFile"):
            return  # it has a session of its own, which is read by itself
        own = [one for one in children(result, "messages") if one.get("role") == "assistant"]
        tokens = _used(child(result, "usage"))
        if not own and not (tokens and tokens.total):
            return
        kind = f"subagent/{word(result.get('agent')) or 'agent'}"
        task = asked(prose(result.get("task")))
        begun = min((milliseconds(one.get("timestamp")) or at for one in own), default=at)
        found = Asked(kind, "", "subagent", task.signals)
        number = self._begin(found, begun, key, within=f"/{key}")
        for message in own:
            self._count(number, message, milliseconds(message.get("timestamp")) or at)
        if not own and tokens:
            self._sum(number, result, tokens, at, f"{key}:{at}")

    def _sum(self, number: int, result: dict[str, Any], tokens: Tokens, at: float, key: str) -> None:
        usage = child(result, "usage")
        answer = Answer(
            at=at,
            key=key,
            model=word(result.get("model")),
            provider="",
            tokens=tokens,
            usd=paid(usage.get("cost")),
            count=count(usage.get("turns")) or 0,
        )
        if self.tally.add(number, answer):
            self.tally.troubles[ONLY_SUMS] += 1


def _used(usage: dict[str, Any]) -> Tokens | None:
    return tokens_of(usage.get("input"), usage.get("output"), usage.get("cacheRead"), usage.get("cacheWrite"))


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return prose(content)
    return "\n".join(prose(block.get("text")) for block in children(message, "content") if block.get("type") == "text")


def _moment(entry: dict[str, Any], message: dict[str, Any]) -> float:
    """When an entry was written, which for an answer is when it was complete; else when its message began."""
    return moment(entry.get("timestamp")) or milliseconds(message.get("timestamp"))


def _ended(message: dict[str, Any]) -> str:
    reason = message.get("stopReason")
    if reason == "aborted":
        return "stopped"
    if reason != "error":
        return ""
    return "limit" if _FULL.search(prose(message.get("errorMessage"))) else "error"
