"""Amounts as people read them: dollars and token counts. Pure."""

import math

_NOTHING = 1e-9
"""Less than this is what adding up floats leaves behind, not money."""


def dollars(amount: float | None, *, estimated: bool = False) -> str:
    """``$1.84``, ``$0.0042``, ``$1,234.50``, ``-$0.12``, ``~$1.84`` and ``-~$1.84`` for an estimate, ``unknown`` for None.

    Below ten cents two significant digits are kept, so that a cheap unit does not look free; below a ten-thousandth of a cent
    it says ``<$0.000001``.
    """
    if amount is None or not math.isfinite(amount):
        return "unknown"
    size = abs(amount)
    sign = "-" if amount < 0 else ""
    mark = "~" if estimated else ""
    if size < _NOTHING:
        return f"{mark}$0.00"
    if size < 1e-6:
        return f"{mark}<$0.000001" if not sign else f"{mark}>-$0.000001"
    digits = 2 if size >= 0.0995 else min(6, 1 - math.floor(math.log10(size)))
    return f"{sign}{mark}${size:,.{digits}f}"


def count(number: float) -> str:
    """``412``, ``8.4k``, ``61.3M``, ``1.2B``: a count of tokens in at most six characters."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        # 999,960 would round to "1000.0k".
        if number >= size * 0.99995:
            return f"{number / size:,.1f}{letter}"
    return f"{number:.0f}"


def share(part: float, whole: float) -> str:
    """``42 %``; ``<1 %`` for what is there but rounds to nothing; "" where there is no whole."""
    if whole <= 0:
        return ""
    percent = 100 * part / whole
    return "<1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"
