"""A ChatGPT plan's own meters, as Codex logs them with every answer."""

from typing import Final

from stepdown.ledger.rules import LAST_SECOND
from stepdown.sessions.codex_lines import Rates, Window
from stepdown.sessions.records import Limit

_NAMES: Final = {300: "5h", 10_080: "week"}
_LONGEST: Final = 1_000_000
"""Minutes beyond which a window is none: two years."""
_OURS: Final = (None, "codex")
"""The meter of the plan itself; others are those of single models, which have windows of their own."""
_SAME_RESET: Final = 300.0
"""Seconds by which two resets of the same window may differ: older versions say it as seconds from now."""


class Meters:
    """What is read of them.

    Attributes:
        limits: their states, repetitions left out.
    """

    def __init__(self) -> None:
        self.limits: list[Limit] = []
        self._now: dict[str, Limit] = {}
        self._said: Rates | None = None

    def read(self, said: Rates | None, at: float) -> None:
        """The ``rate_limits`` of a ``token_count``.

        Args:
            said: what they say.
            at: when, seconds since the epoch.
        """
        if said is None or said == self._said or said.limit_id not in _OURS or not at:
            return
        self._said = said
        for window in (said.primary, said.secondary):
            limit = _limit(window, at) if window is not None else None
            if limit is not None:
                self._keep(limit)
        if said.rate_limit_reached_type:
            self.refused(at)

    def refused(self, at: float) -> None:
        """A request was refused because a window was full: the one whose meter says so."""
        full = [limit for limit in self._now.values() if limit.used is not None and limit.used >= 1.0]
        which = max(full, key=lambda limit: limit.resets or 0.0) if full else Limit(at, "", None)
        self._keep(Limit(at, which.window, which.used, which.resets, reached=True))

    def _keep(self, limit: Limit) -> None:
        before = self._now.get(limit.window)
        if before is not None and _is_same(before, limit):
            return
        self._now[limit.window] = limit
        self.limits.append(limit)


def _limit(said: Window, at: float) -> Limit | None:
    percent, minutes = said.used_percent, said.window_minutes
    if percent is None or percent < 0:
        return None
    window = "" if minutes is None or not 0 < minutes < _LONGEST else _NAMES.get(int(minutes), f"{int(minutes)}m")
    resets = said.resets_at
    if resets is None and said.resets_in_seconds is not None:
        resets = at + said.resets_in_seconds
    if resets is not None and not 0 <= resets <= LAST_SECOND:
        resets = None
    return Limit(at, window, min(percent / 100, 1.0), resets)


def _is_same(one: Limit, other: Limit) -> bool:
    """Whether nothing new is said. That it is full has been said by whoever was refused."""
    if one.used != other.used or (other.reached and not one.reached):
        return False
    if one.resets is None or other.resets is None:
        return one.resets is other.resets
    return abs(one.resets - other.resets) < _SAME_RESET
