"""A person's own budgets: how they are written, and what is used of one."""

import re
from typing import Final, Literal, cast, get_args

from stepdown.budget import window_start
from stepdown.errors import UsageError
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Allowance, Measure, Person
from stepdown.ledger.rules import measured
from stepdown.money import count, dollars

Window = Literal["5h", "day", "week", "month", "project"]
WINDOWS: Final[tuple[str, ...]] = get_args(Window)
"""After how long an allowance starts anew; ``project`` never does."""
_TIMES: Final = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}
_WRITTEN: Final = re.compile(
    r"(?P<sign>\$?) *(?P<number>\d{1,12}(?:\.\d{1,6})?) *(?P<times>[kmb]?)"
    r" *(?P<unit>[a-z]*?) *(?:(?:/|\bper\b) *(?P<window>[a-z0-9]+))?"
)
_UNITS: Final[dict[str, Measure]] = {
    "": "usd",
    "usd": "usd",
    "dollars": "usd",
    "tokens": "tokens",
    "token": "tokens",
    "requests": "requests",
    "request": "requests",
}


def allowance(text: str) -> Allowance:
    """From ``20/week``, ``$20``, ``2M tokens/day``, ``500 requests/5h``; without a window, a month.

    Raises:
        UsageError: it is none of these, or nothing at all.
    """
    found = _WRITTEN.fullmatch(text.strip().lower())
    unit = found and _UNITS.get(found["unit"])
    window = (found and found["window"]) or "month"
    limit = float(found["number"]) * _TIMES[found["times"]] if found else 0.0
    if not found or not unit or window not in WINDOWS or limit <= 0 or (found["sign"] and unit != "usd"):
        forms = "20/week (US dollars), 2M tokens/day or 500 requests/day is expected"
        raise UsageError(f"--budget {text}: {forms}; the windows are {', '.join(WINDOWS)}")
    return Allowance(limit=limit, unit=unit, window=cast("Window", window))


def written(budget: Allowance) -> str:
    """``$20.00/week``."""
    limit = _amount(budget.limit, budget.unit)
    return f"{limit} in all" if budget.window == "project" else f"{limit}/{budget.window}"


def _amount(value: float, unit: Measure) -> str:
    """``$20.00``, ``2.0M tokens``."""
    return dollars(value) if unit == "usd" else f"{count(round(value))} {unit}"


def filled(spent: float, budget: Allowance) -> str:
    """``$12.40 of $20.00/week``, ``3 of 500 requests/day``."""
    return f"{dollars(spent) if budget.unit == 'usd' else count(round(spent))} of {written(budget)}"


def used(ledger: Ledger, person: Person, budget: Allowance, now: float) -> float:
    """What of it is used, in its unit."""
    spent = ledger.spent(person=person.name, since=window_start(budget.window, now))
    return measured(spent, budget.unit)
