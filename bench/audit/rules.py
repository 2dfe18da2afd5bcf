"""Small logs that bring out one rule of counting each, read by ccusage and by the audit: where they differ, and why.

Each rule has a day of its own, so that one run of each program tells all of them apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bench.audit.running import CLAUDE, CODEX, Sheet

Line = dict[str, Any]
_OPUS: Final = "claude-opus-4-6"
_SONNET: Final = "claude-sonnet-4-5"


class Rule(NamedTuple):
    """One rule.

    Attributes:
        name: what the log has in it.
        agent: `CLAUDE` or `CODEX`.
        day: ISO date.
        files: records or whole lines, by the name of their file.
        why: why the two differ; "" where they must not.
    """

    name: str
    agent: str
    day: str
    files: Mapping[str, Sequence[Line | bytes]]
    why: str = ""


class Verdict(NamedTuple):
    """What the two make of it.

    Attributes:
        rule: which.
        theirs: tokens and dollars by ccusage.
        ours: tokens and dollars by the audit; None is unknown.
    """

    rule: Rule
    theirs: tuple[int, float]
    ours: tuple[int, float | None]

    @property
    def same(self) -> bool:
        """Tokens, and dollars to a hundredth of a cent."""
        usd = self.ours[1]
        return self.theirs[0] == self.ours[0] and usd is not None and abs(self.theirs[1] - usd) < 0.0001

    @property
    def expected(self) -> bool:
        """Whether that is what the explanation says."""
        return self.same != bool(self.rule.why)


class _Claude:
    """Builds rules of Claude Code's logs, one a day."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(
        self, name: str, *answers: Line | bytes, why: str = "", files: Mapping[str, Sequence[Line | bytes]] | None = None
    ) -> Rule:
        rule = Rule(name, CLAUDE, self.day, files or {f"{self._number:03d}.jsonl": answers}, why)
        self._number += 1
        return rule

    @property
    def day(self) -> str:
        return f"2026-{6 + self._number // 28:02d}-{1 + self._number % 28:02d}"

    def answer(self, *, mark: str = "", model: str = _OPUS, at: str = "", usage: Line | None = None, **more: Any) -> Line:
        """A record of an answer: 1,000 tokens in, 100 out, if nothing else is said."""
        name = f"{self._number:03d}{mark}"
        used = {"input_tokens": 1_000, "output_tokens": 100, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        message: Line = {"id": f"msg_{name}", "type": "message", "role": "assistant", "model": model}
        message |= {"content": [{"type": "text", "text": "x"}], "usage": used | (usage or {})}
        line: Line = {"type": "assistant", "uuid": name, "timestamp": at or f"{self.day}T10:00:00.000Z", "message": message}
        return line | {"requestId": f"req_{name}", "cwd": "/p", "sessionId": f"s{name}", "version": "2.1.0"} | more


def claude_rules() -> Iterator[Rule]:
    """Claude Code's logs."""
    rule = _Claude()
    yield rule("one answer", rule.answer())
    yield rule("cache read", rule.answer(usage={"cache_read_input_tokens": 100_000}))
    yield rule("cache kept for five minutes", rule.answer(usage=_written(100_000, 0)))
    yield rule("cache kept for an hour", rule.answer(usage=_written(0, 100_000)))
    yield rule("several lines per answer, the last one whole", rule.answer(usage={"output_tokens": 1}), rule.answer())
    yield rule("side chain", rule.answer(isSidechain=True, agentId="a1"))
    copied = rule.answer()
    yield rule("copied into another session", files={"000-a.jsonl": [copied], "000-b.jsonl": [copied | {"sessionId": "other"}]})
    copied = rule.answer()
    part = rule.answer(usage={"output_tokens": 1})
    yield rule("copied, and the first copy is half an answer", files={"001-a.jsonl": [part], "001-b.jsonl": [copied]})
    yield rule(
        "`<synthetic>`", rule.answer(model="<synthetic>", usage={"input_tokens": 0, "output_tokens": 0}), rule.answer(mark="b")
    )
    yield rule("1M window in the model's name", rule.answer(model=f"{_OPUS}[1m]"))
    yield rule("zone in the time", rule.answer(at=f"{rule.day}T23:30:00+02:00"))
    yield rule("half-written last line", rule.answer(), _encoded(rule.answer(mark="b"))[:-30])
    yield rule(
        "long prompt, 250,000 new tokens, model with a long-context price",
        rule.answer(model=_SONNET, usage={"input_tokens": 250_000}),
        why="Anthropic bills the whole request at the higher rates. ccusage bills only the tokens above 200,000 so.",
    )
    yield rule(
        "long prompt, 150,000 read and 100,000 new",
        rule.answer(model=_SONNET, usage={"input_tokens": 100_000, "cache_read_input_tokens": 150_000}),
        why="The length that counts is the whole prompt's. ccusage looks at each kind of token by itself.",
    )
    yield Rule(
        "long prompt of Opus 4.6 in February",
        CLAUDE,
        "2026-02-20",
        {"feb.jsonl": [rule.answer(mark="feb", at="2026-02-20T10:00:00.000Z", usage={"input_tokens": 250_000})]},
        why="It had a long-context price until 12 March. ccusage has one price for all days.",
    )
    yield rule(
        "fast mode",
        rule.answer(usage={"speed": "fast"}),
        why="What fast mode cost is not in the log. ccusage multiplies the price by a number of its own; here it is unknown.",
    )
    yield rule("inference in the United States", rule.answer(usage={"inference_geo": "us"}), why="Costs 1.1 times the list.")
    yield rule(
        "batch",
        rule.answer(usage={"service_tier": "batch"}),
        why="Costs half the list or what was agreed: unknown here, the list price at ccusage.",
    )
    yield rule(
        "ten web searches",
        rule.answer(usage={"server_tool_use": {"web_search_requests": 10}}),
        why="A search costs one cent. ccusage leaves them out.",
    )
    yield rule(
        "model without a known price", rule.answer(model="company-model-7"), why="Unknown here, and no dollars at ccusage."
    )
    yield rule(
        "newer model", rule.answer(model="claude-opus-5-5"), why="The offline price list of ccusage does not have it: $0."
    )
    yield rule(
        "price on the line (1.0.x), as the price list has it",
        rule.answer(costUSD=0.0075),
    )
    yield rule(
        "price on the line (1.0.x), another than the price list's",
        rule.answer(costUSD=0.5),
        why="Here the price of the day holds. ccusage takes the line's, unless told `--mode calculate`.",
    )
    yield rule("spaces in the JSON", _encoded(rule.answer()).replace(b'":', b'": '), why="Valid JSON. ccusage does not see it.")
    yield rule("byte order mark", b"\xef\xbb\xbf" + _encoded(rule.answer()), why="ccusage does not see the first line.")
    yield rule(
        "microseconds in the time",
        rule.answer(at=f"{rule.day}T10:00:00.123456Z"),
        why="ccusage leaves the line out.",
    )
    yield rule("version that is no number", rule.answer(version="dev"), why="ccusage leaves the line out.")
    yield rule("count that is null", rule.answer(usage={"cache_read_input_tokens": None}), why="ccusage leaves the line out.")
    yield rule("count that is a fraction", rule.answer(usage={"input_tokens": 1000.0}), why="ccusage leaves the line out.")
    yield rule("the same answer, once without its request", rule.answer(), _without(rule.answer(), "requestId"))


def codex_rules() -> Iterator[Rule]:
    """Codex's logs."""
    used = _used(10_000, 4_000, 1_000)
    double = _used(20_000, 8_000, 2_000)
    yield _codex(1, "one answer", _count(1, used, used))
    yield _codex(2, "the same count again", _count(2, used, used), _count(2, used, used))
    yield _codex(3, "totals without the last answer's", _count(3, None, used), _count(3, None, double, second=1))
    yield _codex(4, "count and record of the same answer", _record(4, used), _count(4, used, used))
    yield _codex(5, "long prompt", _count(5, _used(300_000, 0, 1_000), _used(300_000, 0, 1_000)), model="gpt-5.4")
    yield _codex(
        6,
        "model without a known price",
        _count(6, used, used),
        model="company-model-7",
        why="Unknown here, and no dollars at ccusage.",
    )
    yield _codex(7, "no model said", _count(7, used, used), model="", why="Unknown here. ccusage takes it for gpt-5.")
    yield _codex(
        8,
        "newer model",
        _count(8, used, used),
        model="gpt-6.1-sol",
        why="The offline price list of ccusage does not have it: $0.",
    )
    yield _codex(
        9,
        "two answers of equal size in the same millisecond",
        _count(9, used, used),
        _count(9, used, double),
        why="One answer at ccusage, which tells them apart by time and tokens.",
    )
    yield _codex(
        10,
        "records of use alone",
        _record(10, used),
        why="ccusage reads only the counts.",
    )


def write(rules: Sequence[Rule], home: Path) -> None:
    """Write the rules' logs where the two look for them."""
    for rule in rules:
        year, month, day = rule.day.split("-")
        place = (
            home / ".claude" / "projects" / "-p" if rule.agent == CLAUDE else home / ".codex" / "sessions" / year / month / day
        )
        place.mkdir(parents=True, exist_ok=True)
        for name, content in rule.files.items():
            lines = [line if isinstance(line, bytes) else _encoded(line) for line in content]
            (place / name).write_bytes(b"\n".join(lines) + b"\n")


def judged(rules: Sequence[Rule], theirs: Sheet, ours: Sheet) -> list[Verdict]:
    """What the two say of each rule's day."""
    found = []
    for rule in rules:
        unknown = any(day == rule.day for day, _ in ours.unknown)
        usd = None if unknown else _on(rule.day, ours.usd)
        found.append(Verdict(rule, (_tokens(rule.day, theirs), _on(rule.day, theirs.usd)), (_tokens(rule.day, ours), usd)))
    return found


def _tokens(day: str, sheet: Sheet) -> int:
    return sum(sum(counts) for (when, _), counts in sheet.tokens.items() if when == day)


def _on(day: str, usd: Mapping[tuple[str, str], float]) -> float:
    return sum(amount for (when, _), amount in usd.items() if when == day)


def _encoded(line: Line) -> bytes:
    return msgspec.json.encode(line)


def _without(line: Line, key: str) -> Line:
    return {name: value for name, value in line.items() if name != key}


def _written(short: int, long: int) -> Line:
    kinds = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    return {"cache_creation_input_tokens": short + long, "cache_creation": kinds}


def _codex(number: int, name: str, *counts: Line, model: str = "gpt-5.5", why: str = "") -> Rule:
    day = f"2026-10-{number:02d}"
    session = f"0199{number:04d}-0000-7000-8000-000000000000"
    meta = {
        "id": session,
        "timestamp": f"{day}T10:00:00.000Z",
        "cwd": "/p",
        "cli_version": "0.169.0",
        "model_provider": "openai",
    }
    lines = [_event(number, "session_meta", meta)]
    if model:
        lines.append(_event(number, "turn_context", {"cwd": "/p", "model": model}))
    return Rule(name, CODEX, day, {f"rollout-{day}T10-00-00-{session}.jsonl": [*lines, *counts]}, why)


def _event(number: int, kind: str, payload: Line, *, second: int = 0) -> Line:
    return {"timestamp": f"2026-10-{number:02d}T10:00:{second:02d}.000Z", "type": kind, "payload": payload}


def _used(read: int, cached: int, written: int) -> Line:
    used = {"input_tokens": read, "cached_input_tokens": cached, "output_tokens": written, "reasoning_output_tokens": 0}
    return used | {"total_tokens": read + written}


def _count(number: int, last: Line | None, total: Line, *, second: int = 0) -> Line:
    info = {"total_token_usage": total} | ({"last_token_usage": last} if last else {})
    return _event(number, "event_msg", {"type": "token_count", "info": info, "rate_limits": None}, second=second)


def _record(number: int, used: Line) -> Line:
    ids: Line = {"thread_id": "t", "turn_id": "u", "session_id": "t", "response_id": f"resp_{number}"}
    return _event(number, "token_usage_record", ids | {"usage": used, "thread_token_usage": used})
