"""Savings → standing down: patterns over which routing has been losing money keep their ceiling (SPEC section 10). Pure.

The question is asked of a window of a pattern's newest runs. A unit that runs on its ceiling nets nothing and takes its place
in the window, so a pattern that stands down rolls its own losses out of it, and is tried again when too few of them are left.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from stepdown.learning import deviations
from stepdown.money import dollars
from stepdown.policy import Policy
from stepdown.savings import Savings

_NOTHING: Final = 1e-9
"""US dollars; less than this is what adding up floats leaves behind, not money."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern for which routing stands down.

    Attributes:
        pattern: ``execute-task:docs``.
        units: how many of its units in the window ran on less than their ceiling and can be compared with it, or paid on it
            to write a cache anew.
        lost_usd: what routing lost over them, in US dollars; above 0.
        tries_again_after: after so many more units of it, all of them on the ceiling, routing is tried again; at least 1.
    """

    pattern: str
    units: int
    lost_usd: float
    tries_again_after: int

    @property
    def reason(self) -> str:
        """One line in plain words, for receipts."""
        then = f"tries again after {self.tries_again_after} more unit{'' if self.tries_again_after == 1 else 's'}"
        return f"routing lost {dollars(self.lost_usd)} over the last {self.units} downgraded units of {self.pattern} ({then})"


def stood_down(runs: Mapping[str, Sequence[Savings]], policy: Policy) -> dict[str, Standing]:
    """The patterns for which routing stands down.

    Of a pattern's ``policy.stand_down_window`` newest runs, at least ``policy.stand_down_minimum`` were downgraded, and what
    these net on the mean is below zero by more than noise: the upper end of the ``policy.stand_down_confidence`` interval
    around that mean is below zero too. A run without a downgrade nets nothing, whatever it cost, unless routing had made its
    cache cold: what writing that anew cost is a loss like any other. A downgraded one of unknown
    cost, and one that has not ended, say nothing at all and take no place in the window.

    In a window that has the minimum already, one more run that saved never makes a pattern stand down. (With an interval of
    less than one standard error, 68 %, it could.)

    Args:
        runs: per pattern, what each run saved, the newest first (`stepdown.savings.savings_by_run`).
        policy: the numbers.
    """
    errors = deviations(policy.stand_down_confidence)
    found: dict[str, Standing] = {}
    for pattern, balances in runs.items():
        window = _window(balances, policy.stand_down_window)
        losing = _losing(window, policy.stand_down_minimum, errors)
        if not losing[-1]:
            continue
        # One by one, new units push the oldest out, once the window is full.
        lefts = range(min(len(window), policy.stand_down_window - 1), -1, -1)
        left = next(left for left in lefts if not losing[left])
        nets = [net for net in window if net is not None]
        found[pattern] = Standing(
            pattern=pattern,
            units=len(nets),
            lost_usd=-math.fsum(nets),
            tries_again_after=policy.stand_down_window - left,
        )
    return found


_Net = float | None
"""What a run netted, in US dollars; None where it ran on its ceiling, and on a cache that routing had left warm."""


def _window(balances: Sequence[Savings], size: int) -> list[_Net]:
    """The newest runs that say something, at most `size` of them, the newest first."""
    telling = (balance for balance in balances if not balance.running and (balance.runs or not balance.downgraded))
    return [balance.net_usd if balance.downgraded or balance.cache_usd else None for balance in islice(telling, size)]


def _losing(window: Sequence[_Net], minimum: int, errors: float) -> list[bool]:
    """For the newest none, one, two, ... of these runs: whether they lost money, and not by chance.

    Args:
        window: the newest first.
        minimum: how many of them have to be downgraded.
        errors: how many standard errors above the mean still have to be a loss.
    """
    losing = [False]
    count, mean, squares = 0, 0.0, 0.0  # Welford's way: exact enough, in one pass
    for net in window:
        if net is not None:
            count += 1
            before = net - mean
            mean += before / count
            squares += before * (net - mean)
        enough = count >= max(2, minimum) and mean * count < -_NOTHING
        losing.append(enough and mean + errors * math.sqrt(squares / (count - 1) / count) < 0)
    return losing
