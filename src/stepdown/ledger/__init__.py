"""The durable record of everything: the `Ledger` port, SQLite behind it, and a twin in memory.

``with open_ledger() as ledger:`` opens the user's own. Importing this module is cheap: SQLite is loaded when one is opened.
"""

from stepdown.ledger.open import ledger_location, open_ledger
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import (
    Account,
    Act,
    Allowance,
    Attempt,
    Block,
    Cap,
    Conversation,
    Evidence,
    Expectation,
    Hold,
    Key,
    Line,
    Outcome,
    Person,
    PlanMeter,
    Rating,
    Record,
    Scope,
    Spent,
    Use,
)

__all__ = [
    "Account",
    "Act",
    "Allowance",
    "Attempt",
    "Block",
    "Cap",
    "Conversation",
    "Evidence",
    "Expectation",
    "Hold",
    "Key",
    "Ledger",
    "Line",
    "Outcome",
    "Person",
    "PlanMeter",
    "Rating",
    "Record",
    "Scope",
    "Spent",
    "Use",
    "ledger_location",
    "open_ledger",
]
