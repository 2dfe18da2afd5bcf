"""What a provider's error means: whose fault it may be, as which status it is told, how long to leave it alone. Pure."""

import email.utils
import math
from collections.abc import Mapping
from typing import Final

from stepdown.upstream.port import UpstreamError

_NOT_NOW: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 by which a provider says that it cannot just now; another may."""

BLOCKING: Final = frozenset({402, 403, 404})
"""Statuses by which it says that this account may not have this model. 401 is about the key, not the model, and 400 about this
one request: the next is asked, and nothing is blocked."""

_LONGEST_REST: Final = 3600.0
"""Seconds after which a provider is asked again whatever it said."""

_BY_KIND: Final[tuple[tuple[tuple[str, ...], int, str], ...]] = (
    (("overloaded", "slow_down"), 529, "overloaded"),
    (("rate_limit", "too_many"), 429, "rate_limit"),
    (("insufficient_quota", "billing"), 402, "budget"),
    (("authentication", "invalid_api_key", "unauthorized"), 401, "authentication"),
    (("permission",), 403, "authentication"),
    (("too_large",), 413, "too_large"),
    (("not_found",), 404, "not_found"),
    (("timeout",), 504, "upstream"),
    (("invalid", "context_length", "unsupported", "content_policy"), 400, "invalid"),
    (("api_error", "server_error", "internal"), 500, "upstream"),
)
"""Words in the kind of an error that came in a 200 answer, with the status that the provider sends it with otherwise, and the
gateway's own word for it."""

_BY_STATUS: Final = {
    400: "invalid",
    401: "authentication",
    402: "budget",
    403: "authentication",
    404: "not_found",
    413: "too_large",
    429: "rate_limit",
    529: "overloaded",
}


def told_as(kind: str) -> tuple[int, str]:
    """The status and the `Wire.error` kind of an error that a 200 answer holds; `kind` is `Reader.failure`'s."""
    if kind.isdecimal() and 400 <= int(kind) <= 599:  # some say the status
        return int(kind), _BY_STATUS.get(int(kind), "upstream" if int(kind) >= 500 else "invalid")
    word = kind.lower()
    for words, status, ours in _BY_KIND:
        if any(one in word for one in words):
            return status, ours
    return 502, "upstream"


def failure_of(status: int) -> str:
    """The kind of SPEC 8 for an HTTP status of 400 or more."""
    return "rejected" if 400 <= status < 500 and status not in _NOT_NOW else "provider"


def status_of(problem: UpstreamError) -> int:
    """The status that a client is told where there is no answer."""
    return 504 if problem.kind == "timeout" else 502


def rest(headers: Mapping[str, str], now: float) -> float:
    """Seconds for which a provider asks not to be asked; 0 where it does not say.

    Args:
        headers: of its answer, names in lower case.
        now: seconds since the epoch.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    said = headers.get("retry-after", "")
    seconds = _number(said)
    if seconds is None and said:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return _bounded(seconds or 0.0)


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), _LONGEST_REST)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
