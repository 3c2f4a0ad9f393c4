"""Reads the frames of a picture, each complete and with the canvas's size."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from PIL import Image, ImageChops

from .geometry import Size

#: Milliseconds of a frame that names no duration, as browsers show it.
_DURATION = 100


@dataclass(frozen=True)
class Frame:
    """A frame, and for how long it is shown (ms)."""

    picture: Image.Image
    duration: int


def is_animated(opened: Image.Image) -> bool:
    """Return whether a picture has several frames, without counting them."""
    return opened.format in ("GIF", "PNG", "WEBP", "AVIF") and bool(getattr(opened, "is_animated", False))


def read_frames(opened: Image.Image, *, every: bool) -> Iterator[Frame]:
    """Yield the first frame, or all of an animation."""
    painted = _Painted(opened.size)
    # The still picture of an animated PNG may not be part of the animation.
    first = 1 if every and getattr(opened, "default_image", False) else 0
    for number in count(first):
        try:
            opened.seek(number)
        except EOFError:
            return
        opened.load()
        yield Frame(painted.over(opened), int(opened.info.get("duration") or 0) or _DURATION)
        if not every:
            return


class _Painted:
    """Which parts of a GIF's canvas its frames have painted so far: the rest is transparent.

    Pillow fills it with the first colour of the palette.
    """

    def __init__(self, size: Size) -> None:
        self._size = size
        self._mask: Image.Image | None = None

    def over(self, opened: Image.Image) -> Image.Image:
        box = getattr(opened, "dispose_extent", None) if opened.format == "GIF" else None
        if box is None or (self._mask is None and box == (0, 0, *self._size)):
            return opened
        if self._mask is None:
            self._mask = Image.new("L", self._size, 0)
        self._mask.paste(255, box)
        if self._mask.getextrema() == (255, 255):
            return opened
        whole = opened.convert("RGBA")
        whole.putalpha(ImageChops.multiply(whole.getchannel("A"), self._mask))
        return whole
