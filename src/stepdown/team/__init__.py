"""People: their tokens, what those may, and what administrators do. Pure, but for `team.keep`, which writes to a ledger."""
