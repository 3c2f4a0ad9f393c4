"""Pictures that are stored turned or mirrored, in every format that can say so."""

import io
import struct
import zlib
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from gopher.handlers.pictures import Wanted, make
from gopher.handlers.pictures.geometry import UPRIGHT
from tests.handlers.test_image import BLUE, GREEN, RED, WHITE, corners, encoded, quarters

#: Pillow's format, and what it is written with.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "avif": ("AVIF", {}),
    "heic": ("HEIF", {}),
    "tiff": ("TIFF", {}),
    "tiff compressed": ("TIFF", {"compression": "tiff_lzw"}),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("source", FORMATS)
def test_a_picture_that_telephones_and_scanners_store_turned_is_upright(source: str, orientation: int) -> None:
    pillow_heif.register_heif_opener()
    picture = quarters()
    inverse = {**UPRIGHT, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if orientation in inverse:
        picture = picture.transpose(inverse[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    name, options = FORMATS[source]
    # As bytes: an HEIC turns its pixels by itself, and pillow-heif writes that only then.
    about, (made,) = make(encoded(picture, name, exif=exif.tobytes(), **options), [Wanted(width=80, height=60)])
    with Image.open(io.BytesIO(made.content)) as opened:
        assert corners(opened) == [RED, GREEN, BLUE, WHITE]
    assert about.size == (400, 300)


def test_a_scan_that_only_its_xmp_says_to_turn_keeps_its_proportions() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    picture = quarters().transpose(Image.Transpose.ROTATE_90)
    about, (made,) = make(encoded(picture, "TIFF", tiffinfo={700: xmp}), [Wanted(width=80, height=60)])
    with Image.open(io.BytesIO(made.content)) as opened:
        assert corners(opened) == [RED, GREEN, BLUE, WHITE]
    assert about.size == (400, 300)


def with_text(name: bytes, text: bytes) -> bytes:
    """Return a PNG with a text before its pixels."""
    content, kind = encoded(quarters()), b"tEXt" + name + b"\0" + text
    chunk = struct.pack(">I", len(kind) - 4) + kind + struct.pack(">I", zlib.crc32(kind))
    return content[:33] + chunk + content[33:]


@pytest.mark.parametrize(
    "content",
    [
        *(encoded(quarters(), source, exif=b"garbage") for source in ("JPEG", "PNG", "WEBP")),
        encoded(quarters(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"),
        with_text(b"Raw profile type exif", b"\nexif\n   10\nno digits"),
        *(encoded(quarters(), source, xmp=b"\xff tiff:Orientation=") for source in ("JPEG", "PNG", "WEBP")),
        *(encoded(quarters(), source, icc_profile=b"garbage" * 20) for source in ("JPEG", "PNG", "WEBP")),
    ],
    ids=[
        *("exif of a jpeg", "exif of a png", "exif of a webp", "exif that points beyond its end", "exif as text"),
        *("xmp of a jpeg", "xmp of a png", "xmp of a webp"),
        *("profile of a jpeg", "profile of a png", "profile of a webp"),
    ],
)
def test_a_picture_whose_metadata_are_broken_is_taken_as_it_is_stored(content: bytes) -> None:
    (made,) = make(content, [Wanted(width=80, height=60)])[1]
    with Image.open(io.BytesIO(made.content)) as opened:
        assert corners(opened) == [RED, GREEN, BLUE, WHITE]
