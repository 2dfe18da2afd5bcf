"""What the terms of a person's token make of a request: their own ceiling and models (docs/how-to/people.md). Pure.

Unlike the user's ceiling they are an administrator's word: no pin goes beyond them, and they hold in every mode.
"""

from typing import Final

from stepdown.catalog import Catalog, Model
from stepdown.decision import Needs
from stepdown.fit import fit
from stepdown.gateway.wire import Unreadable
from stepdown.ledger.records import Person
from stepdown.units import Tokens

_WORK: Final = Tokens(input=10_000, output=1_000)
"""What two models are compared by, where one of them is to be no dearer than the other."""

FORBIDDEN: Final = 403


class Terms:
    """The terms of one token.

    Args:
        person: whose; None may use any model.
        catalog: the models there are.

    Attributes:
        barred: of the catalogue's models, those that the token may not use, each with the reason.
    """

    def __init__(self, person: Person | None, catalog: Catalog) -> None:
        self._whose = "" if person is None else f"{person.name}'s token"
        names = () if person is None else person.models
        self._models = {model.ref for name in names if (model := catalog.resolve(name)) is not None} if names else None
        self._names = ", ".join(names)
        self._ceiling = "" if person is None else person.ceiling
        self._most = catalog.resolve(self._ceiling) if self._ceiling else None
        self.barred = {model.ref: why for model in catalog.models if (why := self.refuses(model))}

    def refuses(self, model: Model) -> str:
        """Why a model may not be used, one that the catalogue does not know among them; "" where it may."""
        if self._models is not None and model.ref not in self._models:
            return f"{self._whose} is for {self._names}"
        if self._ceiling and (self._most is None or _is_above(model, self._most)):
            return f"{self._whose} goes up to {self._ceiling}"
        return ""

    def lowered(self, named: Model, needs: Needs) -> Model:
        """The model that is not to be exceeded: the one that was named, or the token's own ceiling where that one is above it.

        Raises:
            Unreadable: the token's ceiling cannot take the request, or nobody knows it.
        """
        if not self._ceiling or (self._most is not None and not _is_above(named, self._most)):
            return named
        if self._most is None:
            raise Unreadable(f"{self._whose} goes up to {self._ceiling}, which is no model that is known here", FORBIDDEN)
        if why := fit(self._most, needs).misfit:
            raise Unreadable(f"{self._whose} goes up to {self._most.id}, which cannot take this request: {why}", FORBIDDEN)
        return self._most


def _is_above(model: Model, most: Model) -> bool:
    """Whether a model is of a higher tier or dearer than another; one that nobody knows anything of is."""
    if model.ref == most.ref:
        return False
    if model.tier is None or most.tier is None or model.tier > most.tier:
        return True
    cost, limit = model.cost(_WORK), most.cost(_WORK)
    return cost is None or (limit is not None and cost > limit)
