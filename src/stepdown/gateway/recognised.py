"""What a request is for, where nobody declared it (SPEC 12): a person's turn, a sub-agent, an errand, a plan's unit. Pure.

What clients say in headers comes first, then what their prompts say. Names of programs are not believed: one agent goes by the
name of another.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from stepdown.asks import COMPACTION, MEMORY, PLANNING, TITLE, TURN, errand, named_unit
from stepdown.gateway.wire import Envelope, Talk
from stepdown.units import Unit

Origin = Literal["human", "plan", "subagent", "agent"]
"""Who asked, as in `stepdown.sessions.records.Turn`: a person; a plan; an agent for another; an agent for itself."""


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was recognised to be.

    Attributes:
        unit: its type, with the plan's text where the prompt holds one (``## UNIT:``); its id is the plan's, else "".
        origin: who asked.
        conversation: names the conversation: the client's own id, else derived from its instructions and opening words.
            Sub-agents have one of their own. Requests of one conversation build on each other's cached prompt.
        begins: whether a new unit begins with this request; else it goes on with the conversation's last one.
        planning: whether it is a person's turn in plan mode.
        words: what a person asked for, for the signals; "" where nobody did.
    """

    unit: Unit
    origin: Origin
    conversation: str
    begins: bool
    planning: bool = False
    words: str = ""


_ERRANDS: Final = {"compaction": COMPACTION, "compact": COMPACTION, "memory_consolidation": MEMORY, "memory_save": MEMORY}
"""Errands by the words that clients have for them in headers."""
_OTHER: Final = "hook/auxiliary"
"""The type of an errand that says of itself only that it is one."""
_AUXILIARY: Final = frozenset({"auxiliary", "side_reply"})
_TITLES: Final = frozenset({("title",), ("title", "branch")})
"""Fields of an answer that is a title and nothing else."""
_KIND: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST_KIND: Final = 40
_LONGEST_NAME: Final = 200


class _Turn(msgspec.Struct):
    """What Codex says of a request in ``x-codex-turn-metadata``."""

    request_kind: str = ""


_turn: Final = msgspec.json.Decoder(_Turn)


def recognised(envelope: Envelope, headers: Mapping[str, str]) -> Recognised:
    """What a request is for, where nobody declared it.

    Args:
        envelope: the request.
        headers: its own, names in lower case.
    """
    talk = envelope.talk
    subagent = _subagent(headers) or ("agent" if talk.delegated else "")
    conversation = _conversation(envelope, headers, delegated=talk.delegated)
    kind = _errand(envelope, headers)
    if kind:
        if kind != COMPACTION:  # which reads the very prompt that it sums up
            conversation = f"{conversation}/{kind.partition('/')[2]}"
        return Recognised(unit=Unit(kind), origin="agent", conversation=conversation, begins=True)
    begins = talk.last == "human" or (not talk.last and not talk.turns)
    named = named_unit(talk.words)
    if named is not None:
        return Recognised(unit=named, origin="plan", conversation=conversation, begins=begins)
    if subagent:
        return Recognised(unit=Unit(f"subagent/{subagent}"), origin="subagent", conversation=conversation, begins=begins)
    return Recognised(
        unit=Unit(PLANNING if talk.planning else TURN),
        origin="human",
        conversation=conversation,
        begins=begins,
        planning=talk.planning,
        words=talk.words,
    )


def _errand(envelope: Envelope, headers: Mapping[str, str]) -> str:
    """The type of what an agent asks for itself; "" where it is none."""
    talk = envelope.talk
    said = (
        _codex_kind(headers),
        headers.get("x-openai-subagent", ""),
        headers.get("x-claude-code-request-class", ""),
        headers.get("x-claude-code-auxiliary-type", ""),
    )
    found = next((_ERRANDS[word] for word in said if word in _ERRANDS), "")
    found = found or errand(talk.instructions) or (errand(talk.asked) if talk.last == "agent" else "")
    if found:
        return found
    if "x-claude-code-session-id" in headers and not envelope.tools and talk.fields in _TITLES:
        return TITLE  # other programs ask for titles too, as their own work
    return _OTHER if headers.get("x-claude-code-request-class") in _AUXILIARY else ""


def _codex_kind(headers: Mapping[str, str]) -> str:
    """What Codex calls the request; "" where it says nothing."""
    written = headers.get("x-codex-turn-metadata", "")
    try:
        return _turn.decode(written).request_kind if written else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _subagent(headers: Mapping[str, str]) -> str:
    """The kind of sub-agent that asks, ``agent`` where it says none; "" where none does.

    Claude Code names the kind to its own provider only.
    """
    kind = headers.get("x-openai-subagent", "") or headers.get("x-claude-code-agent-type", "")
    if kind:
        kind = kind.lower().replace("_", "-")
        return kind if len(kind) <= _LONGEST_KIND and _KIND.fullmatch(kind) else "agent"
    marks = ("x-claude-code-agent-id", "x-codex-parent-thread-id", "x-parent-session-id")
    return "agent" if any(headers.get(mark) for mark in marks) else ""


def _conversation(envelope: Envelope, headers: Mapping[str, str], *, delegated: bool) -> str:
    """The conversation's name: a sub-agent's own id, the client's, else what it began with; "" where it says nothing."""
    agent = headers.get("x-claude-code-agent-id", "")
    if agent and agent.isprintable() and len(agent) <= _LONGEST_NAME:
        return agent
    if envelope.session and not delegated:
        return envelope.session
    began = _began(envelope.talk)
    return f"{envelope.session}/{began}" if envelope.session else began


def _began(talk: Talk) -> str:
    """A name made of what a conversation began with; "" where that is nothing, or where only its newest part is here."""
    if not talk.opening:
        return ""
    text = f"{talk.instructions}\0{talk.opening}".encode("utf-8", "replace")
    return f"begins-{hashlib.blake2b(text, digest_size=8).hexdigest()}"
