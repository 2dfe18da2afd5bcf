"""Tokens made, renewed, changed and revoked in a ledger, each in one transaction with the act that says so."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stepdown.errors import UsageError
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Act, Key, Person
from stepdown.ledger.rules import clean
from stepdown.team.allowances import written
from stepdown.team.roles import EVERY
from stepdown.team.tokens import key_of, new_token

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LONGEST: Final = 500
"""Characters of what an act is about."""


def note(ledger: Ledger, who: str, act: str, what: str, now: float) -> None:
    """Record what an administrator did; `what` becomes one line."""
    line = " ".join(clean(what).split())[:_LONGEST]
    ledger.note_act(Act(at=now, who=who, act=act, what=line))


def create(ledger: Ledger, person: Person, who: str, now: float) -> str:
    """A token for somebody new, which nothing but this answer has.

    Raises:
        UsageError: the name is no name, or somebody has it.
    """
    if not _NAME.fullmatch(person.name):
        raise UsageError(f"'{person.name}' is no name for a token: small letters, digits, '-', '_' and '.', at most 64")
    token = new_token()
    with ledger.batch():
        everybody = ledger.keys()
        known = next((key.person for key in everybody if key.person.name == person.name), None)
        if known is not None:
            has = "had a token, which was revoked" if known.revoked is not None else "has a token already"
            raise UsageError(f"{person.name} {has}: `stepdown token renew {person.name}` makes a new one")
        ledger.put_key(key_of(msgspec.structs.replace(person, created=now), token))
        note(ledger, who, "token created", described(person), now)
    return token


def renew(ledger: Ledger, name: str, who: str, now: float) -> tuple[Person, str]:
    """Another token for the same person, who may what they might before, for as long; the old one is worth nothing from now on.

    Raises:
        UsageError: there is nobody of that name.
    """
    token = new_token()
    with ledger.batch():
        person = find(ledger, name).person
        expires = None if person.expires is None else now + person.expires - person.created
        renewed = msgspec.structs.replace(person, created=now, expires=expires, revoked=None)
        ledger.put_key(key_of(renewed, token))
        note(ledger, who, "token renewed", described(renewed), now)
    return renewed, token


def revoke(ledger: Ledger, name: str, who: str, now: float) -> Person:
    """Nobody comes in with this token any more; what was spent with it stays theirs.

    Raises:
        UsageError: there is nobody of that name, or it was revoked before.
    """
    with ledger.batch():
        key = find(ledger, name)
        if key.person.revoked is not None:
            raise UsageError(f"the token of {name} was revoked before")
        revoked = msgspec.structs.replace(key.person, revoked=now)
        ledger.put_key(msgspec.structs.replace(key, person=revoked))
        note(ledger, who, "token revoked", name, now)
    return revoked


def change(ledger: Ledger, name: str, changed: Callable[[Person], Person], who: str, now: float) -> Person:
    """The same token, which may something else from now on.

    Raises:
        UsageError: there is nobody of that name.
    """
    with ledger.batch():
        key = find(ledger, name)
        person = changed(key.person)
        ledger.put_key(msgspec.structs.replace(key, person=person))
        note(ledger, who, "token changed", described(person), now)
    return person


def find(ledger: Ledger, name: str) -> Key:
    """Somebody by their name.

    Raises:
        UsageError: there is nobody of that name.
    """
    everybody = ledger.keys()
    for key in everybody:
        if key.person.name == name:
            return key
    raise UsageError(_unknown(name, [key.person.name for key in everybody]))


def described(person: Person) -> str:
    """What they may, in one line: ``ana: member of shop, $20.00/week, at most claude-sonnet-4-6``."""
    projects = "every project" if EVERY in person.projects or person.role == "admin" else ", ".join(person.projects)
    said = [f"{person.role} of {projects}", *map(written, person.budgets)]
    said += [f"at most {person.ceiling}"] if person.ceiling else []
    said += [f"mode {person.mode}"] if person.mode else []
    said += [f"only {', '.join(person.models)}"] if person.models else []
    return f"{person.name}: {', '.join(said)}"


def _unknown(name: str, known: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415  (only for a mistyped name)

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "`stepdown token list` has them all" if known else "nobody has one yet"
    return f"there is no token of '{name}'; {hint}"
