"""Frames of an animation as its file stores them: each is a part of the canvas, to be painted over what is there.

They are composed here, since Pillow composes some of them differently from browsers and libvips.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from PIL import Image, ImageFile

from .geometry import Size
from .modes import plain
from .opening import Limits, open_picture

#: Milliseconds of a frame that names no duration, as browsers show it.
_DURATION = 100
_CLEAR = (0, 0, 0, 0)


class After(Enum):
    """What happens to a tile's part of the canvas before the next one is painted."""

    STAYS = auto()
    CLEARED = auto()
    RESTORED = auto()


@dataclass(frozen=True)
class Tile:
    """A part of the canvas: a picture file of its own, where its upper left corner is put, and for how long (ms)."""

    content: bytes
    place: Size
    size: Size
    duration: int
    after: After


@dataclass(frozen=True)
class Frame:
    """A frame, complete and with the canvas's size, and for how long it is shown (ms)."""

    picture: Image.Image
    duration: int


def shown_for(duration: float | None) -> int:
    """Return for how long a frame is shown whose file says that duration (both in ms)."""
    return int(duration or 0) or _DURATION


def truncated() -> bool:
    """Return whether a file whose end is missing has ended there. Raises OSError unless such files are tolerated."""
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        raise OSError("image file is truncated")
    return True


def composed(tiles: Iterable[Tile], size: Size, limits: Limits) -> Iterator[Frame]:
    """Yield the frames of an animation. A frame's picture is valid until the next one is taken.

    Raises PictureRefused for a tile with too many pixels. What is outside the canvas is cut off.
    """
    canvas = Image.new("RGBA", size, _CLEAR)
    for tile in tiles:
        left, top = tile.place
        box = left, top, min(size[0], left + tile.size[0]), min(size[1], top + tile.size[1])
        is_seen = left < box[2] and top < box[3]
        before = canvas.crop(box) if is_seen and tile.after is After.RESTORED else None
        if is_seen:
            _paint(canvas, tile, limits)
        yield Frame(_without_alpha(canvas), shown_for(tile.duration))
        if before:
            canvas.paste(before, box)
        elif is_seen and tile.after is After.CLEARED:
            canvas.paste(_CLEAR, box)


def _paint(canvas: Image.Image, tile: Tile, limits: Limits) -> None:
    limits.check_decoded(tile.size, "a frame has")
    picture = open_picture(tile.content, limits)
    picture.load()
    part = plain(picture)
    canvas.paste(part, tile.place, part if part.mode.endswith("A") else None)


def _without_alpha(canvas: Image.Image) -> Image.Image:
    """Return the picture in RGB if nothing of it is transparent."""
    return canvas.convert("RGB") if canvas.getchannel("A").getextrema() == (255, 255) else canvas
