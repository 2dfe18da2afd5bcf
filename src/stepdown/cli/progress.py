"""What ``stepdown run`` prints: plain lines as things happen, and the sum at the end."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from stepdown.agents.port import Step
from stepdown.cli.receipts import reason
from stepdown.cli.screen import say
from stepdown.decision import Decision
from stepdown.dispatch.trial import Done
from stepdown.ledger.records import Outcome, Use
from stepdown.money import dollars
from stepdown.units import Unit

CAUSES: Final = {
    "fallback": "the next of the chain",
    "step up": "stepped up",
    "configured": "once more, on the configured model",
    "again": "again, as a hook asked",
}
"""Why there is an attempt that is not its unit's first (`ledger.records.Attempt.cause`)."""


def heading(unit: Unit, decision: Decision, position: str = "") -> tuple[str, str]:
    """The two lines that open a unit on the screen: badge, model, unit; and why."""
    model = decision.model or "the agent's own model"
    head = f"{position}{decision.shown.tier.badge} {model}  {unit.type} {unit.id}".rstrip()
    return f"{head}: {unit.title}" if unit.title else head, f"{' ' * len(position)}    {reason(decision)}"


class Screen:
    """Plain lines, as things happen.

    Args:
        total: units that are pending at the start; more may appear.
        steps: whether to show every step of the agent.
        offer: called with a unit that has ended, to offer a rating.
        say: prints lines.
    """

    def __init__(self, *, steps: bool, offer: Callable[[Unit], str] = lambda _: "", say: Callable[..., None] = say) -> None:
        self._number = 0
        self._steps = steps
        self._offer = offer
        self._say = say

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing: a line that is printed is printed."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """While something else has the terminal; lines leave it as it is."""
        return contextlib.nullcontext()

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """Say which unit runs, on what, why."""
        if cause == "first":
            self._number += not unit.is_hook
            self._say(*heading(unit, decision, f"{'' if unit.is_hook else self._number:>3}  "))
        else:
            self._say(f"     {decision.tier.badge} {model.partition('/')[2] or model}  {CAUSES[cause]}")

    def step(self, unit: Unit, step: Step) -> None:  # noqa: ARG002  (the port's signature)
        """Show a step, where asked for."""
        if self._steps:
            self._say(f"         {'!' if step.error else '·'} {step.kind} {step.name} {step.detail}".rstrip())

    def used(self, unit: Unit, use: Use) -> None:
        """Nothing: it is said when the attempt ends."""

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        """Say how an attempt went and what it cost."""
        tokens = "unknown" if outcome.tokens is None else f"{outcome.tokens.total:,}"
        checked = {True: "verified", False: "checked", None: "unverified"}[outcome.verified]
        how = f"done, {checked}" if outcome.failure is None else f"FAILED ({outcome.failure})"
        cost = dollars(outcome.cost_usd)
        dearer = None not in {outcome.cost_usd, outcome.ceiling_cost_usd} and outcome.cost_usd != outcome.ceiling_cost_usd
        if decision.downgraded and outcome.failure is None and dearer:
            cost += f" (at the ceiling {dollars(outcome.ceiling_cost_usd, estimated=True)})"
        self._say(f"         {how}; {steps} steps, {tokens} tokens, {cost}{self._offer(unit)}")
        if outcome.failure is not None:
            self._say(*(f"           {line}" for line in outcome.evidence[:_LINES]))
        if outcome.kept:
            self._say(f"           the work tree was put back; what it had become: {outcome.kept}")

    def alert(self, text: str) -> None:
        """A budget passed one of its marks."""
        self._say(f"  !  {text}")

    def done(self, done: Done) -> None:
        """Say what only the end of a unit tells."""
        if done.skipped:
            self._say(f"     {done.unit.type} {done.unit.id}: {done.skipped}")
        elif done.failed:
            self._say(f"         given up: {done.reason}")
        elif done.missing:
            self._say(f"         not written: {', '.join(done.missing)}")


_LINES: Final = 6


def summary(results: list[Done]) -> Iterator[str]:
    """What was spent and what the ceiling would have cost."""
    ran = [done for done in results if done.outcome is not None]
    units = [done for done in ran if not done.unit.is_hook]
    if not ran:
        yield "Nothing is pending." if not results else f"{len(results)} units were skipped."
        return
    failed = [done for done in units if done.failed]
    down = sum(done.decision.downgraded for done in units if not done.failed)
    up = sum(done.stepped_up and not done.failed for done in units)
    yield ""
    yield f"{len(units) - len(failed)} units done, {down} of them on less than their ceiling" + (
        f", {up} of them after stepping up." if up else "."
    )
    unverified = sum(done.outcome is not None and done.outcome.verified is None for done in units if not done.failed)
    if unverified:
        yield f"{unverified} of them unverified: there was nothing to check them by."
    known = [done.cost_usd for done in ran if done.cost_usd is not None]
    unpriced = len(ran) - len(known)
    yield f"Spent {dollars(sum(known) if known else None)}, hooks and failed attempts included" + (
        f", and {unpriced} units of unknown cost." if unpriced else "."
    )
    sums = compared(ran)
    if sums is not None:
        cost, ceiling = sums
        share = f", {1 - cost / ceiling:.0%} less" if 0 < cost < ceiling else ""
        yield f"At the ceiling's prices the same tokens would have cost {dollars(ceiling, estimated=True)}{share} (estimated)."
    for done in failed:
        message = "" if done.outcome is None else done.outcome.message
        yield f"Failed: {done.unit.type} {done.unit.id}: {message}"
        yield f"        stepdown why '{done.unit.type} {done.unit.id}' tells the whole story; stepdown run goes on from here"


def compared(results: Sequence[Done]) -> tuple[float, float] | None:
    """What units cost with all their attempts, and the same at the ceiling's prices, US dollars, where both are known."""
    both = [(d.cost_usd, d.ceiling_cost_usd) for d in results if d.cost_usd is not None and d.ceiling_cost_usd is not None]
    return (sum(cost for cost, _ in both), sum(ceiling for _, ceiling in both)) if both else None
