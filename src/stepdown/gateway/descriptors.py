"""How many connections may be open: a stream takes two, and many systems let a program have 256 or 1,024 of anything."""

import contextlib
from typing import Final

_WANTED: Final = (65_536, 10_240)
"""Descriptors asked for, the first that is granted; macOS grants 10,240 at most, whatever its limit says."""


def allow_many() -> None:
    """Raise this process's own limit as far as the system lets it; what it starts inherits that."""
    try:
        import resource  # noqa: PLC0415  (not on Windows, which has no such limit)
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in _WANTED:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or most <= soft:
            return
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return
