"""The page's routes: the page, its events, older units, a receipt, and what a user says on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request as Asked
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from stepdown.dashboard.host import Host, Visitors
from stepdown.dashboard.live import Channel, Channels
from stepdown.dashboard.reading import Reading
from stepdown.dashboard.render import Parts
from stepdown.dashboard.view import read_units
from stepdown.errors import LedgerError, StepdownError
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Person
from stepdown.ledger.rules import clean
from stepdown.report.story import gather
from stepdown.team.roles import PERSON, called, home_of, role_of, sees
from stepdown.team.tokens import proof

COOKIE: Final = "stepdown_page"
"""Proves that its browser knew a token; it is not the token. `cookie_name` says how it is called in full."""
SIGN_IN: Final = "/page/sign-in"
SIGN_OUT: Final = "/page/sign-out"
_MOST: Final = 16_384
"""Bytes that a form may have; ours have a few hundred."""
_MOST_HOURS: Final = 24 * 30
_WORDS: Final = frozenset({"over", "ok", "under"})
_HEADERS: Final = {
    # Styles are in elements, too, where charts say how high a column is. Scripts are files of ours and nothing else.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",  # without one, a browser's forms would be from nowhere
    "x-content-type-options": "nosniff",
}
_UNCHANGING: Final = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


class Dashboard:
    """The page.

    Args:
        host: what is shown, and asked.
        open_ledger: opens the ledger to read from; called in a thread of the page's own.
        closing: set when the process ends, so that pages let go.
        visitors: who looks; None where everybody may do everything, and nobody signs in.
    """

    def __init__(
        self, host: Host, open_ledger: Callable[[], Ledger], closing: asyncio.Event, visitors: Visitors | None = None
    ) -> None:
        self._host = host
        self._visitors = visitors
        self._reading = Reading(open_ledger)
        self._parts = parts = Parts(version("stepdown"))
        self._channels = Channels(lambda project, role: Channel(project, host, self._reading, parts, closing, role))

    def routes(self) -> Sequence[BaseRoute]:
        """Where everything is."""
        static = _Unchanging(directory=Path(__file__).with_name("static"))
        return [
            Route("/", self.page),
            Route("/page/events", self.events),
            Route("/page/units", self.units),
            Route("/page/unit", self.unit),
            Route("/page/rate", self.rate, methods=["POST"]),
            Route("/page/mode", self.mode, methods=["POST"]),
            Route("/page/pin", self.pin, methods=["POST"]),
            Route("/page/revoke", self.revoke, methods=["POST"]),
            Route(SIGN_IN, self.sign_in, methods=["POST"]),
            Route(SIGN_OUT, self.sign_out, methods=["POST"]),
            Route("/page/static/page.css", self.style),
            Mount("/page/static", static),
        ]

    async def style(self, _: Asked) -> Response:
        """``GET /page/static/page.css``: the page's style sheet, with what all pages share."""
        return Response(self._parts.style(), headers=_UNCHANGING, media_type="text/css")

    def poke(self) -> bool:
        """Have every open page told what there is now; whether there is one."""
        return self._channels.poke()

    def warm(self) -> None:
        """Have templates ready for the first who looks, in the page's own thread: that takes a fifth of a second."""
        self._reading.begin(self._parts.ready)

    async def close(self) -> None:
        """Let go of the ledger."""
        await self._reading.close()

    async def page(self, request: Asked) -> Response:
        """``GET /``: the page of a project, ``?project=``; a program that looks who is there is told in JSON."""
        if not is_browser(request.headers):
            return JSONResponse({"stepdown": self._host.facts().kind})
        person = _person(request)
        try:
            project = await self._project(request.query_params, person)
            channel = self._channels.of(project, _role(person))
            parts = await channel.now()
        except StepdownError as problem:
            return self._problem(problem)
        theirs = [one for one in channel.projects if sees(person, one)]
        return _html(self._parts.page(self._host.facts(), project, parts, person=person, projects=theirs))

    async def events(self, request: Asked) -> Response:
        """``GET /page/events``: the page's parts as they change, as server-sent events named after them."""
        person = _person(request)
        try:
            project = await self._project(request.query_params, person)
        except StepdownError as problem:
            return self._problem(problem)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        if request.method == "HEAD":  # its stream would never end
            return Response(headers=headers, media_type="text/event-stream")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        headers |= {"vary": "accept-encoding"} | ({"content-encoding": "gzip"} if packed else {})
        return StreamingResponse(self._events(project, person, packed=packed), media_type="text/event-stream", headers=headers)

    async def _events(self, project: str, person: Person | None, *, packed: bool) -> AsyncIterator[bytes]:
        # The channel is looked up when the first event is asked for: before that nobody follows it, and it could be let go of.
        async for event in self._channels.of(project, _role(person)).events(packed=packed):
            if self._visitors is not None and not await self._visitors.still(person):
                return  # the browser comes again, and is asked who it is
            yield event

    async def units(self, request: Asked) -> Response:
        """``GET /page/units``: units by what their ids start with (``starts``), that ``failed``, that came ``before``."""
        asked = request.query_params
        try:
            project = await self._project(asked, _person(request))
            found = await self._reading.ask(
                lambda ledger: read_units(
                    ledger,
                    project,
                    before=asked.get("before", ""),
                    starts=asked.get("starts", "").strip(),
                    failed="failed" in asked,
                )
            )
        except StepdownError as problem:
            return self._problem(problem)
        return _html(self._parts.all_units(self._host.facts(), project, found))

    async def unit(self, request: Asked) -> Response:
        """``GET /page/unit``: the receipt of a unit, its whole story."""
        name = request.query_params.get("unit", "")
        try:
            project = await self._project(request.query_params, _person(request))
            story = await self._reading.ask(lambda ledger: gather(ledger, project, name))
        except StepdownError as problem:
            return self._problem(problem, part=_is_part(request))
        return _html(self._parts.unit(self._host.facts(), story, alone=not _is_part(request)))

    async def rate(self, request: Asked) -> Response:
        """``POST /page/rate`` with ``rate=under execute-task T01``: what the user says of a unit, and what follows."""
        said = await _form(request)
        word, _, unit = said.get("rate", "").partition(" ")
        if word not in _WORDS or not unit:
            return self._answer(request, [f"'{word}' is none of over, ok, under"], wrong=True)
        try:
            lines = await self._host.rate(await self._project(said, _person(request)), unit, word)
        except StepdownError as problem:
            return self._answer(request, [str(problem)], wrong=True)
        return self._answer(request, lines)

    async def mode(self, request: Asked) -> Response:
        """``POST /page/mode`` with ``mode=delegated``."""
        mode = (await _form(request)).get("mode", "")
        why = self._host.switch(mode)
        if not why:
            self._note(request, "mode", mode)
        what = self._host.facts().modes.get(mode, "")
        return self._answer(request, [why or f"Mode {mode}: {what}."], wrong=bool(why))

    async def pin(self, request: Asked) -> Response:
        """``POST /page/pin`` with ``pin=opus`` and ``hours=1``; without a pin, everything is let go."""
        said = await _form(request)
        pin = said.get("pin", "").strip()
        try:
            hours = float(said.get("hours", "1"))
        except ValueError:
            hours = 0.0
        if not 0 < hours <= _MOST_HOURS:
            return self._answer(request, [f"a pin holds for up to {_MOST_HOURS} hours"], wrong=True)
        why = self._host.pin(pin, hours * 3600)
        if not why:
            self._note(
                request, "pin set" if pin else "pin released", f"{self._host.facts().pin} for {hours:g} h" if pin else ""
            )
        done = f"Everything is pinned to {self._host.facts().pin}." if pin else "Nothing is pinned any more."
        return self._answer(request, [why or done], wrong=bool(why))

    async def revoke(self, request: Asked) -> Response:
        """``POST /page/revoke`` with ``name=ana``: her token is worth nothing from now on."""
        name = (await _form(request)).get("name", "")
        if self._visitors is None:
            return self._answer(request, ["nobody has a token here"], wrong=True)
        try:
            await self._visitors.revoke(name, called(_person(request)))
        except StepdownError as problem:
            return self._answer(request, [str(problem)], wrong=True)
        return self._answer(request, [f"The token of {name} is revoked; `stepdown token renew {name}` makes another one."])

    async def sign_in(self, request: Asked) -> Response:
        """``POST /page/sign-in`` with the token: the browser is given a cookie that stands for it."""
        brought = (await _form(request)).get("token", "").strip()
        found: Person | float = 0.0
        if self._visitors is not None and brought:
            found = await self._visitors.bearer(brought, request.client.host if request.client else "")
        if not isinstance(found, Person):
            return self.asks_to_sign_in("That is not this gateway's token.", found)
        answer = RedirectResponse("/", 303, _HEADERS)
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        name, value = cookie_name(request.headers), proof(brought)
        answer.set_cookie(name, value, max_age=30 * 86_400, path="/", httponly=True, samesite="strict", secure=secure)
        return answer

    async def sign_out(self, request: Asked) -> Response:
        """``POST /page/sign-out``: the browser forgets."""
        answer = RedirectResponse("/", 303, _HEADERS)
        answer.delete_cookie(cookie_name(request.headers), path="/", httponly=True, samesite="strict")
        return answer

    def asks_to_sign_in(self, why: str = "", wait: float = 0.0) -> Response:
        """What a browser without a token is shown; after too many wrong ones it is told to wait so many seconds."""
        if not wait:
            return _html(self._parts.sign_in(why), 401)
        answer = _html(self._parts.sign_in("Too many wrong tokens came from this address: wait a minute."), 429)
        answer.headers["retry-after"] = f"{wait:.0f}"
        return answer

    def _note(self, request: Asked, act: str, what: str) -> None:
        if self._visitors is not None:
            self._visitors.note(called(_person(request)), act, what)

    async def _project(self, said: Mapping[str, str], person: Person | None) -> str:
        """Whose page is meant.

        Raises:
            StepdownError: the ledger knows no such project, or it is none of theirs, which is said in the same words.
        """
        own = home_of(person, self._host.facts().project)
        project = said.get("project") or own
        if not sees(person, project):
            raise LedgerError(f"nothing is recorded of a project {project}")
        if project == clean(own):  # as links and forms have to write it
            return own
        if project != own and not await self._reading.ask(lambda ledger: ledger.units(project, limit=1)):
            raise LedgerError(f"nothing is recorded of a project {project}")
        return project

    def _answer(self, request: Asked, lines: Sequence[str], *, wrong: bool = False) -> Response:
        """Say it where the user looks; a browser without scripts is sent back to the page."""
        self._channels.poke()
        if not _is_part(request) and not wrong:
            return RedirectResponse(request.headers.get("referer") or "/", 303, _HEADERS)
        return _html(self._parts.said(lines, wrong=wrong), 422 if wrong else 200)

    def _problem(self, problem: StepdownError, *, part: bool = False) -> Response:
        return _html(self._parts.said([str(problem)], wrong=True) if part else self._parts.problem(str(problem)), 404)


class _Unchanging(StaticFiles):
    """Files that are asked for with the program's version: they need not be asked for twice."""

    def file_response(self, *args: object, **known: object) -> Response:
        """One of them."""
        answer = super().file_response(*args, **known)  # type: ignore[arg-type]  # (as they came)
        answer.headers.update(_UNCHANGING)
        return answer


def cookie_name(headers: Mapping[str, str]) -> str:
    """How the cookie of this gateway is called: browsers keep cookies by a machine's name, whatever the port."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isascii() and port.isdigit() else COOKIE


def cookie_of(headers: Mapping[str, str]) -> str:
    """What a browser proves itself with; "" is nothing."""
    # Whatever their port, other programs of this machine set cookies here: one that breaks the rules does not hide ours.
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(headers), "")


def is_public(path: str) -> bool:
    """Whether everybody may ask for it: to sign in, one has to see."""
    return path == SIGN_IN or path.startswith("/page/static/")


def is_browser(headers: Mapping[str, str]) -> bool:
    """Whether somebody wants to look at it."""
    return "text/html" in headers.get("accept", "")


def is_page(path: str) -> bool:
    """Whether a path is the page's: the cookie counts there and nowhere else."""
    return path == "/" or path.startswith("/page/")


def _person(request: Asked) -> Person | None:
    found: Person | None = request.scope.get(PERSON)
    return found


def _role(person: Person | None) -> str:
    """What decides which parts a page has; "" is everything there is without people."""
    return "" if person is None else role_of(person)


def _is_part(request: Asked) -> bool:
    return "hx-request" in request.headers


async def _form(request: Asked) -> dict[str, str]:
    """The fields of a form; of one that is too large, none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _html(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status, _HEADERS)
