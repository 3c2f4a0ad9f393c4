"""Makes new pictures of one source: it is read and decoded once, whatever the number of sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

from .colours import to_srgb
from .encoding import ANIMATED, encode
from .frames import is_animated, read_frames, repetitions
from .geometry import UPRIGHT, Fit, Gravity, Plan, Size, cover_box, needed, plan, scaled, stored, turned
from .interest import most_interesting
from .modes import plain
from .opening import Limits, PictureRefused, open_picture, tolerating_truncated

_ORIENTATION = 0x0112
#: Longest side of a picture in a format, in pixels; of AVIF, what decoders accept.
_LONGEST = {"jpeg": 65_500, "webp": 16_383, "gif": 65_535, "avif": 32_768}
_GREY = ("1", "L", "LA", "I;16")
#: RGBA.
Colour = tuple[int, int, int, int]
_CLEAR: Colour = (0, 0, 0, 0)


@dataclass(frozen=True)
class Wanted:
    """A picture to make."""

    width: int | None = None
    height: int | None = None
    fit: Fit = "cover"
    gravity: Gravity = "center"
    enlarge: bool = True
    #: Behind transparent parts, and around a picture that is contained.
    background: Colour | None = None
    format: str = "jpeg"
    quality: int = 85
    #: The quality is lowered until the file is no larger.
    max_bytes: int | None = None
    frames: Literal["all", "first"] = "all"

    @property
    def keeps_frames(self) -> bool:
        return self.frames == "all" and self.format in ANIMATED


@dataclass(frozen=True)
class Source:
    """What a source was: its size, upright."""

    format: str
    size: Size
    animated: bool


@dataclass(frozen=True)
class Picture:
    """A new picture."""

    content: bytes
    size: Size
    format: str
    frames: int
    quality: int | None


def make(
    content: bytes, wanted: Sequence[Wanted], limits: Limits | None = None, *, tolerate_truncated: bool = False
) -> tuple[Source, list[Picture]]:
    """Make new pictures of a source. Raises PictureRefused."""
    try:
        with tolerating_truncated(tolerate_truncated):
            return _make(content, wanted, limits or Limits())
    except (PictureRefused, MemoryError):
        raise
    except Exception as error:
        # Decoders raise nearly anything for a broken file.
        raise PictureRefused(f"the picture can't be decoded: {error}") from error


def _make(content: bytes, wanted: Sequence[Wanted], limits: Limits) -> tuple[Source, list[Picture]]:
    opened = open_picture(content, limits)
    scene = _Scene(opened)
    plans = _plans(scene, wanted, limits)
    scene.decode_small(plans, limits)
    animated = is_animated(opened)
    every = [animated and each.keeps_frames for each in wanted]
    made: dict[int, Picture] = {}
    shots: list[list[Image.Image]] = [[] for _ in wanted]
    times: list[int] = []
    for frame in read_frames(opened, content, limits, every=any(every)):
        if not frame.is_still:
            times.append(frame.duration)
        ready = plain(frame.picture)
        for place, (each, shot) in enumerate(zip(wanted, shots, strict=True)):
            if frame.is_still if every[place] else place in made:
                continue
            if not shot:
                plans[place] = scene.aimed(ready, plans[place], each)
            limits.check_made(plans[place].canvas, len(shot) + 1)
            shot.append(scene.shot(ready, plans[place], each))
            if not every[place]:
                # At once: of many sizes only one takes memory.
                made[place] = scene.written(shot, [frame.duration], each)
                shot.clear()
    if not times:
        raise PictureRefused("the picture can't be decoded: its animation has no frames")
    for place, (each, shot) in enumerate(zip(wanted, shots, strict=True)):
        if every[place]:
            made[place] = scene.written(shot, times, each)
            shot.clear()
    return Source(str(opened.format), scene.upright, animated), [made[place] for place in range(len(wanted))]


def _plans(scene: "_Scene", wanted: Sequence[Wanted], limits: Limits) -> list[Plan]:
    plans = [scene.plan(each) for each in wanted]
    for planned, each in zip(plans, wanted, strict=True):
        limits.check_made(planned.canvas)
        _check_sides(planned.canvas, each.format)
    return plans


def _check_sides(size: Size, format: str) -> None:  # noqa: A002 - the payload's own word
    longest = _LONGEST.get(format)
    if longest is not None and max(size) > longest:
        raise PictureRefused(
            f"format: {format} has at most {longest:,} pixels a side, and the new picture would have {size[0]} x "
            f"{size[1]}: make it smaller, or use png"
        )


class _Scene:
    """An opened source, and how its pixels have to be read."""

    def __init__(self, opened: Image.Image) -> None:
        if opened.format == "TIFF":
            # Then Pillow turns it upright.
            opened.load()
        self._opened = opened
        #: The size at which it is decoded, of that which is stored.
        self._scale = 1.0
        self._orientation = _orientation(opened)
        self._profile: bytes | None = opened.info.get("icc_profile")
        self.upright = turned(opened.size, self._orientation)
        self.is_palette = opened.mode == "P"
        self._is_grey = opened.mode in _GREY
        self.loop = repetitions(opened)

    def plan(self, wanted: Wanted) -> Plan:
        return plan(
            self.upright,
            wanted.width,
            wanted.height,
            wanted.fit,
            wanted.gravity,
            enlarge=wanted.enlarge,
            pad=wanted.background is not None,
        )

    def decode_small(self, plans: Sequence[Plan], limits: Limits) -> None:
        """Let the JPEG decoder scale by 1/2, 1/4 or 1/8, if that leaves enough pixels for every picture."""
        sizes = [needed(self.upright, each) for each in plans]
        most = max(size[0] for size in sizes), max(size[1] for size in sizes)
        width = self._opened.size[0]
        drafted = self._opened.draft(None, turned(most, self._orientation))
        if drafted is not None:
            # Of the last column and row there may be only a part: the size itself is rounded up.
            self._scale = drafted[1][2] / width
        limits.check_decoded(self._opened.size)

    def aimed(self, picture: Image.Image, planned: Plan, wanted: Wanted) -> Plan:
        """Return the plan with the most interesting part cut out, if that is asked for."""
        if wanted.gravity != "entropy" or wanted.fit != "cover":
            return planned
        small = picture.resize(_within(picture.size, 64), Image.Resampling.BOX)
        shares = most_interesting(self._turn(small.convert("L")), planned.size)
        return replace(planned, box=cover_box(self.upright, planned.size, shares))

    def shot(self, picture: Image.Image, planned: Plan, wanted: Wanted) -> Image.Image:
        """Return the new picture, upright and in sRGB."""
        box = scaled(stored(planned.box, self.upright, self._orientation), self._scale, picture.size)
        size = turned(planned.size, self._orientation)
        small = self._turn(picture.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))
        if self._is_grey and small.mode.startswith("RGB"):
            # Frames are composed in RGB, for which a profile of grey is not meant.
            small = small.convert("LA" if small.mode == "RGBA" else "L")
        return _on_canvas(to_srgb(small, self._profile), planned, wanted)

    def written(self, shots: Sequence[Image.Image], times: Sequence[int], wanted: Wanted) -> Picture:
        """Return new pictures, each shown for a time (ms), as a file."""
        encoded = encode(shots, times, self.loop, wanted, self.is_palette)
        return Picture(encoded.content, encoded.size, wanted.format, encoded.frames, encoded.quality)

    def _turn(self, picture: Image.Image) -> Image.Image:
        return picture.transpose(UPRIGHT[self._orientation]) if self._orientation in UPRIGHT else picture


def _orientation(opened: Image.Image) -> int:
    """Return how the pixels have to be turned, as in EXIF: 1 is upright, also if its EXIF can't be read."""
    if opened.format == "TIFF":
        return 1
    if opened.format == "PNG" and "exif" not in opened.info:
        # EXIF may follow the pixels, which must not be broken.
        opened.load()
    try:
        found: int = opened.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - browsers show such a picture, too
        return 1
    return found


def _within(size: Size, most: int) -> Size:
    scale = min(1.0, most / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _on_canvas(picture: Image.Image, planned: Plan, wanted: Wanted) -> Image.Image:
    colour = wanted.background
    if wanted.format == "jpeg" and (colour is not None or picture.mode.endswith("A")):
        # JPEG has no transparency.
        colour = _on_white(colour or _CLEAR)
    if colour is None or (planned.canvas == picture.size and not picture.mode.endswith("A")):
        return picture
    canvas = Image.new("RGBA", planned.canvas, colour)
    canvas.alpha_composite(picture.convert("RGBA"), planned.place)
    return canvas.convert("RGB") if colour[3] == 255 else canvas


def _on_white(colour: Colour) -> Colour:
    red, green, blue = (255 + round((value - 255) * colour[3] / 255) for value in colour[:3])
    return red, green, blue, 255
