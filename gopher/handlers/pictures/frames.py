"""Reads the frames of a picture, each complete and with the canvas's size."""

from collections.abc import Iterator
from itertools import count, islice

from PIL import Image

from .gif import gif_tiles
from .opening import Limits
from .png import png_tiles
from .tiles import Frame, composed, shown_for


def is_animated(opened: Image.Image) -> bool:
    """Return whether a picture has several frames, without counting them."""
    return opened.format in ("GIF", "PNG", "WEBP", "AVIF") and bool(getattr(opened, "is_animated", False))


def repetitions(opened: Image.Image) -> int | None:
    """Return how often an animation is repeated: None is never, 0 forever."""
    loop: int | None = opened.info.get("loop")
    if opened.format == "AVIF":
        # Pillow does not read it; nearly all are repeated forever.
        return 0
    if opened.format in ("WEBP", "PNG") and loop:
        # They count how often it is shown.
        return loop - 1 or None
    return loop


def read_frames(opened: Image.Image, content: bytes, limits: Limits, *, every: bool) -> Iterator[Frame]:
    """Yield the first frame, or all of an animation. A frame's picture is valid until the next one is taken.

    If an animated PNG has a still picture beside the animation, that is the first one.
    """
    if opened.format == "GIF" and (every or getattr(opened, "dispose_extent", None) != (0, 0, *opened.size)):
        # Pillow fills what the first frame does not cover with the first colour of the palette.
        yield from islice(composed(gif_tiles(content), opened.size, limits), None if every else 1)
        return
    if opened.format == "PNG" and every:
        if getattr(opened, "default_image", False):
            opened.load()
            yield Frame(opened, 0, is_still=True)
        yield from composed(png_tiles(content), opened.size, limits)
        return
    for number in count():
        try:
            # At first it is at the picture to show, which of several in a HEIC need not be the first one.
            if number:
                opened.seek(number)
        except EOFError:
            return
        opened.load()
        yield Frame(opened, shown_for(opened.info.get("duration")))
        if not every:
            return
