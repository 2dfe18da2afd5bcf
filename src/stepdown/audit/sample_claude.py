"""Claude Code's logs, invented: one conversation at a time, for the sample and for measuring with as many as are wanted.

The shape of the lines is that of Claude Code 2.1 (sub-agents and compaction in files of their own below the session's name).
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

OPUS: Final = "claude-opus-4-6"
SONNET: Final = "claude-sonnet-4-6"
HAIKU: Final = "claude-haiku-4-5"

Line = dict[str, Any]
Speak = Callable[[Random, int], str]
"""So many tokens as text."""

_VERSION: Final = "2.1.197"
_KEPT: Final = 3_600.0
"""Seconds for which the main conversation's cache is kept."""
_SYSTEM: Final = 21_000
"""Tokens of the first prompt: instructions and tools."""
_FULL: Final = 240_000
"""Tokens of a prompt from which on its user has it summed up."""
_PRICES: Final = {OPUS: (5.0, 25.0), SONNET: (3.0, 15.0), HAIKU: (1.0, 5.0)}
"""US dollars per million tokens of input and output, as Claude Code had them then; cache rates are multiples of the input's."""
_SUBAGENTS: Final = (("Explore", HAIKU), ("Explore", HAIKU), ("general-purpose", SONNET), ("code-reviewer", OPUS))
_COMPACT: Final = "Your task is to create a detailed summary of the conversation so far."
_FILES: Final = (
    "src/cart.ts",
    "src/checkout/tax.ts",
    "jobs/load_orders.py",
    "jobs/schema.sql",
    "app/editor.tsx",
    "app/sync.ts",
)
_TOOLS: Final = ("Read", "Read", "Read", "Bash", "Bash", "Grep", "Edit", "Edit", "Write")
_THINGS: Final = ("the price filter", "refunds", "the nightly import", "tags", "the search box", "offline sync", "invoices")
_ASIDES: Final = (
    "It worked before the last release, so look at what changed there first.",
    "Keep the public functions as they are; other teams call them.",
    "The numbers in the report must stay the same to the cent, compare them before and after.",
    "Tests first, please, and run the whole suite at the end.",
    "Do not add a dependency for this.",
)


class Ask(NamedTuple):
    """A kind of prompt: its beginning, how many asides and steps follow, and how many requests it leads to."""

    text: str
    asides: int
    steps: int
    requests: tuple[int, int]
    mode: str = "default"


ASKS: Final = (
    Ask("fix the typo in the heading of {file}", 0, 0, (5, 8)),
    Ask("rename the settings of {thing} so that they read the same everywhere", 0, 0, (5, 11)),
    Ask("update the README for {thing}", 0, 0, (5, 9)),
    Ask("what does {file} do when the list is empty?", 0, 0, (5, 7)),
    Ask("commit this", 0, 0, (5, 6)),
    Ask("add a test for {thing} in {file}", 1, 0, (6, 14)),
    Ask("{thing} shows the wrong total when two rows are equal. Find out why and fix it.", 1, 0, (8, 20)),
    Ask("Add a page for {thing} with paging and a filter by date.", 3, 5, (14, 30)),
    Ask("Move {thing} to the new schema, with a migration and a way back.", 5, 9, (22, 40)),
    Ask("Redesign {thing} so that two people can edit at once without losing anything.", 8, 14, (26, 40)),
)
OFTEN: Final = (6, 6, 6, 8, 8, 12, 16, 12, 7, 4)
PLANNING: Final = Ask("Plan how {thing} could work without the old service.", 4, 3, (8, 16), mode="plan")


def briefly(rng: Random, tokens: int) -> str:
    """A stand-in for a text of so many tokens, so that the sample stays small."""
    return f"{rng.choice(_FILES)}: {tokens // 12} lines"


class Chat:
    """A conversation of Claude Code, or of one of its sub-agents, as the lines of its log.

    Args:
        rng: all that happens by chance.
        cwd: the project's directory.
        at: when it begins, seconds since the epoch.
        speak: words answers and what tools give back.
        thinks: whether answers begin with a record of thinking.
        model: what answers.
        agent: see below.

    Attributes:
        lines: what was written so far.
        ends: after each turn, how many lines there were, and the tokens of the next prompt.
        at: the time, seconds since the epoch.
        used: per model the tokens of input, output, cache reads, cache writes for five minutes and for an hour.
        beside: files that belong to it, by their name.
        agent: the id of a sub-agent; "" for the session itself.
        parent: the last line.
        prompt: tokens of the next prompt.
        cached: of them, those in the cache.
        warm: until when the cache is kept.
    """

    def __init__(
        self,
        rng: Random,
        cwd: str,
        at: float,
        *,
        speak: Speak = briefly,
        thinks: bool = False,
        model: str = OPUS,
        agent: str = "",
    ) -> None:
        self.rng = rng
        self.at = at
        self.session = uuid(rng)
        self.lines: list[Line] = []
        self.ends: list[tuple[int, int]] = []
        self.used: dict[str, list[int]] = {}
        self.beside: dict[str, bytes] = {}
        self._cwd = cwd
        self._speak = speak
        self._thinks = thinks
        self._model = model
        self.agent = agent
        self.parent: str | None = None
        self.prompt = _SYSTEM if not agent else 9_000
        self.cached = 0
        self.warm = 0.0

    def ask(self, kind: Ask) -> None:
        """A turn of its user."""
        self.line("user", message={"role": "user", "content": _worded(self.rng, kind)}, permissionMode=kind.mode)
        count = self.rng.randint(*kind.requests)
        self.work(count)
        self.ends.append((len(self.lines), self.prompt))

    def work(self, requests: int) -> None:
        """Requests with their tools, until the last one has none."""
        for left in range(requests - 1, -1, -1):
            if self.prompt > _FULL and not self.agent:
                self._sum_up()
            elif left > 2 and not self.agent and self.rng.random() < 0.02:
                self._delegate()
            else:
                self.answer(self.rng.choice(_TOOLS) if left else "")

    def refuse(self, resets: float) -> None:
        """The plan's window is full."""
        hour = datetime.fromtimestamp(resets, UTC).hour
        said = f"You've hit your session limit · resets {(hour - 1) % 12 + 1}{'am' if hour < 12 else 'pm'} (UTC)"
        usage = _usage(0, 0, 0, 0, 0)
        message = {"id": uuid(self.rng), "model": "<synthetic>", "role": "assistant", "type": "message", "usage": usage}
        self.line("user", message={"role": "user", "content": "go on"}, permissionMode="default")
        self.line(
            "assistant",
            message=message | {"content": [{"type": "text", "text": said}], "stop_reason": "stop_sequence"},
            isApiErrorMessage=True,
            error="rate_limit",
        )

    def again(self, turns: int, at: float) -> "Chat":
        """Another session that begins with a copy of the first turns, as resuming and forking write it."""
        other = copy.copy(self)
        other.session, other.at = uuid(self.rng), at
        count, other.prompt = self.ends[turns - 1]
        other.lines = [line | {"sessionId": other.session} for line in self.lines[:count]]
        other.parent = other.lines[-1]["uuid"]
        other.ends, other.used, other.beside = self.ends[:turns], {}, {}
        other.cached = 0
        return other

    def files(self, folder: Path) -> Iterator[tuple[Path, bytes]]:
        """The session's log and those of its sub-agents, in Claude Code's directory for its project."""
        place = folder / "".join(letter if letter.isalnum() else "-" for letter in self._cwd)
        yield place / f"{self.session}.jsonl", lines([*self.lines, self._counted()])
        for name, content in self.beside.items():
            yield place / self.session / "subagents" / name, content

    def line(self, kind: str, **more: Any) -> None:
        """One record of the log, with what every record has."""
        self.at += self.rng.uniform(0.5, 3.0)
        mark = uuid(self.rng)
        line: Line = {"parentUuid": self.parent, "isSidechain": bool(self.agent)}
        if self.agent:
            line["agentId"] = self.agent
        line |= {"type": kind, **more, "uuid": mark, "timestamp": stamp(self.at), "userType": "external"}
        line |= {"cwd": self._cwd, "sessionId": self.session, "version": _VERSION, "gitBranch": "main"}
        self.lines.append(line)
        self.parent = mark

    def answer(self, tool: str, *, output: int = 0, arguments: Line | None = None, result: str = "") -> None:
        """One request: its answer as one line per part of it, and what the tool gave back."""
        self.at += self.rng.uniform(2, 18)
        output = output or about(self.rng, 560)
        usage = self._send(output)
        said: list[Line] = []
        if self._thinks:
            said.append({"type": "thinking", "thinking": "", "signature": self._speak(self.rng, output)})
        if not tool or self.rng.random() < 0.25:
            said.append({"type": "text", "text": self._speak(self.rng, output)})
        call = f"toolu_{self.rng.getrandbits(96):024x}"
        if tool:
            said.append({"type": "tool_use", "id": call, "name": tool, "input": arguments or self._input(tool, output)})
        message: Line = {
            "id": f"msg_{self.rng.getrandbits(96):024x}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
        }
        message |= {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None, "usage": usage}
        request = f"req_{self.rng.getrandbits(96):024x}"
        for part in said:
            self.line("assistant", message=message | {"content": [part]}, requestId=request)
        if tool:
            self._result(call, result)

    def _result(self, call: str, given: str) -> None:
        tokens = about(self.rng, 2_200)
        self.prompt += tokens
        text = given or self._speak(self.rng, tokens)
        part: Line = {"tool_use_id": call, "type": "tool_result", "content": text}
        if self.rng.random() < 0.04:
            part["is_error"] = True
        self.line("user", message={"role": "user", "content": [part]}, toolUseResult={"type": "text", "content": text})

    def _send(self, output: int) -> Line:
        """What a request uses, and what of it is in the cache afterwards."""
        read = self.cached if self.at < self.warm else 0
        fresh = self.rng.randint(1, 12)
        written = max(self.prompt - read - fresh, 0)
        long = 0 if self.agent else written
        counts = (fresh, output, read, written - long, long)
        total = self.used.setdefault(self._model, [0] * len(counts))
        self.used[self._model] = [a + b for a, b in zip(total, counts, strict=True)]
        self.cached, self.warm = read + written, self.at + (300.0 if self.agent else _KEPT)
        self.prompt += output
        return _usage(*counts)

    def _input(self, tool: str, output: int) -> Line:
        file = f"{self._cwd}/{self.rng.choice(_FILES)}"
        match tool:
            case "Edit":
                return {"file_path": file, "old_string": "total", "new_string": self._speak(self.rng, output)}
            case "Write":
                return {"file_path": file, "content": self._speak(self.rng, output)}
            case "Bash":
                return {"command": "npm test", "description": "Run the tests"}
            case "Grep":
                return {"pattern": "total", "output_mode": "content"}
        return {"file_path": file}

    def _delegate(self) -> None:
        """A sub-agent does something with a conversation and a file of its own."""
        kind, model = self.rng.choice(_SUBAGENTS)
        worker = self._beside(f"a{self.rng.getrandbits(64):016x}", model)
        asked = f"Find every place that touches {self.rng.choice(_THINGS)} and say what each does. {self.rng.choice(_ASIDES)}"
        worker.line("user", message={"role": "user", "content": asked})
        worker.work(self.rng.randint(5, 16))
        self._put_beside(worker, {"agentType": kind, "description": "look around", "spawnDepth": 1, "finished": True})
        arguments = {"description": "look around", "prompt": asked, "subagent_type": kind}
        self.answer("Agent", arguments=arguments, result=self._speak(self.rng, 700))
        self.at = max(self.at, worker.at)

    def _sum_up(self) -> None:
        """Compaction: a conversation beside this one, with the end of this one copied into it, ends in a summary."""
        worker = self._beside(f"acompact-{self.rng.getrandbits(64):016x}", self._model)
        mine = {"isSidechain": True, "agentId": worker.agent}
        worker.lines = [line | mine for line in self.lines[-6:]]
        worker.prompt, worker.cached, worker.warm = self.prompt, self.cached, self.warm
        worker.line("user", message={"role": "user", "content": _COMPACT})
        worker.answer("", output=about(self.rng, 4_000))
        self._put_beside(worker, None)
        self.at = worker.at
        before = {"trigger": "manual", "preTokens": self.prompt}
        self.line("system", subtype="compact_boundary", content="Conversation compacted", level="info", compactMetadata=before)
        text = "This session is being continued from a previous conversation that ran out of context."
        self.line("user", message={"role": "user", "content": text}, isCompactSummary=True, isVisibleInTranscriptOnly=True)
        self.prompt, self.cached = _SYSTEM + 6_000, _SYSTEM

    def _beside(self, agent: str, model: str) -> "Chat":
        worker = Chat(self.rng, self._cwd, self.at, speak=self._speak, thinks=self._thinks, model=model, agent=agent)
        worker.session = self.session
        return worker

    def _put_beside(self, worker: "Chat", about: Line | None) -> None:
        self.beside[f"agent-{worker.agent}.jsonl"] = lines(worker.lines)
        if about is not None:
            self.beside[f"agent-{worker.agent}.meta.json"] = msgspec.json.encode(about)
        for model, counts in worker.used.items():
            self.used[model] = [a + b for a, b in zip(self.used.get(model, [0] * 5), counts, strict=True)]

    def _counted(self) -> Line:
        """Claude Code's own count at the end of a session, with the title of one in eight, which is in no log."""
        used = dict(self.used)
        if self.session[-1] in "08":
            used[HAIKU] = [a + b for a, b in zip(used.get(HAIKU, [0] * 5), (410, 12, 0, 0, 0), strict=True)]
        models = {model: _model_usage(model, counts) for model, counts in used.items()}
        total = sum(one["costUSD"] for one in models.values())
        return {"type": "cost-state", "sessionId": self.session, "totalCostUSD": total, "modelUsage": models}


def lines(records: Sequence[Line]) -> bytes:
    """Records as a log has them, one a line."""
    encode = msgspec.json.Encoder().encode
    return b"".join(encode(record) + b"\n" for record in records)


def stamp(at: float) -> str:
    """A moment as logs write it, in milliseconds of UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uuid(rng: Random) -> str:
    """An identifier that looks like one."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def about(rng: Random, median: int, most: int = 12_000) -> int:
    """A count of tokens: half are below the median, a few far above."""
    return max(12, min(round(median * math.exp(rng.gauss(0, 0.9))), most))


def _worded(rng: Random, kind: Ask) -> str:
    text = [kind.text.format(thing=rng.choice(_THINGS), file=rng.choice(_FILES))]
    text += rng.choices(_ASIDES, k=kind.asides)
    steps = [f"{number}. In `{rng.choice(_FILES)}`: {rng.choice(_ASIDES)}" for number in range(1, kind.steps + 1)]
    return "\n".join([" ".join(text), *steps])


def _usage(fresh: int, output: int, read: int, short: int, long: int) -> Line:
    """Tokens as Anthropic's API says them."""
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": short + long,
        "cache_read_input_tokens": read,
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": 0},
        "service_tier": "standard",
        "cache_creation": {"ephemeral_1h_input_tokens": long, "ephemeral_5m_input_tokens": short},
    }


def _model_usage(model: str, counts: Sequence[int]) -> Line:
    fresh, output, read, short, long = counts
    prompt, answer = _PRICES[model]
    usd = ((fresh + 0.1 * read + 1.25 * short + 2 * long) * prompt + output * answer) / 1_000_000
    return {
        "inputTokens": fresh,
        "outputTokens": output,
        "cacheReadInputTokens": read,
        "cacheCreationInputTokens": short + long,
        "webSearchRequests": 0,
        "costUSD": usd,
    }
