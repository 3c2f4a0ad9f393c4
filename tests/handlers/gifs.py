"""Writes GIFs of given parts, as other programs than Pillow do, and reads animations with libvips."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pyvips
from PIL import Image

#: What the shared palette has: black, red, green, blue. In a part with transparency, black is transparent.
PALETTE = bytes((0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255))
CLEAR, RED, GREEN, BLUE = (0, 0, 0, 0), (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)


@dataclass(frozen=True)
class Part:
    """A frame's part: a rectangle in a colour of the palette (0 to 3), around a hole in black or nothing."""

    left: int
    top: int
    width: int
    height: int
    colour: int
    disposal: int = 0
    transparent: bool = False
    hole: tuple[int, int, int, int] | None = None
    hundredths: int = 10


def gif(size: tuple[int, int], parts: Sequence[Part]) -> bytes:
    """A GIF of these parts on a canvas of that size (pixels)."""
    head = b"GIF89a" + struct.pack("<2H3B", *size, 0x81, 0, 0) + PALETTE
    return head + b"".join(map(_stored, parts)) + b";"


def _stored(part: Part) -> bytes:
    picture = Image.new("P", (part.width, part.height), part.colour)
    if part.hole:
        picture.paste(0, part.hole)
    target = io.BytesIO()
    picture.putpalette(PALETTE)
    picture.save(target, "GIF", optimize=False, interlace=0)
    alone = target.getvalue()
    # Behind the header, a palette of its size, and the descriptor.
    pixels = alone[13 + (3 << (alone[10] & 7) + 1) + 10 : -1]
    control = struct.pack("<BHB", part.disposal << 2 | part.transparent, part.hundredths, 0)
    place = struct.pack("<4HB", part.left, part.top, part.width, part.height, 0)
    return b"!\xf9\x04" + control + b"\0," + place + pixels


def seen(content: bytes) -> list[Image.Image]:
    """The frames of an animation, in RGBA, as libvips shows them."""
    strip = pyvips.Image.new_from_buffer(content, "", n=-1)
    strip = strip.colourspace("srgb")
    if strip.bands == 3:
        strip = strip.bandjoin(255)
    height = strip.get("page-height") if "page-height" in strip.get_fields() else strip.height
    whole = Image.frombytes("RGBA", (strip.width, strip.height), strip.write_to_memory())
    return [whole.crop((0, top, whole.width, top + height)) for top in range(0, whole.height, height)]


def nearest(pixel: object) -> tuple[int, ...]:
    """The colour that a pixel in RGBA is nearest to: nothing, or one with each channel full or empty."""
    assert isinstance(pixel, tuple)
    return CLEAR if pixel[3] < 128 else tuple(255 if value > 127 else 0 for value in pixel)


def same(first: Image.Image, second: Image.Image) -> bool:
    """Whether two pictures in RGBA look the same: what is transparent has no colour."""
    return first.size == second.size and _blank(first).tobytes() == _blank(second).tobytes()


def _blank(picture: Image.Image) -> Image.Image:
    blank = Image.new("RGBA", picture.size, CLEAR)
    blank.paste(picture, mask=picture.getchannel("A"))
    return blank
