"""`image_resize`: fetches a picture, makes one or several new ones of it, and stores them with the job."""

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from gopher.base.installed import is_installed, remedy
from gopher.config.settings import Settings
from gopher.errors import Discard, InvalidJob, SoftTimeout
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job

from . import files

if TYPE_CHECKING:
    from .pictures import Fit, Picture, Wanted

#: Timeout of the fetch, in seconds; the job's deadline may be earlier.
FETCH_TIME = 30.0

_EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif", "avif": "avif"}
#: Other words for the ways to fit a picture.
_FITS: dict[str, "Fit"] = {
    "cover": "cover",
    "contain": "contain",
    "inside": "contain",
    "stretch": "stretch",
    "fill": "stretch",
}

_SOURCE = re.compile(r"(?:https?://|file:)[^\x00-\x20\x7f]+", re.IGNORECASE)
_PUT_URL = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f]+$"
_COLOUR = r"^(#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|[a-z]{3,20})$"

Side = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Quality = Annotated[int, msgspec.Meta(ge=1, le=100)]
Bytes = Annotated[int, msgspec.Meta(ge=100)]
Colour = Annotated[str, msgspec.Meta(pattern=_COLOUR, examples=["#ffffff"])]
SourceUrl = Annotated[str, msgspec.Meta(max_length=2048)]
PartName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Preset = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Format = Literal["jpeg", "jpg", "png", "webp", "gif", "avif"]
FitWord = Literal["cover", "contain", "inside", "stretch", "fill"]
Place = Literal[
    "center",
    "centre",
    "top",
    "bottom",
    "left",
    "right",
    "top-left",
    "top-right",
    "bottom-left",
    "bottom-right",
    "entropy",
]
Frames = Literal["all", "first"]


class PictureOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new picture. In `sizes`, what is not given is taken from the preset, then from the payload itself."""

    width: Annotated[Side | None, msgspec.Meta(examples=[640])] = None
    height: Side | None = None
    format: Format | None = None
    fit: FitWord | None = None
    gravity: Place | None = None
    enlarge: bool | None = None
    background: Colour | None = None
    #: Of jpeg, webp and avif.
    quality: Quality | None = None
    max_bytes: Bytes | None = None
    frames: Frames | None = None
    preset: Preset | None = None


class Output(msgspec.Struct, forbid_unknown_fields=True):
    """Where a new picture goes instead of the job's files."""

    #: The picture is sent there by PUT: a presigned URL of another bucket, for example.
    put_url: Annotated[str, msgspec.Meta(pattern=_PUT_URL, max_length=4096)]


class Size(PictureOptions, forbid_unknown_fields=True, kw_only=True):
    """One of several new pictures."""

    output: Output | None = None


class ImageResize(Size, forbid_unknown_fields=True, kw_only=True):
    """A picture to resize. If one side is given, the other follows from the aspect ratio.

    If both are given, the result has exactly that size: by default (fit "cover") the picture is scaled to cover it and
    cropped at `gravity`. With fit "contain" it is not cropped, and one side may be shorter, unless a `background` is
    given to fill the rest. With fit "stretch" (or `keep_aspect` false) it is stretched. `sizes` makes several pictures
    of one source.
    """

    url: Annotated[SourceUrl | None, msgspec.Meta(examples=["https://example.com/cat.jpg"])] = None
    #: The name of a file that the job is submitted with.
    file: PartName | None = None
    keep_aspect: bool = True
    sizes: Annotated[list[Size], msgspec.Meta(max_length=20)] = []
    tolerate_truncated: bool = False

    def __post_init__(self) -> None:
        if self.url is None and self.file is None:
            raise InvalidJob("is required, or file: the name of a file that the job is submitted with", "/payload/url")
        if self.url is not None and self.file is not None:
            raise InvalidJob("can't be given together with url: remove one of them", "/payload/file")
        if self.sizes and self.output:
            raise ValueError("output belongs into each of sizes")
        if self.url is not None and not _SOURCE.fullmatch(self.url):
            raise ValueError("url must be http://..., https://... or file:..., with spaces written %20")
        for each in self.sizes or [self]:
            if not (each.width or each.height or self.width or self.height or each.preset or self.preset):
                raise ValueError("width or height is required, or both")


@handler("image_resize", timeout="60s", max_retries=5, permanent=(SoftTimeout,))
def image_resize(job: Job, payload: ImageResize) -> dict[str, Any]:
    """Resizes a picture, one of the job's files or from a URL, to the given dimensions."""
    if not is_installed("handlers"):
        raise Discard(f"image_resize needs Pillow, which this worker does not have: {remedy('handlers')}")
    from . import pictures

    settings = Settings.from_env()
    wanted = _wanted(payload, settings)
    job.progress(0.05, "reading the source")
    content = _read(job, payload, settings.picture_max_bytes)
    job.log("the source has %d bytes", len(content))
    job.progress(0.4, "resizing")
    limits = pictures.Limits(settings.picture_max_pixels, settings.picture_max_new_pixels)
    source, made = pictures.make(content, wanted, limits, tolerate_truncated=payload.tolerate_truncated)
    job.progress(0.9, "writing")
    outputs = [each.output for each in payload.sizes or [payload]]
    results = [_written(job, number, *each) for number, each in enumerate(zip(made, outputs, strict=True))]
    job.progress(1.0, "done")
    about = {"source_width": source.size[0], "source_height": source.size[1], "source_animated": source.animated}
    return {"pictures": results, **about} if payload.sizes else {**results[0], **about}


def _written(job: Job, number: int, picture: "Picture", output: Output | None) -> dict[str, Any]:
    width, height = picture.size
    where = _sent(job, output, picture) if output else _stored(job, number, picture)
    about = {"width": width, "height": height, "bytes": len(picture.content)}
    quality = {} if picture.quality is None else {"quality": picture.quality}
    return {**where, **about, "format": picture.format, "frames": picture.frames, **quality}


def _stored(job: Job, number: int, picture: "Picture") -> dict[str, str]:
    """Store a picture with the job, and return its name, and its path if it is on this machine."""
    width, height = picture.size
    which = f"_{number}" if number else ""
    return files.attached(job, picture.content, f"{width}x{height}{which}.{_EXTENSIONS[picture.format]}")


def _sent(job: Job, output: Output, picture: "Picture") -> dict[str, str]:
    """Send a picture to its URL, and return where that is, without the signature in its query."""
    from gopher.outbound import fetching

    fetching.put(output.put_url, picture.content, f"image/{picture.format}", seconds=_time_left(job))
    return {"put_url": output.put_url.partition("?")[0]}


def _wanted(payload: ImageResize, settings: Settings) -> list["Wanted"]:
    """Return what to make: for each size its own options, then its preset's, then the payload's."""
    common = _given(payload)
    if not payload.keep_aspect:
        common["fit"] = "stretch"
    every = [_given(each) for each in payload.sizes] or [{}]
    presets = msgspec.json.decode(settings.picture_presets)
    if settings.picture_presets_only:
        _check_preset_only([common, *every])
    return [_one({**_with_preset(common, presets), **_with_preset(own, presets)}) for own in every]


def _given(options: PictureOptions) -> dict[str, Any]:
    # Not what is declared by its subclasses.
    given = {name: getattr(options, name) for name in PictureOptions.__struct_fields__}
    return {name: value for name, value in given.items() if value is not None}


def _with_preset(options: dict[str, Any], presets: Mapping[str, Any]) -> dict[str, Any]:
    """Return options on top of those of the preset that they name."""
    name = options.pop("preset", None)
    if name is None:
        return options
    if name not in presets:
        known = ", ".join(sorted(presets)) or "none: set GOPHER_PICTURE_PRESETS"
        raise Discard(f"preset {name!r} does not exist; there are {known}")
    try:
        preset = msgspec.convert(presets[name], PictureOptions)
    except msgspec.ValidationError as error:
        raise Discard(f"GOPHER_PICTURE_PRESETS: {name}: {error}") from None
    return {**_given(preset), **options}


def _check_preset_only(every: list[dict[str, Any]]) -> None:
    own = sorted({name for options in every for name in options if name != "preset"})
    if own or not any(every):
        what = f"{', '.join(own)} can't be chosen" if own else "a preset is required"
        raise Discard(f"{what}: only presets are allowed here (GOPHER_PICTURE_PRESETS_ONLY)")


def _one(options: dict[str, Any]) -> "Wanted":
    from .pictures import Wanted, colour, lossy

    known = dict(options)
    known["format"] = "jpeg" if known.get("format") == "jpg" else known.get("format", "jpeg")
    if "max_bytes" in known and not lossy(known["format"]):
        raise Discard(f"max_bytes: {known['format']} has no quality to lower: use jpeg, webp or avif")
    if "width" not in known and "height" not in known:
        raise Discard("width or height is required, or both")
    if "fit" in known:
        known["fit"] = _FITS[known["fit"]]
    if known.get("gravity") == "centre":
        known["gravity"] = "center"
    if "background" in known:
        known["background"] = colour(known["background"])
    return Wanted(**known)


def _read(job: Job, payload: ImageResize, max_bytes: int) -> bytes:
    if payload.url is None:
        return _read_file(job, payload.file or "", max_bytes)
    if payload.url[:5].lower() == "file:":
        return files.read_source(payload.url, max_bytes, job.owner)
    from gopher.outbound import fetching

    return fetching.fetch(payload.url, max_bytes=max_bytes, seconds=_time_left(job)).content


def _read_file(job: Job, name: str, max_bytes: int) -> bytes:
    if name not in job.files:
        there_are = ", ".join(job.files) or "none"
        raise Discard(f"the job has no file {name!r}, which its payload names; there are: {there_are}")
    path = job.files[name]
    size = path.stat().st_size
    if size > max_bytes:
        raise Discard(f"the file {name!r} has {size} bytes, more than the {max_bytes} allowed")
    return path.read_bytes()


def _time_left(job: Job) -> float:
    return FETCH_TIME if job.deadline is None else min(FETCH_TIME, job.deadline - time.time())
