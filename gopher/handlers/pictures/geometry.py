"""Sizes, crops and turns, as arithmetic only."""

import math
from dataclasses import dataclass
from typing import Literal

from PIL import Image

Fit = Literal["cover", "contain", "stretch"]
Gravity = Literal[
    "center", "top", "bottom", "left", "right", "top-left", "top-right", "bottom-left", "bottom-right", "entropy"
]
Size = tuple[int, int]
#: Left, top, right, bottom.
Box = tuple[float, float, float, float]
#: Which share of what is cut off, or padded, is on the left and at the top.
Shares = tuple[float, float]
CENTER: Shares = (0.5, 0.5)

#: How to turn a stored picture upright, by its EXIF orientation; 1 is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Plan:
    """What to cut out of an upright source, the size to scale that to, and the canvas to put it on."""

    box: Box
    size: Size
    canvas: Size
    #: Where the scaled picture is put on the canvas.
    place: Size = (0, 0)


def plan(
    source: Size,
    width: int | None,
    height: int | None,
    fit: Fit,
    gravity: Gravity = "center",
    *,
    enlarge: bool = True,
    pad: bool = False,
) -> Plan:
    """Return how to make a picture of a size from an upright source.

    With `pad`, a picture that is contained in `width` x `height` is put on a canvas of exactly that size. Without
    `enlarge`, a source that is smaller than the new picture keeps its scale.
    """
    size = new_size(source, width, height, fit)
    box: Box = (0, 0, *source)
    if fit == "cover":
        if not enlarge and (size[0] > source[0] or size[1] > source[1]):
            size = min(size[0], source[0]), min(size[1], source[1])
        box = cover_box(source, size, shares(gravity))
    elif not enlarge:
        size = _not_above(size, source, fit)
    canvas = (width, height) if pad and fit == "contain" and width and height else size
    across, down = shares(gravity)
    return Plan(box, size, canvas, (round((canvas[0] - size[0]) * across), round((canvas[1] - size[1]) * down)))


def _not_above(size: Size, source: Size, fit: Fit) -> Size:
    if fit == "stretch":
        return min(size[0], source[0]), min(size[1], source[1])
    return source if size[0] > source[0] or size[1] > source[1] else size


def new_size(source: Size, width: int | None, height: int | None, fit: Fit) -> Size:
    """Return the size of the new picture; a missing side follows from the aspect ratio.

    (400, 300) to 200 x 200 is (200, 200), but for "contain" (200, 150); to a width of 200 it is (200, 150).
    """
    if width and height and fit != "contain":
        return width, height
    scale = min(given / side for given, side in zip((width, height), source, strict=True) if given)
    return max(1, round(source[0] * scale)), max(1, round(source[1] * scale))


def shares(gravity: Gravity) -> Shares:
    """Return the shares of a gravity: (0.5, 0.5) for the centre, and for "entropy" until the pixels are known."""
    across = 0.0 if "left" in gravity else 1.0 if "right" in gravity else 0.5
    down = 0.0 if "top" in gravity else 1.0 if "bottom" in gravity else 0.5
    return across, down


def cover_box(source: Size, size: Size, placed: Shares = CENTER) -> Box:
    """Return the largest part of the source with the proportions of the new size.

    (400, 300) for 200 x 200 is (50, 0, 350, 300): the middle square.
    """
    scale = max(size[0] / source[0], size[1] / source[1])
    across, down = placed
    left = max(0.0, source[0] - size[0] / scale) * across
    top = max(0.0, source[1] - size[1] / scale) * down
    return left, top, min(source[0], left + size[0] / scale), min(source[1], top + size[1] / scale)


def needed(source: Size, each: Plan) -> Size:
    """Return the size at which to decode a whole source so that what is cut out has enough pixels."""
    left, top, right, bottom = each.box
    scale = max(each.size[0] / (right - left), each.size[1] / (bottom - top))
    return math.ceil(source[0] * scale), math.ceil(source[1] * scale)


def turned(size: Size, orientation: int) -> Size:
    """Return a size after turning the picture upright, or, conversely, before."""
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def stored(box: Box, upright: Size, orientation: int) -> Box:
    """Return where a box of the upright picture is in the stored one."""
    left, top, right, bottom = box
    width, height = upright
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if orientation in (5, 6, 7, 8) else (left, top, right, bottom)


def scaled(box: Box, scale: float, bounds: Size) -> Box:
    """Return a box in a picture that was decoded smaller."""
    left, top, right, bottom = (side * scale for side in box)
    return max(0.0, left), max(0.0, top), min(float(bounds[0]), right), min(float(bounds[1]), bottom)
