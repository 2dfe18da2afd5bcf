"""Who notices that an attempt failed: a verifier that misses some failures and suspects some good work. Chance by name, seeded.

Every draw is a hash of what it is for, so that all policies meet the same luck: an attempt that one policy sees flagged is
flagged for all of them, in whatever order they come to it.
"""

import hashlib

import msgspec


def chance(*names: object) -> float:
    """A number in [0, 1) that looks random and is always the same for the same names."""
    digest = hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


class Verifier(msgspec.Struct, frozen=True):
    """How good verification is.

    Attributes:
        recall: the share of attempts that did not solve their task which it flags.
        false_alarms: the share of attempts that did solve it which it flags as well.
    """

    recall: float = 0.7
    false_alarms: float = 0.1

    @property
    def exists(self) -> bool:
        """Whether anything is verified at all; a success is evidence only then."""
        return self.recall > 0 or self.false_alarms > 0

    def flags(self, seed: int, task: str, model: str, *, solved: bool) -> bool:
        """Whether an attempt is called a failure. A better verifier flags a superset of the failures on the same seed."""
        return chance("verdict", seed, task, model) < (self.false_alarms if solved else self.recall)

    def __str__(self) -> str:
        if not self.exists:
            return "no verifier"
        if (self.recall, self.false_alarms) == (1.0, 0.0):
            return "a perfect verifier"
        return f"a verifier with {self.recall:.0%} recall and {self.false_alarms:.0%} false alarms"
