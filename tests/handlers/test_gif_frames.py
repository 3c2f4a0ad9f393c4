"""Frames of a GIF are composed of its parts, as browsers and libvips compose them."""

import io
import random

import pytest
from PIL import Image

from gopher.handlers.pictures import Limits, PictureRefused, Wanted, make
from gopher.handlers.pictures.frames import read_frames
from gopher.handlers.pictures.opening import open_picture

from .gifs import BLUE, CLEAR, GREEN, RED, Part, gif, nearest, same, seen

SIZE = (40, 40)
WHOLE_RED = Part(0, 0, 40, 40, 1)


def frames_of(content: bytes, limits: Limits | None = None) -> list[Image.Image]:
    """The frames of a source, in RGBA."""
    limits = limits or Limits()
    opened = open_picture(content, limits)
    return [frame.picture.convert("RGBA") for frame in read_frames(opened, content, limits, every=True)]


def test_a_part_is_painted_over_an_opaque_first_frame() -> None:
    first = Image.new("RGB", (60, 60), RED[:3])
    second = first.copy()
    second.paste(BLUE[:3], (20, 20, 40, 40))
    target = io.BytesIO()
    first.save(target, "GIF", save_all=True, append_images=[second], duration=100)
    made = make(target.getvalue(), [Wanted(width=60, format="gif"), Wanted(width=60, format="webp", quality=100)])[1]
    for picture in made:
        last = seen(picture.content)[1]
        assert [nearest(last.getpixel(at)) for at in ((3, 3), (30, 30))] == [RED, BLUE], picture.format


def test_a_part_without_a_disposal_stays_after_one_that_was_cleared() -> None:
    parts = [
        Part(0, 0, 10, 10, 1, disposal=2, transparent=True),
        Part(10, 0, 10, 10, 2, transparent=True),
        Part(20, 0, 10, 10, 3, transparent=True),
    ]
    last = frames_of(gif(SIZE, parts))[2]
    assert [last.getpixel((at, 5)) for at in (5, 15, 25, 35)] == [CLEAR, GREEN, BLUE, CLEAR]


def test_a_cleared_part_of_an_opaque_picture_is_transparent() -> None:
    parts = [WHOLE_RED, Part(10, 10, 10, 10, 2, disposal=2, transparent=True), Part(0, 0, 5, 5, 3, transparent=True)]
    _, second, third = frames_of(gif(SIZE, parts))
    assert [second.getpixel((15, 15)), second.getpixel((30, 30))] == [GREEN, RED]
    assert [third.getpixel((at, at)) for at in (2, 15, 30)] == [BLUE, CLEAR, RED]


@pytest.mark.parametrize("disposal", [3, 4])
def test_what_was_before_a_part_is_restored(disposal: int) -> None:
    parts = [
        Part(0, 0, 20, 20, 1, disposal, transparent=True),
        Part(10, 10, 10, 10, 2, transparent=True),
        Part(10, 10, 30, 30, 3, disposal, transparent=True),
        Part(0, 0, 1, 1, 3, transparent=True),
    ]
    _, second, third, fourth = frames_of(gif(SIZE, parts))
    assert [second.getpixel((at, at)) for at in (5, 15, 30)] == [CLEAR, GREEN, CLEAR]
    assert third.getpixel((15, 15)) == BLUE
    assert [fourth.getpixel((at, at)) for at in (5, 15, 30)] == [CLEAR, GREEN, CLEAR]


def test_what_is_outside_the_canvas_is_cut_off() -> None:
    content = gif(SIZE, [WHOLE_RED, Part(30, 30, 20, 20, 2), Part(100, 100, 20, 20, 3)])
    made = make(content, [Wanted(width=40, format="gif")])[1][0]
    frames = seen(made.content)
    assert (made.size, [frame.size for frame in frames]) == (SIZE, [SIZE] * len(frames))
    assert [frames[1].getpixel((at, at)) for at in (5, 35)] == [RED, GREEN]


def test_a_part_far_away_takes_no_memory_for_a_larger_canvas() -> None:
    content = gif((10, 10), [Part(0, 0, 10, 10, 1), Part(2990, 2990, 10, 10, 2)])
    assert [frame.size for frame in frames_of(content, Limits(decoded=1000))] == [(10, 10)] * 2


def test_a_part_with_too_many_pixels_is_refused() -> None:
    content = gif((10, 10), [Part(0, 0, 10, 10, 1), Part(0, 0, 50, 50, 2)])
    with pytest.raises(PictureRefused, match="a frame has 50 x 50 pixels, more than the 1,000 allowed"):
        make(content, [Wanted(width=10, format="gif")], Limits(decoded=1000))


def test_frames_of_a_pixel_or_none_count_for_the_memory_that_each_takes() -> None:
    content = gif((1, 1), [Part(0, 0, 1, 1, 1), *[Part(5, 5, 1, 1, 2)] * 20])
    assert make(content, [Wanted(width=1, format="gif")], Limits(made=21 * 512))
    with pytest.raises(PictureRefused, match="more than 20 frames of 1 x 1 pixels, more than the 10,751 allowed"):
        make(content, [Wanted(width=1, format="gif")], Limits(made=21 * 512 - 1))


@pytest.mark.parametrize("seed", range(40))
def test_frames_of_random_parts_are_as_libvips_shows_them(seed: int) -> None:
    chance = random.Random(seed)
    width, height = chance.randint(4, 30), chance.randint(4, 30)
    parts = [Part(0, 0, width, height, 1, transparent=True, hole=(1, 1, 3, 3))] if seed % 2 else []
    for _ in range(chance.randint(2, 6)):
        left, top = chance.randrange(width), chance.randrange(height)
        across, down = chance.randint(1, width - left), chance.randint(1, height - top)
        disposal = chance.randrange(4)
        # Without a transparent colour libvips clears to the background, and browsers to nothing.
        transparent = not parts or disposal == 2 or chance.random() < 0.5
        parts.append(Part(left, top, across, down, chance.randrange(4), disposal, transparent, (1, 1, across, 3)))
    content = gif((width, height), parts)
    shown, expected = frames_of(content), seen(content)
    assert len(shown) == len(expected)
    assert all(map(same, shown, expected)), parts


@pytest.mark.parametrize("kept", [0.4, 0.7, 0.9])
def test_an_animation_whose_end_is_missing_is_refused_or_shows_the_frames_that_are_there(kept: float) -> None:
    parts = [Part(0, 0, 40, 40, 1, hole=(5, 5, 9, 9))] * 2 + [Part(0, 0, 40, 40, 2, hole=(1, 1, 8, 8))] * 3
    content = gif(SIZE, parts)
    content = content[: int(len(content) * kept)]
    with pytest.raises(PictureRefused, match="truncated"):
        make(content, [Wanted(width=40, format="gif")])
    about, (picture,) = make(content, [Wanted(width=40, format="gif")], tolerate_truncated=True)
    assert (about.animated, picture.size) == (True, SIZE)


def test_bytes_between_the_frames_are_skipped() -> None:
    parts = [gif(SIZE, [WHOLE_RED]), gif(SIZE, [Part(0, 0, 40, 40, 3)])]
    comment = b"!\xfe\x03hey\x00"
    content = parts[0][:-1] + b"\0\0" + comment + parts[1][13 + 12 : -1]
    assert [frame.getpixel((5, 5)) for frame in frames_of(content)] == [RED, BLUE]
