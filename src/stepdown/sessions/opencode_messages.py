"""OpenCode's messages and their parts, wherever they are kept.

- A message of the ``user`` begins a turn if a person wrote something in it; what OpenCode put in is marked ``synthetic``.
- A message of the ``assistant`` is answered by one request, in older versions by several: each ends with a part ``step-finish``
  that has its tokens and its cost. The message's own ``tokens`` are those of the last, and count where there is no such part.
- ``input`` is without the cache. ``output`` is **without** ``reasoning`` in versions that write ``tokens.total`` (read in the
  program of 1.18.33: ``output: outputTokens - reasoningTokens``, and the kinds add up to ``total``). Before, it was what the
  provider said, which has the reasoning in it except for Google's models (opencode#17566). A sum that says otherwise wins.
- A fork copies messages and parts under new ids, and the move into a database left the files where they were. What identifies
  an answer is therefore what it says itself: when its message began, which of its steps, its model and its tokens.
- The request for a session's title is not in the log, nor what it used.
- A session with a parent is a sub-agent. ``compaction`` is a message of the agent of that name, marked ``summary``.

Source: OpenCode 1.18.33, and its repository (anomalyco/opencode) for older versions.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown import asks
from stepdown.ledger.gsd_json import word
from stepdown.sessions.opened import Answer, Asked, Opened, Tally, asked, key_of
from stepdown.sessions.values import (
    IMPOSSIBLE,
    UNCOUNTED,
    child,
    count,
    milliseconds,
    paid,
    prose,
    sold_by,
    tokens_of,
)
from stepdown.units import Tokens

_WRITES: Final = frozenset({"edit", "write", "multiedit"})
_PATCHES: Final = frozenset({"patch", "apply_patch"})
_PATCHED: Final = re.compile(r"^\*\*\* (?:Add|Update|Delete) File: (.+)$", re.MULTILINE)
_ERRANDS: Final = {"compaction": asks.COMPACTION, "title": asks.TITLE}
"""OpenCode's hidden agents."""
_FULL: Final = re.compile(r"\busage limit\b", re.IGNORECASE)
_SAID_APART: Final = ("google", "gemini")
"""Whose ``output`` never had the reasoning in it."""


class Session(msgspec.Struct, frozen=True):
    """What is known of a session.

    Attributes:
        id: its id.
        directory: where it worked; "" where unknown.
        parent: the session whose sub-agent it is; "" for none.
        agent: which agent it is; "" where older versions do not say.
    """

    id: str
    directory: str = ""
    parent: str = ""
    agent: str = ""


class Message(msgspec.Struct, frozen=True):
    """One message.

    Attributes:
        id: its id.
        data: as OpenCode keeps it.
        parts: likewise, in order.
    """

    id: str
    data: dict[str, Any]
    parts: Sequence[dict[str, Any]]


def add_session(tally: Tally, session: Session, messages: Sequence[Message]) -> None:
    """Add a session to what was read.

    Args:
        tally: the sum.
        session: whose messages they are.
        messages: all of them, in any order.
    """
    ordered = sorted(messages, key=lambda message: (_created(message.data), message.id))
    _Reading(tally, session, ordered).read(ordered)


class _Reading:
    """One session while it is read."""

    def __init__(self, tally: Tally, session: Session, messages: Sequence[Message]) -> None:
        self._tally = tally
        self._session = session
        # Older versions say on the answer which agent it was, not on the question.
        self._agents = {word(one.data.get("parentID")): _agent(one.data) for one in reversed(messages)}
        self._turns: dict[str, int] = {}
        self._turn: int | None = None
        self._last: Asked | None = None
        self._replayed: Asked | None = None
        self._fresh = False

    def read(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.data.get("role") == "user":
                self._asked(message)
            elif message.data.get("role") == "assistant":
                self._answered(message)

    def _asked(self, message: Message) -> None:
        text = "\n".join(prose(part.get("text")) for part in message.parts if _by_a_person(part))
        if text.startswith('"') and text.endswith('"'):
            text = text[1:-1]  # `opencode run` quotes what stood on its command line
        written = asks.written_by_a_person(text)
        if written:
            found = self._nature(written, _agent(message.data) or self._agents.get(message.id, ""))
            # After it has summed up, OpenCode puts the prompt it was at in once more.
            if found != self._replayed:
                self._turn = self._begin(found, _created(message.data), fresh=self._fresh)
                self._last, self._fresh = found, False
            self._replayed = None
        if self._turn is not None:
            self._turns[message.id] = self._turn

    def _nature(self, text: str, agent: str) -> Asked:
        if self._session.parent:
            said = asked(text).signals
            return Asked(f"subagent/{agent or self._session.agent or 'agent'}", "", "subagent", said)
        return asked(text, kind=asks.PLANNING if agent == "plan" else asks.TURN)

    def _begin(self, found: Asked, at: float, *, within: str = "", fresh: bool = False) -> int:
        return self._tally.begin(
            Opened(
                conversation=self._session.id + within,
                session=self._session.id,
                project=self._session.directory,
                type=found.type,
                id=found.id,
                at=at,
                origin=found.origin,
                signals=found.signals,
                fresh=fresh,
            )
        )

    def _answered(self, message: Message) -> None:
        number = self._turn_of(message)
        turn = self._tally.turns[number]
        turn.project = turn.project or word(child(message.data, "path").get("cwd"))
        answers = _answers(message, self._tally)
        new = [answer for answer in answers if self._tally.add(number, answer)]
        if answers and not new:
            return
        turn.ended = _ended(message.data)
        for part in message.parts:
            if part.get("type") == "tool":
                state = child(part, "state")
                turn.calls += 1
                turn.errors += state.get("status") == "error"
                turn.written.update(_written(word(part.get("tool")), child(state, "input")))

    def _turn_of(self, message: Message) -> int:
        kind = "compaction" if message.data.get("summary") is True else _agent(message.data)
        if kind in _ERRANDS:
            if kind == "compaction":
                self._fresh, self._replayed = True, self._last
            return self._begin(Asked(_ERRANDS[kind], "", "agent", None), _created(message.data))
        number = self._turns.get(word(message.data.get("parentID")), self._turn)
        if number is None:
            number = self._turn = self._begin(self._nature("", kind), _created(message.data))
        return number


def _answers(message: Message, tally: Tally) -> list[Answer]:
    """The requests of an answer of which something was used."""
    data = message.data
    steps = [part for part in message.parts if part.get("type") == "step-finish"] or [data]
    model, seller = word(data.get("modelID")), word(data.get("providerID"))
    times = child(data, "time")
    at = milliseconds(times.get("completed")) or milliseconds(times.get("created"))
    answers: list[Answer] = []
    for number, step in enumerate(steps):
        tokens = _used(child(step, "tokens"), f"{seller}/{model}".lower())
        if tokens is None:
            tally.troubles[IMPOSSIBLE] += 1
        elif tokens.total:
            key = key_of(milliseconds(times.get("created")), f"{seller}/{model}#{number}", tokens)
            usd = paid(step.get("cost"))
            answers.append(Answer(at=at, key=key, model=model, provider=sold_by(seller), tokens=tokens, usd=usd))
        elif not _ended(data) and times.get("completed"):
            tally.troubles[UNCOUNTED] += 1
    return answers


def _used(tokens: dict[str, Any], model: str) -> Tokens | None:
    cache = child(tokens, "cache")
    used = tokens_of(tokens.get("input"), tokens.get("output"), cache.get("read"), cache.get("write"))
    reasoning, total = count(tokens.get("reasoning")), count(tokens.get("total"))
    if used is None or reasoning is None:
        return None
    apart = used.total != total if total else reasoning > used.output or any(name in model for name in _SAID_APART)
    return msgspec.structs.replace(used, output=used.output + reasoning) if apart else used


def _agent(data: Mapping[str, Any]) -> str:
    return word(data.get("agent")) or word(data.get("mode"))


def _created(data: dict[str, Any]) -> float:
    return milliseconds(child(data, "time").get("created"))


def _by_a_person(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "text" and not part.get("synthetic") and not part.get("ignored")


def _written(tool: str, given: dict[str, Any]) -> set[str]:
    if tool in _WRITES:
        return {path} if (path := word(given.get("filePath"))) else set()
    return set(_PATCHED.findall(prose(given.get("patchText")))) if tool in _PATCHES else set()


def _ended(data: dict[str, Any]) -> str:
    error = child(data, "error")
    if not error:
        return ""
    if error.get("name") == "MessageAbortedError":
        return "stopped"
    return "limit" if _FULL.search(prose(child(error, "data").get("message"))) else "error"
