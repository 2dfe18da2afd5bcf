"""What an answer in Claude Code's logs used, and of which model. Pure."""

import re
from typing import Final

from stepdown.sessions.claude_lines import Line, Message, Usage
from stepdown.sessions.records import Request

_FIRST_PARTY: Final = re.compile(r"claude-[a-z0-9.-]+(\[1m\])?")
_RESOLD: Final = ("msg_bdrk_", "msg_vrtx_", "gen-")
"""Beginnings of message ids of Bedrock, Vertex and OpenRouter, which answer under Anthropic's own model names."""
_STANDARD: Final = frozenset({"", "standard"})
_MOST: Final = 10**9
"""Tokens of one kind that no single request has."""


def request_of(line: Line, message: Message, turn: int, key: str, at: float) -> Request | None:
    """The request that an answer was given to; None where its counts cannot be.

    Args:
        line: the answer's.
        message: the line's, with its usage.
        turn: see `Request.turn`.
        key: see `Request.key`.
        at: see `Request.at`.
    """
    usage = message.usage or Usage()
    written = usage.cache_creation
    hour = (written and written.ephemeral_1h_input_tokens) or 0
    parts = hour + ((written and written.ephemeral_5m_input_tokens) or 0)
    searches = (usage.server_tool_use and usage.server_tool_use.web_search_requests) or 0
    counts = (usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_input_tokens or 0)
    cache_write = usage.cache_creation_input_tokens or 0
    if not all(0 <= count <= _MOST for count in (*counts, cache_write, hour, parts, searches)):
        return None
    model = message.model or ""
    known = _FIRST_PARTY.fullmatch(model) and not (message.id or "").startswith(_RESOLD)
    return Request(
        turn,
        at,
        key,
        model,
        "anthropic" if known else "",
        *counts,
        cache_write=max(cache_write, parts),
        written_1h=hour,
        searches=searches,
        usd=line.cost if line.cost is not None and line.cost >= 0 else None,
        variant=_variant(usage),
    )


def _variant(usage: Usage) -> str:
    """What changes the price, as `Request.variant` has it."""
    if (usage.speed or "") in _STANDARD and (usage.service_tier or "") in _STANDARD and usage.inference_geo != "us":
        return ""
    said = (usage.speed or "", usage.service_tier or "", "us" if usage.inference_geo == "us" else "")
    return "+".join(one for one in said if one not in _STANDARD)
