"""Aligned plain text for a terminal: columns by display width, cut to what fits. Pure but for `use_color`."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

import msgspec

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ELLIPSIS: Final = "…"
_GAP: Final = "  "
_READABLE: Final = 24
"""What a shrinking column keeps before others that can be spared give way to it."""
_SMALLEST_COLUMN: Final = 8
"""A shrinking column keeps at least this many cells, else its text says nothing."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    Attributes:
        title: its heading; "" has none.
        right: align to the right, as numbers are.
        shrinks: whether its text may be cut where the terminal is narrow.
        spare: whether a narrow terminal can do without it: 0 stays, the others go before anything is cut, the highest first;
            those of one number go together.
        style: ``bold``, ``dim``, ``red``, ``green``, ``yellow``, ``cyan`` or "".
    """

    title: str = ""
    right: bool = False
    shrinks: bool = False
    spare: int = 0
    style: str = ""


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int | None = None, color: bool = False, indent: int = 0
) -> list[str]:
    """The lines of a table, headings first where there are any; no trailing blanks.

    Args:
        columns: the columns.
        rows: as many cells each as there are columns.
        width: terminal cells that a line may take; None does not limit. Lines are cut where even shrunk columns do not fit.
        color: whether to use colour.
        indent: blanks in front of each line.
    """
    texts = [[one_line(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    cells = [titles, *texts] if any(titles) else texts
    widths = [max((text_width(row[index]) for row in cells), default=0) for index in range(len(columns))]
    if width is not None:
        kept = _kept(widths, columns, width - indent)
        columns, widths = [columns[i] for i in kept], [widths[i] for i in kept]
        cells = [[row[i] for i in kept] for row in cells]
        _shrink(widths, columns, width - indent - len(_GAP) * (len(columns) - 1))
    lines = []
    for number, row in enumerate(cells):
        is_heading = any(titles) and number == 0
        line = _GAP.join(
            _cell(text, column, size, style=("dim" if is_heading else column.style) if color else "")
            for text, column, size in zip(row, columns, widths, strict=True)
        )
        line = " " * indent + line.rstrip()
        lines.append(line if width is None else clip(line, width))
    return lines


def text_width(text: str) -> int:
    """How many terminal cells a text takes: two for wide characters (CJK, emoji), none for combining marks and styles."""
    plain = _ESCAPE.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(_character_width(character) for character in plain)


def clip(text: str, width: int) -> str:
    """The text in at most `width` cells, ending in ``…`` where something was cut; styles are kept and closed."""
    if text_width(text) <= width:
        return text
    if width < 1:
        return ""
    kept: list[str] = []
    cells, styled = 0, False
    for piece in _PIECE.findall(text):
        if len(piece) > 1:  # a style
            kept.append(piece)
            styled = piece != _RESET
            continue
        if cells + _character_width(piece) > width - 1:
            break
        kept.append(piece)
        cells += _character_width(piece)
    return "".join(kept).rstrip(" ") + _ELLIPSIS + (_RESET if styled else "")


def styled(text: str, style: str) -> str:
    """The text in a style of `Column.style`; "" leaves it."""
    return f"\x1b[{_STYLES[style]}m{text}{_RESET}" if style and text else text


def one_line(text: str) -> str:
    """The text without what would break a table or drive the terminal: control and direction characters become ``�``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_harmless, re.sub(r"[\t\n\v\f\r]+", " ", text)))


def use_color(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to `stream`: only on a terminal, never with ``NO_COLOR`` (no-color.org) or a dumb one."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and stream.isatty()


_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")
_PIECE: Final = re.compile(r"\x1b\[[0-9;]*m|.", re.DOTALL)
_RESET: Final = "\x1b[0m"
_JOINERS: Final = {"\u200c", "\u200d"}
"""Format characters that some languages and emoji need."""


def _harmless(character: str) -> str:
    is_control = unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _JOINERS
    return "\N{REPLACEMENT CHARACTER}" if is_control else character


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _kept(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Which columns there is room for."""
    kept = list(range(len(columns)))
    for spare in sorted({column.spare for column in columns if column.spare}, reverse=True):
        least = [min(widths[i], _READABLE) if columns[i].shrinks else widths[i] for i in kept]
        if sum(least) + len(_GAP) * (len(kept) - 1) <= room:
            break
        kept = [i for i in kept if columns[i].spare != spare]
    return kept


def _shrink(widths: list[int], columns: Sequence[Column], room: int) -> None:
    """Take from the widest column that may shrink until everything fits, or nothing may shrink any more."""
    while sum(widths) > room:
        candidates = [i for i, column in enumerate(columns) if column.shrinks and widths[i] > _SMALLEST_COLUMN]
        if not candidates:
            return
        widest = max(candidates, key=lambda index: widths[index])
        widths[widest] -= 1


def _cell(text: str, column: Column, width: int, *, style: str) -> str:
    shown = clip(text, width)
    padding = " " * (width - text_width(shown))
    return padding + styled(shown, style) if column.right else styled(shown, style) + padding
