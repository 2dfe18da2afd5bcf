"""What becomes of a request, and what the desk goes by while it decides that."""

from typing import Protocol

import msgspec

from stepdown.catalog import Model
from stepdown.decision import Context, Decision, Needs
from stepdown.gateway.amounts import Amounts
from stepdown.gateway.asking import Chosen
from stepdown.gateway.declared import Asked
from stepdown.gateway.going import Going
from stepdown.gateway.hops import Hop
from stepdown.gateway.memory import Held
from stepdown.gateway.wire import Envelope, Wire
from stepdown.ledger.records import Person
from stepdown.units import Unit


class Past(Protocol):
    """What the desk is told of what has passed; `books.Books` keeps it up to date."""

    def context(self, project: str, person: Person | None = None) -> Context:
        """What routing is told of a project's work for a person; a world without a past until it has been read."""
        ...

    def unseen_usd(self, project: str) -> float:
        """US dollars of requests that the context does not know yet: those that ended since, and those under way."""
        ...

    def unit_usd(self, project: str, unit: Unit) -> float:
        """US dollars that the requests of a unit have cost."""
        ...


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one request.

    Attributes:
        asked: which unit it belongs to.
        project: whose it is.
        decision: the receipt.
        hops: whom to ask, in this order; the first is what was decided.
        applied: whether the decision holds; else the request goes where it would have gone without us.
        ceiling: the model that the request names.
        refused: why nothing may run; "" otherwise.
        id: names this decision towards the user: the response header ``x-stepdown-decision``.
        held: what is remembered of its unit; None where it has no name.
        going: its place in its conversation; None where that is not known, or it was declared.
        lost: tokens of the conversation that the model asked first has to read anew because routing changed it.
        stumbled: the provider-qualified model that the unit stumbled on just now, and why; () where it did not.
        person: whose token it came with; None is nobody's.
        expected: what is set aside of budgets for it while it is under way.
        counted: whether budgets may refuse it.
    """

    asked: Asked
    project: str
    decision: Decision
    hops: tuple[Hop, ...]
    applied: bool
    ceiling: Model
    refused: str = ""
    id: str = ""
    held: Held | None = None
    going: Going | None = None
    lost: int = 0
    stumbled: tuple[str, ...] = ()
    person: Person | None = None
    expected: Amounts = Amounts(0.0, 0, 0)
    counted: bool = False


class Case(msgspec.Struct, frozen=True):
    """A request while it is decided."""

    request: Asked
    project: str
    wire: Wire
    envelope: Envelope
    chosen: Chosen
    needs: Needs
    going: Going | None
    dry: bool
    person: Person | None = None
