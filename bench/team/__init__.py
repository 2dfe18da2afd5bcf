"""A team's gateways on one ledger, under load: what they hold, what the ledger costs, how far one PostgreSQL goes."""
