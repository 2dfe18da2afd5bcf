"""A ledger as one self-contained HTML page: no script, no font, no request. Words are the template's."""

import datetime as dt
import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepdown.ledger.records import Block, PlanMeter, Rating
from stepdown.money import dollars
from stepdown.report import charts, pages
from stepdown.report.outlook import Outlook
from stepdown.report.periods import between, date, steps
from stepdown.report.spending import MEASURED, UNKNOWN, Amount, SpendingLine, SpendingReport
from stepdown.report.spending_text import EXPLAINED

if TYPE_CHECKING:
    from jinja2 import Environment

SHOWN: Final = 8
"""Lines of a table before the rest goes behind "more"."""
TIERS: Final = ("light", "standard", "heavy", "unknown")
_RATINGS: Final = 50
"""The newest ratings that are shown; a page is no archive."""


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows.

    Attributes:
        report: the bill, as ``stepdown report --json`` has it.
        made: when it was made, in seconds since the epoch.
        ratings: the ratings that hold, the newest first.
        blocked: the models that are blocked now.
        plans: the newest word of each window of a subscription.
        outlook: where the project stands; None where the page is of all projects.
    """

    report: SpendingReport
    made: float
    ratings: Sequence[Rating] = ()
    blocked: Sequence[Block] = ()
    plans: Sequence[PlanMeter] = ()
    outlook: Outlook | None = None


def render_page(page: LedgerPage) -> str:
    """The page: a whole HTML document.

    Every number of the bill stands in an element whose ``data-value`` has it as JSON does. Whatever text comes from the ledger
    is escaped, and characters that would drive a terminal or turn the direction of writing are replaced.
    """
    return _environment().get_template("ledger.html").render(_view(page))


def _view(page: LedgerPage) -> dict[str, Any]:
    report, saved = page.report, page.report.savings
    measured = report.total.spent.provenance == MEASURED
    # A column without a known amount may still have cost something: where all is known, it is nothing.
    days = steps((day.day, day.unknown, day.tiers) for day in report.days)
    changes = [("saved", -saved.cheaper_usd), ("lost", saved.failed_usd), ("lost", saved.cache_usd)]
    return {
        "page": page,
        "report": report,
        "total": report.total,
        "saved": saved,
        "compared": bool(saved.runs and (saved.downgraded or saved.cache_usd)),
        "period": _period(report),
        "longest": max(len(dollars(usd)) for usd in (report.total.spent.usd, saved.counterfactual_usd, saved.net_usd)),
        "explained": EXPLAINED,
        "span": days,
        "spending": charts.stacked([one.tiers for one in days.periods], TIERS, [one.label for one in days.periods]),
        "drawn": [tier for tier in TIERS if any(one.tiers.get(tier) for one in days.periods)],
        "waterfall": charts.waterfall(saved.counterfactual_usd, changes, (saved.spent_usd, saved.spent_usd)),
        "groups": list(_groups(report)),
        "ratings": page.ratings[:_RATINGS],
        "shown": SHOWN,
        "measured": measured,
        "moment": _moment,
        "date": lambda at: date(_utc(at)),
        "is_finite": math.isfinite,
    }


def _groups(report: SpendingReport) -> "list[tuple[str, str, str, tuple[SpendingLine, ...]]]":
    """Id, heading, what a line of it is, and the lines; what there is only one unknown of is not told apart."""
    groups = [
        ("projects", "Projects", "Project", report.projects),
        ("models", "Models", "Model", report.models),
        ("tiers", "Tiers", "Tier", report.tiers),
        ("types", "Kinds of unit", "Kind", report.types),
        ("agents", "Agents", "Agent", report.agents),
    ]
    return [group for group in groups if any(line.key != UNKNOWN for line in group[3])]


def _period(report: SpendingReport) -> str:
    if report.first is None or report.last is None:
        return ""
    return between(_utc(report.first).date(), _utc(report.last).date())


def _moment(at: float) -> str:
    moment = _utc(at)
    return f"{date(moment)}, {moment:%H:%M}"


def _utc(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, dt.UTC)


@cache
def _environment() -> "Environment":
    made = pages.environment()
    formats: dict[str, Any] = made.globals
    number = formats["number"]

    def amount(one: Amount) -> object:
        """Money, marked where it is estimated."""
        return number(one.usd, str(one))

    formats.update(amount=amount)
    return made
