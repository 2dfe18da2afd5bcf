"""The gateway's own routes: its health, the dry run, ratings, modes, pins, and the lines of what passes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from stepdown.errors import LedgerError, StepdownError, UsageError
from stepdown.gateway.books import Books
from stepdown.gateway.client import Gone, read_body
from stepdown.gateway.desk import Desk, Pinned
from stepdown.gateway.people import People
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.wire import Unreadable
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Person
from stepdown.rating import rate
from stepdown.recorded import attempts_at, unknown_project
from stepdown.team.roles import PERSON, called, home_of, sees

_Said = TypeVar("_Said")

_QUIET: Final = 15.0
"""Seconds without a line after which a follower is sent a comment, so that it knows that we are there."""


class Control:
    """The routes.

    Args:
        desk: what is asked and switched.
        books: the lines.
        recorder: reads and writes the ledger in its own thread.
        facts: what `status` says besides: version, address, since when.
        people: whose tokens there are; what administrators do is recorded there.

    Attributes:
        leaving: set as soon as we are told to stop: requests are still taken, but nobody ought to send any more.
        closing: set when no more requests are taken, so that what would go on for ever ends.
    """

    def __init__(
        self, desk: Desk, books: Books, recorder: Recorder, facts: Callable[[], dict[str, Any]], people: People
    ) -> None:
        self._desk = desk
        self._books = books
        self._recorder = recorder
        self._facts = facts
        self._people = people
        self.leaving = asyncio.Event()
        self.closing = asyncio.Event()

    def routes(self) -> Sequence[BaseRoute]:
        """Where they are."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/v1/stepdown/status", self.status),
            Route("/v1/stepdown/route", self.route, methods=["POST"]),
            Route("/v1/stepdown/rate", self.rate, methods=["POST"]),
            Route("/v1/stepdown/mode", self.mode, methods=["POST"]),
            Route("/v1/stepdown/pin", self.pin, methods=["POST", "DELETE"]),
            Route("/v1/stepdown/events", self.events),
        ]

    async def healthz(self, _: Request) -> Response:
        """``GET /healthz``: that we are stepdown's gateway, and alive, also while we are about to end."""
        return self._alive(self._facts())

    async def readyz(self, _: Request) -> Response:
        """``GET /readyz``: whether to send requests here, with what the ledger's trouble is, which is no reason not to."""
        return self._ready(self._facts(), self._recorder.trouble)

    def presence(self, path: str, *, brief: bool) -> Response:
        """The same for somebody who may not come in: not whose requests are counted here, and in brief nothing at all."""
        facts = {} if brief else {key: value for key, value in self._facts().items() if key != "project"}
        if path == "/healthz":
            return self._alive(facts)
        return self._ready(facts, "it takes nothing" if self._recorder.trouble else "")  # a trouble's words may name a server

    def _alive(self, facts: Mapping[str, Any]) -> Response:
        return _json({"ok": True, "service": "stepdown", **facts})

    def _ready(self, facts: Mapping[str, Any], trouble: str) -> Response:
        ready = not (self.leaving.is_set() or self.closing.is_set())
        return _json({"ok": ready, "service": "stepdown", "ledger": trouble, **facts}, 200 if ready else 503)

    async def status(self, request: Request) -> Response:
        """``GET /v1/stepdown/status``: mode, pin and budgets, now; of a person's own project where they have one."""
        project = home_of(_person(request), self._desk.project)
        pin = self._desk.pin
        meters = [msgspec.to_builtins(meter) for meter in self._books.context(project).meters]
        pinned = None if pin is None else {"pin": pin.pin, "until": pin.until}
        return _json({**self._facts(), "mode": self._desk.mode, "pin": pinned, "project": project, "meters": meters})

    async def route(self, request: Request) -> Response:
        """``POST /v1/stepdown/route``: what would become of this request; its protocol is ``?protocol=``, or its shape's."""
        try:
            body = await _body(request)
        except Unreadable as problem:
            return _failed(problem.status, str(problem))
        name = request.query_params.get("protocol") or _protocol(body)
        wire = WIRES.get(name)
        if wire is None:
            return _failed(400, f"there is no protocol '{name}': {', '.join(WIRES)}")
        headers = dict(request.headers)
        try:
            envelope = wire.read(body, headers)
            route = self._desk.route(wire, envelope, headers, dry=True, person=_person(request))
        except Unreadable as problem:
            return _failed(problem.status, str(problem))
        return _json(
            {
                "unit": route.asked.unit.type,
                "id": route.asked.unit.id,
                "applied": route.applied,
                "mode": self._desk.mode,
                "hops": [hop.model.ref for hop in route.hops],
                "adaptations": route.hops[0].adaptations,
                "refused": route.refused,
                "decision": route.decision,
            }
        )

    async def rate(self, request: Request) -> Response:
        """``POST /v1/stepdown/rate`` with ``{"word": "under", "unit": "execute-task T01", "project": ...}``.

        With ``"session"`` instead of a unit: the newest unit of that session of an agent's, in whatever project.
        """
        try:
            person = _person(request)
            read = _read(await _body(request), _Rated, "word (over, under or ok) and unit, or session,")
            said = self._meant(read, person)
            project = said.project or home_of(person, self._desk.project)
            if not sees(person, project):
                raise UsageError(unknown_project(project))
            lines = await self.judge(said.word, said.unit, project)
        except LedgerError as problem:
            return _failed(503, str(problem))
        except StepdownError as problem:
            return _failed(400, str(problem))
        return _json({"said": lines})

    def _meant(self, said: "_Rated", person: Person | None) -> "_Rated":
        """The same with a unit, of a session in a project that `person` may see.

        Raises:
            UsageError: the session has none yet.
            Unreadable: neither is said.
        """
        if said.session:
            found = self._desk.conversations.newest(said.session, lambda project: sees(person, project))
            if found is None or not found[1].type:
                raise UsageError("nothing of this session has passed the gateway yet: there is no unit to rate")
            project, talk = found
            return msgspec.structs.replace(said, project=project, unit=f"{talk.type} {talk.unit_id}")
        if not said.unit:
            raise Unreadable("a unit or a session is expected")
        return said

    async def judge(self, word: str, unit: str, project: str) -> Sequence[str]:
        """Rate a unit, by its id or ``type id``; what follows from it, line by line.

        Raises:
            StepdownError: there is no such unit, or the ledger takes nothing.
        """
        self._recorder.end_unit(project, unit)
        lines = await self._recorder.ask(lambda ledger: self._rate(ledger, word, unit, project))
        await self._recorder.refresh()  # the very next decision goes by it
        return lines

    def _rate(self, ledger: Ledger, word: str, unit: str, project: str) -> Sequence[str]:
        """In the ledger's thread."""
        return rate(ledger, self._desk.world.router, attempts_at(ledger, project, unit), word, self._desk.now, named=True)

    async def mode(self, request: Request) -> Response:
        """``POST /v1/stepdown/mode`` with ``{"mode": "delegated"}``."""
        try:
            wanted = _read(await _body(request), _Mode, "mode").mode
        except Unreadable as problem:
            return _failed(problem.status, str(problem))
        why = self._desk.switch(wanted)
        if why:
            return _failed(400, why)
        self._note(request, "mode", wanted)
        return _json({"mode": self._desk.mode})

    async def pin(self, request: Request) -> Response:
        """``POST /v1/stepdown/pin`` with ``{"pin": "opus", "seconds": 3600}``; ``DELETE`` lets go."""
        if request.method == "DELETE":
            self._desk.set_pin(None)
            self._note(request, "pin released", "")
            return _json({"pin": None})
        try:
            said = _read(await _body(request), _Pinned, "pin, and seconds of more than 0,")
        except Unreadable as problem:
            return _failed(problem.status, str(problem))
        why = self._desk.unknown_pin(said.pin)
        if why:
            return _failed(400, why)
        pinned = Pinned(self._desk.meant(said.pin), self._desk.now + said.seconds)
        self._desk.set_pin(pinned)
        self._note(request, "pin set", f"{pinned.pin} for {said.seconds / 3600:g} h")
        return _json({"pin": pinned.pin, "until": pinned.until})

    def _note(self, request: Request, act: str, what: str) -> None:
        self._people.note(called(_person(request)), act, what)

    async def events(self, request: Request) -> Response:
        """``GET /v1/stepdown/events``: a server-sent event for each request of their projects that has passed, from now on."""
        return StreamingResponse(
            self._lines(_person(request)), media_type="text/event-stream", headers={"cache-control": "no-cache"}
        )

    async def _lines(self, person: Person | None) -> AsyncIterator[bytes]:
        queue = self._books.follow()
        closing = asyncio.ensure_future(self.closing.wait())
        line = asyncio.ensure_future(queue.get())
        try:
            yield b": stepdown\n\n"
            while not closing.done():
                await asyncio.wait({line, closing}, timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED)
                if not await self._people.still(person):
                    return
                if line.done() and not sees(person, line.result().project):
                    line = asyncio.ensure_future(queue.get())
                elif line.done():
                    yield b"data: " + msgspec.json.encode(line.result()) + b"\n\n"
                    line = asyncio.ensure_future(queue.get())
                else:
                    yield b": still here\n\n"
        finally:
            line.cancel()
            closing.cancel()
            self._books.unfollow(queue)


class _Rated(msgspec.Struct):
    word: Literal["over", "under", "ok"]
    unit: str = ""
    session: str = ""
    project: str = ""


class _Mode(msgspec.Struct):
    mode: str


class _Pinned(msgspec.Struct):
    pin: str
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 3600.0


def _person(request: Request) -> Person | None:
    found: Person | None = request.scope.get(PERSON)
    return found


async def _body(request: Request) -> bytes:
    """All of it, whatever it calls itself: these routes are our own.

    Raises:
        Unreadable: it is too large.
    """
    try:
        return await read_body(request.headers, request.receive)
    except Gone:
        raise Unreadable("the client has gone") from None


def _read(body: bytes, kind: type[_Said], expected: str) -> _Said:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Unreadable(f"a JSON object with {expected} is expected: {problem}") from problem


def _protocol(body: bytes) -> str:
    """The protocol that a body has the shape of: Responses has an input; Messages has to say max_tokens, Chat rarely does."""
    try:
        keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "messages"
    if "input" in keys:
        return "responses"
    return "messages" if "max_tokens" in keys else "chat"


def _json(data: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(data), status, media_type="application/json")


def _failed(status: int, why: str) -> Response:
    return _json({"error": {"message": why}}, status)
