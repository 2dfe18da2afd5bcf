"""The durable record of everything: the `Ledger` port, SQLite behind it, and a twin in memory."""
