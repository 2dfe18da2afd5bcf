"""What a terminal shows, as tmux tells it with its escape sequences, as HTML in the colours of our pages."""

import html
import re
from typing import Final

_NAMED: Final = (
    *("#121418", "#f0806b", "#5ed0a4", "#f0a55b", "#95a9f2", "#c59af0", "#7cc8e8", "#d6d3cc"),
    *("#737a87", "#ff9c88", "#7fe3bb", "#f7bd80", "#b3c2f7", "#d7b8f7", "#9fdcf5", "#ffffff"),
)
"""Black, red, green, yellow, blue, magenta, cyan, white, and the same bright."""
_STYLES: Final = {
    1: "font-weight:700",
    2: "opacity:.6",
    3: "font-style:italic",
    4: "text-decoration:underline",
    9: "text-decoration:line-through",
}
_ENDS: Final = {22: (1, 2), 23: (3,), 24: (4,), 27: (7,), 29: (9,)}
_RARE: Final = str.maketrans({"\u23f5": "\u25b8"})
"""What few fonts have, and what looks like it."""
_PIECE: Final = re.compile(r"\x1b\[([\d;]*)m|\x1b\][^\x1b\x07]*(?:\x07|\x1b\\)|\x1b.|([^\x1b]+)")
_PAGE: Final = """<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0; background: #121418; }
pre { display: inline-block; margin: 0; padding: 16px 20px; color: #eae8e3; width: %dch; height: %.2fem; overflow: hidden;
  font: 15px/1.35 "DejaVu Sans Mono", Menlo, Consolas, monospace; font-variant-ligatures: none; }
i { display: inline-block; width: 1ch; font-style: normal; }
</style><pre>%s</pre>"""


def page(screen: str, columns: int, rows: int) -> str:
    """A screen as a page whose ``pre`` is exactly as large.

    Args:
        screen: of ``tmux capture-pane -p -e``.
        columns: of the terminal.
        rows: likewise.
    """
    return _PAGE % (columns, rows * 1.35, spans(screen))


def spans(screen: str) -> str:
    """The same as text in ``span`` elements."""
    made, on, ink, paper = [], set[int](), "", ""
    for codes, text in _PIECE.findall(screen):
        if text:
            front, back = (paper or "#121418", ink or "#eae8e3") if 7 in on else (ink, paper)
            style = [_STYLES[code] for code in sorted(on) if code in _STYLES]
            style += [f"color:{front}"] * bool(front) + [f"background:{back}"] * bool(back)
            made.append(f'<span style="{";".join(style)}">{_cells(text)}</span>' if style else _cells(text))
            continue
        left = [int(code or 0) for code in codes.split(";")]
        while left:
            code = left.pop(0)
            if code == 0:
                on, ink, paper = set(), "", ""
            elif code in {38, 48}:
                found = _color(left)
                ink, paper = (found, paper) if code == 38 else (ink, found)
            elif code in _ENDS:
                on -= set(_ENDS[code])
            elif 30 <= code <= 39 or 90 <= code <= 97:
                ink = "" if code == 39 else _NAMED[code - 30 if code < 90 else code - 82]
            elif 40 <= code <= 49 or 100 <= code <= 107:
                paper = "" if code == 49 else _NAMED[code - 40 if code < 100 else code - 92]
            else:
                on.add(code)
    return "".join(made)


def _color(left: list[int]) -> str:
    """The colour that follows on 38 or 48; it is taken off the list."""
    if left.pop(0) == 2:
        return f"rgb({left.pop(0)},{left.pop(0)},{left.pop(0)})"
    number = left.pop(0)
    if number < 16:
        return _NAMED[number]
    if number >= 232:
        return f"rgb({', '.join([str(8 + 10 * (number - 232))] * 3)})"
    levels = (0, 95, 135, 175, 215, 255)
    number -= 16
    return f"rgb({levels[number // 36]},{levels[number // 6 % 6]},{levels[number % 6]})"


def _cells(text: str) -> str:
    """What is no ASCII gets a cell of exactly one letter's width: its glyph may come from another font."""
    return "".join(html.escape(letter) if letter.isascii() else f"<i>{letter}</i>" for letter in text.translate(_RARE))
