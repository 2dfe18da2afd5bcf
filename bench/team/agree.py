"""Whether the ledger has what the provider served: each request once, to the token."""

import msgspec

from bench.team.servers import Provider
from stepdown.ledger import open_ledger
from stepdown.units import Tokens


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's log and the ledger.

    Attributes:
        served: requests in the provider's log that came through a gateway.
        cut: of them, those that it cut before it said a word: a gateway asks again, and need not count it.
        requests: that the ledger has.
        billed: what a bill would say.
        tokens: what the ledger's attempts say.
        summed: what the ledger keeps added up.
        attempts: in the ledger.
        running: of them, those that nobody ended.
    """

    served: int
    cut: int
    requests: int
    billed: Tokens
    tokens: Tokens
    summed: int
    attempts: int
    running: int

    @property
    def holds(self) -> bool:
        """Whether all of it is there, once."""
        is_same = (self.billed, self.billed.total) == (self.tokens, self.summed)
        return is_same and self.served - self.cut <= self.requests <= self.served and not self.running


def agree(address: str, provider: Provider) -> Agreement:
    """Compare them, once the gateways have ended and written everything."""
    served, cut, billed = 0, 0, Tokens()
    for one in provider.served():
        served += 1
        cut += one.status == 0
        billed += one.tokens
    requests, tokens, running, attempts = 0, Tokens(), 0, 0
    with open_ledger(address) as ledger:
        for record in ledger.records():
            attempts += 1
            if record.outcome is None:
                running += 1
                continue
            requests += record.outcome.requests or 0
            tokens += record.outcome.tokens or Tokens()
        summed = sum(line.tokens.total for line in ledger.breakdown("model"))
    return Agreement(
        served=served,
        cut=cut,
        requests=requests,
        billed=billed,
        tokens=tokens,
        summed=summed,
        attempts=attempts,
        running=running,
    )
