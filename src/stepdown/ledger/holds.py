"""Which gateways are there, and what they have set aside of budgets, each inside a transaction that the caller holds.

A gateway that is asked for work must not wait for the database each time. So it sets something aside of every hard budget, lets
requests through for as long as that lasts, and comes back for more. What it spends goes out of what it has set aside in the
transaction that records it: spent and set aside together never exceed a limit, however many gateways there are.
"""

from collections.abc import Sequence
from typing import Final

from stepdown.ledger.connection import Connection
from stepdown.ledger.records import Cap, Hold

HELD_SECONDS: Final = 60.0
"""Seconds after which what a gateway has set aside, and no longer speaks of, is free again: it has died."""

THERE_SECONDS: Final = 120.0
"""Seconds after which a gateway that says nothing is taken for dead."""

_HELD: Final = "SELECT total(amount) FROM holds WHERE scope = ? AND measure = ? AND until > (SELECT now FROM ledger_clock)"
_OWN: Final = (
    "SELECT total(CASE WHEN holder = ? THEN amount ELSE 0 END), total(amount) FROM holds "
    "WHERE scope = ? AND measure = ? AND until > (SELECT now FROM ledger_clock)"
)
_SET: Final = (
    "INSERT INTO holds (holder, scope, measure, amount, until) VALUES (?, ?, ?, ?, (SELECT now FROM ledger_clock) + ?) "
    "ON CONFLICT (holder, scope, measure) DO UPDATE SET amount = excluded.amount, until = excluded.until"
)
_THERE: Final = (
    "INSERT INTO gateways (name, until) VALUES (?, (SELECT now FROM ledger_clock) + ?) "
    "ON CONFLICT (name) DO UPDATE SET until = excluded.until"
)


def amount(connection: Connection, cap: Cap) -> float:
    """What gateways have set aside of what `cap` is of."""
    (held,) = connection.execute(_HELD, (cap.scope.key, cap.measure)).fetchone()
    return float(held)


def amounts(connection: Connection, holder: str, of: Hold) -> tuple[float, float]:
    """What a gateway, and what all together, have set aside of the same."""
    own, held = connection.execute(_OWN, (holder, of.scope.key, of.measure)).fetchone()
    return float(own), float(held)


def put(connection: Connection, holder: str, holds: Sequence[Hold]) -> None:
    """Say what a gateway has set aside now, of each scope; of nothing, no word is kept."""
    kept = [hold for hold in holds if hold.amount > 0]
    gone = [hold for hold in holds if hold.amount <= 0]
    if kept:
        connection.executemany(_SET, [(holder, one.scope.key, one.measure, one.amount, HELD_SECONDS) for one in kept])
    for one in gone:
        connection.execute(
            "DELETE FROM holds WHERE holder = ? AND scope = ? AND measure = ?", (holder, one.scope.key, one.measure)
        )


def there(connection: Connection, gateway: str) -> None:
    """See `Ledger.there`; who is long gone is forgotten."""
    connection.execute("DELETE FROM gateways WHERE until < (SELECT now FROM ledger_clock)")
    connection.execute(_THERE, (gateway, THERE_SECONDS))


def gateways(connection: Connection) -> frozenset[str]:
    """See `Ledger.gateways`."""
    rows = connection.execute("SELECT name FROM gateways WHERE until > (SELECT now FROM ledger_clock)")
    return frozenset(name for (name,) in rows)
