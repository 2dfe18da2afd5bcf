"""What the page shows administrators of people: who has a token, what they spent, and what was done in whose name."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stepdown.budget import window_start
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Act, Person, Spent
from stepdown.team.allowances import filled, used

SHOWN: Final = 50
"""People that are shown: of more, those whose tokens were used last."""
ACTS: Final = 20
"""Acts that are shown, the newest."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A budget of somebody's own.

    Attributes:
        used: in its own unit.
        limit: likewise.
        detail: both in words.
    """

    used: float
    limit: float
    detail: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody.

    Attributes:
        person: who.
        month: what they spent this month, in UTC.
        budgets: of their own.
        ended: ``revoked`` or ``expired``; "" while the token is worth something.
    """

    person: Person
    month: Spent
    budgets: Sequence[Budget]
    ended: str


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody, and what was done.

    Attributes:
        rows: those whose tokens are worth something first.
        more: how many others there are.
        acts: the newest first.
    """

    rows: Sequence[Row]
    more: int
    acts: Sequence[Act]


def read_people(ledger: Ledger, now: float) -> Team:
    """Everybody who has, or had, a token."""
    keys = ledger.keys()
    people = sorted((key.person for key in keys), key=lambda one: (bool(ended(one, now)), -(one.seen or 0.0), one.name))
    shown = sorted(people[:SHOWN], key=lambda one: (bool(ended(one, now)), one.name))  # nobody's button moves under the pointer
    rows = [row_of(ledger, person, now) for person in shown]
    return Team(rows=rows, more=max(0, len(people) - SHOWN), acts=ledger.acts(limit=ACTS))


def row_of(ledger: Ledger, person: Person, now: float) -> Row:
    """One of them."""
    budgets = []
    for budget in person.budgets:
        spent = used(ledger, person, budget, now)
        budgets.append(Budget(used=spent, limit=budget.limit, detail=filled(spent, budget)))
    month = ledger.spent(person=person.name, since=window_start("month", now))
    return Row(person=person, month=month, budgets=budgets, ended=ended(person, now))


def ended(person: Person, now: float) -> str:
    """Why their token is worth nothing any more; "" while it is."""
    if person.revoked is not None:
        return "revoked"
    return "expired" if person.expires is not None and person.expires <= now else ""
