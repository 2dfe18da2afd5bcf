"""What an attempt's events add up to: steps, tokens, requests, dollars at list prices."""

from collections.abc import Callable

from stepdown.agents.port import Event, Finished, Started, Step, Used
from stepdown.catalog import Model
from stepdown.ledger.records import Outcome, Use
from stepdown.units import Tokens


class Tally:
    """Adds up the events of one attempt.

    Args:
        model: what it was started on.
        known: finds the model that an event names, which may be another one.
    """

    def __init__(self, model: Model | None, known: Callable[[str], Model | None]) -> None:
        self._model = model
        self._known = known
        self.steps = 0
        self.errors: list[str] = []
        self.tokens: Tokens | None = None
        self.requests = 0
        self.cost: float | None = 0.0
        self.finished: Finished | None = None

    def take(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Step():
                self.steps += 1
                if event.error:
                    self.errors.append(f"{event.name or 'tool'}: {event.detail}".rstrip(": "))
            case Used():
                self.tokens = event.tokens if self.tokens is None else self.tokens + event.tokens
                self.requests += 1
                price = self.price(event)
                self.cost = None if price is None or self.cost is None else self.cost + price
            case Finished():
                self.finished = event
                if self.tokens is None and event.tokens is not None:
                    self.tokens = event.tokens
                    self.cost = self.price(Used(event.tokens, event.model))
                self.requests = event.requests if event.requests is not None else self.requests
            case Started():
                pass

    def price(self, used: Used) -> float | None:
        """US dollars of one request at the list price of the model that served it; None where that is unknown."""
        model = (self._known(used.model) if used.model else None) or self._model
        return None if model is None else model.cost(used.tokens, longest_prompt=used.tokens.prompt)

    @property
    def use(self) -> Use:
        """What was used up to now, as a crash should find it in the ledger."""
        ended = self.finished is not None and self.finished.failure is None
        return Use(tokens=self.tokens or Tokens(), requests=self.requests, cost_usd=self.cost, ended=ended)

    def outcome(self, end: Finished, ceiling: Model | None, now: float) -> Outcome:
        """The attempt as the ledger keeps it, before anything was verified."""
        known = self.tokens is not None and not (end.billed and end.cost_usd is not None)
        priced = self.cost if known else None
        cost, source = (priced, "priced") if priced is not None else (end.cost_usd, "reported")
        return Outcome(
            failure=end.failure,
            message=end.message,
            tokens=self.tokens,
            cost_usd=cost,
            cost_source="unknown" if cost is None else source,
            ceiling_cost_usd=None if ceiling is None or self.tokens is None else ceiling.cost(self.tokens),
            requests=self.requests or None,
            finished=now,
        )
