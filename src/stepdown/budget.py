"""Meters → pressure: what a filling budget does to a tier, and pacing, which spends one evenly (SPEC section 7). Pure.

A meter that is not a finite number is unknown. It exerts no pressure of its own and never hides another meter's.
"""

import enum
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from stepdown.decision import Meter
from stepdown.policy import Policy
from stepdown.units import Tier

_HOUR = 3600.0
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_FIRST_MONDAY = 4 * _DAY  # 1970-01-05


class Band(enum.Enum):
    """How full the fullest budget is. ``NONE``: nothing changes; the others: what moves down."""

    NONE = "none"
    LIGHT = "standard work to light"
    CHEAPEST = "all but heavy work to the cheapest"
    ALL = "all but replan-slice to the cheapest"

    def __str__(self) -> str:
        return str(self.value)


class Pressed(msgspec.Struct, frozen=True, kw_only=True):
    """What pressure makes of a tier.

    Attributes:
        tier: never above the tier that was asked about.
        cheapest: whether the cheapest available model is meant, whatever was learned of it: what the light tier resolves to.
        reason: one line in plain words; "" where pressure changes nothing.
    """

    tier: Tier
    cheapest: bool = False
    reason: str = ""


def band(used: float, policy: Policy) -> Band:
    """The band of a fraction used: [0, 0.5), [0.5, 0.75), [0.75, 0.9] and above, by default."""
    if not math.isfinite(used) or used < policy.pressure_light:
        return Band.NONE
    if used < policy.pressure_cheapest:
        return Band.LIGHT
    return Band.CHEAPEST if used <= policy.pressure_all else Band.ALL


def fullest(meters: Iterable[Meter]) -> Meter | None:
    """The meter that decides; None where none is known. A budget of one model decides nothing about the others."""
    known = (meter for meter in meters if math.isfinite(meter.used) and not meter.model)
    return max(known, key=lambda meter: meter.used, default=None)


def unreadable(meters: Iterable[Meter]) -> tuple[str, ...]:
    """One sentence per meter that says nothing."""
    return tuple(f"{meter.name} is unknown and exerts no pressure" for meter in meters if not math.isfinite(meter.used))


def exhausted(meters: Iterable[Meter]) -> Meter | None:
    """The fullest of the meters that refuse work, if it is used up."""
    full = fullest(meter for meter in meters if meter.hard)
    return full if full is not None and full.used >= 1.0 else None


def used_up(meters: Iterable[Meter]) -> dict[str, str]:
    """The models whose own hard budget is used up, each with the reason why it is blocked."""
    return {
        meter.model: f"{meter.name} is used up ({meter.detail})"
        for meter in meters
        if meter.model and meter.hard and math.isfinite(meter.used) and meter.used >= 1.0
    }


def pressure(tier: Tier, unit_type: str, meters: Sequence[Meter], policy: Policy, *, light_ok: bool) -> Pressed:
    """What the fullest of `meters` makes of `tier`.

    Args:
        tier: where the unit would run.
        unit_type: ``replan-slice`` keeps its tier in every band.
        meters: the budgets.
        policy: the bands.
        light_ok: whether a light model fits and has not been failing this pattern; asked only in the first band.
    """
    meter = fullest(meters)
    if meter is None or unit_type == "replan-slice":
        return Pressed(tier=tier)
    now = band(meter.used, policy)
    said = f"{meter.name} is {meter.used:.0%} used"
    if now is Band.LIGHT and tier is Tier.STANDARD and light_ok:
        return Pressed(tier=Tier.LIGHT, reason=f"{said}: standard work goes to light")
    if now is Band.CHEAPEST and tier is not Tier.HEAVY:
        return Pressed(tier=Tier.LIGHT, cheapest=True, reason=f"{said}: only heavy work keeps its model")
    if now is Band.ALL:
        return Pressed(tier=Tier.LIGHT, cheapest=True, reason=f"{said}: everything goes to the cheapest")
    return Pressed(tier=tier)


def due_alerts(before: float, after: float, policy: Policy) -> tuple[float, ...]:
    """The fractions that were crossed between two readings of one window, lowest first. A new window starts before at 0."""
    if not math.isfinite(after):
        return ()
    start = before if math.isfinite(before) else 0.0
    return tuple(sorted(alert for alert in policy.alerts if start < alert <= after))


def window_start(window: str, now: float) -> float:
    """When the current window of a budget began, in seconds since the epoch.

    ``5h`` is the last five hours, rolling. ``day``, ``week`` (from Monday) and ``month`` are those of the calendar in UTC, so
    that every machine agrees. ``project`` began at 0. A subscription's own windows end when its provider says.
    """
    if window == "5h":
        return now - 5 * _HOUR
    if window == "day":
        return now - now % _DAY
    if window == "week":
        return now - (now - _FIRST_MONDAY) % _WEEK
    if window == "month":
        return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return 0.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Where pacing stands.

    Attributes:
        average: exponential average of cost over target; 1 is exactly on pace.
        price: λ, what a dollar costs on top of a dollar, 0 or more.
    """

    average: float = 1.0
    price: float = 0.0


def pace(state: Pace, *, spent: float, took: float, left: float, remains: float, policy: Policy) -> Pace:
    """Pacing after one more unit of work: dearer than the target raises λ, cheaper lowers it.

    Args:
        state: before.
        spent: what the unit used of the budget, in the budget's own measure.
        took: how much of what remains it took: seconds of the window, or 1 where units are counted.
        left: of the budget, before the unit.
        remains: of the window, before the unit, in the measure of `took`.
        policy: the horizon, the gain and the cap.
    """
    if not all(map(math.isfinite, (spent, took, left, remains))) or spent < 0 or took <= 0:
        return state
    if left <= 0:
        return Pace(average=state.average, price=policy.pacing_price_cap)
    target = left * min(1.0, took / remains) if remains > 0 else left
    ratio = min(spent / target, policy.pacing_price_cap) if target > 0 else policy.pacing_price_cap
    average = (1 - policy.pacing_horizon) * state.average + policy.pacing_horizon * ratio
    price = state.price + policy.pacing_gain * (average - 1)
    return Pace(average=average, price=min(policy.pacing_price_cap, max(0.0, price)))
