"""The budgets as they would have stood in a replay: filled by what is simulated, not by what was recorded. Pure."""

from bisect import bisect_left
from collections import defaultdict
from typing import Final

from stepdown.budget import Band, Pace, band, fullest, pace, window_start
from stepdown.decision import Meter
from stepdown.policy import Policy
from stepdown.preferences.schema import Budget, Preferences

_DAY: Final = 24 * 3600.0
_LENGTH: Final = {"day": _DAY, "week": 7 * _DAY}
"""Windows that end, and that pacing can spread a budget over, in seconds."""

Fill = tuple[Band | None, bool, float]
"""All of the meters that changes a decision: the band of the fullest, whether a hard one is used up, pacing's price."""

EMPTY: Final[Fill] = (None, False, 0.0)


class Purse:
    """What each project has spent so far, and how full its budgets are. A plan's own meter says nothing of the past.

    Args:
        preferences: the budgets.
    """

    def __init__(self, preferences: Preferences) -> None:
        self._policy = preferences.policy
        self._hard = preferences.budget_enforcement != "warn"
        self._budgets = [budget for budget in preferences.budgets if budget.unit != "plan"]
        if preferences.budget_ceiling is not None:
            self._budgets.insert(0, Budget(unit="usd", limit=preferences.budget_ceiling, window="project"))
        self._paced = next((one for one in self._budgets if one.unit == "usd" and one.window in _LENGTH), None)
        if preferences.dynamic_routing.pressure != "pacing":
            self._paced = None
        self._spent: defaultdict[str, _Spent] = defaultdict(_Spent)

    def meters(self, project: str, now: float) -> tuple[Meter, ...]:
        """The budgets of a project at a time; asked about times that only rise."""
        spent = self._spent[project]
        return tuple(
            # Never hard: a full budget refuses, the user lets it go on, and what that costs is the question here.
            Meter(name=f"{budget.unit} per {budget.window}", used=_share(budget, spent, now))
            for budget in self._budgets
        )

    def fill(self, project: str, now: float) -> tuple[tuple[Meter, ...], Fill]:
        """The meters, and what of them matters."""
        if not self._budgets:
            return (), EMPTY
        meters = self.meters(project, now)
        full = fullest(meters)
        price = 0.0 if self._paced is None else self._spent[project].pace(self._paced, now).price
        refuses = self._hard and full is not None and full.used >= 1.0
        return meters, (None if full is None else band(full.used, self._policy), refuses, round(price, 3))

    def pay(self, project: str, started: float, ended: float, usd: float, tokens: int, requests: int) -> None:
        """Note what a pass used. Passes come in the order they started."""
        if not self._budgets:
            return
        spent = self._spent[project]
        if self._paced is not None:
            spent.keep_pace(self._paced, started, ended, usd, self._policy)
        spent.add(started, {"usd": usd, "tokens": float(tokens), "requests": float(requests)})


class _Spent:
    """What one project used, summed up so that any window's part of it is two look-ups."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.sums: dict[str, list[float]] = {unit: [0.0] for unit in ("usd", "tokens", "requests")}
        self._pace = Pace()
        self._window = (-1.0, 0.0, 0.0)  # when it began, what was spent in it, when that ended

    def add(self, started: float, used: dict[str, float]) -> None:
        self.starts.append(started)
        for unit, amount in used.items():
            self.sums[unit].append(self.sums[unit][-1] + amount)

    def since(self, unit: str, start: float) -> float:
        sums = self.sums[unit]
        return sums[-1] - sums[bisect_left(self.starts, start)]

    def pace(self, budget: Budget, now: float) -> Pace:
        """Where pacing stands; a window that has begun anew starts afresh."""
        return self._pace if self._window[0] == window_start(budget.window, now) else Pace()

    def keep_pace(self, budget: Budget, started: float, ended: float, usd: float, policy: Policy) -> None:
        begin = window_start(budget.window, started)
        state = self.pace(budget, started)
        _, spent, then = self._window if self._window[0] == begin else (begin, 0.0, begin)
        remains = begin + _LENGTH[budget.window] - then
        self._pace = pace(state, spent=usd, took=ended - then, left=budget.limit - spent, remains=remains, policy=policy)
        self._window = (begin, spent + usd, max(then, ended))


def _share(budget: Budget, spent: _Spent, now: float) -> float:
    """How much of a budget is used, as a fraction."""
    if budget.limit <= 0:
        return 1.0
    return spent.since(budget.unit, window_start(budget.window, now)) / budget.limit
