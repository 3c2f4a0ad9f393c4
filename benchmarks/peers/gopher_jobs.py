"""The jobs of Gopher."""

import marks

from gopher import Job, handler


@handler("noop")
def noop(job: Job, payload: dict) -> None:
    """Does nothing but count."""
    marks.noop()


@handler("stamp")
def stamp(job: Job, payload: dict) -> None:
    """Notes how long after it was sent, or due, it began."""
    marks.stamp(payload["sent"])


@handler("image")
def image(job: Job, payload: dict) -> None:
    """Shrinks a picture."""
    marks.image()


@handler("warm")
def warm(job: Job, payload: dict) -> None:
    """Does nothing at all."""


def preload() -> None:
    """Share what the picture needs, as the shipped image handler does."""
    import PIL.Image  # noqa: F401
