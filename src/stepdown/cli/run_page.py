"""``stepdown run --page``: the live page of a run, served by the run itself as long as it lasts."""

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from stepdown.agents.port import Step
from stepdown.catalog import Catalog
from stepdown.cli.workspace import Workspace
from stepdown.dashboard.app import Dashboard
from stepdown.dashboard.host import Doing, Facts, Health, Request
from stepdown.decision import Context, Decision
from stepdown.gateway.guard import Guard
from stepdown.ledger import Ledger, open_ledger
from stepdown.ledger.records import Outcome, Use
from stepdown.preferences import Preferences
from stepdown.rating import rate
from stepdown.recorded import attempts_at
from stepdown.units import Tier, Unit

PORT: Final = 8788
"""Where the page is unless somebody else is there: so a page that is open finds the next run."""
_STEPS: Final = 6
"""Steps that are shown of the attempt under way."""
_FAREWELL: Final = 0.4
"""Seconds in which open pages hear how the run ended."""
_NOWHERE: Final = "a run's mode and pins are in its preferences; this page only shows them"


class RunHost:
    """A run as the page sees it: a `Watcher` (stepdown.dispatch.trial) and a `Host` (stepdown.dashboard.host).

    Args:
        workspace: what is run.
        agent: by whom.
        ledger: where ratings go.
    """

    def __init__(self, workspace: Workspace, agent: str, ledger: Ledger) -> None:
        self._workspace = workspace
        self._agent = agent
        self._ledger = ledger
        self._started = time.time()
        self._doing: dict[tuple[str, str], Doing] = {}
        self._steps: dict[tuple[str, str], deque[str]] = {}
        self._health: dict[str, Health] = {}
        self.ended = False

    # What the run says.

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """An attempt begins."""
        key, seen = (unit.type, unit.id), decision.shown
        found = self._workspace.catalog.find_ref(model)
        tier = seen.tier if found is None else found.tier
        asked = f"{seen.ceiling_provider}/{seen.ceiling}" if seen.ceiling and seen.ceiling_provider else seen.ceiling
        self._steps[key] = deque(maxlen=_STEPS)
        self._doing[key] = Doing(
            name=f"{unit.type}-{unit.id}".replace("/", "-"),
            project=self._workspace.plan.project,
            unit=unit.type,
            id=unit.id,
            title=unit.title,
            tier=tier,
            model=model,
            asked="" if asked == model else asked,
            why=seen.reason,
            cause=cause,
            since=time.time(),
        )

    def step(self, unit: Unit, step: Step) -> None:
        """The agent did something."""
        key = (unit.type, unit.id)
        doing = self._doing.get(key)
        if doing is not None and step.kind != "result":
            steps = self._steps[key]
            steps.append(f"{step.name} {step.detail}".strip())
            self._doing[key] = msgspec.structs.replace(doing, steps=tuple(steps), counted=doing.counted + 1)

    def used(self, unit: Unit, use: Use) -> None:
        """More was used."""
        doing = self._doing.get((unit.type, unit.id))
        if doing is not None:
            self._doing[unit.type, unit.id] = msgspec.structs.replace(doing, tokens=use.tokens.total, cost_usd=use.cost_usd)

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:  # noqa: ARG002  (the port's)
        """An attempt is over."""
        doing = self._doing.pop((unit.type, unit.id), None)
        if doing is not None:
            self._note(doing.model, doing.tier, outcome)

    def alert(self, text: str) -> None:
        """A budget passed a mark: the page has it among its meters."""

    def _note(self, model: str, tier: Tier | None, outcome: Outcome) -> None:
        before = self._health.get(model)
        failed = outcome.failure in {"provider", "rejected"}
        self._health[model] = Health(
            model=model,
            tier=tier,
            requests=(before.requests if before else 0) + 1,
            failed=(before.failed if before else 0) + failed,
            failure=str(outcome.failure) if failed else before.failure if before else "",
            first_byte=None,
            last=outcome.finished,
            counts="attempt",
        )

    # What the page asks.

    def facts(self) -> Facts:
        """See `Host.facts`."""
        preferences = self._workspace.preferences
        routing = "routing is on" if preferences.dynamic_routing.enabled else "routing is off: decisions are only recorded"
        return Facts(
            kind="run",
            project=self._workspace.plan.project,
            mode="the run has ended" if self.ended else f"{self._agent} works; {routing}",
            modes={},
            pin=preferences.pin,
            started=self._started,
            where=self._agent,
        )

    def world(self) -> tuple[Preferences, Catalog]:
        """See `Host.world`."""
        return self._workspace.preferences, self._workspace.catalog

    def context(self, project: str) -> Context | None:  # noqa: ARG002  (the port's)
        """See `Host.context`."""
        return None

    def doing(self, project: str) -> Sequence[Doing]:
        """See `Host.doing`."""
        return [doing for doing in self._doing.values() if doing.project == project]

    def requests(self, project: str) -> Sequence[Request]:  # noqa: ARG002  (the port's)
        """See `Host.requests`: an agent's own, which pass by us."""
        return ()

    def health(self) -> Sequence[Health]:
        """See `Host.health`."""
        return sorted(self._health.values(), key=lambda one: -one.last)

    def switch(self, mode: str) -> str:  # noqa: ARG002  (the port's)
        """See `Host.switch`."""
        return _NOWHERE

    def pin(self, pin: str, seconds: float) -> str:  # noqa: ARG002  (the port's)
        """See `Host.pin`."""
        return _NOWHERE

    async def rate(self, project: str, unit: str, word: str) -> Sequence[str]:
        """See `Host.rate`."""
        return rate(self._ledger, self._workspace.router, attempts_at(self._ledger, project, unit), word, time.time())


@contextlib.asynccontextmanager
async def shown(host: RunHost) -> AsyncIterator[str]:
    """While it is open, the page can be looked at; its address."""
    closing = asyncio.Event()
    page = Dashboard(host, open_ledger, closing)
    application = Starlette(routes=page.routes(), middleware=[Middleware(_Guarded)])
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server, taken = _Server(config), _listening()
    serving = asyncio.ensure_future(server.serve(sockets=[taken]))
    try:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    finally:
        host.ended = True
        if page.poke():
            await asyncio.sleep(_FAREWELL)
        closing.set()
        server.should_exit = True
        await serving
        taken.close()
        await page.close()


class _Server(uvicorn.Server):
    """Leaves signals to the run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Guarded:
    """Takes requests from this machine's own pages and programs alone."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._guard = Guard()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        refusal = self._guard.refusal(headers)
        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
        else:
            await self._application(scope, receive, send)


def _listening() -> socket.socket:
    for port in (PORT, 0):
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            taken.close()
            if not port:
                raise
        else:
            taken.listen(64)
            taken.setblocking(False)
            return taken
    raise AssertionError  # the last of them has raised
