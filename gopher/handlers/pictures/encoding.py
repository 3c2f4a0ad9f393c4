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
from .opening import PictureRefused

#: Formats that can be animated.
ANIMATED = ("gif", "webp")
#: Formats with a quality.
LOSSY = ("jpeg", "webp", "avif")
#: A pixel of a GIF is either opaque or transparent: transparent below this.
_OPAQUE = 128
#: The palette's entry for transparent pixels of a GIF.
_CLEAR = 255
#: Lowest quality that `max_bytes` may lead to.
_LEAST_QUALITY = 10
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
    """Encode a picture or an animation. `durations` are in ms; `loop` as in Pillow: None is once, 0 forever.

    Raises PictureRefused if it can't be made as small as `max_bytes`.
    """
    for frame in frames:
        frame.info = {}
    options: dict[str, Any] = {}
    if len(frames) > 1:
        options = {"save_all": True, "duration": list(durations), "loop": loop}
    quality = asked.quality if asked.format in LOSSY else None
    write = _WRITERS[asked.format]
    content = write(frames, {**options, **({} if quality is None else {"quality": quality})}, from_palette)
    if asked.max_bytes and len(content) > asked.max_bytes:
        content, quality = _smaller(lambda q: write(frames, {**options, "quality": q}, from_palette), quality, asked)
    return Encoded(content, frames[0].size, len(frames), quality)


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
    # Pillow counts repetitions for GIF, but WebP counts times.
    loop = options["loop"]
    times = 1 if loop is None else loop and loop + 1
    return _saved(frames[0], "WEBP", **{**options, "loop": times}, append_images=frames[1:], background=(0, 0, 0, 0))


def _png(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    picture = frames[0]
    content = _saved(picture, "PNG", optimize=from_palette)
    if not from_palette or picture.mode not in ("RGB", "RGBA"):
        return content
    method = Image.Quantize.FASTOCTREE if picture.mode == "RGBA" else Image.Quantize.MEDIANCUT
    palette = picture.quantize(256, method)
    smaller = _saved(palette, "PNG", optimize=True)
    return smaller if len(smaller) < len(content) and _alike(palette.convert(picture.mode), picture) else content


def _alike(first: Image.Image, second: Image.Image) -> bool:
    return max(ImageStat.Stat(ImageChops.difference(first, second)).mean) <= _UNSEEN


def _gif(frames: Sequence[Image.Image], options: Mapping[str, Any], from_palette: bool) -> bytes:
    indexed = [_indexed(frame) for frame in frames]
    clear = {"transparency": _CLEAR} if any(frame.mode.endswith("A") for frame in frames) else {}
    if not options.get("save_all"):
        return _saved(indexed[0], "GIF", optimize=False, **clear)
    loops = {} if options["loop"] is None else {"loop": options["loop"]}
    # Each frame replaces the one before it (2), so that what is transparent in it does not show that one.
    return _saved(
        indexed[0],
        "GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=options["duration"],
        disposal=2,
        optimize=False,
        **loops,
        **clear,
    )


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
