"""Reads what an animated PNG stores of each frame."""

import struct
from collections.abc import Iterator
from zlib import crc32

from .tiles import After, Tile, truncated

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AFTER = {1: After.CLEARED, 2: After.RESTORED}
#: Chunks without which a frame's pixels can't be read, in their order, and their largest size.
_SHARED = {b"PLTE": 768, b"tRNS": 256}


def png_tiles(content: bytes) -> Iterator[Tile]:
    """Yield the tiles of an animated PNG, each as a PNG of its own. A still picture beside the animation is none."""
    header, control = b"", b""
    shared: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    for kind, data in _chunks(content):
        if kind == b"IHDR":
            header = data
        elif kind in _SHARED:
            shared.setdefault(kind, _chunk(kind, data[: _SHARED[kind]]))
        elif kind == b"fcTL":
            if control and pixels:
                yield _tile(header, shared, control, pixels)
            control, pixels = data, []
        elif control and kind in (b"IDAT", b"fdAT"):
            # After the number of the chunk.
            pixels.append(data[4:] if kind == b"fdAT" else data)
    if control and pixels:
        yield _tile(header, shared, control, pixels)


def _tile(header: bytes, shared: dict[bytes, bytes], control: bytes, pixels: list[bytes]) -> Tile:
    width, height, left, top, time, unit, after, blend = struct.unpack_from(">4I2H2B", control, 4)
    head = _chunk(b"IHDR", struct.pack(">2I", width, height) + header[8:])
    colours = b"".join(shared[kind] for kind in _SHARED if kind in shared)
    content = b"".join((_SIGNATURE, head, colours, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")))
    duration = round(time * 1000 / (unit or 100))
    return Tile(content, (left, top), (width, height), duration, _AFTER.get(after, After.STAYS), replaces=blend == 0)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the data of each chunk before the end."""
    at, kind = len(_SIGNATURE), b""
    while kind != b"IEND" and at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + 8 + length]
        at += 12 + length
    if at - 4 > len(content):
        truncated()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))
