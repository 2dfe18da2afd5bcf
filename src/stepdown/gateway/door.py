"""The door: a request comes in as somebody, for a project of theirs, or is turned away. Nobody behind it asks for tokens."""

import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec

from stepdown.dashboard.app import Dashboard, cookie_of, is_page, is_public
from stepdown.gateway.guard import Guard, brought
from stepdown.gateway.people import People
from stepdown.ledger.records import Person
from stepdown.ledger.rules import clean
from stepdown.team.roles import ROLES, home_of, may, role_for, sees

_NOBODY: Final = Person(name="", role="viewer")
"""Whoever asks for what everybody may have."""

_PROJECT: Final = "x-stepdown-project"
_ATTEMPT: Final = "x-stepdown-attempt"

Headers = list[tuple[str, str]]


class Entered(msgspec.Struct, frozen=True):
    """Somebody who may come in.

    Attributes:
        person: who; None where no tokens are needed.
        headers: what they bring, as it is gone by from here on; the same list where nothing had to be changed.
    """

    person: Person | None
    headers: Headers


class Refused(msgspec.Struct, frozen=True):
    """Somebody who may not.

    Attributes:
        status: for the answer.
        why: one line.
        wait: seconds for which there is to be no other try; 0 is none.
    """

    status: int
    why: str
    wait: float = 0.0


class Door:
    """Lets in.

    Args:
        guard: knows hosts, origins and tokens.
        people: whose tokens there are.
        page: has ways of its own to bring a token; None is no page.
    """

    def __init__(self, guard: Guard, people: People, page: Dashboard | None) -> None:
        self._guard = guard
        self._people = people
        self._page = page

    async def enter(
        self, method: str, path: str, headers: Headers, named: Mapping[str, str], address: str
    ) -> Entered | Refused:
        """Who a request is from, and what of it is gone by.

        Args:
            method: in capitals.
            path: without its query.
            headers: in their order, names in lower case.
            named: the same by name, of several the last.
            address: whom wrong tokens are counted for.
        """
        if not path.isprintable():  # a route's pattern may end before a line's end, and who may go there is looked up
            return Refused(404, "there is nothing of that name here")
        await self._people.look()
        refusal = self._guard.refusal(named)
        if refusal is not None and refusal[0] != 401:
            return Refused(*refusal)
        kept = self._guard.strip(headers)
        if not self._guard.ring.closed:
            return Entered(None, kept)
        person = self._guard.person(named) if refusal is None else await self._otherwise(path, named, address)
        if person is None or isinstance(person, Refused):
            return person or Refused(*(refusal or (401, "this gateway needs its token")))
        self._people.saw(person)
        wanted = role_for(method, path)
        if person is not _NOBODY and not may(person, wanted):
            return Refused(403, f"this token is a {person.role}'s, who {ROLES[person.role]}: that takes a {wanted}'s")
        return _counted(person, kept)

    async def _otherwise(self, path: str, named: Mapping[str, str], address: str) -> Person | Refused | None:
        """Somebody whose token is none that was known: by their browser, or because it is new."""
        has_tried = False
        if self._page is not None and is_page(path):
            if is_public(path):
                return _NOBODY
            cookie = cookie_of(named)
            known = self._people.visitor(cookie) if cookie else None
            if known is not None:
                return known
            has_tried = bool(cookie)
        for word in brought(named):
            found = await self._people.find(word.encode("latin-1").decode("utf-8", "surrogateescape"), address)
            if found is not None:
                return found
            has_tried = True
        wait = self._people.wrong(address) if has_tried else 0.0
        return Refused(429, "too many wrong tokens came from this address: wait a minute", wait) if wait else None


def _counted(person: Person, headers: Headers) -> Entered | Refused:
    """For a project of theirs: the one they name, else their first. Only what an administrator runs is counted elsewhere."""
    said = [value for name, value in headers if name == _PROJECT and value.strip()]
    project = _text(said[-1]) if said else home_of(person, "")
    if said and not sees(person, project):
        return Refused(403, f"this token is not for the project {project}"[:400])
    dropped = {_PROJECT} if may(person, "admin") else {_PROJECT, _ATTEMPT}
    kept = [(name, value) for name, value in headers if name not in dropped]
    if project:
        kept.append((_PROJECT, clean(project).encode().decode("latin-1")))
    return Entered(person, kept)


def _text(value: str) -> str:
    """A header as it was meant, as `declared.asked` reads it: bytes read as Latin-1, written in UTF-8."""
    value = value.strip()
    with contextlib.suppress(UnicodeError):
        return value.encode("latin-1").decode("utf-8")
    return value
