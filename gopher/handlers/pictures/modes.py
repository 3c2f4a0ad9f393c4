"""Pixel formats: converts each of Pillow's modes to one that can be scaled without banding."""

from PIL import Image, ImageMath

#: Modes that can be scaled as they are.
_SCALABLE = ("L", "LA", "RGB", "RGBA", "CMYK")
#: Bits of a channel of which Pillow keeps 16.
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
#: Tags of a TIFF: the bits of a channel, and what its values mean, of which 0 is that the least is white.
_BITS, _MEANING = 258, 262


def plain(picture: Image.Image) -> Image.Image:
    """Return a loaded picture in mode L, LA, RGB, RGBA or CMYK; the picture itself if it has one of them."""
    if picture.mode in _DEEP:
        return _shallow(picture)
    if picture.mode in _SCALABLE and "transparency" not in picture.info:
        return picture
    if picture.mode == "1" and "transparency" not in picture.info:
        return picture.convert("L")
    if picture.mode in ("L", "1") and isinstance(picture.info.get("transparency"), int):
        return _grey_with_transparency(picture)
    if picture.mode == "La":
        # Of a TIFF, multiplied by its alpha.
        return picture.convert("LA")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode == "F" else "RGB")


def _shallow(picture: Image.Image) -> Image.Image:
    """Convert 12- and 16-bit grey. convert("L") would clip values above 255 to white, and drop a transparent value."""
    clear = picture.info.get("transparency")
    deep = picture if picture.mode == "I" else picture.convert("I")
    scale, least = _levels(picture)
    grey = deep.point(lambda value: value * scale + least).convert("L")
    if not isinstance(clear, int):
        return grey
    opaque = ImageMath.lambda_eval(lambda given: (given["deep"] != clear) * 255, deep=deep).convert("L")
    return Image.merge("LA", (grey, opaque))


def _levels(picture: Image.Image) -> tuple[float, float]:
    """Return the factor from the values of a deep picture to those of L, and the L of its 0."""
    tags = getattr(picture, "tag_v2", {})
    scale = 255 / 4095 if tags.get(_BITS) == (12,) else 1 / 257
    return (-scale, 255) if tags.get(_MEANING) == 0 else (scale, 0)


def _grey_with_transparency(picture: Image.Image) -> Image.Image:
    clear = picture.info["transparency"]
    grey = picture.convert("L")
    if picture.mode == "1":
        clear = 255 if clear else 0
    return Image.merge("LA", (grey, grey.point([0 if value == clear else 255 for value in range(256)])))
