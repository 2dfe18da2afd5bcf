"""Tokens: made, recognised, and who opens what with them."""

import re

import msgspec
import pytest

from stepdown.ledger.records import Person
from stepdown.team.keyring import Keyring
from stepdown.team.roles import OWNER
from stepdown.team.tokens import digest, key_of, new_token, proof

ANA = Person(name="ana", projects=("shop",), created=100.0)


def test_a_token_is_long_random_and_found_by_scanners() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"sdt_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_what_is_kept_opens_nothing() -> None:
    token = new_token()
    key = key_of(ANA, token)
    ring = Keyring()
    ring.hang([key])
    assert ring.bearer(token.encode(), 0.0) == ANA
    assert ring.visitor(proof(token), 0.0) == ANA
    for stolen in (key.digest, key.page, digest(proof(token)), proof(token)):
        assert ring.bearer(stolen.encode(), 0.0) is None
    for stolen in (key.digest, key.page, token):
        assert ring.visitor(stolen, 0.0) is None
    assert token not in msgspec.json.encode(key).decode()


@pytest.mark.parametrize("wrong", [b"", b"sdt_", b"\xff", b"sdt_" + b"a" * 43])
def test_nothing_else_opens_it(wrong: bytes) -> None:
    ring = Keyring("its-own")
    ring.hang([key_of(ANA, new_token())])
    assert ring.bearer(wrong, 0.0) is None
    assert ring.visitor(wrong.decode("latin-1"), 0.0) is None


def test_the_gateways_own_token_is_nobodys_in_particular() -> None:
    ring = Keyring(" its-own ")
    assert ring.closed
    assert ring.bearer(b"its-own", 0.0) is OWNER
    assert ring.visitor(proof("its-own"), 0.0) is OWNER
    ring.hang([key_of(ANA, "its-own")])
    assert ring.bearer(b"its-own", 0.0) == ANA, "who has a name is called by it"


def test_a_token_ends_when_it_expires_and_when_it_is_revoked() -> None:
    ring, token = Keyring(), new_token()
    key = key_of(msgspec.structs.replace(ANA, expires=200.0), token)
    ring.hang([key])
    assert ring.bearer(token.encode(), 199.9) is not None
    assert ring.bearer(token.encode(), 200.0) is None
    assert ring.still(key.person, 199.9)
    assert not ring.still(key.person, 200.0)
    ring.hang([msgspec.structs.replace(key, person=msgspec.structs.replace(key.person, revoked=150.0))])
    assert ring.bearer(token.encode(), 151.0) is None
    assert not ring.still(key.person, 151.0)


def test_what_was_closed_stays_closed() -> None:
    """Who revokes the last token does not want everybody in."""
    ring, key = Keyring(), key_of(ANA, new_token())
    assert not ring.closed
    assert ring.still(None, 0.0)
    ring.hang([key])
    assert ring.closed
    assert not ring.still(None, 0.0)
    ring.hang([msgspec.structs.replace(key, person=msgspec.structs.replace(ANA, revoked=1.0))])
    assert ring.closed


def test_somebody_who_may_something_else_now_comes_in_again() -> None:
    ring, token = Keyring(), new_token()
    ring.hang([key_of(ANA, token)])
    assert ring.still(ANA, 0.0)
    assert ring.still(msgspec.structs.replace(ANA, seen=5.0), 0.0)
    for changed in ({"role": "viewer"}, {"projects": ()}, {"created": 101.0}):
        ring.hang([key_of(msgspec.structs.replace(ANA, **changed), token)])
        assert not ring.still(ANA, 0.0)
