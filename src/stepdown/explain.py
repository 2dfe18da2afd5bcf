"""What would flip a decision: each statement found by deciding again with one thing changed, so that it is true. Pure."""

from collections.abc import Iterator

import msgspec

from stepdown.classify import flips as flips_of_signals
from stepdown.decision import Context, Decision, Meter, Retry
from stepdown.routing import Router
from stepdown.signals import introspect
from stepdown.units import TIERS, Unit


def flips(router: Router, unit: Unit, context: Context) -> tuple[str, ...]:
    """What would give `unit` another model or tier, in plain words."""
    decision = _effective(router.decide(unit, context))
    return tuple(dict.fromkeys((*_by_signals(router, unit, decision), *_by_context(router, unit, context, decision))))


def _by_signals(router: Router, unit: Unit, decision: Decision) -> Iterator[str]:
    """Changes to the plan. They move the unit's own tier; whether the model follows depends on the rest of the receipt."""
    yield from flips_of_signals(unit, introspect(unit, router.policy), decision.classification, router.policy)


def _by_context(router: Router, unit: Unit, context: Context, decision: Decision) -> Iterator[str]:
    """Changes to the world: budgets, a failure, a pin."""
    policy = router.policy
    used = max((meter.used for meter in context.meters), default=0.0)
    for threshold in (policy.pressure_light, policy.pressure_cheapest, policy.pressure_all + 0.001):
        if used < threshold:
            pressed = _with_meter(context, threshold)
            yield from _if_other(router, unit, pressed, decision, f"a budget {_percent(threshold)} used")
    if used >= policy.pressure_light:
        yield from _if_other(
            router, unit, msgspec.structs.replace(context, meters=()), decision, "less than half of every budget used"
        )
    if context.retry is None:
        failed = msgspec.structs.replace(context, retry=Retry(tier=decision.tier))
        yield from _if_other(router, unit, failed, decision, f"a failure at {decision.tier}")
    if not context.pin and not router.preferences.pin:
        for tier in TIERS:
            pinned = msgspec.structs.replace(context, pin=tier.value)
            yield from _if_other(router, unit, pinned, decision, f"a pin to {tier}")


def _if_other(router: Router, unit: Unit, context: Context, decision: Decision, change: str) -> Iterator[str]:
    other = _effective(router.decide(unit, context))
    if other.model != decision.model:
        yield f"{change}: {other.tier.badge} {other.model}"


def _effective(decision: Decision) -> Decision:
    """With routing off, what it would have decided."""
    return decision.would or decision


def _with_meter(context: Context, used: float) -> Context:
    return msgspec.structs.replace(context, meters=(*context.meters, Meter(name="a budget", used=used)))


def _percent(fraction: float) -> str:
    return f"{fraction:.0%}" if fraction <= 0.9 else f"more than {int(fraction * 100)}%"
