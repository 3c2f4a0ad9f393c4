"""Opens pictures: reads the header first, and rejects what must not be decoded.

Decoders are C code that allocates memory according to the header.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from PIL import Image, ImageFile, UnidentifiedImageError

from gopher.base.installed import remedy
from gopher.errors import Discard
from gopher.files.types import HEAD, recognized

from .geometry import Size

#: Formats that are decoded, as Pillow calls them. Each module registers one.
_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
}
#: Registered by a decoder that may be installed.
_HEIC = "HEIF"
#: The first bytes of what people send, too: the name, and how to send it.
_FOREIGN = (
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"%!PS", "PostScript"),
)
_JPEG = b"\xff\xd8"
#: A marker of a JPEG that has a length: others are skipped, as are bytes between them.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xda-\xfe])")
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_START_OF_SCAN = 0xDA
#: Maximum number of pixels of a JPEG, which may be decoded at an eighth.
_MOST_PIXELS = 1_000_000_000
#: Pixels as which a frame counts at least, since it takes memory besides.
_FRAME = 512
_SETTING = "GOPHER_PICTURE_MAX_PIXELS"


class PictureRefused(Discard):
    """Raised when a picture has an unsupported format, is too large, or can't be decoded."""


@dataclass(frozen=True)
class Limits:
    """Bounds on what is decoded and made, in pixels: for a child's memory."""

    #: At the size at which a source is decoded: 64 million are 256 MB.
    decoded: int = 64_000_000
    #: Of a new picture; of an animation, all frames together.
    made: int = 25_000_000

    def check_decoded(self, size: Size, has: str = "the picture has") -> None:
        _check(size, self.decoded, has, _SETTING)

    def check_made(self, size: Size, frames: int = 1) -> None:
        if frames > 1 and max(size[0] * size[1], _FRAME) * frames > self.made:
            raise PictureRefused(
                f"the animation would have more than {frames - 1} frames of {size[0]} x {size[1]} pixels, more "
                f"than the {self.made:,} allowed (GOPHER_PICTURE_MAX_NEW_PIXELS): make it smaller, or set frames=first"
            )
        _check(size, self.made, "the new picture would have", "GOPHER_PICTURE_MAX_NEW_PIXELS")


def _check(size: Size, most: int, has: str, setting: str) -> None:
    if size[0] * size[1] > most:
        raise PictureRefused(f"{has} {size[0]} x {size[1]} pixels, more than the {most:,} allowed ({setting})")


def load_formats() -> None:
    """Load the decoders of the supported formats. Otherwise the first WebP would load all forty of Pillow's."""
    for name in _PLUGINS.values():
        import_module(f"PIL.{name}")


def open_picture(content: bytes, limits: Limits) -> Image.Image:
    """Read the header of a picture. Raises PictureRefused for other files, and for too many pixels.

    A JPEG may have more than are decoded, since its decoder can scale; not so if it has several scans.
    """
    load_formats()
    kind = recognized(content[:HEAD])
    if kind == "image/heic":
        _load_heic()
    formats = [name for name in (*_PLUGINS, _HEIC) if name in Image.OPEN]
    most = _MOST_PIXELS if content.startswith(_JPEG) else limits.decoded
    try:
        with _most_pixels(most):
            picture = Image.open(io.BytesIO(content), formats=formats)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureRefused(f"the picture has more than the {most:,} pixels allowed ({_SETTING})") from None
    except UnidentifiedImageError:
        raise PictureRefused(_broken(kind) or _unsupported(content)) from None
    except OSError:
        if kind != "image/webp":
            raise
        # Its decoder says no more than that it could not be created.
        raise PictureRefused(_broken(kind)) from None
    if picture.format == "PNG" and "transparency" in picture.info:
        _scale_transparency(picture, content[24])
    if content.startswith(_JPEG) and _has_several_scans(content):
        # Its coefficients are kept for the whole picture, whatever the scale.
        limits.check_decoded(picture.size)
    return picture


def _has_several_scans(content: bytes) -> bool:
    """Return whether a JPEG is progressive, or has its colours one after the other, as its decoder decides it."""
    components, found = 0, _MARKER.search(content, 2)
    while found is not None:
        marker, at = found[1][0], found.end()
        if marker == _START_OF_SCAN:
            return at + 2 < len(content) and content[at + 2] < components
        if marker in _FRAMES:
            components = content[at + 7] if at + 7 < len(content) else 0
            if marker in _PROGRESSIVE:
                return True
        found = _MARKER.search(content, at + int.from_bytes(content[at : at + 2]))
    return False


def _scale_transparency(picture: Image.Image, bits: int) -> None:
    """Make the transparent value of a PNG one of 8 bits, as Pillow makes the pixels of modes L and RGB."""
    clear = picture.info["transparency"]
    if picture.mode == "L":
        picture.info["transparency"] = clear * 255 // (2 ** min(8, bits) - 1)
    elif picture.mode == "RGB" and bits == 16:
        picture.info["transparency"] = tuple(value >> 8 for value in clear)


@contextmanager
def _most_pixels(most: int) -> Iterator[None]:
    """Let Pillow open pictures of up to that many pixels: some decoders allocate memory as soon as they are made."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, most
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _load_heic() -> None:
    if _HEIC in Image.OPEN:
        return
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise PictureRefused(
            f"the source is a HEIC picture: install pillow-heif ({remedy('heif')}), or send a JPEG"
        ) from None


def _broken(kind: str | None) -> str:
    """Return what is wrong with a file that begins like a picture, "" if it does not."""
    area, _, name = (kind or "").partition("/")
    if area != "image":
        return ""
    return (
        f"the picture can't be decoded: it begins like {name.upper()}, but is broken, incomplete, or of a rare kind "
        "that is not supported: send it again, or convert it to JPEG or PNG"
    )


def _unsupported(content: bytes) -> str:
    supported = ", ".join((*_PLUGINS, "HEIC"))
    start = content[:512].lstrip().lower()
    names = [name for head, name in _FOREIGN if content.startswith(head)]
    if start.startswith((b"<svg", b"<?xml")) and b"<svg" in content[:4096].lower():
        names = ["SVG"]
    found = f" ({names[0]})" if names else ""
    return f"the source is not a picture of a supported format{found}: convert it to one of {supported}"


@contextmanager
def tolerating_truncated(tolerate: bool) -> Iterator[None]:
    """Let Pillow decode files whose end is missing: what is missing stays grey."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, tolerate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
