"""The gateway as the live page sees it: what is under way, what has passed, how the models answer, and what may be switched."""

import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from stepdown.catalog import Catalog, Model
from stepdown.dashboard.host import Doing, Facts, Health, Request
from stepdown.decision import Context
from stepdown.gateway.books import Books
from stepdown.gateway.control import Control
from stepdown.gateway.desk import Desk, Pinned
from stepdown.gateway.found import Found
from stepdown.gateway.hops import printable
from stepdown.gateway.modes import MODES
from stepdown.gateway.passed import Passed
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.resting import Resting
from stepdown.gateway.route import Route
from stepdown.preferences.schema import Preferences

_KEPT: Final = 200
"""Requests that are remembered, of all projects together."""
_SHOWN: Final = 20
"""Requests of one project that are shown."""
_JUDGED: Final = 50
"""Requests to a model that its health is judged by."""
_UNDER_WAY: Final = 12
"""Requests under way that are shown; of more, the oldest."""
_PROVIDERS: Final = frozenset({"provider", "rejected"})
"""Failures that are the provider's."""


class _Answers:
    """How a model has been answering."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.last = 0.0
        self.failures: deque[str] = deque(maxlen=_JUDGED)
        self.first_bytes: deque[float] = deque(maxlen=_JUDGED)

    def note(self, at: float, failure: str, first_byte: float | None) -> None:
        self.last = at
        self.failures.append(failure if failure in _PROVIDERS else "")
        if first_byte is not None:
            self.first_bytes.append(first_byte)

    def health(self, rests: float) -> Health:
        failed = [failure for failure in self.failures if failure]
        return Health(
            model=self.model.ref,
            tier=self.model.tier,
            requests=len(self.failures),
            failed=len(failed),
            failure=failed[-1] if failed else "",
            first_byte=statistics.median(self.first_bytes) if self.first_bytes else None,
            last=self.last,
            rests=rests,
        )


class Passing:
    """Remembers the requests that passed last, for the page; told of each by `Books`.

    Args:
        resting: who is left alone.
    """

    def __init__(self, resting: Resting) -> None:
        self._resting = resting
        self._passed: deque[Passed] = deque(maxlen=_KEPT)
        self._answers: dict[str, _Answers] = {}

    def passed(self, passed: Passed) -> None:
        """A request has ended."""
        self._passed.appendleft(passed)
        for one in passed.given_up:
            self._of(one.hop.model).note(passed.at, one.failure, None)
        if passed.hop is not None:
            self._of(passed.hop.model).note(passed.at, passed.failure or "", passed.first_byte)

    def _of(self, model: Model) -> _Answers:
        return self._answers.setdefault(model.ref, _Answers(model))

    def of(self, project: str) -> Iterable[Passed]:
        """Those of a project, the newest first."""
        return (passed for passed in self._passed if passed.route.project == project)

    def health(self) -> Sequence[Health]:
        """Of each model, the one that was asked last first."""
        newest = sorted(self._answers.values(), key=lambda one: -one.last)
        return [one.health(max(0.0, self._resting.left(one.model.ref))) for one in newest]


class GatewayHost:
    """A `Host` (stepdown.dashboard.host).

    Args:
        found: where the gateway is.
        desk: decides.
        books: knows what is under way.
        recorder: writes.
        control: takes ratings.
        passing: what has passed.
    """

    def __init__(self, found: Found, desk: Desk, books: Books, recorder: Recorder, control: Control, passing: Passing) -> None:
        self._found = found
        self._desk = desk
        self._books = books
        self._recorder = recorder
        self._control = control
        self._passing = passing

    def facts(self) -> Facts:
        """See `Host.facts`."""
        pin = self._desk.pin
        return Facts(
            kind="gateway",
            project=self._desk.project,
            mode=self._desk.mode,
            modes=MODES,
            pin="" if pin is None else pin.pin,
            pinned_until=None if pin is None else pin.until,
            pins=True,
            started=self._found.started,
            where=self._found.url,
            trouble=self._recorder.trouble,
        )

    def world(self) -> tuple[Preferences, Catalog]:
        """See `Host.world`."""
        return self._desk.world.preferences, self._desk.world.catalog

    def context(self, project: str) -> Context | None:
        """See `Host.context`: routing itself was told this."""
        return self._books.context(project)

    def doing(self, project: str) -> Sequence[Doing]:
        """See `Host.doing`."""
        mine = [(since, route) for since, route in self._books.serving.values() if route.project == project]
        return [_doing(since, route) for since, route in mine[:_UNDER_WAY]]

    def requests(self, project: str) -> Sequence[Request]:
        """See `Host.requests`."""
        return [_request(passed) for passed, _ in zip(self._passing.of(project), range(_SHOWN), strict=False)]

    def health(self) -> Sequence[Health]:
        """See `Host.health`."""
        return self._passing.health()

    def switch(self, mode: str) -> str:
        """See `Host.switch`."""
        return self._desk.switch(mode)

    def pin(self, pin: str, seconds: float) -> str:
        """See `Host.pin`."""
        why = self._desk.unknown_pin(pin) if pin else ""
        if not why:
            self._desk.set_pin(Pinned(self._desk.meant(pin), self._desk.now + seconds) if pin else None)
        return why

    async def rate(self, project: str, unit: str, word: str) -> Sequence[str]:
        """See `Host.rate`."""
        return await self._control.judge(word, unit, project)


def _doing(since: float, route: Route) -> Doing:
    unit, model = route.asked.unit, route.hops[0].model
    return Doing(
        name=route.id,
        project=route.project,
        unit=unit.type,
        id=unit.id,
        title=unit.title,
        tier=model.tier,
        model=model.ref,
        asked="" if model.ref == route.ceiling.ref else route.ceiling.ref,
        why=_why(route),
        since=since,
    )


def _why(route: Route) -> str:
    if route.refused:
        return route.refused
    if route.applied or route.decision.ref == route.hops[0].model.ref:
        return route.decision.reason
    return f"only observed; it would be {route.decision.model}: {route.decision.reason}"


def _request(passed: Passed) -> Request:
    route, hop, tokens = passed.route, passed.hop, passed.tokens
    model = None if hop is None else hop.model
    return Request(
        name=route.id,
        at=passed.at,
        project=route.project,
        unit=route.asked.unit.type,
        id=route.asked.unit.id,
        tier=None if model is None else model.tier,
        model="" if model is None else model.ref,
        asked=printable(route.asked.model) or route.ceiling.id,
        chosen=route.decision.ref,
        applied=route.applied,
        why=route.refused or route.decision.reason,
        failure=passed.failure or "",
        status=passed.status,
        tokens=None if tokens is None else tokens.total,
        cached=0 if tokens is None else tokens.cache_read,
        cost_usd=passed.cost_usd,
        ceiling_usd=passed.ceiling_usd,
        first_byte=passed.first_byte,
        seconds=passed.seconds,
    )
