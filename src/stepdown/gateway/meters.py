"""What a subscription says of itself in its response headers (SPEC section 7, ``plan``). Pure.

Sources: Anthropic's ``anthropic-ratelimit-unified-*`` headers and Codex's ``x-codex-*``, as observed on real traffic.
"""

import math
from collections.abc import Mapping
from typing import Final

from stepdown.ledger.records import PlanMeter

_ANTHROPIC: Final = {"5h": "5h", "7d": "week"}
_CODEX: Final = ("primary", "secondary")
_WEEK_MINUTES: Final = 7 * 24 * 60


def plan_meters(provider: str, headers: Mapping[str, str], now: float) -> tuple[PlanMeter, ...]:
    """The windows that these headers speak of; none where they do not, or say what cannot be.

    Args:
        provider: who sent them.
        headers: names in lower case.
        now: seconds since the epoch.
    """
    found = []
    for word, window in _ANTHROPIC.items():
        prefix = f"anthropic-ratelimit-unified-{word}-"
        used = _number(headers.get(prefix + "utilization"))
        if used is not None:
            resets = _number(headers.get(prefix + "reset"))
            found.append(PlanMeter(provider=provider, window=window, used=used, resets=resets, at=now))
    for word in _CODEX:
        percent, minutes = (
            _number(headers.get(f"x-codex-{word}-used-percent")),
            _number(headers.get(f"x-codex-{word}-window-minutes")),
        )
        if percent is not None and minutes is not None:
            # The short window is five hours, give or take a minute; the long one a week.
            window = "week" if minutes > _WEEK_MINUTES / 2 else "5h"
            after = _number(headers.get(f"x-codex-{word}-reset-after-seconds"))
            at = _number(headers.get(f"x-codex-{word}-reset-at"))
            resets = at if at is not None else None if after is None else now + after
            found.append(PlanMeter(provider=provider, window=window, used=percent / 100, resets=resets, at=now))
    return tuple(found)


def _number(text: str | None) -> float | None:
    """A number from 0 up; None of anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
