"""Pictures that are rare, broken or incomplete, and new ones that a format can't have."""

import io
import struct
import sys
from typing import Any

import pillow_heif
import pytest
import pyvips
from PIL import Image

from gopher.handlers.pictures import Limits, PictureRefused, Wanted, make
from tests.handlers.test_image import BLUE, GREEN, RED, WHITE, corners, encoded, quarters


def made(content: bytes, *, tolerate_truncated: bool = False, **options: Any) -> Image.Image:
    picture = make(content, [Wanted(**options)], tolerate_truncated=tolerate_truncated)[1][0]
    with Image.open(io.BytesIO(picture.content)) as opened:
        opened.load()
        return opened


@pytest.mark.parametrize(
    ("background", "expected"),
    [((255, 255, 255, 0), (255, 127, 127)), ((0, 0, 255, 128), (191, 63, 127)), ((0, 0, 255, 255), (127, 0, 127))],
)
def test_a_background_that_is_transparent_itself_is_on_white_in_a_jpeg(
    background: tuple[int, int, int, int], expected: tuple[int, int, int]
) -> None:
    content = encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 128)))
    small = made(content, width=20, background=background, quality=100)
    found = small.getpixel((10, 10))
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 4, found
    clear = made(content, width=20, background=(0, 0, 0, 0), format="png")
    assert clear.getpixel((10, 10)) == (255, 0, 0, 128)


@pytest.mark.parametrize(("format", "longest"), [("jpeg", 65_500), ("webp", 16_383), ("gif", 65_535), ("avif", 32_768)])
def test_a_new_picture_whose_side_is_too_long_for_its_format_is_refused_with_the_limit(
    format: str,  # noqa: A002
    longest: int,
) -> None:
    content = encoded(Image.new("L", (1, longest + 1)))
    with pytest.raises(PictureRefused, match=rf"^format: {format} has at most {longest:,} pixels a side"):
        make(content, [Wanted(width=1, format=format)])
    assert made(content, width=1, format="png").size == (1, longest + 1)
    if format != "avif":
        assert made(encoded(Image.new("L", (1, longest))), width=1, format=format).size == (1, longest)


WHOLE = Image.effect_noise((300, 300), 80).convert("RGB")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "HEIF"])
def test_a_file_without_its_end_is_taken_if_that_is_tolerated(format: str) -> None:  # noqa: A002
    pillow_heif.register_heif_opener()
    content = encoded(WHOLE, format)
    content = content[: len(content) * 2 // 3]
    with pytest.raises(PictureRefused):
        make(content, [Wanted(width=20)])
    assert made(content, width=20, tolerate_truncated=True).size == (20, 20)


@pytest.mark.parametrize("tolerate", [False, True])
@pytest.mark.parametrize(("format", "options"), [("WEBP", {}), ("AVIF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_a_file_without_its_end_that_can_only_be_decoded_whole_is_called_incomplete(
    format: str,  # noqa: A002
    options: dict[str, Any],
    tolerate: bool,
) -> None:
    content = encoded(WHOLE, format, **options)
    with pytest.raises(PictureRefused, match=f"begins like {format}, but is broken, incomplete"):
        make(content[: len(content) * 2 // 3], [Wanted(width=20)], tolerate_truncated=tolerate)


def test_a_jpeg_with_its_colours_one_after_the_other_is_limited_as_it_is_stored() -> None:
    """The decoder keeps all of it in memory, as it does a progressive one, however small the new picture."""
    content = encoded(Image.new("RGB", (800, 600)), "JPEG")
    limits = Limits(decoded=100_000)
    assert make(content, [Wanted(width=20)], limits)[1][0].size == (20, 15)
    at = content.index(b"\xff\xda")
    scan = b"\xff\xda" + struct.pack(">HB2s3s", 8, 1, b"\1\0", b"\0\x3f\0")
    apart = content[:at] + scan + content[at + 14 :]
    for several in (apart, encoded(Image.new("RGB", (800, 600)), "JPEG", progressive=True)):
        with pytest.raises(PictureRefused, match="the picture has 800 x 600 pixels, more than the 100,000 allowed"):
            make(several, [Wanted(width=20)], limits)
        # With bytes that mean nothing between its markers, too.
        with pytest.raises(PictureRefused, match="800 x 600"):
            make(several[:2] + b"\xff\xff\xfe\0\4\xff\xda" + several[2:], [Wanted(width=20)], limits)


@pytest.mark.parametrize("brand", [b"mif1", b"msf1"])
def test_an_avif_that_begins_with_a_brand_of_its_container_needs_no_decoder_of_heic(
    brand: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    content = encoded(quarters(), "AVIF")
    assert content[8:12] == b"avif"
    small = made(content[:8] + brand + content[12:], width=80, format="png")
    assert corners(small) == [RED, GREEN, BLUE, WHITE]


def test_of_several_pictures_in_a_heic_that_which_is_to_be_shown_is_taken() -> None:
    pillow_heif.register_heif_opener()
    several = pillow_heif.from_pillow(Image.new("RGB", (64, 64), RED))
    several.add_from_pillow(Image.new("RGB", (64, 64), GREEN))
    several.add_from_pillow(Image.new("RGB", (64, 64), BLUE))
    for primary, expected in enumerate((RED, GREEN, BLUE)):
        target = io.BytesIO()
        several.save(target, primary_index=primary, quality=95)
        found = made(target.getvalue(), width=8, format="png").getpixel((4, 4))
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 4, (primary, found)


def test_grey_with_transparency_in_a_tiff_may_be_multiplied_by_it() -> None:
    grey = pyvips.Image.black(20, 20).linear(1, [200, 64], uchar=True).copy(interpretation="b-w")
    small = made(grey.tiffsave_buffer(premultiply=True), width=10, format="png")
    assert small.mode == "LA"
    found = small.getpixel((5, 5))
    assert max(abs(a - b) for a, b in zip(found, (200, 64), strict=True)) <= 2, found
