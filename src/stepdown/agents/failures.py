"""Which kind of failure (SPEC section 8) an answer over HTTP is."""

from typing import Final

TIMEOUT: Final = 408
PAYMENT: Final = 402


def kind_of_status(status: int) -> str:
    """The failure kind of an HTTP error status.

    ``budget`` for 402, ``provider`` for 408, 429 and everything from 500 up, ``rejected`` for the other 4xx: the account may
    not use the model, the model does not exist, or a parameter does not suit it.
    """
    if status == PAYMENT:
        return "budget"
    if status in {TIMEOUT, 429} or status >= 500:
        return "provider"
    return "rejected"


def one_line(text: str, most: int = 200) -> str:
    """`text` on one line of at most `most` characters, without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
