"""Codex's lines: which of them matter, told from their beginning, and what single values in them say.

Most of a log is what tools printed, what the model thought (encrypted) and what is told twice. Of a line that is written as
Codex writes it, the first bytes say whether it matters; any other is decoded and then looked at, so that the order of keys and
spaces between them change nothing.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Self
from uuid import RFC_4122, UUID

import msgspec

from stepdown.ledger.gsd_json import LARGEST_COUNT, is_amount
from stepdown.sessions.values import child, count, decoded
from stepdown.units import Tokens

CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call", "web_search_call"})
OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})

_HEAD: Final = re.compile(
    rb'\{"timestamp":"[^"\\]{0,40}",(?:"ordinal":\d{1,18},)?"type":"(\w{1,40})","payload":\{'
    rb'(?:"type":"(\w{1,40})"(?:,"thread_id":"[^"\\]{0,99}","turn_id":"[^"\\]{0,99}","item":\{"type":"(\w{1,40})")?)?'
)
_WHOLE: Final = frozenset({b"session_meta", b"turn_context", b"token_usage_record", b"compacted"})
_PARTED: Final = frozenset({b"response_item", b"event_msg"})
_PARTS: Final = {
    part.encode(): part
    for part in (
        *(*sorted(CALLS), *sorted(OUTPUTS)),
        *("token_count", "task_started", "turn_started", "task_complete", "turn_complete", "turn_aborted"),
        *("user_message", "error", "thread_settings_applied"),
    )
}
_ENDS: Final = (b"}\n", b"}\r\n")

_FAILED: Final = re.compile(
    rb'"output"\s*:\s*(?:\[\s*\{\s*"type"\s*:\s*"input_text"\s*,\s*"text"\s*:\s*)?"'
    rb"(?:Script failed\\n|"
    rb"(?:Chunk ID: \w+\\n)?(?:Wall time: [\d.]+ seconds\\n)?(?:Output:\\n)?"
    rb"(?:Process exited with code|Exit code:) (?!0\b)-?\d)"
)
"""A result that Codex marked as failed: it begins with the program's exit code, or with what became of a script."""
_NESTED: Final = re.compile(rb'"output"\s*:\s*"\{\\"output\\"')
"""How a result began until 0.13x: as JSON within a string."""
_EXIT: Final = re.compile(rb'\\"exit_code\\"\s*:\s*(?!0\b)-?\d')
_TAIL: Final = 400
"""Bytes at the end of a line in which the exit code of such a result stands."""
_OBJECT: Final = re.compile(rb'"output"\s*:\s*\{')
_UNSUCCESSFUL: Final = re.compile(rb'"success"\s*:\s*false')

_PATCHED: Final = re.compile(r"^\*\*\* (?:Add|Update) File: (\S[^\n]{0,4000})$", re.MULTILINE)
_PATCH: Final = b"*** Begin Patch"
_SEARCH: Final = b'"web_search_call"'
_REQUEST: Final = "## My request for Codex:"
_EDITOR: Final = "# Context from my IDE setup:"


class Used(msgspec.Struct, frozen=True, gc=False):
    """Tokens as OpenAI counts them: `input` includes `cached` and `written`, `output` includes `reasoning`."""

    input: int = msgspec.field(default=0, name="input_tokens")
    cached: int = msgspec.field(default=0, name="cached_input_tokens")
    written: int = msgspec.field(default=0, name="cache_write_input_tokens")
    output: int = msgspec.field(default=0, name="output_tokens")
    reasoning: int = msgspec.field(default=0, name="reasoning_output_tokens")

    def __sub__(self, other: Self) -> "Used":
        return Used(
            self.input - other.input,
            self.cached - other.cached,
            self.written - other.written,
            self.output - other.output,
            self.reasoning - other.reasoning,
        )

    @property
    def is_possible(self) -> bool:
        """Whether no kind is negative or beyond any real one, and no part larger than its whole."""
        return (
            self.cached >= 0
            and self.written >= 0
            and self.cached + self.written <= self.input <= LARGEST_COUNT
            and 0 <= self.output <= LARGEST_COUNT
            and 0 <= self.reasoning <= LARGEST_COUNT
        )

    @property
    def tokens(self) -> Tokens:
        """The kinds that do not overlap; parts that are larger than their whole are cut."""
        cached = min(self.cached, self.input)
        written = min(self.written, self.input - cached)
        return Tokens(input=self.input - cached - written, output=self.output, cache_read=cached, cache_write=written)

    @property
    def mark(self) -> str:
        """What tells one answer from another: all but what older versions do not say."""
        return f"{self.input}.{self.cached}.{self.output}.{self.reasoning}"


class Window(msgspec.Struct, frozen=True, gc=False):
    """One window of a plan: per cent used, and when it starts anew (seconds since the epoch, or from now)."""

    used_percent: float | None = None
    window_minutes: float | None = None
    resets_at: float | None = None
    resets_in_seconds: float | None = None


class Rates(msgspec.Struct, frozen=True, gc=False):
    """The meters of a plan."""

    limit_id: str | None = None
    primary: Window | None = None
    secondary: Window | None = None
    rate_limit_reached_type: str | None = None


class Info(msgspec.Struct, frozen=True, gc=False):
    """What a thread has used so far, and with its last answer."""

    total_token_usage: Used | None = None
    last_token_usage: Used | None = None


class Count(msgspec.Struct, frozen=True, gc=False):
    """A ``token_count``."""

    info: Info | None = None
    rate_limits: Rates | None = None


class _CountLine(msgspec.Struct, frozen=True, gc=False):
    timestamp: str
    payload: Count


_COUNT_LINE: Final = msgspec.json.Decoder(_CountLine)


def glance(line: bytes) -> str | None:
    """What a line is by its beginning: "" is nothing that matters, None has to be decoded to know."""
    head = _HEAD.match(line)
    if head is None or not line.endswith(_ENDS):
        return None
    kind, part, item = head.groups()
    if kind not in _PARTED:
        return None if kind in _WHOLE else ""
    if part is None or (part == b"item_completed" and item in (None, b"UserMessage")):
        return None
    return _PARTS.get(part, "")


def stamped(line: bytes) -> tuple[str, Count] | None:
    """The time and content of a ``token_count`` as Codex writes it; None where it is written otherwise."""
    try:
        said = _COUNT_LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a ValidationError is a DecodeError
        return None
    info = said.payload.info
    if info is not None and not all(one is None or one.is_possible for one in (info.total_token_usage, info.last_token_usage)):
        return None
    return said.timestamp, said.payload


def unstamped(line: bytes) -> bytes:
    """A line without its time and number: what of it is the same if it is said once more."""
    return line[max(0, line.find(b'"payload"')) :]


def count_of(payload: dict[str, Any]) -> Count:
    """A ``token_count`` of which some makes no sense, without that."""
    info, rates = child(payload, "info"), child(payload, "rate_limits")
    name, reached = rates.get("limit_id"), rates.get("rate_limit_reached_type")
    return Count(
        Info(used(info.get("total_token_usage")), used(info.get("last_token_usage"))) if info else None,
        Rates(
            name if isinstance(name, str) else None,
            _window(child(rates, "primary")),
            _window(child(rates, "secondary")),
            reached if isinstance(reached, str) else None,
        ),
    )


def _window(said: dict[str, Any]) -> Window | None:
    names = ("used_percent", "window_minutes", "resets_at", "resets_in_seconds")
    found = [float(value) if is_amount(value := said.get(name)) else None for name in names]
    return Window(*found) if said else None


def used(raw: Any) -> Used | None:
    """What a count of tokens says; None where it is none."""
    if not isinstance(raw, dict):
        return None
    names = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens")
    found = [count(raw.get(name)) for name in names]
    return None if None in found else Used(*[number or 0 for number in found])


def has_failed(line: bytes) -> bool:
    """Whether the result of a tool is marked as failed, by its line as it stands in the log."""
    start = line.find(b'"output"')  # within a text it would be written otherwise
    if start < 0:
        return False
    if _NESTED.match(line, start):
        return _EXIT.search(line, max(start, len(line) - _TAIL)) is not None
    if _OBJECT.match(line, start):
        return _UNSUCCESSFUL.search(line, start) is not None
    return _FAILED.match(line, start) is not None


def is_plain(call: bytes) -> bool:
    """Whether nothing but its being there matters of a call: no file is patched, nothing searched for."""
    return _PATCH not in call and _SEARCH not in call


def patched(line: bytes, call: dict[str, Any]) -> set[str]:
    """The files that a call adds or updates by a patch."""
    if _PATCH not in line:
        return set()
    texts = [text for text in (call.get("input"), call.get("arguments")) if isinstance(text, str)]
    found: set[str] = set()
    for text in texts:
        inner = decoded(text.encode(errors="replace")) if text.startswith("{") else {}
        # In a script the patch stands in a string of JavaScript, its ends of lines written out.
        pieces = list(_strings(inner)) or [text if call.get("name") == "apply_patch" else text.replace("\\n", "\n")]
        found |= {path.strip() for piece in pieces for path in _PATCHED.findall(piece)}
    return found


def _strings(value: Any) -> Iterator[str]:
    """The texts in arguments, two levels deep: a command is a text, or a list of words."""
    for one in value.values():
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            yield from (word for word in one if isinstance(word, str))


def wanted(text: str) -> str:
    """What was asked for, without what an editor's extension put before it."""
    if text.startswith(_EDITOR):
        _, found, rest = text.rpartition(_REQUEST)
        return rest.strip() if found else text
    return text


def born(name: object) -> float | None:
    """When a thread or task got its id, seconds since the epoch; None for one that does not say (no UUID of version 7)."""
    if not isinstance(name, str):
        return None
    try:
        value = UUID(name)
    except ValueError:
        return None
    return (value.int >> 80) / 1000 if value.variant == RFC_4122 and value.version == 7 else None
