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
    #: Whether what is transparent in it replaces what was there, instead of showing that.
    replaces: bool = False


@dataclass(frozen=True)
class Frame:
    """A frame, complete and with the canvas's size, and for how long it is shown (ms)."""

    picture: Image.Image
    duration: int
    #: Whether it is shown only where the animation is not.
    is_still: bool = False


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
            canvas = _painted(canvas, tile, limits)
        yield Frame(canvas, shown_for(tile.duration))
        if is_seen and tile.after is not After.STAYS:
            if before is None or before.mode == "RGBA":
                canvas = _in_mode(canvas, "RGBA")
            canvas.paste(_CLEAR if before is None else before, box)


def _painted(canvas: Image.Image, tile: Tile, limits: Limits) -> Image.Image:
    """Return the canvas with a tile on it: in RGB, with which less is to do, if nothing is transparent."""
    limits.check_decoded(tile.size, "a frame has")
    picture = open_picture(tile.content, limits)
    picture.load()
    part = plain(picture)
    has_alpha = part.mode.endswith("A")
    if has_alpha and tile.replaces:
        canvas = _in_mode(canvas, "RGBA")
    if has_alpha and not tile.replaces and canvas.mode == "RGBA":
        canvas.alpha_composite(_in_mode(part, "RGBA"), tile.place)
    else:
        canvas.paste(part, tile.place, part if has_alpha and not tile.replaces else None)
    is_opaque = canvas.mode == "RGB" or canvas.getchannel("A").getextrema() == (255, 255)
    return _in_mode(canvas, "RGB") if is_opaque else canvas


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    return picture if picture.mode == mode else picture.convert(mode)
