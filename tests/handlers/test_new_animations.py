"""New animations show every frame as it was, with its time, and the result says how many frames the file has."""

import io
import random
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image, ImageSequence

from gopher.handlers.pictures import Wanted, make
from gopher.handlers.pictures.encoding import encode

from .gifs import BLUE, CLEAR, GREEN, RED, nearest, same, seen

BLACK = (0, 0, 0, 255)


def drawn(colour: tuple[int, ...], box: tuple[int, int, int, int] = (0, 0, 40, 40)) -> Image.Image:
    """A picture of a rectangle of a colour on transparency."""
    picture = Image.new("RGBA", (40, 40), CLEAR)
    picture.paste(colour, box)
    return picture


def animated(frames: Sequence[Image.Image], times: int | list[int] = 100) -> bytes:
    """An animated PNG or WebP, which keeps each pixel."""
    target = io.BytesIO()
    # Pillow writes no frame without any pixel in a PNG.
    options: dict[str, Any] = {"format": "WEBP", "lossless": True} if drawn(CLEAR) in frames else {"format": "PNG"}
    frames[0].save(target, **options, save_all=True, append_images=frames[1:], duration=times, disposal=1, blend=0)
    return target.getvalue()


def made(content: bytes, format: str, **options: Any) -> tuple[bytes, int]:  # noqa: A002
    """The new animation of a source, and how many frames the result says that it has."""
    wanted = Wanted(**{"width": 40, "format": format, "quality": 100, **options})
    (picture,) = make(content, [wanted])[1]
    return picture.content, picture.frames


def times_of(content: bytes) -> list[int]:
    with Image.open(io.BytesIO(content)) as picture:
        return [frame.copy().info["duration"] for frame in ImageSequence.Iterator(picture)]


@pytest.mark.parametrize("target", ["gif", "webp"])
@pytest.mark.parametrize(
    "frames",
    [
        [drawn(RED), drawn(CLEAR), drawn(BLUE)],
        [drawn(CLEAR), drawn(RED), drawn(CLEAR)],
        [drawn(RED, (5, 5, 20, 20)), drawn(BLACK), drawn(BLUE, (0, 0, 9, 9))],
        [drawn(RED, (0, 0, 20, 20)), drawn(RED, (20, 20, 40, 40)), drawn(GREEN)],
        [drawn(RED), drawn(GREEN), drawn(BLACK)],
    ],
    ids=["a transparent one", "transparent ones", "a black one", "corners", "opaque ones"],
)
def test_each_frame_is_shown_alone(target: str, frames: list[Image.Image]) -> None:
    content, number = made(animated(frames), target)
    shown = seen(content)
    assert (number, len(shown)) == (3, 3)
    for frame, expected in zip(shown, frames, strict=True):
        for at in ((2, 2), (12, 12), (30, 30), (30, 4)):
            assert nearest(frame.getpixel(at)) == expected.getpixel(at), at


def test_a_black_edge_is_kept() -> None:
    sticker = drawn(BLACK, (10, 8, 35, 33))
    sticker.paste(RED, (13, 11, 32, 30))
    content, _ = made(animated([drawn(GREEN, (0, 0, 5, 5)), sticker]), "gif")
    assert seen(content)[1].getchannel("A").getbbox() == (10, 8, 35, 33)


def test_an_opaque_frame_with_many_colours_has_no_holes_if_another_one_is_transparent() -> None:
    colourful = Image.frombytes("RGB", (40, 40), random.Random(1).randbytes(4800))
    hole = colourful.convert("RGBA")
    hole.paste(CLEAR, (10, 10, 20, 20))
    first, second = seen(encode([colourful, hole], [100, 100], 0, Wanted(format="gif"), from_palette=False).content)
    assert first.getchannel("A").getextrema() == (255, 255)
    assert second.getchannel("A").tobytes() == hole.getchannel("A").tobytes()


@pytest.mark.parametrize("seed", range(20))
def test_libvips_shows_a_gif_of_random_rectangles_as_it_was(seed: int) -> None:
    chance = random.Random(seed)
    frames = []
    for number in range(5):
        # The red channel is another one in each, so that no two are equal.
        colours = [(number, green, 0, alpha) for green in (0, 255) for alpha in (0, 255)]
        frame = Image.new("RGBA", (20, 20), chance.choice(colours))
        for _ in range(3):
            left, top = chance.randrange(20), chance.randrange(20)
            frame.paste(chance.choice(colours), (left, top, chance.randint(left, 20), chance.randint(top, 20)))
        frames.append(frame if chance.random() < 0.7 else frame.convert("RGB"))
    encoded = encode(frames, [100] * 5, 0, Wanted(format="gif"), from_palette=False)
    shown = seen(encoded.content)
    assert encoded.frames == len(shown) == 5
    assert all(same(frame, before.convert("RGBA")) for frame, before in zip(shown, frames, strict=True))


@pytest.mark.parametrize("target", ["gif", "webp"])
@pytest.mark.parametrize("alpha", [True, False])
def test_frames_that_are_equal_when_they_are_small_are_joined_and_their_times_add_up(target: str, alpha: bool) -> None:
    first, last = drawn(RED, (0, 0, 20 if alpha else 40, 40)), drawn(BLUE)
    dotted = last.copy()
    dotted.putpixel((20, 20), (1, 0, 255, 255))
    source = animated([first, last, dotted, last, first], [50, 100, 20, 200, 70])
    content, number = made(source, target, width=4, height=4, quality=50)
    assert number == len(seen(content)) == 3
    assert times_of(content) == [50, 320, 70]


@pytest.mark.parametrize("target", ["gif", "webp"])
def test_an_animation_whose_frames_are_all_equal_becomes_a_still_picture(target: str) -> None:
    dotted = drawn(RED)
    dotted.putpixel((20, 20), (255, 0, 1, 255))
    content, number = made(animated([drawn(RED), dotted, drawn(RED)]), target, width=2, height=2)
    assert number == len(seen(content)) == 1


def test_a_frame_that_is_shown_for_longer_than_a_gif_can_say_is_shown_for_as_long_as_it_can() -> None:
    target = io.BytesIO()
    frames = [drawn(RED), drawn(BLUE)]
    frames[0].save(target, "WEBP", save_all=True, append_images=frames[1:], duration=[700_000, 16], lossless=True)
    content, _ = made(target.getvalue(), "gif")
    assert times_of(content) == [655_350, 20]


def test_a_webp_of_rectangles_says_that_it_is_transparent() -> None:
    content, _ = made(animated([drawn(RED, (0, 0, 9, 9)), drawn(BLUE, (20, 20, 40, 40))]), "webp")
    with Image.open(io.BytesIO(content)) as picture:
        assert nearest(picture.convert("RGBA").getpixel((30, 30))) == CLEAR
