"""Files of jobs as clients see them: what they have uploaded, and what handlers have stored."""

from typing import Annotated

import msgspec
from msgspec import Meta

from .fields import FileId

FileName = Annotated[str, Meta(description="Name of a file.", examples=["thumbnail.jpg"])]
PartName = Annotated[str, Meta(description="The name that the handler knows an upload by.", examples=["photo"])]
Size = Annotated[int, Meta(description="Size in bytes.", examples=[48_213])]
ContentType = Annotated[str, Meta(examples=["image/jpeg"])]


class Upload(msgspec.Struct, frozen=True):
    """A file that a client has sent, for its jobs."""

    file_id: FileId
    name: FileName
    size: Size
    content_type: ContentType


class SentFile(msgspec.Struct, frozen=True):
    """An upload that a job was submitted with."""

    name: FileName
    size: Size
    content_type: ContentType


class JobFile(msgspec.Struct, frozen=True):
    """A file that a job's handler has stored."""

    name: FileName
    size: Size
    content_type: ContentType
    url: Annotated[str, Meta(description="Where it is downloaded from, relative to the API.")]


class JobFiles(msgspec.Struct):
    """The files that a job's handler has stored, by name."""

    files: list[JobFile]
