"""Resizes pictures with Pillow.

Decoders are C code that allocates memory according to the header. So the header is read first, and only pictures of
four formats without too many pixels are decoded.
"""

import io
import math
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from PIL import Image, UnidentifiedImageError

from gopher.errors import Discard

#: Maximum number of pixels to decode: 64 million take 256 MB as RGBA.
MAX_PIXELS = 64_000_000
#: Colour profiles are kept up to this size; a typical one has 0.5 to 4 KB.
MAX_PROFILE = 256 * 1024

Fit = Literal["cover", "contain", "stretch"]

_SOURCES = ("JPEG", "PNG", "WEBP", "GIF")
#: The transposition for each EXIF orientation; 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


class PictureRefused(Discard):
    """Raised when a picture has an unsupported format, is too large, or can't be decoded."""


@dataclass(frozen=True)
class Resized:
    """An encoded picture with its size and the size of its upright source."""

    content: bytes
    size: tuple[int, int]
    source_size: tuple[int, int]


def load_formats() -> None:
    """Load Pillow's decoders of the four formats. Otherwise the first WebP would load all forty."""
    Image.preinit()
    import_module("PIL.WebPImagePlugin")


def resize(content: bytes, width: int | None, height: int | None, fit: Fit, format: str, quality: int) -> Resized:  # noqa: A002 - the payload's own word
    """Resize and convert a picture. Raises PictureRefused."""
    try:
        return _resize(content, width, height, fit, format, quality)
    except (PictureRefused, MemoryError):
        raise
    except Exception as error:
        # Decoders raise nearly anything for a broken file.
        raise PictureRefused(f"the picture can't be decoded: {error}") from error


def _resize(content: bytes, width: int | None, height: int | None, fit: Fit, format: str, quality: int) -> Resized:  # noqa: A002
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        picture = _open(content)
        orientation = picture.getexif().get(_ORIENTATION, 1)
        source = _turned(picture.size, orientation)
        size = new_size(source, width, height, fit)
        _check_pixels(size, "the new picture would have")
        profile = picture.info.get("icc_profile")
        keep_profile = picture.mode != "CMYK"
        _decode_small(picture, _turned(_needed(source, size, fit), orientation))
        upright = _upright(_plain(picture), orientation)
    box = cover_box(upright.size, size) if fit == "cover" else None
    small = upright.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return Resized(_encode(small, format, quality, profile if keep_profile else None), small.size, source)


def _open(content: bytes) -> Image.Image:
    """Read the header and reject what must not be decoded."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    load_formats()
    try:
        picture = Image.open(io.BytesIO(content), formats=_SOURCES)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureRefused(f"the picture has more than the {MAX_PIXELS:,} pixels allowed") from None
    except UnidentifiedImageError:
        raise PictureRefused(f"the source is not a picture of a supported format: {', '.join(_SOURCES)}") from None
    _check_pixels(picture.size, "the picture has")
    return picture


def _check_pixels(size: tuple[int, int], has: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureRefused(f"{has} {size[0]} x {size[1]} pixels, more than the {MAX_PIXELS:,} allowed")


def new_size(source: tuple[int, int], width: int | None, height: int | None, fit: Fit) -> tuple[int, int]:
    """Return the size of the new picture; a missing side follows from the aspect ratio.

    (400, 300) to 200 x 200 is (200, 200), but for "contain" (200, 150); to a width of 200 it is (200, 150).
    """
    if width and height and fit != "contain":
        return width, height
    scale = min(given / side for given, side in zip((width, height), source, strict=True) if given)
    return max(1, round(source[0] * scale)), max(1, round(source[1] * scale))


def cover_box(source: tuple[int, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest middle part of the source with the proportions of the new size.

    (400, 300) for 200 x 200 is (50, 0, 350, 300): the middle square.
    """
    scale = max(size[0] / source[0], size[1] / source[1])
    left = max(0.0, (source[0] - size[0] / scale) / 2)
    top = max(0.0, (source[1] - size[1] / scale) / 2)
    return left, top, source[0] - left, source[1] - top


def _needed(source: tuple[int, int], size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the size at which to decode the source so that the cropped part has enough pixels."""
    if fit == "stretch":
        return size
    scale = max(size[0] / source[0], size[1] / source[1])
    return math.ceil(source[0] * scale), math.ceil(source[1] * scale)


def _decode_small(picture: Image.Image, needed: tuple[int, int]) -> None:
    """Let the JPEG decoder scale by 1/2, 1/4 or 1/8, as long as the result is twice the required size."""
    picture.draft(None, (needed[0] * 2, needed[1] * 2))
    picture.load()


def _plain(picture: Image.Image) -> Image.Image:
    """Convert the picture to a mode that can be resized without banding: L, RGB, LA or RGBA."""
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    if picture.mode.startswith("I;16"):
        # convert("L") would clip every 16-bit value above 255 to white.
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return picture.convert("L" if picture.mode in ("L", "1") else "RGB")


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return a size after rotation to upright, or, conversely, before."""
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def _encode(picture: Image.Image, format: str, quality: int, profile: bytes | None) -> bytes:  # noqa: A002
    """Return the encoded picture, without EXIF, which can contain where a photograph was taken."""
    options: dict[str, object] = {"quality": quality} if format in ("jpeg", "webp") else {}
    if profile and len(profile) <= MAX_PROFILE and picture.mode != "L":
        options["icc_profile"] = profile
    if format == "jpeg":
        picture = _flattened(picture)
        options["progressive"] = True
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


def _flattened(picture: Image.Image) -> Image.Image:
    """Put a picture with transparency on white, since JPEG does not support transparency."""
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white
