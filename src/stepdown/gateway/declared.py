"""Which unit a request belongs to, as far as the client says so (SPEC section 12). Pure."""

import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec

from stepdown.gateway.wire import Envelope, Unreadable
from stepdown.units import TIERS, Unit

CONVERSATION: Final = "conversation"
"""The type of what nobody declared: the requests of one conversation."""

OURS: Final = "stepdown/"
"""Model ids that begin so name a tier, or leave the choice to routing: ``stepdown/light``, ``stepdown/auto``."""

_LONGEST: Final = 200
_LONGEST_PATH: Final = 4096
_TIER_NAMES: Final = frozenset(tier.value for tier in TIERS)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is, before anything is decided.

    Attributes:
        unit: the unit it belongs to.
        declared: whether the client named the unit's type.
        project: whose unit, as the client says; "" where it does not.
        pin: a model or a tier that this request is pinned to; "" is none.
        model: the model it names, which is its ceiling; "" where it leaves the choice to stepdown.
        attempt: the attempt of `stepdown run` it belongs to; "" where it is none. Such requests are counted by their run.
        origin: who asked, as it was recognised (`Recognised.origin`); "" where that was declared, or is not known.
    """

    unit: Unit
    declared: bool = False
    project: str = ""
    pin: str = ""
    model: str = ""
    attempt: str = ""
    origin: str = ""


def asked(envelope: Envelope, headers: Mapping[str, str]) -> Asked:
    """Read the ``x-stepdown-*`` headers and the model's id; header names are in lower case.

    Raises:
        Unreadable: a header holds what cannot be a name, or the model is one of ours that does not exist.
    """
    kind = _said(headers, "x-stepdown-unit")
    name = _said(headers, "x-stepdown-unit-id")
    pin = _said(headers, "x-stepdown-pin")
    model = envelope.model
    if model.startswith(OURS):
        wanted = model.removeprefix(OURS)
        if wanted not in _TIER_NAMES and wanted != "auto":
            raise Unreadable(
                f"there is no model '{model}': stepdown/light, stepdown/standard, stepdown/heavy or stepdown/auto", 404
            )
        pin, model = pin or ("" if wanted == "auto" else wanted), ""
    return Asked(
        unit=Unit(kind or CONVERSATION, name or _printable(envelope.session)),
        declared=bool(kind),
        project=_said(headers, "x-stepdown-project", _LONGEST_PATH),
        pin=pin,
        model=model,
        attempt=_said(headers, "x-stepdown-attempt"),
    )


def _said(headers: Mapping[str, str], name: str, longest: int = _LONGEST) -> str:
    value = headers.get(name, "").strip()
    if not value.isascii():
        # A header is bytes, read as Latin-1 here; names and paths are written in UTF-8.
        with contextlib.suppress(UnicodeError):
            value = value.encode("latin-1").decode("utf-8")
    if len(value) > longest or not value.isprintable():
        raise Unreadable(f"{name}: one printable line of at most {longest} characters is expected")
    return value


def _printable(text: str) -> str:
    """A client's own id as part of a unit's; it is kept short and readable, and need not be unique beyond that."""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]
