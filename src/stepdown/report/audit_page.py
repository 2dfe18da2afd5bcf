"""An audit as one self-contained HTML page: no script, no font, no request. Words are the template's."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepdown.audit.records import Audit, Check, Line, Projection, Window
from stepdown.report import charts, pages
from stepdown.report.periods import Offsets, Span, between, date, local, span

if TYPE_CHECKING:
    from jinja2 import Environment

SHOWN: Final = 8
"""Lines of a table before the rest goes behind "more"."""
SHOWN_WINDOWS: Final = 42
"""The last windows of a kind that are drawn; a page is no archive, JSON has all of them."""
TIERS: Final = ("light", "standard", "heavy", "unknown")

_WINDOWS: Final = {"5h": "5-hour windows", "week": "weekly windows", "": "windows of unknown length"}


def render_page(audit: Audit) -> str:
    """The page: a whole HTML document.

    Every number on it stands in an element whose ``data-value`` has it as JSON does. Whatever text comes from the audit is
    escaped, and characters that would drive a terminal or turn the direction of writing are replaced.
    """
    return _environment().get_template("audit.html").render(_view(audit))


class _Meter(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of one kind of one plan.

    Attributes:
        agent: whose plan.
        kind: what its windows are called.
        windows: all of them.
        full: those that ran full.
        full_usd: what had been used in those by then; None where that of one is unknown.
        routed_usd: likewise under routing.
        unknown: requests without a known price in those.
        used: the highest fraction that the provider reported; None where no log says.
        shown: those that are drawn.
        chart: of what was used in those; unknown use has no column.
    """

    agent: str
    kind: str
    windows: Sequence[Window]
    full: Sequence[Window]
    full_usd: float | None
    routed_usd: float | None
    unknown: int
    used: float | None
    shown: Sequence[Window]
    chart: charts.Columns


def _view(audit: Audit) -> dict[str, Any]:
    days = span(audit.days)
    full = next((made for made in audit.routing if made.mode == "full"), None)
    titles = {where.agent: where.title for where in audit.places}
    used = audit.total.tokens
    return {
        "audit": audit,
        "period": _period(audit),
        "limits": list(_limits(audit)),
        "span": days,
        "spending": _spending(days),
        "tiers": [tier for tier in TIERS if any(period.tiers.get(tier) for period in days.periods)],
        "work": charts.bar((line.key, line.usd) for line in audit.work),
        "easy": _easy(audit.work),
        "prompts": charts.bar((("read", used.cache_read), ("written", used.cache_write), ("fresh", used.input))),
        "prompt_tokens": used.cache_read + used.cache_write + used.input,
        "full": full,
        "delegated": next((made for made in audit.routing if made.mode == "delegated"), None),
        "waterfall": None if full is None else _waterfall(full),
        "meters": list(_meters(audit.windows)),
        "shown": SHOWN,
        "title_of": lambda agent: titles.get(agent, agent),
        "moment": lambda at: _moment(at, audit.offsets),
        "date": lambda at: date(local(at, audit.offsets)),
    }


def _period(audit: Audit) -> str:
    """Of the days of requests; "" where there are none."""
    if audit.days:
        return between(dt.date.fromisoformat(audit.days[0].day), dt.date.fromisoformat(audit.days[-1].day))
    if audit.first is None:
        return ""
    first, last = (local(at, audit.offsets) for at in (audit.first, audit.last or audit.first))
    return between(first.date(), last.date())


def _limits(audit: Audit) -> Iterable[str]:
    """What the audit is limited to: ``project shop``, ``since 2026-11-01``."""
    if audit.project:
        yield audit.project if audit.anonymous else f"project {pages.tail(audit.project)}"
    if audit.since:
        yield f"since {audit.since}"


def _moment(at: float, zone: Offsets) -> str:
    moment = local(at, zone)
    return f"{date(moment)}, {moment:%H:%M}"


def _spending(days: Span) -> charts.Columns:
    return charts.stacked([period.tiers for period in days.periods], TIERS, [period.label for period in days.periods])


def _easy(work: Iterable[Line]) -> Line:
    """Light and standard work together."""
    lines = [line for line in work if line.key in {"light", "standard"}]
    return Line(key="easy", units=sum(line.units for line in lines), usd=sum(line.usd for line in lines))


def _waterfall(made: Projection) -> charts.Steps:
    changes = [("saved", -made.cheaper_usd), ("lost", made.failed_usd), ("lost", made.cache_usd)]
    return charts.waterfall(made.spent_usd, changes, (made.spent_usd - made.high_usd, made.spent_usd - made.low_usd))


def _meters(windows: Iterable[Window]) -> Iterable[_Meter]:
    groups: defaultdict[tuple[str, str], list[Window]] = defaultdict(list)
    for window in windows:
        groups[window.agent, window.window].append(window)
    for (agent, kind), members in groups.items():
        shown = members[-SHOWN_WINDOWS:]
        full = [window for window in members if window.full is not None]
        yield _Meter(
            agent=agent,
            kind=_WINDOWS.get(kind, f"{kind} windows"),
            windows=members,
            full=full,
            full_usd=_sum(window.full_usd for window in full),
            routed_usd=_sum(window.routed_usd for window in full),
            unknown=sum(window.unknown for window in full),
            used=max((window.used for window in members if window.used is not None), default=None),
            shown=shown,
            chart=charts.stacked(
                [{"window" if window.full is None else "full": window.usd or 0.0} for window in shown], ("window", "full"), []
            ),
        )


def _sum(amounts: Iterable[float | None]) -> float | None:
    """None where one is unknown."""
    known = list(amounts)
    return None if None in known else sum(amount for amount in known if amount is not None)


@cache
def _environment() -> "Environment":
    made = pages.environment()
    formats: dict[str, Any] = made.globals
    usd, number = formats["usd"], formats["number"]

    def spent(line: Line) -> object:
        return usd(line.usd if _spent_known(line) else None)

    def apart(check: Check) -> object:
        """How far our tokens are from an agent's own."""
        theirs, ours = check.theirs.total, check.ours.total
        if not theirs:
            return number(None, "it counted none")
        return number((ours - theirs) / theirs, _told_apart((ours - theirs) / theirs))

    formats.update(spent=spent, apart=apart, spent_known=_spent_known)
    return made


def _spent_known(line: Line) -> bool:
    """Whether anything of it has a price."""
    return line.usd > 0 or line.unknown < line.requests or not line.requests


def _told_apart(apart: float) -> str:
    if not apart:
        return "the same"
    return "less than 0.01 % apart" if abs(apart) < 0.0001 else f"{100 * apart:+.2f} %"
