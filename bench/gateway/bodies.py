"""What is sent: a Messages request as coding agents send it, and its head. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

SIZE: Final = 163_000
"""Bytes of a request: a coding agent's with many tools is 85 to 240 KB."""

TOOLS: Final = 40
MODEL: Final = "claude-opus-4-6"

_TURNS: Final = 12
_FILLER: Final = "It reads the file, changes one line of it, and runs the tests again to see that nothing else broke. "
_LINE: Final = '   {number}\tif current.name == "{word}" and not seen.get(current.name):  # \u201cas written\u201d\n'
_WORDS: Final = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def body(*, stream: bool, model: str = MODEL, size: int = SIZE) -> bytes:
    """A request of exactly `size` bytes: 40 tools, a system prompt, twelve tool rounds, and a last result that fills it up."""
    request = _request(stream, model, filler="")
    missing = size - len(msgspec.json.encode(request))
    if missing < 0:
        raise ValueError(f"a request has at least {size - missing} bytes")
    return msgspec.json.encode(_request(stream, model, filler=(_FILLER * (missing // len(_FILLER) + 1))[:missing]))


def head(host: str, length: int, path: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request with keep-alive; headers beside the ones that every client of the protocol sends."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "accept: application/json",
        "content-type: application/json",
        "user-agent: bench/1.0",
        "anthropic-version: 2023-06-01",
        "x-api-key: sk-bench",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"content-length: {length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _request(stream: bool, model: str, filler: str) -> dict[str, Any]:
    talk: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Make the greeting friendlier."}]}]
    for turn in range(_TURNS):
        call = {"type": "tool_use", "id": f"toolu_{turn:024d}", "name": "tool_1", "input": {"path": f"/src/part_{turn}.py"}}
        talk.append({"role": "assistant", "content": [{"type": "text", "text": "Let me read it."}, call]})
        read = _text(40, turn) + (filler if turn == _TURNS - 1 else "")
        talk.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": read}]})
    return {
        "model": model,
        "max_tokens": 8192,
        "stream": stream,
        "system": [{"type": "text", "text": _text(120, 3), "cache_control": {"type": "ephemeral"}}],
        "tools": [_tool(number) for number in range(TOOLS)],
        "messages": talk,
    }


def _tool(number: int) -> dict[str, Any]:
    properties = {
        f"{word}_{number}": {"type": "string", "description": f"The {word} of the call, as an absolute path or a pattern."}
        for word in _WORDS
    }
    return {
        "name": f"tool_{number}",
        "description": _text(12, number),
        "input_schema": {"type": "object", "properties": properties, "required": [f"alpha_{number}"]},
    }


def _text(lines: int, seed: int) -> str:
    words = len(_WORDS)
    return "".join(_LINE.format(number=100 + line, word=_WORDS[(line * 5 + seed) % words]) for line in range(lines))
