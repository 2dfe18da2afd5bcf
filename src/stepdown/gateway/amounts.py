"""How much a request uses, or is expected to, in everything that a budget may count. Pure."""

import msgspec

from stepdown.ledger.records import Measure


class Amounts(msgspec.Struct, frozen=True):
    """What a request is expected to use, or has used.

    Attributes:
        usd: US dollars.
        tokens: of all kinds.
        requests: to a provider.
    """

    usd: float
    tokens: int
    requests: int = 1

    def of(self, measure: Measure) -> float:
        """In one measure."""
        return float(getattr(self, measure))
