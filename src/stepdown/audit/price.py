"""What a request cost: the list price of its model on its day, every kind of token by itself. Pure.

Sources beyond the catalogue: a web search costs 10 US dollars per thousand (Anthropic's price list, "Web search tool");
inference kept in the United States costs 1.1 times the list. What else the logs call by a name of its own (``fast``, ``batch``) has a price that depends on more than they
say: it is unknown, unless the log itself says what it cost.
"""

from datetime import UTC, datetime
from functools import lru_cache
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


class Prices:
    """Prices requests; names and days are looked up once.

    Args:
        catalog: the models there are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._models: dict[tuple[str, str], Model | None] = {}
        self._terms: dict[tuple[str, str], tuple[tuple[int, Terms], ...] | None] = {}

    def model(self, request: Request) -> Model | None:
        """The model that answered; None where the catalogue does not know it."""
        key = (request.model, request.provider)
        if key not in self._models:
            self._models[key] = self.catalog.resolve(*key) if request.model else None
        return self._models[key]

    def cost(self, request: Request, model: Model | None = None) -> float | None:
        """US dollars; None where that is unknown.

        Args:
            request: what was used.
            model: what it would have cost on this one instead, at its price of that day.
        """
        times = VARIANTS.get(request.variant)
        asked = model or self.model(request)
        if times is None or asked is None:
            return request.usd if model is None else None
        terms = self.terms(asked, request.at, longest(request))
        if terms is None:
            return request.usd if model is None else None
        return times * charged(request, terms) + request.searches * SEARCH_USD

    def terms(self, model: Model, at: float, prompt: int) -> Terms | None:
        """What a token of each kind costs on `model` at a time, in a request whose whole prompt has `prompt` tokens."""
        key = (model.ref, day_of(at))
        if key not in self._terms:
            self._terms[key] = _steps(self.catalog.price_on(model, key[1]))
        steps = self._terms[key]
        if steps is None:
            return None
        found = steps[0][1]
        for above, terms in steps[1:]:
            if prompt > above:
                found = terms
        return found


def charged(request: Request, terms: Terms) -> float:
    """US dollars for the tokens of a request."""
    hour = request.written_1h
    return (
        request.input * terms[0]
        + request.output * terms[1]
        + request.cache_read * terms[2]
        + (request.cache_write - hour) * terms[3]
        + hour * terms[4]
    )


def longest(request: Request) -> int:
    """The prompt by which a long context is billed, in tokens; of a sum of requests their mean, and 0 where it is unknown."""
    return request.prompt // request.count if request.count else 0


def day_of(at: float) -> str:
    """The ISO date in UTC, which is what prices are dated by."""
    return _day(int(at // 86_400))


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def _steps(price: Price | None) -> tuple[tuple[int, Terms], ...] | None:
    """The rates by the length of the prompt, shortest first; None where there is no price."""
    if price is None:
        return None
    return ((0, _per_token(price.rates)), *((long.above, _per_token(long.rates)) for long in price.long_context))


def _per_token(rates: Rates) -> Terms:
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    return rates.input / 1e6, rates.output / 1e6, read / 1e6, write / 1e6, rates.cache_write_1h / 1e6
