"""Claude Code's lines: of each only the fields that an audit needs.

A line is decoded once into `Line`, which skips everything else (tool results, attachments, snapshots) without building it: this
is what makes reading fast. A line that does not fit the types is decoded again with patience, field by field.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

_LONE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    r"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""Half of a character that a program cut in two."""
_WRONG: Final = -1
"""A count that is no number: as impossible as a negative one, and never mistaken for none."""


class Input(msgspec.Struct, frozen=True, gc=False):
    """What a tool was called with, as far as it names a file or an agent."""

    file_path: str | None = None
    notebook_path: str | None = None
    subagent_type: str | None = None
    prompt: str | None = None


class Block(msgspec.Struct, frozen=True, gc=False):
    """A part of a message."""

    type: str | None = None
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Input | None = None
    tool_use_id: str | None = None
    is_error: bool | None = None


class Written(msgspec.Struct, frozen=True, gc=False):
    """Tokens written to the cache, by how long they are kept."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class ServerTools(msgspec.Struct, frozen=True, gc=False):
    """Tools that the provider ran."""

    web_search_requests: int | None = None


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What the provider said an answer used."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: Written | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as the provider's protocol has it."""

    id: str | None = None
    model: str | None = None
    content: str | list[Block] | None = None
    usage: Usage | None = None

    @property
    def blocks(self) -> list[Block]:
        """Its parts; a plain text is one."""
        if isinstance(self.content, str):
            return [Block(type="text", text=self.content)]
        return self.content or []

    @property
    def texts(self) -> list[str]:
        """What is written in it."""
        return [block.text for block in self.blocks if block.type == "text" and block.text]


class ModelUsage(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What Claude Code counted for one model in one session."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cost: float | None = msgspec.field(default=None, name="costUSD")

    @property
    def kinds(self) -> tuple[int, int, int, int]:
        """Input, output, read from and written to the cache, as `Counted` has them."""
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return self.input_tokens or 0, self.output_tokens or 0, read, written


class Line(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One line. Fields that its type does not have are None."""

    type: str | None = None
    subtype: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    timestamp: str | None = None
    session_id: str | None = None
    cwd: str | None = None
    is_sidechain: bool | None = None
    agent_id: str | None = None
    attribution_agent: str | None = None
    is_meta: bool | None = None
    is_compact_summary: bool | None = None
    is_api_error_message: bool | None = None
    permission_mode: str | None = None
    prompt_source: str | None = None
    message: Message | None = None
    request_id: str | None = None
    request_ref: str | None = None
    cost: float | None = msgspec.field(default=None, name="costUSD")
    # Of `api-request` and `cost-state` lines.
    id: str | None = None
    query_source: str | None = None
    model_usage: dict[str, ModelUsage] | None = None


_DECODER: Final = msgspec.json.Decoder(Line)
_T = TypeVar("_T", bound=msgspec.Struct)


def decoded(line: bytes) -> Line | None:
    """What a line says; None where it is no JSON object."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _patiently(line)


def _patiently(line: bytes) -> Line | None:
    """The same for a line that is not as it should be: each field by itself, broken characters replaced."""
    text = _LONE.sub(r"\\ufffd", line.replace(b"\0", b"").decode(errors="replace"))
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return _made(Line, raw) if isinstance(raw, dict) else None


def _made(kind: type[_T], raw: Mapping[str, Any]) -> _T:
    """A record of whatever of it makes sense."""
    said: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        value = raw.get(field.encode_name)
        if value is None:
            continue
        try:
            said[field.name] = msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError:
            said[field.name] = _INSIDE[field.name](value) if field.name in _INSIDE else None
            if field.type == int | None:
                said[field.name] = _WRONG
    return kind(**said)


def _record(kind: type[_T]) -> Callable[[Any], _T | None]:
    return lambda raw: _made(kind, raw) if isinstance(raw, dict) else None


def _blocks(raw: Any) -> list[Block]:
    parts = raw if isinstance(raw, list) else [raw]
    return [_made(Block, part) if isinstance(part, dict) else Block("text", str(part)) for part in parts]


def _counts(raw: Any) -> dict[str, ModelUsage]:
    if not isinstance(raw, dict):
        return {}
    return {model: _made(ModelUsage, counts) for model, counts in raw.items() if isinstance(counts, dict)}


_INSIDE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "message": _record(Message),
    "usage": _record(Usage),
    "cache_creation": _record(Written),
    "server_tool_use": _record(ServerTools),
    "input": _record(Input),
    "content": _blocks,
    "model_usage": _counts,
}
"""Fields that are records themselves."""


def agent_type(text: bytes) -> str:
    """The kind of a sub-agent by the file beside its log; "" where it says none."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = msgspec.json.decode(text)
        kind = raw.get("agentType") if isinstance(raw, dict) else None
        return kind if isinstance(kind, str) else ""
    return ""
