"""Claude Code's lines, one after the other → a `Log`: who asked, what was answered, how it ended.

A conversation is a session, or one sub-agent of it: by its own id in newer versions, by the chain of `parentUuid` in older
ones. Within it a turn begins where a person wrote something, and everything until the next one belongs to it.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from stepdown.asks import COMPACTION, MEMORY, PLANNING, TITLE, TURN, errand, named_unit, signals_of, written_by_a_person
from stepdown.policy import DEFAULT_POLICY
from stepdown.sessions.claude_answers import request_of
from stepdown.sessions.claude_limits import limit_reached
from stepdown.sessions.claude_lines import Block, Input, Line, Message, Usage, decoded
from stepdown.sessions.claude_turns import Clock, Conversation, Open
from stepdown.sessions.records import Counted, Limit, Log, Request, Turn
from stepdown.signals import Signals

HALF: Final = "half-written lines"
NOT_JSON: Final = "lines that are not JSON"
TOO_LONG: Final = "lines longer than 64 MB"
UNTIMED: Final = "answers without a time"
UNCOUNTED: Final = "answers without token counts"
IMPOSSIBLE: Final = "answers with impossible token counts"
UNTOLD: Final = "requests that the log names but gives no tokens of"
ZONELESS: Final = "times without a zone, read as UTC"

_PASSED: Final = tuple(
    b'{"type":"' + kind + b'"'
    for kind in (b"api-request-blob", b"api-request-shape", b"file-history-snapshot", b"queue-operation", b"last-prompt")
)
"""Beginnings of lines that say nothing of tokens or turns. Written otherwise, they are decoded and passed over."""
_SUBAGENT: Final = "subagent/"
_STARTING: Final = frozenset({"Task", "Agent"})
_PLANNED: Final = frozenset({"ExitPlanMode", "exit_plan_mode"})
_WRITING: Final = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
_SYNTHETIC: Final = "<synthetic>"
_ERRANDS: Final = {
    "compact": COMPACTION,
    "extract_memories": MEMORY,
    "extract_memories_first_look": MEMORY,
    "session_memory": MEMORY,
    "auto_dream": MEMORY,
    "generate_session_title": TITLE,
    "rename_generate_name": TITLE,
    "agent_namer": TITLE,
    "prompt_suggestion": "hook/prompt-suggestion",
    "away_summary": "hook/away-summary",
    "agent_summary": "hook/agent-summary",
    "tool_use_summary_generation": "hook/tool-use-summary",
}
"""What Claude Code does for itself, by its own word for it (`querySource`, and a part of such an agent's id)."""
_LABEL: Final = re.compile(r"a([a-z][a-z_]{3,40})-[0-9a-f]{6,}")
_INTERRUPTED: Final = re.compile(r"\s*\[Request interrupted by user")
_SAME_LIMIT: Final = 3600.0
"""Seconds within which a limit that names no reset is still the one that was said before."""


class Reading:
    """One file being read.

    Args:
        session: what to call the session where a line does not say.
        kind: the kind of sub-agent whose file this is; "" where that is not known.
    """

    def __init__(self, session: str, kind: str = "") -> None:
        self._session = session
        self._kind = kind
        self._conversations: dict[str, Conversation] = {}
        self._roots: dict[str, str] = {}
        self._turns: list[Open] = []
        self._requests: dict[str, Request] = {}
        self._refs: dict[str, str] = {}
        self._named: dict[str, str] = {}
        self._told: set[str] = set()
        self._latest = ""
        self._started: dict[int, str] = {}
        self._calls: set[str] = set()
        self._limits: list[Limit] = []
        self._counted: dict[tuple[str, str], Counted] = {}
        self._troubles: dict[str, int] = {}
        self._clock = Clock()
        self._usage: tuple[str, Usage] | None = None
        self._handlers: dict[str, Callable[[Line], None]] = {
            "assistant": self._answer,
            "user": self._message,
            "system": self._noted,
            "api-request": self._request_named,
            "cost-state": self._count,
        }

    def take(self, raw: bytes | None) -> None:
        """The next line; None for one that was too long to be read."""
        if raw is None:
            self._trouble(TOO_LONG)
            return
        if raw.startswith(_PASSED) and raw.endswith(b"\n"):
            return
        line = decoded(raw)
        if line is None:
            if raw.strip(b"\0 \t\r\n"):
                self._trouble(NOT_JSON if raw.endswith(b"\n") else HALF)
            return
        if line.timestamp:
            self._clock.said = line.timestamp
        handle = self._handlers.get(line.type or "")
        if handle is not None:
            handle(line)
        elif line.is_sidechain and not line.agent_id:
            self._conversation(line)  # a link of the chain

    def log(self) -> Log:
        """Everything that was read."""
        untold = len(self._named.keys() - self._told)
        if untold:
            self._trouble(UNTOLD, untold)
        if self._clock.zoneless:
            self._trouble(ZONELESS, self._clock.zoneless)
        self._name_subagents()
        self._own_turns()
        order = sorted(range(len(self._turns)), key=lambda index: self._turns[index].turn.at)
        place = {index: position for position, index in enumerate(order)}
        return Log(
            requests=tuple(msgspec.structs.replace(one, turn=place[one.turn]) for one in self._requests.values()),
            turns=tuple(self._turns[index].closed() for index in order),
            limits=tuple(self._limits),
            counted=tuple(self._counted.values()),
            troubles=self._troubles,
        )

    def _message(self, line: Line) -> None:
        """A user's line: a person's words, results of tools, or what Claude Code put there."""
        message = line.message or Message()
        conversation = self._conversation(line)
        texts: list[str] = []
        for block in message.blocks:
            if block.is_error and conversation.current is not None:
                self._turns[conversation.current].errors += 1
            elif block.type == "text" and block.text:
                texts.append(block.text)
        if conversation.agent:
            if conversation.current is None:
                self._begin(conversation, line, texts)
        elif not line.is_compact_summary:
            self._heard(conversation, line, texts, message.blocks)
        if texts and conversation.current is not None and any(map(_INTERRUPTED.match, texts)):
            turn = self._turns[conversation.current]
            turn.alter(ended="stopped")

    def _heard(self, conversation: Conversation, line: Line, texts: list[str], blocks: list[Block]) -> None:
        """Words in a session: a person's begin a turn, a command does once it asks the model something."""
        if line.is_meta:
            if conversation.command is not None:
                conversation.command += texts
            return
        pictures = any(block.type in {"image", "document"} for block in blocks)
        said = [part for part in map(written_by_a_person, texts) if part]
        if said or (pictures and not any(block.type == "tool_result" for block in blocks)):
            if line.prompt_source != "system":
                self._begin(conversation, line, said)
        elif any("<command-name>" in text for text in texts):
            conversation.command = []
        elif any("<local-command-std" in text for text in texts):
            conversation.command = None

    def _begin(self, conversation: Conversation, line: Line, texts: list[str]) -> None:
        """A new turn."""
        text = "\n".join(texts)
        unit = named_unit(text) if "UNIT:" in text else None
        own = errand(text)
        signals: Signals | None = None
        kind, origin, unit_id = TURN, "human", ""
        if unit is not None:
            kind, origin, unit_id = unit.type, "plan", unit.id
            signals = signals_of(text, DEFAULT_POLICY, unit)
        elif conversation.agent:
            conversation.asked = hash(text)
            kind, origin = own or _SUBAGENT, "agent" if own else "subagent"
        elif own:
            kind, origin = own, "agent"
        else:
            kind = PLANNING if line.permission_mode == "plan" else TURN
            signals = signals_of(text, DEFAULT_POLICY)
        turn = Turn(
            conversation=conversation.name,
            session=line.session_id or self._session,
            project=line.cwd or "",
            type=kind,
            id=unit_id,
            at=self._clock.now,
            origin=origin,
            signals=signals,
            fresh=conversation.fresh,
        )
        conversation.command = None
        conversation.current = len(self._turns)
        self._turns.append(Open(turn, mode_known=line.permission_mode is not None))

    def _turn(self, conversation: Conversation, line: Line) -> int:
        """The turn that an answer belongs to."""
        if conversation.current is None or conversation.command is not None:
            self._begin(conversation, line, conversation.command or [])
        assert conversation.current is not None
        return conversation.current

    def _answer(self, line: Line) -> None:
        """A line of an answer: newer versions write one for each of its parts, with the same ids."""
        message = line.message or Message()
        conversation = self._conversation(line)
        if line.request_ref:
            self._told.add(line.request_ref)
        if line.is_api_error_message or message.model == _SYNTHETIC:
            self._failed(conversation, line, message)
            return
        if line.attribution_agent and conversation.agent:
            conversation.kind = line.attribution_agent
        if message.usage is None:
            self._trouble(UNCOUNTED)
            return
        key = ":".join(part for part in (message.id, line.request_id) if part) if message.id else ""
        before = self._requests.get(key)
        index = before.turn if before is not None else self._turn(conversation, line)
        if message.content:
            self._used_tools(self._turns[index], message.blocks)
        if before is None or self._usage != (key, message.usage):
            self._usage = (key, message.usage)
            self._asked(line, request_of(line, message, index, key, self._clock.now), before)

    def _asked(self, line: Line, request: Request | None, before: Request | None) -> None:
        """What an answer used, said for the first time or again.

        The answer as a whole is said last; where older versions did not, the fullest line is nearest to it.
        """
        if request is None:
            if before is None:
                self._trouble(IMPOSSIBLE)
            return
        if not request.at:
            self._trouble(UNTIMED)
            return
        if before is None:
            self._conversation(line).fresh = False
            self._turns[request.turn].go_on(request.at)
        elif before.output > request.output:
            return
        internal = request.key or f"\0{len(self._requests)}"
        self._requests[internal] = request
        if line.request_ref:
            self._refs[internal] = line.request_ref

    def _failed(self, conversation: Conversation, line: Line, message: Message) -> None:
        """What Claude Code wrote in place of an answer."""
        if not line.is_api_error_message:
            return
        self._told.add(self._latest)
        limit = next(filter(None, (limit_reached(text, self._clock.now) for text in message.texts)), None)
        turn = self._turns[self._turn(conversation, line)]
        turn.alter(ended="error" if limit is None else "limit")
        if limit is not None and not any(_same(limit, known) for known in self._limits):
            self._limits.append(limit)

    def _used_tools(self, turn: Open, blocks: Iterable[Block]) -> None:
        """Tools that were called, files that were written, and which agents were started."""
        for block in blocks:
            if block.type != "tool_use" or (block.id and block.id in self._calls):
                continue
            if block.id:
                self._calls.add(block.id)
            turn.calls += 1
            given = block.input or Input()
            path = given.file_path or given.notebook_path
            if path and block.name in _WRITING:
                turn.files.add(path)
            elif given.subagent_type and block.name in _STARTING:
                self._started[hash(given.prompt or "")] = given.subagent_type
            elif block.name in _PLANNED and not turn.mode_known and turn.turn.type == TURN:
                turn.alter(type=PLANNING)

    def _conversation(self, line: Line) -> Conversation:
        """The session or the sub-agent that a line belongs to."""
        session = line.session_id or self._session
        agent = ""
        if line.agent_id:
            agent = line.agent_id
        elif line.is_sidechain:
            own = line.uuid or "side-chain"
            agent = self._roots.get(line.parent_uuid or "", own)
            self._roots[own] = agent
        name = f"{session}/{agent}" if agent else session
        found = self._conversations.get(name)
        if found is None:
            found = self._conversations[name] = Conversation(name, agent)
        return found

    def _name_subagents(self) -> None:
        """The type of each sub-agent's turn: by the file beside its log, its lines, who started it, its id."""
        for turn in self._turns:
            if turn.turn.type != _SUBAGENT:
                continue
            conversation = self._conversations[turn.turn.conversation]
            label = _LABEL.fullmatch(conversation.agent)
            own = _ERRANDS.get(label[1]) if label is not None else None
            kind = self._kind or conversation.kind or self._started.get(conversation.asked, "")
            name = "".join(kind.split())[:60]
            turn.alter(
                type=own or _SUBAGENT + (name if name and name.isprintable() else "agent"),
                origin="subagent" if own is None else "agent",
            )

    def _own_turns(self) -> None:
        """Requests that Claude Code made for itself in the middle of a turn get turns of their own."""
        for key, request in self._requests.items():
            own = _ERRANDS.get(self._named.get(self._refs.get(key, ""), ""))
            turn = self._turns[request.turn].turn
            if own is None or turn.origin == "agent":
                continue
            moved = msgspec.structs.replace(
                turn, type=own, id="", at=request.at, origin="agent", signals=None, ended="", fresh=False
            )
            self._requests[key] = msgspec.structs.replace(request, turn=len(self._turns))
            self._turns.append(Open(moved, mode_known=True))

    def _noted(self, line: Line) -> None:
        """What Claude Code says of the conversation, or of a request that failed and is tried again."""
        if line.subtype == "compact_boundary":
            self._conversation(line).fresh = True
        elif line.subtype == "api_error":
            self._told.add(self._latest)
        elif line.is_sidechain and not line.agent_id:
            self._conversation(line)

    def _request_named(self, line: Line) -> None:
        """A request that is made; what it used follows with the answer."""
        if line.id:
            self._latest = line.id
            self._named[line.id] = line.query_source or ""

    def _count(self, line: Line) -> None:
        """What Claude Code counted itself. The line has no time: it is that of the line before."""
        session = line.session_id or self._session
        for model, counts in (line.model_usage or {}).items():
            if all(count >= 0 for count in counts.kinds):
                self._counted[session, model] = Counted(session, model, self._clock.now, *counts.kinds, usd=counts.cost)

    def _trouble(self, what: str, count: int = 1) -> None:
        self._troubles[what] = self._troubles.get(what, 0) + count


def _same(limit: Limit, known: Limit) -> bool:
    """Whether it is the state that was said before."""
    if (limit.window, limit.resets) != (known.window, known.resets):
        return False
    return limit.resets is not None or limit.at - known.at < _SAME_LIMIT
