"""Finds the part of a picture that has the most to show, by the entropy of its brightness."""

from PIL import Image

from .geometry import CENTER, Shares, Size, cover_box

#: How many places are compared.
_PLACES = 21


def most_interesting(picture: Image.Image, size: Size) -> Shares:
    """Return where to cut a part with the proportions of `size` out of a small picture (see `cover_box`)."""

    def entropy(shares: Shares) -> tuple[float, float]:
        # Of equal parts, that nearest to the middle.
        part = picture.crop(_whole_pixels(cover_box(picture.size, size, shares)))
        return round(part.entropy(), 2), -abs(shares[0] - CENTER[0]) - abs(shares[1] - CENTER[1])

    steps = [place / (_PLACES - 1) for place in range(_PLACES)]
    return max([(step, 0.5) for step in steps] + [(0.5, step) for step in steps], key=entropy)


def _whole_pixels(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    left, top, right, bottom = map(round, box)
    return left, top, max(right, left + 1), max(bottom, top + 1)
