"""Reads what a GIF stores of each frame, and writes animations of such parts."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .geometry import Size
from .tiles import After, Tile, truncated

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9
_HEADER = 13
#: 3 restores what was there before; some files have 4 for that, and browsers accept it.
_AFTER = {2: After.CLEARED, 3: After.RESTORED, 4: After.RESTORED}
_STAYS, _CLEARED = 1, 2
#: The longest duration of a frame (ms).
LONGEST = 0xFFFF * 10


@dataclass(frozen=True)
class Part:
    """A part of a canvas, as a GIF of one picture without any transparency, and for how long it is shown (ms)."""

    content: bytes
    place: Size
    duration: int


def gif_of(parts: Iterable[Part], size: Size, loop: int | None, clear: int | None) -> bytes:
    """Return an animated GIF. Nothing of a part is left when the next one is shown, unless no colour is transparent.

    `loop` is the number of repetitions: None is once, 0 forever. `clear` is the palette's entry for transparent pixels.
    """
    written = [b"GIF89a", struct.pack("<2H3B", *size, 0x70, 0, 0)]
    if loop is not None:
        written += [b"!\xff\x0bNETSCAPE2.0\x03\x01", struct.pack("<HB", min(loop, 0xFFFF), 0)]
    about = _STAYS << 2 if clear is None else _CLEARED << 2 | 1
    for part in parts:
        table = _table_size(part.content[10])
        _, image = next(_images(part.content))
        hundredths = min(max(1, round(part.duration / 10)), 0xFFFF)
        written += [
            bytes((_EXTENSION, _CONTROL, 4)),
            struct.pack("<BHBB", about, hundredths, clear or 0, 0),
            struct.pack("<B2H", _IMAGE, *part.place),
            image[5:9],
            bytes((image[9] | part.content[10] & 0x87,)),
            part.content[_HEADER : _HEADER + table],
            image[10:],
        ]
    return b"".join((*written, bytes((_END,))))


def gif_tiles(content: bytes) -> Iterator[Tile]:
    """Yield the tiles of a GIF, each as a GIF of its own."""
    shared = content[_HEADER : _HEADER + _table_size(content[10])]
    for control, image in _images(content):
        yield _tile(image, content[10], shared, control)


def _images(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the graphic control of each image, and its descriptor with its own colours and its pixels.

    Bytes that begin no block are skipped.
    """
    at = _HEADER + _table_size(content[10])
    control = bytes(4)
    while at < len(content) and content[at] != _END:
        if content[at] == _EXTENSION:
            if content[at + 1 : at + 3] == bytes((_CONTROL, 4)):
                control = content[at + 3 : at + 7].ljust(4, b"\0")
            at = _after_blocks(content, at + 2)
        elif content[at] == _IMAGE:
            data = at + 10 + _table_size(content[at + 9] if at + 9 < len(content) else 0)
            if data >= len(content) and truncated():
                return
            end = _after_blocks(content, data + 1)
            yield control, content[at:end]
            at, control = end, bytes(4)
        else:
            at += 1


def _tile(image: bytes, flags: int, shared: bytes, control: bytes) -> Tile:
    """Return a tile. `shared` is the colour table for images without their own, and `flags` say its size."""
    left, top, width, height = struct.unpack_from("<4H", image, 1)
    about, hundredths = struct.unpack_from("<BH", control)
    content = b"".join(
        (
            b"GIF89a",
            struct.pack("<2H3B", width, height, flags, 0, 0),
            shared,
            bytes((_EXTENSION, _CONTROL, 4)),
            control,
            b"\0",
            struct.pack("<B4H", _IMAGE, 0, 0, width, height),
            image[9:],
        )
    )
    after = _AFTER.get(about >> 2 & 7, After.STAYS)
    return Tile(content, (left, top), (width, height), hundredths * 10, after)


def _table_size(flags: int) -> int:
    """Return the bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(content: bytes, at: int) -> int:
    """Return where a sequence of blocks of data, which an empty one ends, is over; at most the end of the file."""
    while at < len(content) and content[at]:
        at += content[at] + 1
    return min(at + 1, len(content))
