"""The lines of a log, without more of it in memory than one of them."""

from collections.abc import Iterator
from typing import BinaryIO, Final

LONGEST: Final = 64 * 1024 * 1024
"""Bytes of the longest line that is read. A model's context is some megabytes; what is longer is no record of one."""

BLOCK: Final = 256 * 1024
"""Bytes to read at once: little enough to stay in a processor's cache."""

_BOM: Final = b"\xef\xbb\xbf"


def lines(stream: BinaryIO, longest: int = LONGEST) -> Iterator[bytes | None]:
    """The lines of a file with their ends, the last one perhaps without: None for one that is too long, which is not held."""
    first = True
    while line := stream.readline(longest + 1):
        if first:
            line, first = line.removeprefix(_BOM), False
        if len(line) <= longest or line.endswith(b"\n"):
            yield line
            continue
        yield None
        while (line := stream.readline(BLOCK)) and not line.endswith(b"\n"):
            pass
