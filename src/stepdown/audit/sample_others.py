"""The sample's logs of Codex, and of a project that GSD carried out."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from stepdown.audit.sample_claude import about, lines, stamp, uuid

_DAY: Final = 86_400
_SESSIONS: Final = (3, 4, 8, 9, 11, 16, 18, 23, 24, 24, 25, 30)
"""Days after the first on which Codex is used."""
_FULL: Final = 24
"""The day on which its window runs full."""
_WINDOW: Final = 5 * 3_600
_WEEK: Final = 7 * _DAY
_ASKED: Final = (
    "why is the import slow on Mondays?",
    "Rewrite jobs/load_orders.py so that it loads only what is new.\n1. Keep a mark of the last row.\n2. Add tests.",
    "add a --dry-run switch",
    "Review the last three commits and list what could break.",
)
_UNITS: Final = (
    ("research-slice", "", 14),
    ("plan-slice", "", 11),
    ("execute-task", "/T01", 22),
    ("execute-task", "/T02", 17),
    ("execute-task", "/T03", 9),
    ("complete-slice", "", 8),
)
"""What GSD does for a slice: type, end of the id, requests."""


class _Rollout:
    """One session of Codex, as the lines of its log."""

    def __init__(self, rng: Random, cwd: str, at: float, model: str) -> None:
        self.at = at
        self.id = uuid(rng)
        self.lines: list[dict[str, Any]] = []
        self._rng = rng
        self._cwd = cwd
        self._model = model
        self._prompt = 24_000
        self._cached = 0
        self._total = dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens"), 0)
        meta = {"id": self.id, "timestamp": stamp(at), "cwd": cwd, "originator": "codex_cli", "cli_version": "0.169.0"}
        self._line("session_meta", **meta, source="cli", thread_source="user", model_provider="openai")

    def ask(self, text: str, requests: int, meter: "_Meter") -> None:
        """A turn of its user."""
        turn = uuid(self._rng)
        self._line("event_msg", type="task_started", turn_id=turn, started_at=int(self.at))
        self._line("turn_context", turn_id=turn, cwd=self._cwd, model=self._model, approval_policy="on-request")
        content = [{"type": "input_text", "text": text}]
        self._line("response_item", type="message", role="user", content=content)
        self._line("event_msg", type="user_message", message=text)
        for left in range(requests - 1, -1, -1):
            self._answer(turn, meter, last=not left)
        self._line("event_msg", type="task_complete", turn_id=turn, last_agent_message="Done.")

    def file(self, home: Path, began: str) -> tuple[Path, bytes]:
        """Where Codex keeps it, and what it holds."""
        name = f"rollout-{began[:19].replace(':', '-')}-{self.id}.jsonl"
        return home.joinpath("sessions", *began[:10].split("-"), name), lines(self.lines)

    def _line(self, kind: str, **payload: Any) -> None:
        self.at += self._rng.uniform(0.01, 0.2)
        self.lines.append({"timestamp": stamp(self.at), "ordinal": len(self.lines), "type": kind, "payload": payload})

    def _answer(self, turn: str, meter: "_Meter", *, last: bool) -> None:
        self.at += self._rng.uniform(3, 25)
        output = about(self._rng, 300)
        used = {
            "input_tokens": self._prompt,
            "cached_input_tokens": self._cached,
            "output_tokens": output,
            "reasoning_output_tokens": output // 3,
        }
        self._total = {kind: self._total[kind] + count for kind, count in used.items()}
        call = f"call_{self._rng.getrandbits(96):024x}"
        if last:
            said = [{"type": "output_text", "text": "Done."}]
            self._line("response_item", type="message", role="assistant", content=said)
        else:
            arguments = '{"cmd":"rg -n total src"}'
            self._line("response_item", type="function_call", name="exec_command", arguments=arguments, call_id=call)
        ids = {"thread_id": self.id, "turn_id": turn, "session_id": self.id}
        response = f"resp_{self._rng.getrandbits(96):024x}"
        self._line(
            "token_usage_record", **ids, response_id=response, usage=_whole(used), thread_token_usage=_whole(self._total)
        )
        info = {"total_token_usage": _whole(self._total), "last_token_usage": _whole(used), "model_context_window": 258_400}
        self._line("event_msg", type="token_count", info=info, rate_limits=meter.after(self.at, used))
        if not last:
            self._line("response_item", type="function_call_output", call_id=call, output="src/total.py:12: total = 0")
        self._cached = self._prompt // 128 * 128
        self._prompt = min(self._prompt + output + about(self._rng, 2_500), 230_000)


class _Meter:
    """A plan's windows as Codex's logs tell them: percent used, and when they start anew."""

    def __init__(self) -> None:
        self._ends = [0.0, 0.0]
        self._used = [0.0, 0.0]
        self.speed = 1.0

    def after(self, at: float, used: dict[str, int]) -> dict[str, Any]:
        """The meter once a request is counted."""
        weight = (used["input_tokens"] - 0.9 * used["cached_input_tokens"] + 6 * used["output_tokens"]) / 12_000
        said = []
        for which, (length, share) in enumerate(((_WINDOW, 1.0), (_WEEK, 0.16))):
            if at >= self._ends[which]:
                self._ends[which], self._used[which] = at + length, 0.0
            self._used[which] = min(self._used[which] + weight * share * self.speed, 100.0)
            used_percent = round(self._used[which], 1)
            said.append({"used_percent": used_percent, "window_minutes": length // 60, "resets_at": int(self._ends[which])})
        full = "primary" if self._used[0] >= 100.0 else None
        return {"limit_id": "codex", "primary": said[0], "secondary": said[1], "rate_limit_reached_type": full}


def codex(rng: Random, folder: Path, first: float) -> Iterator[tuple[Path, bytes]]:
    """A dozen sessions of Codex; in one of them the plan's window runs full."""
    meter = _Meter()
    for number, day in enumerate(_SESSIONS):
        began = first + day * _DAY + (9 + 2 * (number % 2)) * 3_600 + rng.uniform(0, 1_800)
        rollout = _Rollout(rng, str(folder / "etl"), began, "gpt-5.5" if number % 6 else "gpt-5.4-mini")
        meter.speed = 4.0 if day == _FULL else 1.0
        for text in rng.choices(_ASKED, k=rng.randint(1, 4)):
            rollout.ask(text, rng.randint(6, 18), meter)
            rollout.at += rng.uniform(60, 900)
        yield rollout.file(folder / ".codex", stamp(began))


def gsd(rng: Random, folder: Path, first: float) -> Iterator[tuple[Path, bytes]]:
    """What GSD keeps of a milestone of two slices."""
    at = first + 5 * _DAY + 10 * 3_600
    units = []
    for part in ("S01", "S02"):
        for kind, end, requests in _UNITS:
            unit = _unit(rng, kind, f"M001/{part}{end}", at, requests)
            units.append(unit)
            at = unit["finishedAt"] / 1_000 + 30
        at += _DAY
    content = {"version": 1, "projectStartedAt": int(first * 1_000), "units": units}
    yield folder / "notes-app" / ".gsd" / "metrics.json", msgspec.json.encode(content)


def _unit(rng: Random, kind: str, unit_id: str, at: float, requests: int) -> dict[str, Any]:
    planning = kind in {"research-slice", "plan-slice"}
    written = requests * about(rng, 1_500) + 24_000
    tokens = {
        "input": 3 * requests,
        "output": requests * about(rng, 350),
        "cacheRead": requests * 96_000,
        "cacheWrite": written,
    }
    rates = (5.0, 25.0, 0.5, 6.25) if planning else (3.0, 15.0, 0.3, 3.75)
    usd = sum(count * rate for count, rate in zip(tokens.values(), rates, strict=True)) / 1_000_000
    return {
        "type": kind,
        "id": unit_id,
        "model": "claude-opus-4-6" if planning else "claude-sonnet-4-6",
        "startedAt": int(at * 1_000),
        "finishedAt": int((at + requests * 14) * 1_000),
        "tokens": tokens | {"total": sum(tokens.values())},
        "cost": usd,
        "toolCalls": 2 * requests,
        "assistantMessages": requests,
        "userMessages": 1,
        "apiRequests": requests,
    }


def _whole(used: dict[str, int]) -> dict[str, int]:
    return used | {"total_tokens": used["input_tokens"] + used["output_tokens"]}
