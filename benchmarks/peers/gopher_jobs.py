"""The jobs of Gopher."""

import marks

from gopher import Job, handler


@handler("noop")
def noop(job: Job, payload: dict) -> None:
    """Only counts."""
    marks.noop()


@handler("stamp")
def stamp(job: Job, payload: dict) -> None:
    """Records how long after it was sent, or due, it started."""
    marks.stamp(payload["sent"])


@handler("image")
def image(job: Job, payload: dict) -> None:
    """Shrinks a picture."""
    marks.image()


@handler("warm")
def warm(job: Job, payload: dict) -> None:
    """Does nothing at all."""


def preload() -> None:
    """Import what the picture job needs, like the built-in image handler."""
    import PIL.Image  # noqa: F401
