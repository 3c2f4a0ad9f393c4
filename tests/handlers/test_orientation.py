"""Pictures that are stored turned or mirrored, in every format that can say so."""

import io
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
