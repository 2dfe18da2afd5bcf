"""Lines of Claude Code's logs, as its versions write them: what a test needs to say, the rest as the program has it."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stepdown.sessions.claude_reading import Reading
from stepdown.sessions.records import Log

START = datetime(2026, 6, 1, 9, 0, tzinfo=UTC).timestamp()
SESSION = "0f3c2c5e-6a1b-4a57-9d0c-2f6f0a1b2c3d"
PROJECT = "/home/ada/engine"
USAGE = {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 3000, "cache_creation_input_tokens": 400}


def stamp(seconds: float) -> str:
    """So many seconds after START, as Claude Code writes times."""
    return datetime.fromtimestamp(START + seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user(content: Any, at: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A user's line of 2.1."""
    return {
        "parentUuid": None,
        "isSidechain": False,
        "type": "user",
        "message": {"role": "user", "content": content},
        "uuid": f"u-{at}",
        "timestamp": stamp(at),
        "permissionMode": "default",
        "userType": "external",
        "cwd": PROJECT,
        "sessionId": SESSION,
        "version": "2.1.330",
        "gitBranch": "main",
        **fields,
    }


def result(tool: str, text: str, at: float, *, error: bool = False, **fields: Any) -> dict[str, Any]:
    """What a tool gave back."""
    block: dict[str, Any] = {"tool_use_id": tool, "type": "tool_result", "content": text}
    if error:
        block["is_error"] = True
    return user([block], at, toolUseResult={"stdout": text, "is_error": True}, **fields)


def answer(name: str, at: float, *, usage: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A line of an answer of 2.1.

    Args:
        name: of the message and of the request.
        at: seconds after START.
        usage: instead of USAGE.
        fields: ``model`` and ``content`` go into the message, the rest into the line.
    """
    message = {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": fields.pop("model", "claude-opus-4-6"),
        "content": fields.pop("content", [{"type": "text", "text": "Done."}]),
        "stop_reason": "end_turn",
        "usage": dict(USAGE if usage is None else usage),
    }
    return {
        "parentUuid": "u",
        "isSidechain": False,
        "message": message,
        "requestId": f"req_{name}",
        "type": "assistant",
        "uuid": f"a-{name}-{at}",
        "timestamp": stamp(at),
        "cwd": PROJECT,
        "sessionId": SESSION,
        "version": "2.1.330",
        **fields,
    }


def tool(name: str, call: str, **given: Any) -> dict[str, Any]:
    """A tool being called, as a part of an answer."""
    return {"type": "tool_use", "id": call, "name": name, "input": given}


def failure(text: str, at: float) -> dict[str, Any]:
    """What Claude Code writes in place of an answer that did not come."""
    content = [{"type": "text", "text": text}]
    return answer(f"no-{at}", at, usage={"input_tokens": 0}, model="<synthetic>", content=content, isApiErrorMessage=True)


def named(request: str, source: str, at: float) -> dict[str, Any]:
    """A request that is made; the answer's `requestRef` refers to it."""
    return {"type": "api-request", "sessionId": SESSION, "id": request, "timestamp": stamp(at), "querySource": source}


def compacted(at: float) -> list[dict[str, Any]]:
    """A conversation that was compacted."""
    boundary = {"type": "system", "subtype": "compact_boundary", "sessionId": SESSION, "timestamp": stamp(at)}
    return [boundary, user("Summary: the parser was added.", at, isCompactSummary=True)]


def cost_state(models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What Claude Code counted itself."""
    return {"type": "cost-state", "sessionId": SESSION, "totalCostUSD": 1.0, "modelUsage": dict(models)}


def old_answer(name: str, at: float, **fields: Any) -> dict[str, Any]:
    """A line of an answer of 1.0: its cost beside it, no request's id, no permission modes."""
    line = answer(name, at, costUSD=0.25, durationMs=1200, version="1.0.17", **fields)
    del line["requestId"]
    return line


def write(file: Path, lines: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """A log of these lines; bytes are written as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    encoded = (line if isinstance(line, bytes) else json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    file.write_bytes(b"".join(encoded))
    return file


def read(*parts: Mapping[str, Any] | bytes) -> Log:
    """What a log of these lines says; bytes are taken as they are."""
    reading = Reading(SESSION)
    for part in parts:
        reading.take(part if isinstance(part, bytes) else json.dumps(part).encode() + b"\n")
    return reading.log()
