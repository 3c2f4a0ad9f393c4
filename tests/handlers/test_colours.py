"""Colours and transparency of new pictures, compared with libvips as an independent reference."""

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, PngImagePlugin

from gopher.handlers.pictures import Wanted, make

SIDE = 96
#: Mean difference, of 255.
CLOSE, CLOSE_CMYK, CLOSE_ALPHA = 3.0, 8.0, 2.0


def scene(size: int = SIDE) -> np.ndarray:
    """A colourful picture with soft and hard edges, as an array of RGB."""
    across, down = np.meshgrid(np.linspace(0, 255, size), np.linspace(0, 255, size))
    picture = np.stack([across, down, 255 - across * down / 255], axis=2)
    picture[size // 4 : size // 2, size // 4 : size // 2] = (220, 40, 60)
    picture[size // 2 : -size // 8, size // 2 : -size // 4] = (30, 120, 200)
    return picture.astype(np.uint8)


def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


def ours(content: bytes, format: str = "png", width: int = SIDE // 2) -> np.ndarray:  # noqa: A002
    picture = make(content, [Wanted(width=width, format=format, quality=95)])[1][0]
    with Image.open(io.BytesIO(picture.content)) as opened:
        assert "icc_profile" not in opened.info
        return np.asarray(opened.convert("RGBA")).astype(int)


def theirs(content: bytes, width: int = SIDE // 2) -> np.ndarray:
    picture = pyvips.Image.thumbnail_buffer(content, width, export_profile="srgb").colourspace("srgb")
    if not picture.hasalpha():
        picture = picture.bandjoin(255)
    return picture.cast("uchar").numpy().astype(int)


def on_white(pixels: np.ndarray) -> np.ndarray:
    alpha = pixels[:, :, 3:] / 255
    return pixels[:, :, :3] * alpha + 255 * (1 - alpha)


def difference(content: bytes, format: str = "png") -> float:  # noqa: A002
    return float(abs(on_white(ours(content, format)) - on_white(theirs(content))).mean())


def tiff(bits: int, meaning: int, pixels: bytes) -> bytes:
    """A TIFF of two grey pixels. `meaning` 0 is that the least value is white."""
    fields = {256: 2, 257: 1, 258: bits, 259: 1, 262: meaning, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    place = 8 + len(pixels)
    head = struct.pack("<2sHI", b"II", 42, place) + pixels
    return head + struct.pack("<H", len(fields)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("content", "grey"),
    [
        (tiff(16, 1, struct.pack("<2H", 60000, 0)), [233, 0]),
        (tiff(16, 0, struct.pack("<2H", 60000, 0)), [22, 255]),
        (tiff(12, 1, b"\xea\xa0\x00"), [234, 0]),
        (tiff(8, 0, b"\xea\x00"), [21, 255]),
    ],
    ids=["16 bits", "16 bits inverted", "12 bits", "8 bits inverted"],
)
def test_grey_of_a_scanner_is_as_bright_as_it_says(content: bytes, grey: list[int]) -> None:
    assert abs(ours(content, width=2)[0, :, 0] - grey).max() <= 1


# Each kind of PNG

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def kinds_of_png() -> Iterator[tuple[int, int, bool]]:
    for colour_type, depths in _DEPTHS.items():
        for depth, clear in product(depths, (False, True)):
            if not (clear and colour_type in (4, 6)):
                yield colour_type, depth, clear


def png(colour_type: int, depth: int, clear: bool) -> bytes:
    """A PNG of each kind, written by hand: Pillow can't write most of them."""
    most, channels = 2**depth - 1, _CHANNELS[colour_type]
    colours = scene()
    if colour_type == 3:
        values = (colours[:, :, 0].astype(int) * most // 255)[:, :, None]
    else:
        source = np.asarray(Image.fromarray(colours).convert("L"))[:, :, None] if channels < 3 else colours
        values = np.rint(source.astype(float) / 255 * most).astype(int)
        if colour_type in (4, 6):
            alpha = np.rint(colours[:, :, 1:2].astype(float) / 255 * most).astype(int)
            values = np.concatenate([values, alpha], axis=2)
    bits = values.reshape(SIDE, -1)
    extra = b""
    if colour_type == 3:
        palette = bytes(value for at in range(most + 1) for value in (at * 255 // most, 80, 255 - at * 255 // most))
        extra = chunk(b"PLTE", palette) + (chunk(b"tRNS", bytes(range(0, 256, 255 // most))) if clear else b"")
    elif clear:
        extra = chunk(b"tRNS", struct.pack(f">{channels}H", *(int(value) for value in values[SIDE // 3, SIDE // 3])))
    if depth == 16:
        rows = bits.astype(">u2").tobytes()
    elif depth == 8:
        rows = bits.astype(np.uint8).tobytes()
    else:
        each = np.unpackbits(bits.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :].reshape(SIDE, -1)
        rows = np.packbits(each, axis=1).tobytes()
    stride = len(rows) // SIDE
    data = b"".join(b"\0" + rows[at * stride : (at + 1) * stride] for at in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    )


@pytest.mark.parametrize("kind", list(kinds_of_png()), ids=str)
def test_every_kind_of_png_keeps_its_colours_and_its_transparency(kind: tuple[int, int, bool]) -> None:
    content = png(*kind)
    mine, reference = ours(content), theirs(content)
    assert abs(on_white(mine) - on_white(reference)).mean() <= CLOSE
    assert abs(mine[:, :, 3] - reference[:, :, 3]).mean() <= CLOSE_ALPHA


def test_the_transparent_colour_of_a_png_with_16_bits_is_compared_with_the_bits_that_are_kept() -> None:
    """One pixel has it, and another the high bytes that are its low ones."""
    pixels = struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0x3434, 0x7878, 0xBCBC)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"tRNS", pixels[:6]), chunk(b"IDAT", zlib.compress(b"\0" + pixels)))
    )
    assert ours(content + chunk(b"IEND", b""), width=2)[0, :, 3].tolist() == [0, 255]


@pytest.mark.parametrize("kind", list(kinds_of_png()), ids=str)
@pytest.mark.parametrize("target", ["jpeg", "webp", "avif"])
def test_every_kind_of_png_looks_the_same_in_a_lossy_format(kind: tuple[int, int, bool], target: str) -> None:
    """Saturated edges lose colour to chroma subsampling."""
    assert difference(png(*kind), target) <= 2 * CLOSE


@pytest.mark.parametrize("kind", list(kinds_of_png()), ids=str)
def test_every_kind_of_png_becomes_a_gif_whose_pixels_are_opaque_or_transparent(kind: tuple[int, int, bool]) -> None:
    content = png(*kind)
    mine, reference = ours(content, "gif"), theirs(content)
    assert set(np.unique(mine[:, :, 3])) <= {0, 255}
    sharp = (reference[:, :, 3] >= 160) | (reference[:, :, 3] < 96)
    assert ((mine[:, :, 3] == 255) == (reference[:, :, 3] >= 128))[sharp].all()
    seen = (mine[:, :, 3] == 255) & (reference[:, :, 3] >= 128)
    assert not seen.any() or abs(mine[seen][:, :3] - reference[seen][:, :3]).mean() <= 2 * CLOSE


# Profiles and inks


def rgb_profile(
    *, gamma: float, red: tuple[float, float], green: tuple[float, float], blue: tuple[float, float]
) -> bytes:
    """A profile with three primaries of one's own."""
    white = np.array([0.9642, 1.0, 0.8249])
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    columns = columns * np.linalg.solve(columns, white)
    fixed = lambda values: struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))  # noqa: E731
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(white)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + fixed(column)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = curve(gamma)
    return profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    white = struct.pack(">3i", 63190, 65536, 54061)
    return profile(b"GRAY", {b"wtpt": b"XYZ \0\0\0\0" + white, b"kTRC": curve(gamma)})


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"cprt": b"text\0\0\0\0none\0", b"desc": b"text\0\0\0\0none\0", **tags}
    index, data, place = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        index += struct.pack(">4s2I", name, place + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", place + len(data), 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    return head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061).ljust(60, b"\0") + index + data


WIDE = rgb_profile(gamma=2.2, red=(0.7347, 0.2653), green=(0.1152, 0.8264), blue=(0.1566, 0.0177))
SWAPPED = rgb_profile(gamma=1.8, red=(0.1152, 0.8264), green=(0.1566, 0.0177), blue=(0.7347, 0.2653))


@pytest.mark.parametrize("target", ["png", "jpeg", "webp", "gif"])
@pytest.mark.parametrize("icc", [WIDE, SWAPPED], ids=["wide gamut", "swapped primaries"])
@pytest.mark.parametrize(
    ("source", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("TIFF", "RGB")]
)
def test_colours_of_a_profile_are_converted_to_srgb(source: str, mode: str, icc: bytes, target: str) -> None:
    picture = Image.fromarray(scene())
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    elif mode == "P":
        picture = picture.quantize(64)
    content = encoded(picture, source, icc_profile=icc)
    plain = encoded(picture, source)
    assert abs(on_white(theirs(content)) - on_white(theirs(plain))).mean() > 4 * CLOSE, "or it tells nothing"
    if mode != "RGBA" or target in ("png", "webp"):
        assert difference(content, target) <= (CLOSE if target == "png" else 2.2 * CLOSE)


@pytest.mark.parametrize("target", ["png", "jpeg", "webp", "gif"])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_with_a_profile_is_converted(mode: str, target: str) -> None:
    grey = Image.fromarray(scene()).convert("L")
    if mode == "LA":
        grey.putalpha(255)
    content = encoded(grey, "PNG", icc_profile=grey_profile(1.0))
    mine = ours(content, target)
    assert abs(mine - theirs(content)).mean() <= CLOSE
    assert (np.ptp(mine[:, :, :3], axis=2) <= 2).all(), "it is grey still"


def inks() -> Image.Image:
    colours = scene().astype(int)
    black = 255 - colours.max(axis=2)
    values = np.stack([255 - colours[:, :, channel] - black for channel in range(3)] + [black], axis=2)
    return Image.frombytes("CMYK", (SIDE, SIDE), values.astype(np.uint8).tobytes())


def plain_cmyk() -> bytes:
    """A JPEG without Adobe's marker. All readers take its values as inverted nevertheless."""
    content = encoded(inks(), "JPEG", quality=95)
    place = content.index(b"\xff\xee")
    length = int.from_bytes(content[place + 2 : place + 4], "big")
    return content[:place] + content[place + 2 + length :]


@pytest.mark.parametrize("target", ["png", "jpeg", "webp", "gif"])
@pytest.mark.parametrize("source", ["JPEG", "TIFF", "JPEG without Adobe's marker"])
def test_cmyk_without_a_profile_has_the_colours_of_offset_printing(source: str, target: str) -> None:
    content = (
        plain_cmyk()
        if "without" in source
        else encoded(inks(), source, **({"quality": 95} if source == "JPEG" else {}))
    )
    assert difference(content, target) <= CLOSE_CMYK


def test_cmyk_with_a_profile_is_converted_with_it() -> None:
    from gopher.handlers.pictures.colours import _printing

    content = encoded(inks(), "JPEG", quality=95, icc_profile=_printing())
    assert difference(content) <= CLOSE
    grey = encoded(Image.fromarray(scene()), "PNG", icc_profile=_printing())
    assert difference(grey) <= CLOSE, "a profile of other pixels is ignored"


def test_a_profile_that_is_none_is_ignored() -> None:
    for nonsense in (b"nothing", b"\0" * 300, WIDE[:200]):
        assert difference(encoded(Image.fromarray(scene()), "PNG", icc_profile=nonsense)) <= CLOSE


# What stays behind


def everything(source: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "secret description"
    exif.get_ifd(0x8825)[1] = "N"
    picture = Image.fromarray(scene())
    options: dict[str, Any] = {
        "exif": exif,
        "icc_profile": WIDE,
        "xmp": b"<x:xmpmeta>secret</x:xmpmeta>",
        "dpi": (300, 300),
    }
    if source == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "secret")
        text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>secret</x:xmpmeta>")
        options |= {"pnginfo": text}
        del options["xmp"]
    if source in ("JPEG", "GIF"):
        options |= {"comment": b"secret"}
    return encoded(picture, source, **options)


@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "gif", "avif"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_nothing_but_pixels_is_carried_over(source: str, target: str) -> None:
    content = everything(source)
    made = make(content, [Wanted(width=40, format=target)])[1][0].content
    for word in (b"secret", b"exif", b"Exif", b"xmp", b"ICC_PROFILE", b"iCCP", b"ICCP", b"prof", b"pHYs"):
        assert word not in made, word
    with Image.open(io.BytesIO(made)) as picture:
        assert not picture.getexif()
        assert set(picture.info) <= {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
            "progressive",
            "progression",
            "version",
            "background",
            "loop",
            "duration",
            "timestamp",
            "transparency",
            "extension",
        }


# Places


@pytest.mark.parametrize("size", [(401, 301), (803, 601), (1001, 801), (809, 809)])
@pytest.mark.parametrize("width", [40, 64, 99])
def test_a_jpeg_that_is_decoded_smaller_is_neither_shifted_nor_stretched(size: tuple[int, int], width: int) -> None:
    """Its decoder rounds the size up, so that a part of the last column and row is not of the picture."""
    random = np.random.default_rng(7)
    spots = Image.fromarray(random.integers(0, 256, (size[1] // 20, size[0] // 20, 3), np.uint8))
    content = encoded(spots.resize(size, Image.Resampling.BICUBIC), "JPEG", quality=95, subsampling=0)
    with Image.open(io.BytesIO(content)) as opened:
        whole = encoded(opened, "PNG")
    assert abs(ours(content, width=width) - ours(whole, width=width)).mean() <= CLOSE
