"""What a request cost: the list price of its model on its day, every kind of token by itself. Pure.

Sources beyond the catalogue: a web search costs 10 US dollars per thousand (Anthropic's price list, "Web search tool");
inference kept in the United States costs 1.1 times the list. What else the logs call by a name of its own (``fast``, ``batch``)
has a price that depends on more than they say: it is unknown, unless the log itself says what it cost.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from stepdown.catalog import Catalog, Model
from stepdown.catalog.records import Price, Rates
from stepdown.sessions.records import Request

SEARCH_USD: Final = 0.01
"""One web search, US dollars."""
VARIANTS: Final = {"": 1.0, "us": 1.1}
"""What the list price is multiplied by, per `Request.variant` that is understood."""

Terms = tuple[float, float, float, float, float]
"""US dollars per token: input, output, cache read, cache write, cache write kept for an hour."""
_Steps = tuple[tuple[int, Terms], ...]
"""Terms by the length of the prompt above which they hold, shortest first."""
_DAY: Final = 86_400
"""Seconds of a day; prices are dated in UTC."""


class Prices:
    """Prices requests; names and days are looked up once.

    Args:
        catalog: the models there are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._models: dict[tuple[str, str], Model | None] = {}
        self._steps: dict[tuple[str, str, int], _Steps | None] = {}

    def model(self, request: Request) -> Model | None:
        """The model that answered; None where the catalogue does not know it."""
        key = (request.model, request.provider)
        if key not in self._models:
            self._models[key] = self.catalog.resolve(*key) if request.model else None
        return self._models[key]

    def terms(self, request: Request, model: Model | None = None) -> Terms | None:
        """What a token of each kind costs in this request on its day; None where that is unknown.

        Args:
            request: whose prompt decides whether a long context is billed.
            model: the model that is asked about instead of its own.
        """
        return self.terms_of_all((request,), model)[0]

    def terms_of_all(self, requests: Sequence[Request], model: Model | None = None) -> list[Terms | None]:
        """The same of several; those of one unit mostly have the same, and are looked up together."""
        found: list[Terms | None] = []
        before: tuple[str, str, int] | None = None
        steps: _Steps | None = None
        for request in requests:
            name, seller = (request.model, request.provider) if model is None else (model.id, model.provider)
            key = (name, seller, int(request.at) // _DAY)
            if key != before:
                steps, before = self._listed(key, request, model), key
            if steps is None or len(steps) == 1:
                found.append(None if steps is None else steps[0][1])
            else:
                prompt = longest(request)
                found.append([terms for above, terms in steps if prompt > above or not above][-1])
        return found

    def cost(self, request: Request, model: Model | None = None) -> float | None:
        """US dollars; None where that is unknown.

        Args:
            request: what was used.
            model: what it would have cost on this one instead, at its price of that day.
        """
        usd = charged(request, self.terms(request, model))
        return request.usd if usd is None and model is None else usd

    def _listed(self, key: tuple[str, str, int], request: Request, model: Model | None) -> _Steps | None:
        if key not in self._steps:
            asked = model or self.model(request)
            day = datetime.fromtimestamp(key[2] * _DAY, UTC).date().isoformat()
            price = None if asked is None else self.catalog.price_on(asked, day)
            self._steps[key] = None if price is None else _steps(price)
        return self._steps[key]


def _steps(price: Price) -> _Steps:
    return ((0, _per_token(price.rates)), *((long.above, _per_token(long.rates)) for long in price.long_context))


def charged(request: Request, terms: Terms | None) -> float | None:
    """US dollars for a request at these terms; None where they do not say enough."""
    times = VARIANTS.get(request.variant) if request.variant else 1.0
    if times is None or terms is None:
        return None
    hour = request.written_1h
    usd = (
        request.input * terms[0]
        + request.output * terms[1]
        + request.cache_read * terms[2]
        + (request.cache_write - hour) * terms[3]
        + hour * terms[4]
    )
    return times * usd + request.searches * SEARCH_USD


def longest(request: Request) -> int:
    """The prompt by which a long context is billed, in tokens; of a sum of requests their mean, and 0 where it is unknown."""
    return request.prompt // request.count if request.count else 0


def _per_token(rates: Rates) -> Terms:
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    return rates.input / 1e6, rates.output / 1e6, read / 1e6, write / 1e6, rates.cache_write_1h / 1e6
