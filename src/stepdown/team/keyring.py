"""Whose a token or a cookie is, as it was read last: looked up by digest, so that a guess learns nothing. Pure."""

import math
from collections.abc import Iterable
from typing import Final

from stepdown.ledger.records import Key, Person
from stepdown.team.roles import OWNER
from stepdown.team.tokens import digest, proof

_NEVER: Final = math.inf


class Keyring:
    """The keys that open a gateway.

    Args:
        token: the gateway's own; "" is none.
        always: whether a token is needed although there is none yet, since others can reach the address.

    Attributes:
        closed: whether a token is needed at all. Once it is, it stays so for as long as the process lives: who revokes the last
            token does not want everybody in.
    """

    def __init__(self, token: str = "", *, always: bool = False) -> None:
        token = token.strip()
        self._own = {digest(token): OWNER} if token else {}
        self._own_pages = {digest(proof(token)): OWNER} if token else {}
        self._people: dict[str, Person] = {}
        self._by_digest: dict[str, Person] = {}
        self._by_page: dict[str, Person] = {}
        self.closed = bool(token) or always

    def hang(self, keys: Iterable[Key]) -> None:
        """These are people's keys from now on, and no others."""
        valid = [key for key in keys if key.person.revoked is None]
        self._people = {key.person.name: key.person for key in valid}
        self._by_digest = {key.digest: key.person for key in valid}
        self._by_page = {key.page: key.person for key in valid}
        self.closed |= bool(valid)

    def bearer(self, token: bytes, now: float) -> Person | None:
        """Whose token it is; None where it is nobody's, or has expired."""
        found = digest(token)
        return _unless_expired(self._by_digest.get(found), now) or self._own.get(found)

    def visitor(self, cookie: str, now: float) -> Person | None:
        """Whose browser keeps this."""
        found = digest(cookie.encode("latin-1", "replace"))
        return _unless_expired(self._by_page.get(found), now) or self._own_pages.get(found)

    def still(self, person: Person | None, now: float) -> bool:
        """Whether whoever came in may stay: their token is still worth something, and they are as they were then."""
        if person is None or person is OWNER:
            return person is OWNER or not self.closed
        known = _unless_expired(self._people.get(person.name), now)
        return known is not None and _rights(known) == _rights(person)


def _rights(person: Person) -> tuple[object, ...]:
    return person.role, person.projects, person.created


def _unless_expired(person: Person | None, now: float) -> Person | None:
    return None if person is None or now >= (_NEVER if person.expires is None else person.expires) else person
