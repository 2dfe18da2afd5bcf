"""When a budget passes one of its marks: said once per window, by a gateway or by a run (SPEC section 7)."""

from collections.abc import Iterable

import msgspec

from stepdown.budget import due_alerts
from stepdown.decision import Meter
from stepdown.ledger.port import Ledger
from stepdown.policy import Policy


class Alert(msgspec.Struct, frozen=True):
    """That a budget has passed a mark.

    Attributes:
        keys: for `Ledger.first_time`: this mark's, and those of the lower ones that it makes old news.
        message: one line.
        meter: the budget, as far as it is used.
        project: whose work it was.
        at: seconds since the epoch.
    """

    keys: tuple[str, ...]
    message: str
    meter: Meter
    project: str
    at: float


class Alerts:
    """The marks of one project's budgets.

    Args:
        project: whose.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._said: set[str] = set()

    def due(self, meters: Iterable[Meter], now: float, policy: Policy, project: str = "") -> list[Alert]:
        """What has not been said by this one yet.

        Args:
            meters: budgets, as far as they are used.
            now: seconds since the epoch.
            policy: the marks.
            project: whose work they were read for, where that is another one; it is named then.
        """
        found, named = [], f" of {project}" if project and project != self._project else ""
        whose = project or self._project
        for meter in meters:
            marks = due_alerts(0.0, meter.used, policy)
            window = "" if meter.seconds_left is None else f"{round((now + meter.seconds_left) / 3600)}"
            of = meter.whose or whose  # the team's and a person's is one budget, whatever project it was read for
            keys = tuple(f"alert:{of}:{meter.name}:{window}:{mark}" for mark in reversed(marks))
            if keys and keys[0] not in self._said:
                name = meter.name + ("" if meter.whose else named)
                found.append(Alert(keys, f"{name} has passed {marks[-1]:.0%}: {meter.detail}", meter, whose, now))
        return found

    def said(self, alert: Alert) -> None:
        """It has been said, by this one or by another."""
        self._said.update(alert.keys)


def is_news(alert: Alert, ledger: Ledger) -> bool:
    """Whether nobody has said so yet; the one who is told yes has to."""
    is_new, *_ = [ledger.first_time(key, alert.at) for key in alert.keys]  # the lower marks are old news from now on
    return is_new
