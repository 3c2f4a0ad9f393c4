"""Draws the picture in docs/pictures.md: `python -m tests.docs.before_and_after FILE`, or `make pictures`.

Each row has a source and pictures that `image_resize` makes of it.
"""

import io
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageCms, ImageDraw, ImageFont

from gopher.handlers.pictures.making import Wanted, make

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
CELL, GAP, LINE = 150, 14, 18
PAPER, INK, EDGE = (255, 255, 255), (40, 40, 40), (200, 200, 200)


class Cell(NamedTuple):
    """A picture with its text."""

    text: str
    picture: Image.Image


def main(path: Path) -> None:
    rows = [fits(), crops(), colours(), transparency()]
    width = max(len(row) for row in rows) * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (CELL + LINE + GAP) + GAP), PAPER)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            put(sheet, cell, (GAP + column * (CELL + GAP), GAP + number * (CELL + LINE + GAP)))
    sheet.save(path, quality=90, method=6)


def fits() -> list[Cell]:
    photograph = PHOTOGRAPH.read_bytes()
    square = {"width": CELL, "height": CELL}
    return [
        Cell("source, 512 x 600", shown(photograph)),
        Cell("fit: cover", made(photograph, Wanted(**square))),
        Cell("fit: contain", made(photograph, Wanted(**square, fit="contain"))),
        Cell("contain, background", made(photograph, Wanted(**square, fit="contain", background=(140, 190, 220, 255)))),
        Cell("fit: stretch", made(photograph, Wanted(**square, fit="stretch"))),
        Cell("max_bytes: 2000", made(photograph, Wanted(**square, max_bytes=2000))),
    ]


def crops() -> list[Cell]:
    photograph = PHOTOGRAPH.read_bytes()
    wide = {"width": CELL, "height": CELL // 2}
    return [
        Cell("source", shown(photograph)),
        Cell("gravity: center", made(photograph, Wanted(**wide))),
        Cell("gravity: top", made(photograph, Wanted(**wide, gravity="top"))),
        Cell("gravity: bottom", made(photograph, Wanted(**wide, gravity="bottom"))),
        Cell("gravity: entropy", made(photograph, Wanted(**wide, gravity="entropy"))),
    ]


def colours() -> list[Cell]:
    """Show a photograph whose profile exchanges the primary colours: what ignores the profile shows others."""
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    red, green, blue = photograph.split()
    swapped = Image.merge("RGB", (green, blue, red))
    content = written(swapped, "JPEG", icc_profile=swapping_profile(), quality=92)
    small = Wanted(width=CELL, height=CELL)
    return [
        Cell("profile ignored", shown(content)),
        Cell("colours converted", made(content, small)),
        Cell("format: gif", made(content, Wanted(width=CELL, height=CELL, format="gif"))),
    ]


def transparency() -> list[Cell]:
    content = written(leaf(), "PNG")
    small = {"width": CELL, "height": CELL}
    return [
        Cell("source, PNG", shown(content)),
        Cell("to PNG or WebP", made(content, Wanted(**small, format="png"))),
        Cell("to GIF: one bit", made(content, Wanted(**small, format="gif"))),
        Cell("to JPEG: white", made(content, Wanted(**small))),
        Cell("background: #fc8", made(content, Wanted(**small, background=(255, 204, 136, 255)))),
    ]


def made(content: bytes, wanted: Wanted) -> Image.Image:
    _, (picture,) = make(content, [wanted])
    return Image.open(io.BytesIO(picture.content)).convert("RGBA")


def shown(content: bytes) -> Image.Image:
    """Return a source in a cell's size, as what ignores its profile shows it."""
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    picture.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return picture


def written(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def swapping_profile() -> bytes:
    """Return sRGB's profile with the names of its three colourants exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {name: profile.index(name) for name in (b"rXYZ", b"gXYZ", b"bXYZ")}
    for name, other in ((b"gXYZ", b"rXYZ"), (b"bXYZ", b"gXYZ"), (b"rXYZ", b"bXYZ")):
        profile[places[name] : places[name] + 4] = other
    return bytes(profile)


def leaf() -> Image.Image:
    large = Image.new("RGBA", (4 * CELL, 4 * CELL))
    draw = ImageDraw.Draw(large)
    draw.pieslice((0, 60, 900, 960), 180, 300, fill=(60, 140, 70, 255))
    draw.pieslice((60, 120, 560, 560), 0, 360, fill=(60, 140, 70, 140))
    draw.line((60, 540, 540, 120), fill=(240, 250, 230, 255), width=22)
    return large.resize((CELL, CELL), Image.Resampling.LANCZOS)


def put(sheet: Image.Image, cell: Cell, place: tuple[int, int]) -> None:
    """Put a picture on a chequered ground, which shows where it is transparent, above its text."""
    left, top = place
    ground = Image.new("RGB", cell.picture.size, PAPER)
    draw = ImageDraw.Draw(ground)
    for x in range(0, ground.width, 10):
        for y in range((x // 10) % 2 * 10, ground.height, 20):
            draw.rectangle((x, y, x + 9, y + 9), fill=(225, 225, 225))
    ground.paste(cell.picture, (0, 0), cell.picture)
    sheet.paste(ground, (left + (CELL - ground.width) // 2, top + (CELL - ground.height) // 2))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left - 1, top - 1, left + CELL, top + CELL), outline=EDGE)
    draw.text((left, top + CELL + 3), cell.text, fill=INK, font=ImageFont.load_default(13))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
