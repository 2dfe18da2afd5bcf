"""Pictures as small files: pages with as many colours as show, and frames that become a GIF, each as long as it was seen."""

import io
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageDraw

_POINTER: Final = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
_APART: Final = 5
_LAST: Final = 4.0
"""Seconds for which the end stays."""


class Film:
    """What was seen, in order.

    Args:
        width: of its frames, pixels; what is larger is made smaller.
        colors: how many it may have.
    """

    def __init__(self, width: int, colors: int) -> None:
        self._width = width
        self._colors = colors
        self._frames: list[tuple[float, Image.Image]] = []

    def take(self, png: bytes, pointer: tuple[float, float] | None = None) -> None:
        """One more frame, now, with the mouse where it is, in pixels of the picture."""
        now = time.monotonic()
        frame = Image.open(io.BytesIO(png)).convert("RGB")
        if pointer is not None:
            shape = [(pointer[0] + x, pointer[1] + y) for x, y in _POINTER]
            ImageDraw.Draw(frame).polygon(shape, fill="black", outline="white")
        if frame.width > self._width:
            height = round(frame.height * self._width / frame.width)
            frame = frame.resize((self._width, height), Image.Resampling.LANCZOS)
        if not self._frames or ImageChops.difference(self._frames[-1][1], frame).getbbox():
            self._frames.append((now, frame))

    def save(self, path: Path) -> None:
        """As a GIF that begins anew after its end."""
        times = [at for at, _ in self._frames]
        shown = [round(1000 * (after - at)) for at, after in itertools.pairwise(times)]
        # One palette for all frames, so that what did not change need not be said again.
        some = [frame for _, frame in self._frames[:: max(1, len(self._frames) // 8)]]
        colors = palette(some, self._colors)
        first, *rest = [frame.quantize(palette=colors, dither=Image.Dither.NONE) for _, frame in self._frames]
        duration = [*shown, round(1000 * _LAST)]
        first.save(path, save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)


def keep(png: bytes, path: Path) -> None:
    """Write a picture of a page with 256 colours, which is a third of the bytes and looks the same."""
    seen = Image.open(io.BytesIO(png)).convert("RGB")
    seen.quantize(palette=palette([seen], 256), dither=Image.Dither.NONE).save(path, optimize=True)


def palette(frames: Sequence[Image.Image], colors: int) -> Image.Image:
    """Half of it the colours that cover most, as they are; the other half spread over what else there is."""
    together = Image.new("RGB", (frames[0].width, sum(frame.height for frame in frames)))
    top = 0
    for frame in frames:
        together.paste(frame, (0, top))
        top += frame.height
    counted = sorted(together.getcolors(together.width * together.height) or (), reverse=True)[: 4 * colors]
    spread = together.quantize(colors // 2, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette() or []
    most = [color for _, color in counted if isinstance(color, tuple)]
    rest = list(zip(spread[::3], spread[1::3], spread[2::3], strict=True))[: colors // 2]
    chosen: list[tuple[int, ...]] = []
    for wanted, room in ((most, colors // 2), (rest, colors)):
        for color in wanted:
            # Pillow takes the nearest in steps of four: beside a colour that close, it may take that one for it.
            if len(chosen) < room and all(max(abs(a - b) for a, b in zip(color, one, strict=True)) > _APART for one in chosen):
                chosen.append(color)
    made = Image.new("P", (1, 1))
    made.putpalette(list(itertools.chain.from_iterable(chosen)))
    return made
