"""Animations: every frame is resized, with its time, or the first one is taken and the result says so."""

import io
import struct
from typing import Any

import pytest
from PIL import Image, ImageSequence

from gopher.handlers.pictures import Limits, PictureRefused, Wanted, make

RED, GREEN, BLUE, CLEAR = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)
TIMES = [50, 120, 300]


def spot(colour: tuple[int, int, int, int], place: int) -> Image.Image:
    """A square of a colour on transparency, which moves."""
    picture = Image.new("RGBA", (60, 60), CLEAR)
    picture.paste(colour, (place, 10, place + 20, 30))
    # Pillow writes no alpha channel for a WebP whose frames are rectangles without any.
    picture.putpixel((place, 10), (*colour[:3], 128))
    return picture


FRAMES = [spot(RED, 0), spot(GREEN, 20), spot(BLUE, 40)]


def animation(format: str, **options: Any) -> bytes:  # noqa: A002
    target = io.BytesIO()
    extra = {"disposal": 2} if format == "GIF" else {"disposal": 1, "blend": 0} if format == "PNG" else {"quality": 100}
    FRAMES[0].save(target, format, save_all=True, append_images=FRAMES[1:], duration=TIMES, **extra, **options)
    return target.getvalue()


def frames_of(content: bytes) -> list[tuple[Image.Image, int]]:
    with Image.open(io.BytesIO(content)) as picture:
        return [(frame.convert("RGBA"), frame.info["duration"]) for frame in ImageSequence.Iterator(picture)]


def nearest(pixel: tuple[int, ...]) -> tuple[int, ...]:
    return CLEAR if pixel[3] < 128 else tuple(255 if value > 127 else 0 for value in pixel)


def middles(frame: Image.Image) -> list[tuple[int, ...]]:
    """The colours where each of the three spots may be."""
    return [nearest(frame.getpixel((frame.width * (2 * at + 1) // 6, frame.height // 3))) for at in range(3)]  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["gif", "webp"])
@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG"])
def test_every_frame_is_resized_with_its_time(source: str, target: str) -> None:
    about, (picture,) = make(animation(source, loop=0), [Wanted(width=30, format=target)])
    frames = frames_of(picture.content)
    assert (about.animated, picture.frames, picture.size) == (True, 3, (30, 30))
    assert [middles(frame) for frame, _ in frames] == [[RED, CLEAR, CLEAR], [CLEAR, GREEN, CLEAR], [CLEAR, CLEAR, BLUE]]
    assert [time for _, time in frames] == TIMES


@pytest.mark.parametrize("target", ["gif", "webp"])
@pytest.mark.parametrize(
    ("source", "loop", "times"),
    [("GIF", 0, 0), ("GIF", 1, 2), ("GIF", 3, 4), ("GIF", None, 1), ("GIF", 65535, 65536)]
    + [(source, times, times) for source in ("WEBP", "PNG") for times in (0, 1, 2, 4, 65535)]
    + [("PNG", 2_000_000, 65536), ("AVIF", None, 0)],
)
def test_it_repeats_as_often_as_before(target: str, source: str, loop: int | None, times: int) -> None:
    """A GIF says how often it is repeated, if at all; others say how often it is shown, which is forever for 0."""
    content = animation(source, **({} if loop is None else {"loop": loop}))
    (picture,) = make(content, [Wanted(width=30, format=target)])[1]
    with Image.open(io.BytesIO(picture.content)) as opened:
        shown = opened.info.get("loop")
    # Both store it in 16 bits.
    assert shown == ({0: 0, 1: None}.get(times, times - 1) if target == "gif" else min(times, 65535))


@pytest.mark.parametrize("target", ["jpeg", "png", "avif"])
@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG"])
def test_a_still_format_has_the_first_frame_and_the_result_says_that_there_were_more(source: str, target: str) -> None:
    about, (picture,) = make(animation(source), [Wanted(width=30, format=target)])
    assert (about.animated, picture.frames) == (True, 1)
    with Image.open(io.BytesIO(picture.content)) as opened:
        assert nearest(opened.convert("RGBA").getpixel((5, 10))) == RED  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["gif", "webp"])
def test_the_first_frame_alone_is_taken_if_that_is_asked_for(target: str) -> None:
    (picture,) = make(animation("GIF"), [Wanted(width=30, format=target, frames="first")])[1]
    assert picture.frames == 1
    with Image.open(io.BytesIO(picture.content)) as opened:
        assert not getattr(opened, "is_animated", False)


def test_the_still_picture_of_an_animated_png_is_no_frame_of_it() -> None:
    content = animation("PNG", default_image=True)
    assert make(content, [Wanted(width=30, format="webp")])[1][0].frames == 2
    assert make(content, [Wanted(width=30, format="png")])[1][0].frames == 1


def small_first_frame() -> bytes:
    """A GIF whose first frame covers a corner of the canvas, and whose palette begins with blue."""
    palette = bytes((0, 0, 255, 255, 0, 0))
    head = b"GIF89a" + struct.pack("<HHBBB", 40, 40, 0x80, 0, 0) + palette
    one = io.BytesIO()
    Image.new("P", (20, 20), 1).save(one, "GIF")
    body = one.getvalue()
    at = body.index(b"\x2c")
    data = body[at + 10 :]
    # Skip a palette of the frame's own, if there is one.
    flags = body[at + 9]
    data = data[3 * 2 ** ((flags & 7) + 1) :] if flags & 0x80 else data
    return head + b"," + struct.pack("<HHHHB", 0, 0, 20, 20, 0) + data


@pytest.mark.parametrize("target", ["png", "webp", "gif"])
def test_what_the_first_frame_does_not_cover_is_transparent(target: str) -> None:
    (picture,) = make(small_first_frame(), [Wanted(width=40, format=target)])[1]
    with Image.open(io.BytesIO(picture.content)) as opened:
        pixels = opened.convert("RGBA")
    assert nearest(pixels.getpixel((30, 30))) == CLEAR  # type: ignore[arg-type]
    assert pixels.getpixel((5, 5))[3] == 255  # type: ignore[index]


def test_an_animation_that_would_be_too_large_is_refused_with_the_remedy() -> None:
    with pytest.raises(PictureRefused, match="more than 2 frames of 30 x 30 pixels.*set frames=first"):
        make(animation("GIF"), [Wanted(width=30, format="gif")], Limits(made=2000))
    assert make(animation("GIF"), [Wanted(width=30, format="gif", frames="first")], Limits(made=2000))
