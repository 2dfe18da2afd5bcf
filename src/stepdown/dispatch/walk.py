"""What happens after an attempt failed: the table of SPEC section 8. Pure.

A provider failure walks the fallback chain as the user wrote it. A rejected model is blocked, and the chain goes on. A quality
failure steps up one tier, once, and then tries the configured model, once; an equal model would be another coin toss. Nothing
runs below what failed. Budgets and the user end it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stepdown.catalog import Catalog, Model
from stepdown.decision import Decision, Retry
from stepdown.units import Tier

_ENDS: Final = frozenset({"budget", "cancelled"})
_NAMED: Final = frozenset({"pinned", "hook"})
"""Decisions that are somebody's own word: they are not second-guessed with another model."""


class Tried(msgspec.Struct, frozen=True):
    """One attempt that is over.

    Attributes:
        decision: the decision it ran under.
        model: the provider-qualified model it ran on.
        tier: the stronger of the decision's tier and the model's own.
        failure: how it failed (SPEC 8); None for success.
        cause: why it was made (`ledger.port.Attempt.cause`).
    """

    decision: Decision
    model: str
    tier: Tier
    failure: str | None
    cause: str = "first"


class Go(msgspec.Struct, frozen=True):
    """Try again: on this model, for this cause, under this decision."""

    decision: Decision
    model: str
    cause: str


class Stop(msgspec.Struct, frozen=True):
    """No further attempt, and why."""

    reason: str


class Walk:
    """The walk of one unit.

    Args:
        catalog: knows the models of the chain.
        escalate: ``escalate_on_failure``.
        step_up: decides anew after a quality failure (`Router.decide` with a retry); None where nothing is above.
    """

    def __init__(self, catalog: Catalog, *, escalate: bool, step_up: Callable[[Retry], Decision]) -> None:
        self._catalog = catalog
        self._escalate = escalate
        self._step_up = step_up

    def after(self, history: Sequence[Tried]) -> Go | Stop:
        """What follows the last of `history`."""
        last = history[-1]
        if last.failure is None:
            return Stop("done")
        if last.failure in _ENDS:
            return Stop(last.failure)
        if last.failure == "quality":
            return self._up(history)
        return self._along(history)

    def _along(self, history: Sequence[Tried]) -> Go | Stop:
        """The next of the chain that has not failed yet, and that is not below what failed in quality."""
        last = history[-1]
        tried = {attempt.model for attempt in history}
        floor = max((attempt.tier for attempt in history if attempt.failure == "quality"), default=Tier.LIGHT)
        for ref in last.decision.fallbacks:
            model = self._catalog.find_ref(ref)
            if ref in tried or (model is not None and model.tier is not None and model.tier < floor):
                continue
            return Go(last.decision, ref, "fallback")
        return Stop(f"the fallback chain is exhausted ({', '.join(last.decision.fallbacks) or 'it is empty'})")

    def _up(self, history: Sequence[Tried]) -> Go | Stop:
        """One tier up, then the configured model; each once."""
        first, last = history[0].decision, history[-1]
        configured = f"{first.ceiling_provider}/{first.ceiling}" if first.ceiling_provider else first.ceiling
        failed = {attempt.model for attempt in history if attempt.failure == "quality"}
        if not self._escalate:
            return Stop("stepping up is off (escalate_on_failure: false)")
        if first.unchanged in _NAMED:
            whose = "it is pinned to its model" if first.unchanged == "pinned" else "a hook named its model"
            return Stop(f"{whose}, and that is kept to")
        if not any(attempt.cause == "step up" for attempt in history):
            decision = self._step_up(Retry(tier=last.tier, model=last.model))
            if decision.ref and decision.ref not in failed and not decision.refused:
                return Go(decision, decision.ref, "step up")
        if configured and configured not in failed and not any(attempt.cause == "configured" for attempt in history):
            decision = self._step_up(Retry(tier=Tier.HEAVY, model=last.model))
            if not decision.refused:
                return Go(decision, configured, "configured")
        return Stop("the configured model failed as well" if configured in failed else "nothing stronger is left to try")


def tier_run(decision: Decision, model: Model | None) -> Tier:
    """The tier an attempt counts for: the decision's, or the model's own where that is stronger."""
    if model is None or model.tier is None:
        return decision.tier
    return max(decision.tier, model.tier)
