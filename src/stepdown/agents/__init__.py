"""Programs that do a unit with their own connection: the `Agent` port and its implementations."""
