"""aider: a client that offers no tools and wants the changes written out in its answer, in the edit format it asks for. Pure.

The formats are those of aider 0.86, told by its own instructions: ``whole`` (each file in full) and ``diff`` (blocks of search
and replace, an empty search being an addition; ``diff-fenced`` reads them too).
"""

import re
from collections.abc import Sequence
from typing import Final

from stepdown.practice import content
from stepdown.practice.messages import Reply

_DIFF: Final = "*SEARCH/REPLACE block*"
_WHOLE: Final = "*file listing* format"
_COMMIT: Final = "one-line Git commit message"
_FENCES: Final = (
    re.compile(r"^Second line: opening (\S+)$.*?^Final line: closing (\S+)$", re.MULTILINE | re.DOTALL),
    re.compile(r"code language, eg: (\S+?)python$.*?^8\. The closing fence: (\S+)$", re.MULTILINE | re.DOTALL),
)
"""Where the instructions say what stands before and after code; it differs where the files themselves have fences in them."""


def answer(said: str, wanted: Sequence[str], unit: tuple[str, str]) -> Reply | None:
    """The next turn of a conversation with aider; None where this is none, or nothing is asked for.

    Args:
        said: the system prompt and everything the user wrote, where aider shows files as well.
        wanted: the paths that are asked for.
        unit: its name, short and in full.
    """
    if _COMMIT in said:
        return _words(f"chore: {unit[0] or 'carry out a unit'}"[:72])
    if not wanted or (_DIFF not in said and _WHOLE not in said):
        return None
    whole, fence = _DIFF not in said, _fence(said)
    changes = [change for path in wanted if (change := _change(path, unit, _shown(path, said, fence), whole=whole))]
    listings = [_listing(path, text, fence, whole=whole) for path, text in changes]
    return _words("\n\n".join(["Writing what the unit promises.", *listings]) if listings else "All of it is there.")


def _words(text: str) -> Reply:
    return Reply(({"type": "text", "text": text},))


def _fence(said: str) -> tuple[str, str]:
    found = next((match for pattern in _FENCES if (match := pattern.search(said))), None)
    return (found[1], found[2]) if found else ("```", "```")


def _shown(path: str, said: str, fence: tuple[str, str]) -> str:
    """A file as aider last showed it; "" where it did not, or it is empty."""
    opening, closing = map(re.escape, fence)
    found = re.findall(rf"^{re.escape(path)}\n{opening}[^\n]*\n(.*?)^{closing}$", said, re.MULTILINE | re.DOTALL)
    return str(found[-1]) if found else ""


def _change(path: str, unit: tuple[str, str], shown: str, *, whole: bool) -> tuple[str, str] | None:
    """A path with what is to be in it, or added to it; None where it is best left alone."""
    if not shown.strip():
        return path, content.fresh(path, unit[0])
    line = content.addition(path, unit[1])
    if line is None or line in shown:
        return None
    return path, f"{shown.rstrip()}\n\n{line}\n" if whole else f"\n{line}\n"


def _listing(path: str, text: str, fence: tuple[str, str], *, whole: bool) -> str:
    if not whole:
        text = f"<<<<<<< SEARCH\n=======\n{text}>>>>>>> REPLACE\n"
    return f"{path}\n{fence[0]}\n{text}{fence[1]}"
