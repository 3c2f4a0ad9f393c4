"""Writes pictures in a format, with nothing of their sources but the pixels.

Pillow's writers take what they are not told from `picture.info`: comments, profiles, EXIF, resolution. It is
emptied, and every option is set.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image, ImageChops, ImageStat

from .geometry import Size
from .gif import LONGEST, Part, gif_of
from .opening import PictureRefused

#: Formats that can be animated.
ANIMATED = ("gif", "webp")
#: Formats with a quality.
LOSSY = ("jpeg", "webp", "avif")
#: A pixel of a GIF is either opaque or transparent: transparent below this.
_OPAQUE = 128
#: The palette's entry for transparent pixels of a GIF.
_CLEAR = 255
#: WebP's flag for transparency, and the largest number of times that an animation is shown.
_WEBP_ALPHA, _MOST_TIMES = 0x10, 0xFFFF
#: Lowest quality that `max_bytes` may lead to.
_LEAST_QUALITY = 10
#: Alpha from which a colour of a new palette is opaque.
_NEARLY_OPAQUE = 240
#: Mean difference (of 255) up to which a palette replaces true colours.
_UNSEEN = 2.0


class _Asked(Protocol):
    @property
    def format(self) -> str: ...
    @property
    def quality(self) -> int: ...
    @property
    def max_bytes(self) -> int | None: ...


@dataclass(frozen=True)
class Encoded:
    content: bytes
    size: Size
    frames: int
    quality: int | None


def encode(
    frames: Sequence[Image.Image], durations: Sequence[int], loop: int | None, asked: _Asked, from_palette: bool
) -> Encoded:
    """Encode a picture or an animation. `durations` are in ms; `loop` is the number of repetitions, and 0 forever.

    Frames that are equal are joined. Raises PictureRefused if it can't be made as small as `max_bytes`.
    """
    for frame in frames:
        frame.info = {}
    frames, durations = _joined(frames, durations)
    options: dict[str, Any] = {}
    if len(frames) > 1:
        options = {"save_all": True, "duration": list(durations), "loop": loop}
    quality = asked.quality if asked.format in LOSSY else None
    write = _WRITERS[asked.format]
    content = write(frames, {**options, **({} if quality is None else {"quality": quality})}, from_palette)
    if asked.max_bytes and len(content) > asked.max_bytes:
        content, quality = _smaller(lambda q: write(frames, {**options, "quality": q}, from_palette), quality, asked)
    number = _webp_frames(content) if asked.format == "webp" else len(frames)
    return Encoded(content, frames[0].size, number, quality)


def _joined(frames: Sequence[Image.Image], durations: Sequence[int]) -> tuple[list[Image.Image], list[int]]:
    """Join equal frames that follow each other, for as long as a GIF can show one."""
    pictures, times = [frames[0]], [durations[0]]
    for frame, duration in zip(frames[1:], durations[1:], strict=False):
        if frame == pictures[-1] and times[-1] + duration <= LONGEST:
            times[-1] += duration
        else:
            pictures.append(frame)
            times.append(duration)
    return pictures, times


def _smaller(write: Callable[[int], bytes], quality: int | None, asked: _Asked) -> tuple[bytes, int]:
    """Return the content of the highest quality that is small enough, and that quality."""
    best: tuple[bytes, int] | None = None
    least, most = _LEAST_QUALITY, (quality or 0) - 1
    while least <= most:
        middle = (least + most) // 2
        content = write(middle)
        if len(content) <= (asked.max_bytes or 0):
            best, least = (content, middle), middle + 1
        else:
            most = middle - 1
    if best is None:
        at = "" if quality is None else f" even with quality {_LEAST_QUALITY}"
        raise PictureRefused(f"max_bytes: the picture is larger than {asked.max_bytes:,} bytes{at}: make it smaller")
    return best


def _saved(picture: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002 - Pillow's word
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


def _jpeg(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    return _saved(frames[0], "JPEG", progressive=True, **options)


def _avif(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    # Children share the machine's cores.
    return _saved(frames[0], "AVIF", max_threads=1, **options)


def _webp(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    if not options.get("save_all"):
        return _saved(frames[0], "WEBP", **options)
    # WebP counts how often it is shown.
    loop = options["loop"]
    times = 1 if loop is None else loop and min(loop + 1, _MOST_TIMES)
    content = _saved(frames[0], "WEBP", **{**options, "loop": times}, append_images=frames[1:], background=(0, 0, 0, 0))
    if content[12:16] == b"VP8X" and any(frame.mode.endswith("A") for frame in frames):
        # libwebp's writer does not see that a frame is transparent around its part. Some readers rely on this flag.
        content = content[:20] + bytes((content[20] | _WEBP_ALPHA,)) + content[21:]
    return content


def _webp_frames(content: bytes) -> int:
    """Return the number of frames: libwebp joins frames that look the same."""
    at, frames = 12, 0
    while at < len(content):
        frames += content[at : at + 4] == b"ANMF"
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return max(1, frames)


def _png(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    picture = frames[0]
    content = _saved(picture, "PNG", optimize=from_palette)
    if not from_palette or picture.mode not in ("RGB", "RGBA"):
        return content
    method = Image.Quantize.FASTOCTREE if picture.mode == "RGBA" else Image.Quantize.MEDIANCUT
    palette = picture.quantize(256, method)
    if picture.mode == "RGBA":
        _make_opaque(palette)
    smaller = _saved(palette, "PNG", optimize=True)
    return smaller if len(smaller) < len(content) and _alike(palette.convert(picture.mode), picture) else content


def _make_opaque(palette: Image.Image) -> None:
    """Let colours of a palette be opaque that are nearly so: most are means of opaque pixels and those of an edge."""
    values = palette.getpalette("RGBA") or []
    values[3::4] = [255 if alpha >= _NEARLY_OPAQUE else alpha for alpha in values[3::4]]
    palette.putpalette(values, "RGBA")


def _alike(first: Image.Image, second: Image.Image) -> bool:
    return max(ImageStat.Stat(ImageChops.difference(first, second)).mean) <= _UNSEEN


def _gif(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    if options.get("save_all"):
        return _animated_gif(frames, options["duration"], options["loop"])
    clear = {"transparency": _CLEAR} if frames[0].mode.endswith("A") else {}
    return _saved(_indexed(frames[0]), "GIF", optimize=False, **clear)


def _animated_gif(frames: Sequence[Image.Image], durations: Sequence[int], loop: int | None) -> bytes:
    """Return a GIF whose frames have their own palettes.

    Pillow's writer takes some transparent frames for the start of a file, black for transparent, and joins frames.
    """
    size = frames[0].size
    if not any(frame.mode.endswith("A") for frame in frames):
        stills = (_saved(_indexed(frame), "GIF", optimize=False, interlace=0) for frame in frames)
        return gif_of(
            (Part(still, (0, 0), time) for still, time in zip(stills, durations, strict=True)), size, loop, None
        )
    return gif_of(map(_seen_part, frames, durations), size, loop, _CLEAR)


def _seen_part(frame: Image.Image, duration: int) -> Part:
    """Return the part of a frame that is not transparent; one pixel if all is."""
    whole = frame.convert("RGBA")
    opaque = whole.getchannel("A").point([255 if value >= _OPAQUE else 0 for value in range(256)])
    box = opaque.getbbox() or (0, 0, 1, 1)
    return Part(_saved(_indexed(whole.crop(box)), "GIF", optimize=False, interlace=0), box[:2], duration)


def _indexed(picture: Image.Image) -> Image.Image:
    """Return a picture with a palette, whose last entry is for transparent pixels if the picture has any."""
    if picture.mode in ("L", "LA"):
        picture = picture.convert("RGB" if picture.mode == "L" else "RGBA")
    if picture.mode == "RGB":
        return _quantized(picture, 256)
    clear = picture.getchannel("A").point([255 if value < _OPAQUE else 0 for value in range(256)])
    colours = picture.convert("RGB")
    # What is not shown must not use up the palette.
    opaque = ImageChops.invert(clear)
    shown = ImageStat.Stat(colours, opaque)
    colours.paste(tuple(map(round, shown.mean)) if shown.count[0] else (0, 0, 0), mask=clear)
    palette = _quantized(colours, _CLEAR)
    palette.paste(_CLEAR, mask=clear)
    return palette


def _quantized(picture: Image.Image, colours: int) -> Image.Image:
    return picture.quantize(colours, Image.Quantize.MEDIANCUT)


_WRITERS: dict[str, Callable[[Sequence[Image.Image], Mapping[str, Any], bool], bytes]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "avif": _avif,
}
