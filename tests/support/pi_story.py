"""Entries of a session as pi 0.73.1 writes them, and GSD after it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

START = 1_795_447_762.0
"""When every story here begins, seconds since the epoch."""


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def header(**changes: Any) -> dict[str, Any]:
    return {"type": "session", "version": 3, "id": "0a1b", "timestamp": iso(START), "cwd": "/home/me/shop"} | changes


def entry(number: int, message: dict[str, Any], after: float = 0.0, kind: str = "message") -> dict[str, Any]:
    at = START + number + after
    return {"type": kind, "id": f"{number:08x}", "parentId": f"{number - 1:08x}", "timestamp": iso(at), "message": message}


def asked(number: int, text: str) -> dict[str, Any]:
    said = {"role": "user", "content": [{"type": "text", "text": text}], "timestamp": int((START + number) * 1000)}
    return entry(number, said)


def answered(number: int, *calls: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An answer of 7 + 11 + 13 + 17 tokens for 2 cents, half a second after its request."""
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "Done."}, *calls],
        "api": "anthropic-messages",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "usage": {"input": 7, "output": 11, "cacheRead": 13, "cacheWrite": 17, "totalTokens": 48, "cost": {"total": 0.02}},
        "stopReason": "stop",
        "timestamp": int((START + number) * 1000),
    } | changes
    return entry(number, message, 0.5)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "toolCall", "id": "toolu_1", "name": name, "arguments": arguments}


def result(number: int, *, failed: bool = False, **details: Any) -> dict[str, Any]:
    said = {"role": "toolResult", "toolCallId": "toolu_1", "toolName": "x", "content": [], "isError": failed}
    return entry(number, said | {"details": details, "timestamp": int((START + number) * 1000)})


def told(number: int, kind: str, text: str) -> dict[str, Any]:
    common = {"type": "custom_message", "id": f"{number:08x}", "parentId": None, "timestamp": iso(START + number)}
    return common | {"customType": kind, "content": text, "display": True}


def write(path: Path, entries: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in entries), encoding="utf-8")
    return path
