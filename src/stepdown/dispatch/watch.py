"""While an attempt runs: stop it when it goes far beyond what such work needs, or goes round in circles (SPEC 8, Watching).

Pure: `Watch.see` is given the agent's events in their order and says the moment one of them crosses a limit. Nothing is
asked of a clock, a disk or a model; the same events give the same word.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeVar

import msgspec

from stepdown.agents.port import Event, Step, Used
from stepdown.policy import Policy
from stepdown.units import Phase, type_defaults

_Number = TypeVar("_Number", int, float)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt may use before it is taken for a run-away.

    Attributes:
        steps: requests to the provider, or rounds of tool calls where the agent tells no requests.
        tokens: all kinds together.
        cost_usd: US dollars; None where nothing is known of this model's.
    """

    steps: int
    tokens: int
    cost_usd: float | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one finished unit used.

    Attributes:
        steps: its requests; None is unknown.
        tokens: all kinds together.
        cost_usd: US dollars; None is unknown.
        model: the provider-qualified model it ran on; costs of other models say nothing about this one's.
    """

    steps: int | None = None
    tokens: int
    cost_usd: float | None = None
    model: str = ""


class Stop(msgspec.Struct, frozen=True):
    """Why an attempt is stopped: the kind of failure it counts as, and one line."""

    kind: Literal["quality", "budget"]
    reason: str


DEFAULTS: Final[Mapping[str, tuple[int, int]]] = {
    "execute-task": (69, 6_532_000),
    "complete-slice": (40, 2_254_000),
    "research-slice": (39, 3_226_000),
    "plan-slice": (26, 1_889_000),
    "validate-milestone": (15, 1_288_000),
    "complete-milestone": (31, 3_075_000),
    "reassess-roadmap": (6, 286_000),
    "research-milestone": (29, 2_558_000),
    "discuss-milestone": (14, 1_049_000),
    "run-uat": (20, 1_129_000),
    "completion/*": (33, 2_518_000),
    "discuss/*": (14, 1_049_000),
    "execution/*": (69, 6_532_000),
    "planning/*": (24, 1_815_000),
    "research/*": (39, 3_155_000),
    "validation/*": (15, 1_288_000),
    "*": (52, 4_015_000),
}
"""90th percentiles of requests and tokens of a finished unit: per type, of a phase where a type was seen fewer than ten times,
and of all. Source: 912 units of 23 projects, measured; printed by ``python -m bench.watch``. There is none of dollars: the same
work costs twenty times as much on one model as on another."""


def default(unit_type: str) -> tuple[int, int]:
    """The default of a type, (requests, tokens): its own, its phase's, else that of all units."""
    phase = type_defaults(unit_type)[0]
    pooled = "*" if unit_type.startswith("hook/") or phase is Phase.SUBAGENT else f"{phase}/*"
    return DEFAULTS.get(unit_type) or DEFAULTS.get(pooled) or DEFAULTS["*"]


def limits_for(unit_type: str, usage: Sequence[Usage], policy: Policy, *, model: str = "") -> Limits:
    """``policy.watch_multiple`` times the 90th percentile of what the pattern used.

    Each measure is taken from `usage` where it is known of at least ``policy.watch_minimum`` units. With fewer, from
    ``policy.expectation_minimum`` on, the larger of it and the default counts, and with fewer still the default. A cost is only
    taken from units on the same `model`, since what a cheap model costs is no limit for a dear one; it has no default.
    """
    requests, tokens = default(unit_type)
    costs = [one.cost_usd for one in usage if one.cost_usd and model and one.model == model]
    dearest = _percentile(costs, policy.watch_minimum)
    return Limits(
        steps=round(policy.watch_multiple * _needed([one.steps for one in usage if one.steps], requests, policy)),
        tokens=round(policy.watch_multiple * _needed([one.tokens for one in usage if one.tokens > 0], tokens, policy)),
        cost_usd=None if dearest is None else policy.watch_multiple * dearest,
    )


def _needed(values: Sequence[int], known: int, policy: Policy) -> int:
    own = _percentile(values, policy.expectation_minimum)
    if own is None:
        return known
    return own if len(values) >= policy.watch_minimum else max(own, known)


def _percentile(values: Sequence[_Number], enough: int) -> _Number | None:
    """The 90th percentile by nearest rank: a value that was seen; None where fewer than `enough` were."""
    if not values or len(values) < enough:
        return None
    return sorted(values)[-(-len(values) * 9 // 10) - 1]


class Watch:
    """Watches one attempt.

    Args:
        limits: what it may use.
        price: US dollars of one request; None where its price is unknown. Such a request counts as free here, so that a stop
            is never for a cost that is only guessed.
        policy: how many repeats and errors are too many.
        cost_cap: US dollars that the attempt may cost, the user's word; None is no cap.
    """

    def __init__(
        self,
        limits: Limits,
        price: Callable[[Used], float | None],
        policy: Policy,
        *,
        cost_cap: float | None = None,
    ) -> None:
        self._limits = limits
        self._price = price
        self._policy = policy
        self._cap = cost_cap
        self._stop: Stop | None = None
        self._requests = self._rounds = self._tokens = 0
        self._cost = 0.0
        self._in_round = False
        self._calls: deque[tuple[str, str]] = deque(maxlen=256)
        self._results = self._errors = 0
        self._failing: tuple[str, str] = ("", "")
        self._repeats = 0

    def see(self, event: Event) -> Stop | None:
        """None while all is well; else why to stop now. Once it said to stop, it says the same of every later event."""
        if self._stop is None and isinstance(event, Used | Step):
            if isinstance(event, Used):
                self._use(event)
            else:
                self._step(event)
            # The cap is the user's word and ends the unit; a quality stop would go on to a dearer model.
            self._stop = self._over_cap() or self._beyond() or self._stuck()
        return self._stop

    def _use(self, used: Used) -> None:
        self._requests += 1
        self._tokens += used.tokens.total
        self._cost += self._price(used) or 0.0

    def _step(self, step: Step) -> None:
        if step.kind == "tool":
            self._rounds += not self._in_round  # calls side by side are one request
            self._calls.append((step.name, step.detail))
        elif step.kind == "result":
            self._result(step)
        self._in_round = step.kind == "tool"

    def _result(self, step: Step) -> None:
        call = self._called(step)
        self._results += 1
        self._errors += step.error
        if not step.error:
            self._repeats = 0
            return
        self._repeats = self._repeats + 1 if call == self._failing else 1
        self._failing = call

    def _called(self, result: Step) -> tuple[str, str]:
        """The call that a result answers: the oldest open one of that name; agents that tell no names answer in order."""
        for call in self._calls:
            if not result.name or call[0] == result.name:
                self._calls.remove(call)
                return call
        return result.name, result.detail

    def _over_cap(self) -> Stop | None:
        if self._cap is None or self._cost < self._cap:
            return None
        return Stop("budget", f"the cap of ${self._cap:.2f} for one unit is reached (${self._cost:.2f})")

    def _beyond(self) -> Stop | None:
        limits, cost = self._limits, self._limits.cost_usd
        steps = max(self._requests, self._rounds)
        if steps > limits.steps:
            return Stop("quality", f"stopped after {steps} steps, where such work needs at most {limits.steps}")
        if self._tokens > limits.tokens:
            return Stop("quality", f"stopped after {self._tokens:,} tokens, where such work needs at most {limits.tokens:,}")
        if cost is not None and self._cost > cost:
            return Stop("quality", f"stopped at ${self._cost:.2f}, where such work needs at most ${cost:.2f}")
        return None

    def _stuck(self) -> Stop | None:
        policy = self._policy
        if self._repeats >= policy.watch_repeats:
            name, detail = self._failing
            return Stop(
                "quality", f"the same call failed {self._repeats} times in a row: {' '.join(filter(None, (name, detail)))}"
            )
        if self._results >= policy.watch_error_minimum and self._errors >= policy.watch_error_share * self._results:
            return Stop("quality", f"{self._errors} of {self._results} tool calls failed")
        return None
