"""Who may what. None in place of a person is where no tokens are needed: whoever is at this machine may do everything. Pure."""

from typing import Final, Literal

from stepdown.ledger.records import Person
from stepdown.ledger.rules import clean

Role = Literal["viewer", "member", "admin"]

ROLES: Final[dict[Role, str]] = {
    "viewer": "sees the page of their projects",
    "member": "works and rates, too",
    "admin": "sees every project, switches modes and pins, and sees and revokes tokens",
}
"""Each may what those before it may."""

PERSON: Final = "stepdown.person"
"""Where in a request's ASGI scope it is said who it is from; None is whoever is at this machine, where no tokens are needed."""

EVERY: Final = "*"
"""In place of a project: all there are."""

OWNER: Final = Person(name="", role="admin", projects=(EVERY,))
"""Whoever brings the gateway's own token: nobody in particular."""

_ORDER: Final = tuple(ROLES)
_ADMINS: Final = frozenset({"/metrics", "/v1/stepdown/mode", "/v1/stepdown/pin", "/page/mode", "/page/pin", "/page/revoke"})
_ANYBODYS: Final = frozenset({"/page/sign-in", "/page/sign-out"})


def role_of(person: Person | None) -> Role:
    """Their role; an administrator's where no tokens are needed."""
    return "admin" if person is None else person.role


def may(person: Person | None, role: Role) -> bool:
    """Whether they may what that role may."""
    return _ORDER.index(role_of(person)) >= _ORDER.index(role)


def role_for(method: str, path: str) -> Role:
    """What one has to be for a request: who only looks changes nothing, and the rest is work unless it concerns everybody."""
    if path in _ADMINS:
        return "admin"
    return "viewer" if method in {"GET", "HEAD"} or path in _ANYBODYS else "member"


def sees(person: Person | None, project: str) -> bool:
    """Whether a project is theirs to see."""
    if may(person, "admin"):
        return True
    assert person is not None
    return EVERY in person.projects or clean(project) in map(clean, person.projects)


def home_of(person: Person | None, otherwise: str) -> str:
    """The project that counts where they name none; `otherwise` is the gateway's own."""
    first = person.projects[0] if person is not None and person.projects else EVERY
    return otherwise if first == EVERY else first


def called(person: Person | None) -> str:
    """Who they are in the record of what administrators did."""
    if person is None:
        return "-"
    return person.name or "the gateway's token"
