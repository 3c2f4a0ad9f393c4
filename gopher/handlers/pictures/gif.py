"""Reads what a GIF stores of each frame."""

import struct
from collections.abc import Iterator

from .tiles import After, Tile, truncated

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9
_HEADER = 13
#: 3 restores what was there before; some files have 4 for that, and browsers accept it.
_AFTER = {2: After.CLEARED, 3: After.RESTORED, 4: After.RESTORED}


def gif_tiles(content: bytes) -> Iterator[Tile]:
    """Yield the tiles of a GIF, each as a GIF of its own. Bytes that begin no block are skipped."""
    at = _HEADER + _table_size(content[10])
    shared = content[_HEADER:at]
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
            yield _tile(content[at:end], content[10], shared, control)
            at, control = end, bytes(4)
        else:
            at += 1


def _tile(image: bytes, flags: int, shared: bytes, control: bytes) -> Tile:
    """Return the tile of an image descriptor with its colours and pixels, and of the graphic control before it."""
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
