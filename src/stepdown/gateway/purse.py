"""What this gateway has set aside of hard budgets, so that no number of gateways spends more than there is (SPEC section 7).

A request is let through when there is enough in the purse, and that waits for nobody. Where there is not, more is set aside in
the ledger, in a transaction in which nobody else writes. What is spent leaves the purse in the transaction that records it. So
spent and set aside together never exceed a limit; only what requests under way cost beyond what was expected of them may.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.context import meter_of
from stepdown.decision import Meter
from stepdown.errors import LedgerError
from stepdown.gateway.amounts import Amounts
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.world import World
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Cap, Hold, Measure, Person, Scope
from stepdown.ledger.rules import measured, shown
from stepdown.limits import Limit, limits

_AHEAD: Final = 64
"""So many requests' worth is set aside at once, where that is at most this fraction of what is left."""
_IDLE: Final = 2.0
"""Seconds without a request after which what is set aside and not needed is given back."""
_AGAIN: Final = 20.0
"""Seconds after which it is said again what is set aside: after a minute without a word the ledger takes a gateway for dead."""
_PATIENCE: Final = 3.0
"""Seconds that a request waits for others to give back what they have set aside and do not need."""
_PAUSE: Final = 0.3
"""Seconds between two tries."""
_ANSWER: Final = 5.0
"""Seconds that the ledger may take to answer; after that it is as good as away."""
_BLIND: Final = 10.0
"""Seconds for which a ledger that did not answer is not asked again: requests must not queue for it."""
_TICK: Final = 1.0
_READ: Final = 2.0
"""Seconds after which a person's budgets are read anew."""
_KEPT: Final = 512
"""People whose budgets are kept in mind; of more, all are read anew."""

Pot = tuple[Scope, Measure]
"""What is set aside of: a scope, in a measure."""


class Ticket(msgspec.Struct, frozen=True):
    """A request that was let through: what is kept for it until it ends. `pots` is empty where no hard budget is on it."""

    amounts: Amounts
    pots: tuple[Pot, ...] = ()


class _Pot:
    """What is set aside of one scope. Changed under the purse's lock alone.

    Attributes:
        granted: what this gateway may still spend.
        reserved: how much of that is for requests under way.
        spent: what left it and may not be recorded yet: in which round of the recorder, and how much.
        said: what the ledger was told last; None is nothing.
        told: when that was, as `touched` on the monotonic clock.
        touched: when a request came last.
    """

    __slots__ = ("granted", "reserved", "said", "spent", "told", "touched")

    def __init__(self) -> None:
        self.granted = self.reserved = self.told = 0.0
        self.spent: list[tuple[int, float]] = []
        self.said: float | None = None
        self.touched = time.monotonic()


class Purse:
    """Lets requests through.

    Args:
        recorder: asks and tells the ledger in its thread.
        world: the preferences in force.
        holder: unlike any other gateway's name.
        clock: seconds since the epoch.
    """

    def __init__(self, recorder: Recorder, world: Callable[[], World], holder: str, clock: Callable[[], float]) -> None:
        self._recorder = recorder
        self._world = world
        self._holder = holder
        self._clock = clock
        self._lock = threading.Lock()
        self._pots: dict[Pot, _Pot] = {}
        self._ledger: Ledger | None = None
        self._asking = asyncio.Lock()
        self._trouble, self._blind_until = "", 0.0
        self._limits: dict[tuple[str, Person | None], tuple[Limit, ...]] = {}
        self._by: World | None = None
        self._meters: dict[str, tuple[float, tuple[Meter, ...]]] = {}
        recorder.alongside(self._tell)

    def limits(self, project: str, person: Person | None) -> tuple[Limit, ...]:
        """The budgets that a project's work for a person is under."""
        world = self._world()
        if world is not self._by or len(self._limits) > _KEPT:
            self._by, self._limits = world, {}
        key = (project, person)
        if key not in self._limits:
            self._limits[key] = limits(world.preferences, project, person, world.catalog.resolve)
        return self._limits[key]

    def meters(self, project: str, person: Person | None) -> tuple[Meter, ...]:
        """The budgets of a person, as they were read last; a moment after they were first asked for."""
        theirs = [limit for limit in self.limits(project, person) if limit.scope.person is not None]
        if not theirs:
            return ()
        name = theirs[0].scope.person or ""
        at, found = self._meters.get(name, (0.0, ()))
        if time.monotonic() - at > _READ:
            if len(self._meters) > _KEPT:
                self._meters.clear()
            self._meters[name] = (time.monotonic(), found)  # asked for once until it is there
            self._recorder.tell(lambda ledger: self._read(ledger, name, theirs))
        return found

    def readings(self) -> list[Meter]:
        """The budgets of everybody who was asked about lately."""
        return [meter for _, meters in list(self._meters.values()) for meter in meters]

    def _read(self, ledger: Ledger, name: str, theirs: Sequence[Limit]) -> None:
        now = self._clock()
        self._meters[name] = (time.monotonic(), tuple(meter_of(limit, ledger, now) for limit in theirs))

    async def admit(
        self, project: str, person: Person | None, model: str, expected: Amounts, used: Mapping[str, float]
    ) -> Ticket | str:
        """Let a request through, or say why not.

        Args:
            project: whose.
            person: whose token it came with.
            model: provider-qualified, which is asked first.
            expected: what it is expected to use.
            used: per budget's name the fraction of it that was used when that was read last.
        """
        found = [one for one in self.limits(project, person) if one.hard and one.scope.model in {None, model}]
        ticket = Ticket(expected, tuple(dict.fromkeys((one.scope, one.measure) for one in found)))
        if not ticket.pots or self._take(ticket):
            return ticket
        until = time.monotonic() + _PATIENCE
        while True:
            async with self._asking:
                if self._take(ticket):  # somebody has had enough set aside for all who wait
                    return ticket
                full = await self._more(ticket, found, used)
                if full is None:
                    self._take(ticket, whatever=True)  # one that runs alone may take whatever there is (SPEC section 7)
                    return ticket
            if full[1] or time.monotonic() >= until:
                return full[0]
            await asyncio.sleep(_PAUSE)

    def _take(self, ticket: Ticket, *, whatever: bool = False) -> bool:
        """Keep what a request needs, if there is enough of everything."""
        with self._lock:
            pots = [(self._pots.setdefault(pot, _Pot()), ticket.amounts.of(pot[1])) for pot in ticket.pots]
            if not whatever and any(pot.granted - pot.reserved < amount or pot.granted <= 0 for pot, amount in pots):
                return False
            for pot, amount in pots:
                pot.reserved += amount
                pot.touched = time.monotonic()
            return True

    async def _more(self, ticket: Ticket, found: Sequence[Limit], used: Mapping[str, float]) -> tuple[str, bool] | None:
        """Have more set aside; None where there is something of everything, else why not, and whether waiting is in vain."""
        self._trouble = self._recorder.trouble or self._trouble
        if self._recorder.trouble or time.monotonic() < self._blind_until:
            return self._blind()
        caps = [one.cap(self._clock()) for one in found]
        wanted = list(self._wanted(ticket, found, used))
        try:
            return await asyncio.wait_for(self._recorder.ask(lambda ledger: self._set_aside(ledger, wanted, caps)), _ANSWER)
        except LedgerError as error:
            self._trouble, self._blind_until = str(error), time.monotonic() + _TICK
        except TimeoutError:
            self._trouble, self._blind_until = "the ledger takes too long to answer", time.monotonic() + _BLIND
        return self._blind()

    def _set_aside(self, ledger: Ledger, wanted: Sequence[Hold], caps: Sequence[Cap]) -> tuple[str, bool] | None:
        """The same, in the recorder's thread."""
        granted = ledger.set_aside(self._holder, wanted, caps)
        with self._lock:
            for hold, amount in zip(wanted, granted, strict=True):
                pot = self._pots.setdefault((hold.scope, hold.measure), _Pot())
                pot.granted += amount
                pot.said = None
        empty = [(hold.scope, hold.measure) for hold, amount in zip(wanted, granted, strict=True) if hold.amount > 0 >= amount]
        full = [cap for cap in caps if (cap.scope, cap.measure) in empty]
        for cap in full:
            scope = cap.scope
            spent = ledger.spent(scope.project, since=cap.since, person=scope.person, model=scope.model)
            if measured(spent, cap.measure) >= cap.limit:
                return f"{cap.name} is used up ({shown(measured(spent, cap.measure), cap)})", True
        return (f"{full[0].name} is used up but for what requests under way may need", False) if full else None

    def _wanted(self, ticket: Ticket, found: Sequence[Limit], used: Mapping[str, float]) -> Iterator[Hold]:
        """What is missing for a request, with some more for the next ones where plenty is left."""
        with self._lock:
            for scope, measure in ticket.pots:
                pot = self._pots.setdefault((scope, measure), _Pot())
                amount = ticket.amounts.of(measure)
                missing = amount - (pot.granted - pot.reserved)
                if pot.granted <= 0:
                    missing = max(missing, amount, 1e-6 if measure == "usd" else 1.0)
                if missing <= 0:
                    continue
                left = min(
                    one.limit * (1.0 - used.get(one.name, 1.0)) for one in found if (one.scope, one.measure) == (scope, measure)
                )
                more = missing + max(0.0, min(_AHEAD * amount, left / _AHEAD))
                yield Hold(scope=scope, measure=measure, amount=more, least=missing, alone=not pot.reserved)

    def _blind(self) -> tuple[str, bool] | None:
        """The ledger cannot be asked: with ``halt`` nothing more is let through, else requests flow on what was known last."""
        if self._world().preferences.budget_enforcement != "halt":
            return None
        return f"the budgets cannot be looked at, and budget_enforcement is halt: {self._trouble}", True

    def release(self, ticket: Ticket, used: Amounts | None) -> None:
        """A request has ended, and the recorder knows what it used; None is nothing."""
        if not ticket.pots:
            return
        noted = self._recorder.rounds  # its use is written in the round after this one, at the latest
        with self._lock:
            for key in ticket.pots:
                pot = self._pots.setdefault(key, _Pot())
                pot.reserved = max(0.0, pot.reserved - ticket.amounts.of(key[1]))
                # Beyond what was granted nothing leaves the purse: the ledger is told all of it all the same.
                gone = min(0.0 if used is None else used.of(key[1]), max(0.0, pot.granted))
                pot.granted -= gone
                pot.spent.append((noted, gone))

    def _tell(self, ledger: Ledger) -> None:
        """In the recorder's thread, in the transaction that records what was spent: say what is still set aside."""
        written, now = self._recorder.rounds, time.monotonic()
        said = []
        with self._lock:
            if ledger is not self._ledger:  # opened anew: nobody knows what the other one took
                self._ledger = ledger
                for pot in self._pots.values():
                    pot.said = None
            for (scope, measure), pot in self._pots.items():
                pot.spent = [(noted, amount) for noted, amount in pot.spent if noted >= written]
                amount = pot.granted + sum(late for _, late in pot.spent)
                if pot.said != amount or (amount and now - pot.told > _AGAIN):
                    pot.said, pot.told = amount, now
                    said.append(Hold(scope=scope, measure=measure, amount=amount))
        if said:
            ledger.hold(self._holder, said)

    async def tend(self) -> None:
        """Give back what is not needed, and say again what is; until cancelled."""
        while True:
            await asyncio.sleep(_TICK)
            if self._tended(time.monotonic()):
                self._recorder.wake()

    def _tended(self, now: float) -> bool:
        """Whether there is something to say."""
        with self._lock:
            for key, pot in list(self._pots.items()):
                if now - pot.touched > _IDLE:
                    pot.granted = min(pot.granted, pot.reserved)
                    if not pot.reserved and not pot.spent and pot.said == 0.0:
                        del self._pots[key]
            return any(
                pot.spent or pot.said != pot.granted or (pot.said and now - pot.told > _AGAIN) for pot in self._pots.values()
            )

    def close(self) -> None:
        """Give everything back with the last that is written."""
        with self._lock:
            for pot in self._pots.values():
                pot.granted = pot.reserved = 0.0
        self._recorder.wake()
