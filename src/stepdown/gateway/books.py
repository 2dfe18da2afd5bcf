"""What the gateway keeps: requests into the ledger, a line each for whoever follows, and the ledger's word for the desk."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stepdown.alerts import Alert, Alerts
from stepdown.budget import used_up
from stepdown.classify import pattern
from stepdown.decision import Context
from stepdown.gateway.amounts import Amounts
from stepdown.gateway.hops import Hop, printable
from stepdown.gateway.meters import plan_meters
from stepdown.gateway.passed import Passed
from stepdown.gateway.purse import Purse, Ticket
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.route import Route
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Attempt, Block, Person, PlanMeter
from stepdown.ledger.rules import LAST_SECOND
from stepdown.policy import Policy
from stepdown.units import Tokens, Unit

_BEHIND: Final = 1000
"""Lines kept for a follower that is slow; the oldest are dropped."""

_UNITS: Final = 4096
"""Units whose cost is remembered; of more, the one that was silent longest begins anew."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, as `stepdown tail` shows it and ``/v1/stepdown/events`` sends it.

    Attributes:
        at: seconds since the epoch, when it came in.
        project: whose it is.
        unit: its unit's type.
        id: its unit's id.
        asked: the model that the request named.
        model: the provider-qualified model that answered, or was asked last.
        tier: the tier that was decided.
        applied: whether the decision held; false where it was only observed.
        chosen: the provider-qualified model that the decision is for.
        reason: why, one line.
        decision: the decision's name, as the response header had it.
        status: what the client was sent; 499 where it had gone.
        failure: the kind of failure; "" for none.
        tried: how many were asked.
        tokens: prompt and output together; None is unknown.
        estimated: whether they, and the dollars, are what its size suggests: the answer did not say.
        cost_usd: US dollars; None is unknown.
        ceiling_usd: what the same tokens cost on the model that was named.
        first_byte: seconds until the first byte.
        seconds: until the end.
    """

    at: float
    project: str
    unit: str
    id: str
    asked: str
    model: str
    tier: str
    applied: bool
    chosen: str
    reason: str
    decision: str
    status: int
    failure: str = ""
    tried: int = 0
    tokens: int | None = None
    estimated: bool = False
    cost_usd: float | None = None
    ceiling_usd: float | None = None
    first_byte: float | None = None
    seconds: float = 0.0


class _UnderWay:
    """What the requests of one project that are under way may cost together."""

    __slots__ = ("requests", "usd")

    def __init__(self) -> None:
        self.requests = 0
        self.usd = 0.0


class Books:
    """Told of everything that passes; asked for everything that is known.

    Args:
        recorder: writes in its own thread.
        policy: how long a block lasts.
        purse: what is set aside of hard budgets; None lets everything through that the desk does.
        clock: seconds since the epoch.
        observers: are told of every request that has ended, before anybody else is; they do not wait, and do not fail.

    Attributes:
        policy: likewise; may be replaced.
        streams: how many streams are under way.
        serving: the requests under way by their decisions' names, with the time at which each came (seconds since the epoch).
        last: when something passed last, on the monotonic clock.
    """

    def __init__(
        self,
        recorder: Recorder,
        policy: Policy,
        clock: Callable[[], float] = time.time,
        observers: tuple[Callable[[Passed], None], ...] = (),
        purse: Purse | None = None,
    ) -> None:
        self.policy = policy
        self.streams = 0
        self.serving: dict[str, tuple[float, Route]] = {}
        self.last = time.monotonic()
        self._recorder = recorder
        self._purse = purse
        self._tickets: dict[str, Ticket] = {}
        self._clock = clock
        self._observers = observers
        self._followers: set[asyncio.Queue[Line]] = set()
        self._said: dict[tuple[str, str], PlanMeter] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._units: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def context(self, project: str, person: Person | None = None) -> Context:
        """What routing is told of a project's work; for a person, with their own budgets."""
        context = self._recorder.context(project)
        theirs = () if self._purse is None else self._purse.meters(project, person)
        if not theirs:
            return context
        blocked = {**context.blocked, **used_up(theirs)}
        return msgspec.structs.replace(context, meters=(*context.meters, *theirs), blocked=blocked)

    def unseen_usd(self, project: str) -> float:
        """US dollars that the context does not know of yet: of requests that have ended since, and of those under way."""
        under_way = self._under_way.get(project)
        return self._recorder.unseen_usd(project) + (0.0 if under_way is None else under_way.usd)

    def unit_usd(self, project: str, unit: Unit) -> float:
        """US dollars that the requests of a unit have cost since this gateway was started."""
        return self._units.get((project, unit.type, unit.id), 0.0)

    def follow(self) -> "asyncio.Queue[Line]":
        """A queue that gets a line for everything that passes, until `unfollow`."""
        queue: asyncio.Queue[Line] = asyncio.Queue(_BEHIND)
        self._followers.add(queue)
        return queue

    def unfollow(self, queue: "asyncio.Queue[Line]") -> None:
        """No more lines for this queue."""
        self._followers.discard(queue)

    def alerts(self, alerts: Alerts) -> list[Alert]:
        """Budgets that have passed a mark which `alerts` has not said: of every project and person worked for lately."""
        now = self._clock()
        found = [
            alert
            for project, context in self._recorder.contexts()
            for alert in alerts.due(context.meters, now, self.policy, project)
        ]
        return found + alerts.due(() if self._purse is None else self._purse.readings(), now, self.policy)

    async def admitted(self, route: Route) -> str:
        """See `Witness.admitted`."""
        if self._purse is None or not route.counted:
            return ""
        used = {meter.name: meter.used for meter in self.context(route.project, route.person).meters}
        answer = await self._purse.admit(route.project, route.person, route.hops[0].model.ref, route.expected, used)
        if isinstance(answer, str):
            return answer
        self._tickets[route.id] = answer
        return ""

    def entered(self, route: Route, *, streamed: bool) -> None:
        """A request is under way: what it may cost is set aside."""
        self.streams += streamed
        self.serving[route.id] = (self._clock(), route)
        if not route.refused:
            under_way = self._under_way.setdefault(route.project, _UnderWay())
            under_way.requests += 1
            under_way.usd += route.expected.usd

    def passed(self, passed: Passed) -> None:
        """Note a request that has ended."""
        self.streams -= passed.streamed
        self.serving.pop(passed.route.id, None)
        for observer in self._observers:
            observer(passed)
        self.last = time.monotonic()
        line = line_of(passed)
        self._note(passed, line)
        if not passed.route.refused:
            self._release(passed.route)
        ticket = self._tickets.pop(passed.route.id, None)
        if ticket is not None and self._purse is not None:
            tokens = 0 if passed.tokens is None else passed.tokens.total
            self._purse.release(ticket, Amounts(line.cost_usd or 0.0, tokens, max(1, passed.tried)))
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(line)

    def _release(self, route: Route) -> None:
        under_way = self._under_way[route.project]
        under_way.requests -= 1
        under_way.usd -= route.expected.usd
        if not under_way.requests:  # with all that adding and taking away has left over
            del self._under_way[route.project]

    def rejected(self, hop: Hop, why: str) -> None:
        """Block a model that the provider will not serve to this account."""
        until = self._clock() + self.policy.block_seconds
        block = Block(model=hop.model.ref, reason=f"{hop.provider.name} rejected it ({why})", until=until)
        self._recorder.tell(lambda ledger: ledger.block(block))

    def heard(self, hop: Hop, headers: Mapping[str, str]) -> None:
        """Remember what a subscription says of its windows, where that is news."""
        for meter in plan_meters(hop.provider.name, headers, self._clock()):
            known = self._said.get((meter.provider, meter.window))
            if known is None or known.used != meter.used or known.resets != meter.resets:
                self._said[meter.provider, meter.window] = meter
                self._recorder.tell(_setting(meter))

    def _note(self, passed: Passed, line: Line) -> None:
        """Add a request to the attempts of those who were asked; what a run counts itself is not counted twice."""
        route, hop = passed.route, passed.hop
        if hop is None or route.asked.attempt:
            return
        if route.going is not None and not route.going.errand:
            self._recorder.remember(route.project, route.going.name, route.going.talk.state(), passed.at)
        if route.going is not None and route.going.over:
            self._recorder.end_unit(route.project, route.going.over)
        if route.stumbled:
            ref, why = route.stumbled
            self._recorder.end(_key(route, ref), "quality", why)
        for one in passed.given_up:
            self._add(passed, one.hop, failure=one.failure)
        cost, ceiling = line.cost_usd, line.ceiling_usd
        self._add(
            passed,
            hop,
            tokens=passed.tokens,
            cost_usd=cost,
            ceiling_usd=ceiling,
            cache_loss_usd=passed.cache_loss_usd,
            failure=passed.failure,
            estimated=passed.estimated,
        )
        if route.asked.unit.id and cost:
            name = (line.project, route.asked.unit.type, route.asked.unit.id)
            self._units[name] = self._units.pop(name, 0.0) + cost
            if len(self._units) > _UNITS:
                self._units.popitem(last=False)

    def _add(
        self,
        passed: Passed,
        hop: Hop,
        *,
        tokens: Tokens | None = None,
        cost_usd: float | None = None,
        ceiling_usd: float | None = None,
        cache_loss_usd: float = 0.0,
        failure: str | None,
        estimated: bool = False,
    ) -> None:
        route, unit = passed.route, passed.route.asked.unit
        key = _key(route, hop.model.ref)
        if not self._recorder.is_open(key):
            self._recorder.begin(key, _attempt(passed, hop))
        self._recorder.used(
            key,
            tokens=tokens,
            cost_usd=cost_usd,
            ceiling_usd=ceiling_usd,
            cache_loss_usd=cache_loss_usd,
            failure=failure,
            estimated=estimated,
        )
        if not unit.id:  # nobody can say that another request belongs to it
            self._recorder.end(key)


def _key(route: Route, ref: str) -> str:
    """What the attempt of a unit on a model is known by here."""
    unit = route.asked.unit
    person = "" if route.person is None else route.person.name
    return f"{route.project}\0{person}\0{unit.type}\0{unit.id or route.id}\0{ref}"


def _attempt(passed: Passed, hop: Hop) -> Attempt:
    """A unit on a model, as it begins."""
    route, unit, decision = passed.route, passed.route.asked.unit, passed.route.decision
    if route.applied:  # the receipt says what was done, also where it is not what was decided
        decision = msgspec.structs.replace(decision, adaptations=hop.adaptations)
    return Attempt(
        project=route.project,
        unit_type=unit.type,
        unit_id=unit.id or route.id,
        tier=hop.model.tier,
        model=hop.model.ref,
        ceiling=route.ceiling.ref,
        downgraded=route.applied and decision.downgraded and decision.ref == hop.model.ref,
        reason=decision.reason,
        decision=msgspec.json.encode(decision).decode(),
        pattern=pattern(unit, decision.classification),
        started=min(max(passed.at, 0.0), float(LAST_SECOND)),  # the clock of a machine may be badly wrong
        person="" if route.person is None else route.person.name,
        cause="fallback" if hop is not route.hops[0] else "step up" if route.stumbled else "first",
    )


def _setting(meter: PlanMeter) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.set_plan_meter(meter)


def line_of(passed: Passed) -> Line:
    """What is shown of a request."""
    route, hop, tokens = passed.route, passed.hop, passed.tokens
    return Line(
        at=passed.at,
        project=route.project,
        unit=route.asked.unit.type,
        id=route.asked.unit.id,
        asked=printable(route.asked.model) or route.ceiling.id,
        model="" if hop is None else hop.model.ref,
        tier=str(route.decision.tier),
        applied=route.applied,
        chosen=route.decision.ref,
        reason=route.refused or route.decision.reason,
        decision=route.id,
        status=passed.status,
        failure=passed.failure or "",
        tried=passed.tried,
        tokens=None if tokens is None else tokens.total,
        estimated=passed.estimated,
        cost_usd=passed.cost_usd,
        ceiling_usd=passed.ceiling_usd,
        first_byte=passed.first_byte,
        seconds=passed.seconds,
    )


def shown(line: Line) -> dict[str, Any]:
    """A line as JSON."""
    return msgspec.to_builtins(line)  # type: ignore[no-any-return]  # (a struct becomes a dict)
