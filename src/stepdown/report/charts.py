"""Where the parts of a chart stand. Pure geometry: what they look like is the template's.

All lengths are percent of the plot, y downwards as in SVG, so that a chart takes any width. Text is not part of a chart: in a
drawing that is stretched it would be stretched as well, and on a phone be too small to read.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_LABELS: Final = 6
_FEWEST: Final = 10
_NOTHING: Final = 1e-300
"""Below it numbers lose their digits, and no step divides them."""
_FILLED: Final = 0.76
"""How much of its place a column takes; the rest is the gap to the next."""


class Box(msgspec.Struct, frozen=True):
    """A rectangle.

    Attributes:
        tone: what it stands for; the template's style sheet has a colour for each.
        x: its left edge.
        y: its upper edge.
        width: of it.
        height: of it.
    """

    tone: str
    x: float
    y: float
    width: float
    height: float


class Label(msgspec.Struct, frozen=True):
    """A text beside the plot.

    Attributes:
        text: what it says.
        at: percent from the left, or from the top.
        minor: whether a narrow screen can do without it.
    """

    text: str
    at: float
    minor: bool = False


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Columns beside each other.

    Attributes:
        boxes: their parts.
        ticks: the amounts at the grid's lines, and where those are.
        labels: below the columns.
    """

    boxes: tuple[Box, ...]
    ticks: tuple[tuple[float, float], ...]
    labels: tuple[Label, ...]


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """A waterfall: each column begins where the one before ended; the first and the last stand on the ground.

    Attributes:
        boxes: one a column.
        levels: the lines that join a column to the next: from, to, y.
        ground: y of zero.
        whisker: how far the last one is uncertain: x, and y of both ends.
    """

    boxes: tuple[Box, ...]
    levels: tuple[tuple[float, float, float], ...]
    ground: float
    whisker: tuple[float, float, float]


def stacked(columns: Sequence[Mapping[str, float]], tones: Sequence[str], labels: Sequence[str]) -> Columns:
    """Columns of amounts, stacked from the ground up in the order of `tones`. What is not above zero has no part.

    Few columns stand to the left in a wider plot: one of full width would look like a wall, not like an amount.

    Args:
        columns: amounts by tone.
        tones: which, the lowest first.
        labels: one a column; as many are kept as there is room for.
    """
    parts = [[(tone, max(0.0, column.get(tone, 0.0))) for tone in tones] for column in columns]
    ticks = nice_ticks(max((sum(amount for _, amount in part) for part in parts), default=0.0))
    width = 100 / max(_FEWEST, len(parts))
    boxes = []
    for number, part in enumerate(parts):
        base = 0.0
        for tone, amount in part:
            if amount:
                top = base + amount
                boxes.append(_box(tone, (number + (1 - _FILLED) / 2) * width, width * _FILLED, base, top, ticks[-1]))
                base = top
    every = math.ceil(len(labels) / _MOST_LABELS) or 1
    return Columns(
        boxes=tuple(boxes),
        ticks=tuple((tick, round(100 - 100 * tick / ticks[-1], 3)) for tick in ticks),
        labels=tuple(
            Label(text, round(index * width, 3), minor=bool(index // every % 2))
            for index, text in enumerate(labels)
            if index % every == 0
        ),
    )


def bar(parts: Iterable[tuple[str, float]]) -> tuple[Box, ...]:
    """One bar of parts that fill it, from left to right: of 100 by 100. Nothing where there is nothing to share."""
    known = [(tone, amount) for tone, amount in parts if amount > 0]
    whole = sum(amount for _, amount in known)
    boxes, left = [], 0.0
    for tone, amount in known:
        width = 100 * amount / whole
        boxes.append(Box(tone, round(left, 3), 0, round(width, 3), 100))
        left += width
    return tuple(boxes)


def waterfall(start: float, changes: Sequence[tuple[str, float]], uncertain: tuple[float, float]) -> Steps:
    """From one amount over its changes to what is left of it.

    Args:
        start: the first column.
        changes: tone and amount, below zero where it takes away.
        uncertain: between which amounts the last column may be.
    """
    ends = [start]
    for _, change in changes:
        ends.append(ends[-1] + change)
    low, high = min(0.0, *ends, *uncertain), max(0.0, *ends, *uncertain)
    scale = high - low or 1.0

    def y(amount: float) -> float:
        return round(100 * (high - amount) / scale, 3)

    spans = [
        ("before", 0.0, start),
        *((tone, ends[i], ends[i + 1]) for i, (tone, _) in enumerate(changes)),
        ("after", 0.0, ends[-1]),
    ]
    width = 100 / len(spans)
    gap = width * 0.14
    boxes = tuple(
        Box(tone, round(i * width + gap, 3), min(y(a), y(b)), round(width - 2 * gap, 3), round(abs(y(a) - y(b)), 3))
        for i, (tone, a, b) in enumerate(spans)
    )
    levels = tuple(
        (round((i + 1) * width - gap, 3), round((i + 1) * width + gap, 3), y(end))
        for i, end in enumerate([*ends[:-1], ends[-1]])
    )
    return Steps(
        boxes=boxes, levels=levels, ground=y(0.0), whisker=(round(100 - width / 2, 3), y(max(uncertain)), y(min(uncertain)))
    )


def nice_ticks(most: float) -> list[float]:
    """Three to five round amounts from 0 to at least `most`."""
    if not most > _NOTHING or not math.isfinite(most):
        return [0.0, 1.0]
    size = 10.0 ** math.floor(math.log10(most / 4))
    step = next(size * factor for factor in _STEPS if size * factor * 4 >= most * (1 - 1e-12))
    return [step * number for number in range(math.ceil(most / step * (1 - 1e-12)) + 1)]


def _box(tone: str, x: float, width: float, bottom: float, top: float, most: float) -> Box:
    return Box(tone, round(x, 3), round(100 - 100 * top / most, 3), round(width, 3), round(100 * (top - bottom) / most, 3))
