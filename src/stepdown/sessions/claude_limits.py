"""What Claude Code says when a plan's window is full, in the words of its versions.

``Claude AI usage limit reached|1735689600`` (1.0), ``5-hour limit reached ∙ resets 3pm`` (2.0), ``You've hit your weekly
limit · resets Jun 3 at 4pm (Europe/Berlin)`` (2.1, whose names are 5-hour, session, weekly, Opus, Sonnet, Fable).
Spend limits, credits and an API key's rate limits are no windows of a plan.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from stepdown.sessions.records import Limit

_FULL: Final = re.compile(
    r"\bhit your (?P<hit>[\w -]{0,30}?) ?limit\b|^(?P<reached>[\w -]{0,40}?) ?limit reached\b", re.IGNORECASE | re.MULTILINE
)
_WINDOWS: Final = {
    "5-hour": "5h",
    "session": "5h",
    "weekly": "week",
    "": "",
    "usage": "",
    "claude usage": "",
    "claude ai usage": "",
    # A model's own limit: it is full, but the plan's week is not.
    "opus": "opus",
    "sonnet": "sonnet",
    "fable": "fable",
    "opus weekly": "opus",
    "sonnet weekly": "sonnet",
}
_EPOCH: Final = re.compile(r"\|(\d{10})(\d{3})?\b")
_RESETS: Final = re.compile(
    r"\bresets?(?: at)? (?:(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2})(?:,| at) )?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))? ?(?P<half>[ap]m) \((?P<zone>[\w/+-]{1,40})\)",
    re.IGNORECASE,
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def limit_reached(text: str, at: float) -> Limit | None:
    """The plan's limit that a message of Claude Code reports as full; None for any other message.

    Args:
        text: the message.
        at: when it was written, seconds since the epoch.
    """
    found = _FULL.search(text)
    if found is None:
        return None
    name = (found["hit"] if found["hit"] is not None else found["reached"]).lower()
    if name not in _WINDOWS:
        return None
    return Limit(at=at, window=_WINDOWS[name], used=None, resets=_resets(text, at), reached=True)


def _resets(text: str, at: float) -> float | None:
    """When the window starts anew, where that is certain: by the second, or by the clock of a zone that is named.

    Without a date it is the next such hour, as Claude Code names the date of what is more than a day away.
    """
    epoch = _EPOCH.search(text)
    if epoch is not None:
        return float(epoch[1])
    said = _RESETS.search(text)
    if said is None:
        return None
    try:
        zone = ZoneInfo(said["zone"])
        now = datetime.fromtimestamp(at, UTC).astimezone(zone)
        hour = int(said["hour"]) % 12 + (12 if said["half"].lower() == "pm" else 0)
        when = now.replace(hour=hour, minute=int(said["minute"] or 0), second=0, microsecond=0, fold=0)
        if said["month"]:
            when = when.replace(month=_MONTHS.index(said["month"].lower()) + 1, day=int(said["day"]))
            # The clock's minute may have just begun.
            return (when if when >= now - timedelta(days=1) else when.replace(year=when.year + 1)).timestamp()
        return (when if when > now - timedelta(minutes=1) else when + timedelta(days=1)).timestamp()
    except (ValueError, LookupError, OSError, OverflowError):  # no such hour, day or zone; LookupError: unknown to this machine
        return None
