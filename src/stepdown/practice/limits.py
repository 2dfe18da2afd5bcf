"""What a provider says of its limits in the headers of every answer: a subscription's meters, and an API key's rate limits.

The names are the real ones, as Claude Code and Codex read them. Pure: what time it is comes from outside.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final, Literal

import msgspec


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of one window of a plan is used.

    Attributes:
        used: a fraction: 0.0 is nothing, 1.0 all of it.
        resets_in: seconds until it is empty again.
        minutes: how long the window is; only Codex says so.
    """

    used: float
    resets_in: float = 3600.0
    minutes: int = 300


class Unified(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The meters of an Anthropic subscription: ``anthropic-ratelimit-unified-*``.

    Attributes:
        five_hour: the five-hour window; None is not mentioned.
        seven_day: the seven-day window; None is not mentioned.
        status: of the whole.
        representative: which window counts at the moment; "" is not mentioned.
    """

    five_hour: Window | None = None
    seven_day: Window | None = None
    status: Literal["allowed", "allowed_warning", "rate_limited", "rejected"] = "allowed"
    representative: Literal["", "five_hour", "seven_day"] = "five_hour"


class Codex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The meters of a ChatGPT subscription: ``x-codex-primary-*`` and ``x-codex-secondary-*``; None is not mentioned."""

    primary: Window | None = None
    secondary: Window | None = None


class Allowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an API key may still do: of `limit` there are `remaining`, for the next `resets_in` seconds."""

    limit: int
    remaining: int
    resets_in: float = 60.0


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the headers of every answer say; what is None is not mentioned.

    `unified` comes with Messages, `codex` with Responses; the others as ``anthropic-ratelimit-*`` with Messages and as
    ``x-ratelimit-*`` with Chat Completions and Responses, where only `requests` and `tokens` are known.
    """

    unified: Unified | None = None
    codex: Codex | None = None
    requests: Allowance | None = None
    tokens: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None


NO_LIMITS: Final = Limits()


def headers(limits: Limits, protocol: str, now: float) -> dict[str, str]:
    """The response headers.

    Args:
        limits: what they say.
        protocol: ``messages``, ``chat`` or ``responses``.
        now: seconds since the epoch.
    """
    if protocol == "messages":
        return {**_unified(limits.unified, now), **_anthropic(limits, now)}
    return {**(_codex(limits.codex, now) if protocol == "responses" else {}), **_openai(limits)}


def _unified(plan: Unified | None, now: float) -> dict[str, str]:
    if plan is None:
        return {}
    start = "anthropic-ratelimit-unified-"
    said: dict[str, str] = {f"{start}status": plan.status}
    windows = {"five_hour": ("5h", plan.five_hour), "seven_day": ("7d", plan.seven_day)}
    for name, window in windows.values():
        if window is not None:
            said[f"{start}{name}-status"] = "rejected" if window.used >= 1 else "allowed"
            said[f"{start}{name}-utilization"] = f"{window.used:g}"
            said[f"{start}{name}-reset"] = str(int(now + window.resets_in))
    if plan.representative:
        said[f"{start}representative-claim"] = plan.representative
        if counting := windows[plan.representative][1]:
            said[f"{start}reset"] = str(int(now + counting.resets_in))
    return said


def _codex(plan: Codex | None, now: float) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, window in (("primary", plan.primary), ("secondary", plan.secondary)) if plan else ():
        if window is not None:
            said[f"x-codex-{name}-used-percent"] = f"{window.used * 100:g}"
            said[f"x-codex-{name}-window-minutes"] = str(window.minutes)
            said[f"x-codex-{name}-reset-at"] = str(int(now + window.resets_in))
            said[f"x-codex-{name}-reset-after-seconds"] = str(int(window.resets_in))
    return said


def _anthropic(limits: Limits, now: float) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, allowance in _allowances(limits).items():
        if allowance is not None:
            start, reset = f"anthropic-ratelimit-{name}", dt.datetime.fromtimestamp(int(now + allowance.resets_in), dt.UTC)
            said |= {f"{start}-limit": str(allowance.limit), f"{start}-remaining": str(allowance.remaining)}
            said[f"{start}-reset"] = reset.isoformat().replace("+00:00", "Z")
    return said


def _allowances(limits: Limits) -> Mapping[str, Allowance | None]:
    return {
        "requests": limits.requests,
        "tokens": limits.tokens,
        "input-tokens": limits.input_tokens,
        "output-tokens": limits.output_tokens,
    }


def _openai(limits: Limits) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, allowance in (("requests", limits.requests), ("tokens", limits.tokens)):
        if allowance is not None:
            said[f"x-ratelimit-limit-{name}"] = str(allowance.limit)
            said[f"x-ratelimit-remaining-{name}"] = str(allowance.remaining)
            said[f"x-ratelimit-reset-{name}"] = _duration(allowance.resets_in)
    return said


def _duration(seconds: float) -> str:
    """As OpenAI writes it: ``120ms``, ``1s``, ``6m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
