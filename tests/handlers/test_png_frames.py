"""Frames of an animated PNG are composed of its parts, as browsers compose them."""

import io
import struct
from typing import Any

import pytest
from PIL import Image, ImageSequence

from gopher.handlers.pictures import Limits, PictureRefused, Wanted, make
from gopher.handlers.pictures.frames import read_frames
from gopher.handlers.pictures.opening import open_picture
from gopher.handlers.pictures.png import png_tiles
from tests.handlers.test_colours import grey_profile

from .gifs import BLUE, CLEAR, GREEN, PALETTE, RED, nearest

STAYS, CLEARED, RESTORED = range(3)
REPLACES, OVER = range(2)


def drawn(colour: tuple[int, ...], left: int = 0, right: int = 40) -> Image.Image:
    """A picture with a column of a colour on transparency."""
    picture = Image.new("RGBA", (40, 40), CLEAR)
    picture.paste(colour, (left, 0, right, 40))
    return picture


def animated(*frames: Image.Image, disposal: list[int], blend: int = OVER, **options: Any) -> bytes:
    target = io.BytesIO()
    options = {"duration": 100, "disposal": disposal, "blend": blend, **options}
    frames[0].save(target, "PNG", save_all=True, append_images=frames[1:], **options)
    return target.getvalue()


def colours_of(content: bytes) -> list[list[tuple[int, ...]]]:
    """Of each frame, the colours of the four columns of ten pixels."""
    limits = Limits()
    opened = open_picture(content, limits)
    frames = [frame.picture.convert("RGBA") for frame in read_frames(opened, content, limits, every=True)]
    return [[frame.getpixel((at, 20)) for at in (5, 15, 25, 35)] for frame in frames]  # type: ignore[misc]


def test_what_was_before_a_frame_is_restored() -> None:
    content = animated(drawn(RED), drawn(GREEN, 0, 20), drawn(BLUE, 30), disposal=[STAYS, RESTORED, STAYS])
    assert colours_of(content) == [[RED] * 4, [GREEN, GREEN, RED, RED], [RED, RED, RED, BLUE]]


def test_a_half_transparent_frame_is_painted_over_the_one_before() -> None:
    content = animated(drawn(RED, 0, 20), drawn((0, 0, 255, 128), 10, 30), disposal=[STAYS, STAYS])
    first, second = colours_of(content)
    assert first == [RED, RED, CLEAR, CLEAR]
    mixed = second.pop(1)
    assert second == [RED, (0, 0, 255, 128), CLEAR]
    assert mixed[3] == 255
    assert mixed[0] == pytest.approx(127, abs=2)


def test_colours_that_a_file_repeats_are_kept_once() -> None:
    frames = [Image.new("P", (40, 40), number) for number in (1, 0)]
    for frame in frames:
        frame.putpalette(PALETTE)
    content = animated(*frames, disposal=[STAYS, STAYS])
    at = content.index(b"PLTE") - 4
    palette = content[at : content.index(b"fcTL") - 4]
    tiles = list(png_tiles(content[:at] + palette * 1000 + content[at:]))
    assert [tile.content for tile in tiles] == [tile.content for tile in png_tiles(content)]


def test_an_animation_without_frames_is_refused() -> None:
    frames = drawn(GREEN), drawn(RED), drawn(BLUE)
    content = animated(*frames, disposal=[STAYS, STAYS], default_image=True)
    still, at = content[:8], 8
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind not in (b"fcTL", b"fdAT"):
            still += content[at : at + 12 + length]
        at += 12 + length
    with pytest.raises(PictureRefused, match="its animation has no frames"):
        make(still, [Wanted(40, 40, format="webp")], Limits())


def test_frames_with_a_palette_are_composed() -> None:
    frames = [Image.new("P", (40, 40), number) for number in (1, 0, 0)]
    for frame in frames:
        frame.putpalette(PALETTE)
    frames[1].paste(2, (10, 0, 20, 40))
    frames[2].paste(3, (30, 0, 40, 40))
    content = animated(*frames, disposal=[STAYS, RESTORED, STAYS], transparency=0)
    assert colours_of(content) == [[RED] * 4, [RED, GREEN, RED, RED], [RED, RED, RED, BLUE]]


def test_the_still_picture_of_an_animation_is_behind_no_frame_of_it() -> None:
    content = animated(drawn(RED), drawn(GREEN, 10, 20), drawn(BLUE, 30), disposal=[CLEARED] * 3, default_image=True)
    still, *frames = colours_of(content)
    assert still == [RED] * 4
    assert frames == [[CLEAR, GREEN, CLEAR, CLEAR], [CLEAR, CLEAR, CLEAR, BLUE]]


@pytest.mark.parametrize("formats", [["png", "webp"], ["webp", "png"], ["jpeg", "gif", "png"]])
def test_a_still_format_has_the_still_picture_also_beside_an_animation(formats: list[str]) -> None:
    content = animated(
        drawn(RED), drawn(GREEN), drawn(BLUE), disposal=[STAYS] * 3, default_image=True, duration=[0, 70, 90]
    )
    for picture in make(content, [Wanted(width=40, format=format) for format in formats])[1]:  # noqa: A001
        with Image.open(io.BytesIO(picture.content)) as opened:
            shown = [nearest(frame.convert("RGBA").getpixel((20, 20))) for frame in ImageSequence.Iterator(opened)]
        assert shown == ([GREEN, BLUE] if picture.format in ("webp", "gif") else [RED]), picture.format


def test_a_part_with_too_many_pixels_is_refused() -> None:
    content = bytearray(animated(drawn(RED), drawn(BLUE), disposal=[STAYS] * 2))
    at = content.rindex(b"fcTL") + 8
    content[at : at + 8] = (4000).to_bytes(4, "big") * 2
    with pytest.raises(PictureRefused, match="a frame has 4000 x 4000 pixels, more than the 2,000 allowed"):
        make(bytes(content), [Wanted(width=10, format="gif")], Limits(decoded=2000))


def test_an_animation_whose_end_is_missing_is_refused_or_shows_the_frames_that_are_there() -> None:
    content = animated(drawn(RED), drawn(GREEN), drawn(BLUE, 3, 20), disposal=[STAYS] * 3)[:-30]
    with pytest.raises(PictureRefused, match="truncated"):
        make(content, [Wanted(width=40, format="gif")])
    (picture,) = make(content, [Wanted(width=40, format="gif")], tolerate_truncated=True)[1]
    assert picture.frames >= 2


def test_the_profile_of_grey_frames_is_applied() -> None:
    frames = [Image.new("L", (40, 40), value) for value in (0x40, 0x80)]
    content = animated(*frames, disposal=[STAYS, STAYS], icc_profile=grey_profile(1.0))
    for form, every in (("png", False), ("webp", True)):
        (made,) = make(content, [Wanted(40, 40, format=form, quality=100)])[1]
        with Image.open(io.BytesIO(made.content)) as opened:
            assert opened.convert("L").getpixel((20, 20)) == pytest.approx(137, abs=2)
            assert getattr(opened, "is_animated", False) == every
