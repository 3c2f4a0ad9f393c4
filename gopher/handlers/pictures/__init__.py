"""Resizes pictures with Pillow.

A picture is opened (`opening`: header, limits), decoded no larger than necessary and scaled (`making`, `frames`,
`tiles`, `gif`, `png`, `geometry`), converted to sRGB (`colours`), and written without any metadata of its source
(`encoding`).
"""

from PIL import ImageColor

from .encoding import LOSSY
from .geometry import Fit, Gravity
from .making import Picture, Source, Wanted, make
from .opening import Limits, PictureRefused, load_formats

__all__ = [
    "Fit",
    "Gravity",
    "Limits",
    "Picture",
    "PictureRefused",
    "Source",
    "Wanted",
    "colour",
    "load_formats",
    "lossy",
    "make",
]


def lossy(format: str) -> bool:  # noqa: A002 - the payload's own word
    """Return whether a format has a quality."""
    return format in LOSSY


def colour(text: str) -> tuple[int, int, int, int]:
    """Return a colour as RGBA: `#fff`, `#ffffff`, `#ffffff80`, `white`. Raises PictureRefused."""
    try:
        red, green, blue, *alpha = ImageColor.getrgb(text)
    except ValueError:
        raise PictureRefused(f"background: {text!r} is not a colour such as #ffffff, #ffffff80 or white") from None
    return red, green, blue, alpha[0] if alpha else 255
