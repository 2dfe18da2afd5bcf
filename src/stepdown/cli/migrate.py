"""``stepdown migrate``: the same as ``stepdown ledger migrate``."""

from stepdown.cli.ledger import migrate as command

__all__ = ["command"]
