"""Files as clients show them to their model: brought back to the file's own text, or given up where that may not be all of it.

Each client has its own way: Claude Code numbers the lines, OpenCode numbers them inside tags, others show the text as it is.
What was shortened must never be written back. Pure.
"""

import re
from typing import Final

_ARROWED: Final = re.compile(r"[ \t]*(\d+)(?:→|\t|$)")
_COLONED: Final = re.compile(r"(\d+): ?")
_TAGGED: Final = re.compile(r"<content>\n(.*?)\n?\n\(End of file - total \d+ lines\)\n</content>", re.DOTALL)
_MISSING: Final = re.compile(
    r"(?:error\b|enoent\b|file\b|path\b)[^\n]*(?:no such file|not found|does not exist|must be absolute)[^\n]*", re.IGNORECASE
)

_LONGEST_LINE: Final = 1_900
_MOST_LINES: Final = 1_900
"""Beyond these, clients show files shortened; such a file is left alone rather than written back shortened."""

_LONGEST_ERROR: Final = 400
"""Characters. What is longer and begins like an error is a file after all."""


def is_error(shown: str) -> bool:
    """Whether this is no file but the news that there is none: not every protocol can mark that."""
    return len(shown) <= _LONGEST_ERROR and _MISSING.fullmatch(shown.strip()) is not None


def whole(shown: str, *, argument: str, tool: str) -> str | None:
    """A file's text; None where what was shown cannot be all of it.

    Args:
        shown: the tool's answer.
        argument: what the client's tool for reading calls the path, which tells the clients apart.
        tool: the name of that tool.
    """
    if argument == "filePath":
        found = _TAGGED.search(shown)
        return _numbered(found[1].split("\n"), _COLONED) if found else None
    lines = shown.partition("<system-reminder>")[0].rstrip().split("\n")
    if argument == "file_path" and tool == "Read":
        return _numbered(lines, _ARROWED)
    return _bounded(lines)


def _numbered(lines: list[str], mark: re.Pattern[str]) -> str | None:
    """The lines without their numbers, which have to be 1, 2, 3, ..."""
    marks = [mark.match(line) for line in lines]
    if any(found is None or int(found[1]) != number for number, found in enumerate(marks, 1)):
        return None
    return _bounded([line[found.end() :] for line, found in zip(lines, marks, strict=True) if found])


def _bounded(lines: list[str]) -> str | None:
    if len(lines) > _MOST_LINES or any(len(line) > _LONGEST_LINE for line in lines):
        return None
    return "\n".join(lines)
