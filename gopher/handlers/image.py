"""`image_resize`: fetches a picture, resizes it and writes it to `GOPHER_FILES`."""

import re
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from gopher.jobs.handlers import handler
from gopher.jobs.job import Job

from . import files

if TYPE_CHECKING:
    from .pictures import Fit

#: Maximum size of the source, in bytes.
MAX_BYTES = 20 * 1024 * 1024
#: Timeout of the fetch, in seconds; the job's deadline may be earlier.
FETCH_TIME = 30.0

_EXTENSIONS = {"jpeg": "jpg", "jpg": "jpg", "png": "png", "webp": "webp", "gif": "gif"}

_SOURCE = re.compile(r"(?:https?://|file:)[^\x00-\x20\x7f]+", re.IGNORECASE)

Side = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class ImageResize(msgspec.Struct, forbid_unknown_fields=True):
    """A picture to resize. If one side is given, the other follows from the aspect ratio.

    If both are given, the result has exactly that size: by default (`keep_aspect`, fit "cover") the picture is scaled
    to cover it and cropped evenly. With fit "contain" it is not cropped, and one side may be shorter. With
    `keep_aspect` false it is stretched.
    """

    url: Annotated[str, msgspec.Meta(max_length=2048, examples=["https://example.com/cat.jpg"])]
    width: Annotated[Side | None, msgspec.Meta(examples=[640])] = None
    height: Side | None = None
    format: Literal["jpeg", "jpg", "png", "webp", "gif"] = "jpeg"
    keep_aspect: bool = True
    fit: Literal["cover", "contain"] = "cover"
    #: Of jpeg and webp.
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 85

    def __post_init__(self) -> None:
        if not _SOURCE.fullmatch(self.url):
            raise ValueError("url must be http://..., https://... or file:..., with spaces written %20")
        if self.width is None and self.height is None:
            raise ValueError("width or height is required, or both")


@handler("image_resize", timeout="60s", max_retries=5)
def image_resize(job: Job, payload: ImageResize) -> dict[str, Any]:
    """Resizes a picture from an http(s) URL, or a file: in GOPHER_FILES, to the given dimensions."""
    from . import pictures

    job.progress(0.05, "reading the source")
    source = _read(job, payload.url)
    job.log("the source has %d bytes", len(source))
    job.progress(0.4, "resizing")
    encoder = "jpeg" if payload.format == "jpg" else payload.format
    resized = pictures.resize(source, payload.width, payload.height, _fit(payload), encoder, payload.quality)
    job.progress(0.9, "writing")
    width, height = resized.size
    path = files.write_file(job.id, f"{width}x{height}", _EXTENSIONS[payload.format], resized.content)
    job.progress(1.0, "done")
    return {
        "path": str(path),
        "width": width,
        "height": height,
        "bytes": len(resized.content),
        "format": encoder,
        "source_width": resized.source_size[0],
        "source_height": resized.source_size[1],
    }


def _fit(payload: ImageResize) -> "Fit":
    return payload.fit if payload.keep_aspect else "stretch"


def _read(job: Job, url: str) -> bytes:
    if url[:5].lower() == "file:":
        return files.read_source(url, MAX_BYTES)
    from . import fetching

    left = FETCH_TIME if job.deadline is None else min(FETCH_TIME, job.deadline - time.time())
    return fetching.fetch(url, max_bytes=MAX_BYTES, seconds=left).content
