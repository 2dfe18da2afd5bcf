"""Tokens: how they are made, and what they are recognised by. Nobody who reads what is kept can make one from it. Pure."""

import hashlib
import hmac
import secrets
from typing import Final

from stepdown.ledger.records import Key, Person

PREFIX: Final = "sdt_"
"""What every person's token begins with, so that one that has leaked is found by those who look for such things."""


def new_token() -> str:
    """A token that nobody has had before: 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(text: str | bytes) -> str:
    """SHA-256, in hexadecimal. What is random enough needs no slower one."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def proof(token: str) -> str:
    """What a browser keeps of a token: nobody can make it without the token, nor read the token from it."""
    return hmac.new(token.strip().encode(), b"stepdown's page", hashlib.sha256).hexdigest()


def key_of(person: Person, token: str) -> Key:
    """What is kept of a person and their token."""
    return Key(person=person, digest=digest(token), page=digest(proof(token)))
