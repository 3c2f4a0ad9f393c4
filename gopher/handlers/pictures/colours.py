"""Colours: converts pictures with a colour profile, and CMYK, to sRGB.

Conversion happens after scaling, when there are few pixels; transforms are kept, since making one takes longer than
applying it to a thumbnail.
"""

import io
import struct
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import product
from math import prod
from operator import mul
from typing import Any

from PIL import Image, ImageCms

#: Profiles larger than this are not read: real ones have up to 2 MB.
_LARGEST = 4 * 1024 * 1024
#: The colour space of a profile that fits the mode of a picture's colours.
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
#: sRGB colours of the overprints of cyan, magenta, yellow and black in offset printing: of the paper, of black, of
#: yellow, of yellow and black, and so on. Fitted to libvips' conversion (mean error 3 of 255).
_OVERPRINTS = (
    *((255, 255, 255), (41, 42, 42), (255, 228, 30), (41, 41, 50), (232, 44, 128), (45, 37, 45), (226, 42, 55)),
    *((44, 30, 33), (0, 152, 222), (36, 40, 46), (0, 140, 70), (27, 37, 35), (62, 46, 122), (27, 25, 42)),
    *((58, 46, 55), (30, 28, 39)),
)
#: Nodes along each ink in the profile made of them.
_NODES = 9
#: XYZ of the white of all profiles.
_D50 = struct.pack(">3i", 63190, 65536, 54061)


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture of mode L, LA, RGB, RGBA or CMYK in sRGB: L, LA, RGB or RGBA.

    A profile that can't be read, or is meant for other pixels, is ignored. CMYK without a profile is converted with
    the colours of offset printing.
    """
    if picture.mode == "CMYK":
        transform = _transform(profile, "CMYK") or _transform(_printing(), "CMYK")
        assert transform is not None
        return _applied(transform, picture)
    space = "L" if picture.mode in ("L", "LA") else "RGB"
    transform = _transform(profile, space)
    if transform is None:
        return picture
    if not picture.mode.endswith("A"):
        return _as_before(_applied(transform, picture), picture.mode)
    *colours, alpha = picture.split()
    converted = _as_before(_applied(transform, Image.merge(space, colours)), space)
    return Image.merge(picture.mode, (*converted.split(), alpha))


def _applied(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(picture, transform)
    assert converted is not None
    return converted


def _as_before(picture: Image.Image, mode: str) -> Image.Image:
    """Return a grey picture as grey again: a transform makes three equal channels of it."""
    return picture.getchannel(1) if mode in ("L", "LA") else picture


@lru_cache(maxsize=8)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    if not profile or len(profile) > _LARGEST:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        return ImageCms.buildTransform(
            source,
            _srgb(),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


@cache
def _printing() -> bytes:
    """Return an ICC profile for CMYK without one: a table from inks to Lab, interpolated between the overprints."""
    nodes = [step / (_NODES - 1) for step in range(_NODES)]
    table = b"".join(struct.pack(">3H", *_lab_words(_printed(inks))) for inks in product(nodes, repeat=4))
    ramp = struct.pack(">2H", 0, 65535)
    identity = struct.pack(">9i", *(65536 if at % 4 == 0 else 0 for at in range(9)))
    sizes = bytes((4, 3, _NODES, 0)) + identity + struct.pack(">2H", 2, 2)
    text = b"text\0\0\0\0CMYK without a profile\0"
    tags = {
        b"A2B0": b"mft2\0\0\0\0" + sizes + ramp * 4 + table + ramp * 3,
        b"wtpt": b"XYZ \0\0\0\0" + _D50,
        b"cprt": text,
        b"desc": text,
    }
    place, index, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        index += struct.pack(">4s2I", name, place + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI4s4s4s12x4s", place + len(data), 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    return header.ljust(68, b"\0") + _D50.ljust(60, b"\0") + index + data


def _printed(inks: tuple[float, ...]) -> tuple[float, float, float]:
    """Return the sRGB colour (0 to 255) of shares of the four inks (Neugebauer's equations)."""
    shares = [prod(part) for part in product(*((1 - ink, ink) for ink in inks))]
    red, green, blue = (sum(map(mul, shares, channel)) for channel in zip(*_OVERPRINTS, strict=True))
    return red, green, blue


def _lab_words(rgb: tuple[float, float, float]) -> Iterator[int]:
    """Yield sRGB (0 to 255) as the three words of CIE Lab (D50) in a profile of version 2."""
    red, green, blue = (_linear(value / 255) for value in rgb)
    x = 0.4360747 * red + 0.3850649 * green + 0.1430804 * blue
    y = 0.2225045 * red + 0.7168786 * green + 0.0606169 * blue
    z = 0.0139322 * red + 0.0971045 * green + 0.7141733 * blue
    fx, fy, fz = _cube_root(x / 0.9642), _cube_root(y), _cube_root(z / 0.8249)
    yield min(65280, max(0, round((116 * fy - 16) * 652.8)))
    for value in (500 * (fx - fy), 200 * (fy - fz)):
        yield min(65535, max(0, round((value + 128) * 256)))


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _cube_root(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116
